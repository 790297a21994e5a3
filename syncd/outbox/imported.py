"""What a bulk import wrote, read back by its keys: ids for the rows, and the whole leads for the mirror.

Each read serves both, 300 leads a call: nothing is read again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from syncd.core import imports as core
from syncd.core.effects import Effects
from syncd.core.outbox import Settlement, Verdict, key_of
from syncd.database import campaigns, effects, imports, leads, outbox, state
from syncd.errors import Refused
from syncd.marketo import endpoints
from syncd.marketo.models import Leads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from syncd.core.fields import LeadField
    from syncd.core.runs import Run
    from syncd.database.engine import Database, Transaction
    from syncd.marketo.client import Client

    Record = dict[str, Any]


class SomebodyElseError(Exception):
    """Somebody else has settled these rows meanwhile."""


@dataclass(frozen=True)
class Page:
    """Leads that were read, and whether with all their fields."""

    records: Leads
    whole: bool


class ReadBack:
    """Settles what was imported: rows and mirror in one transaction for each read."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client.on("outbox")

    def settle(
        self, running: imports.Running, runs: Mapping[str, Run], warnings: core.Told
    ) -> Iterator[Sequence[Verdict]]:
        """Settle all records; yield the verdicts of each transaction.

        Raises MarketoError where a read fails for now, SomebodyElseError where another replica is at it too.
        """
        keys = iter(runs)
        while chunk := list(islice(keys, endpoints.BATCH)):
            yield self._settle(running, {key: runs[key] for key in chunk}, warnings)

    def _settle(
        self, running: imports.Running, runs: Mapping[str, Run], warnings: core.Told
    ) -> Sequence[Verdict]:
        by = running.shape.lookup_field
        fields, marks = self._mark(by, runs)
        page = self._read(running, list(runs.values()), fields)
        found: dict[str, list[int]] = {}
        for record in page.records:
            found.setdefault(core.folded(record.get(by)), []).append(int(record["id"]))
        verdicts = [
            verdict
            for key, run in runs.items()
            for verdict in core.imported(
                run, running.batch_id, sorted(found.get(key, [])), warnings.reasons.get(key)
            )
        ]
        settlement = Settlement(tuple(verdicts), endpoints.IMPORT_LEADS.name, running.request_id)
        with self._database.begin() as transaction:
            self._mirror(transaction, by, runs, page, marks, fields)
            if len(outbox.settle(transaction, running.claim, settlement)) < len(verdicts):
                raise SomebodyElseError
        return verdicts

    def _mark(self, by: str, runs: Mapping[str, Run]) -> tuple[Sequence[LeadField], dict[int, int]]:
        """Mark the leads that the mirror knows under these keys, so that no older read of them counts any more."""
        ids = [int(key) for key in runs] if by == "id" else []
        if by == "email":
            ids = [
                lead for found in outbox.leads_by_email(self._database, list(runs)).values() for lead in found
            ]
        with self._database.begin() as transaction:
            return leads.mirrored_fields(transaction), imports.mark(transaction, sorted(ids))

    def _read(self, running: imports.Running, runs: Sequence[Run], fields: Sequence[LeadField]) -> Page:
        """Read leads by key. Where some keys have too many leads for one call, or a field is gone, in other ways."""
        by = running.shape.lookup_field
        keys = [key_of(running.shape, run.record) for run in runs]
        names = list(dict.fromkeys(["id", by, *(field.name for field in fields)]))
        try:
            return Page(self._client.leads(by, keys, names), whole=bool(fields))
        except Refused:
            if len(runs) > 1:
                middle = len(runs) // 2
                first = self._read(running, runs[:middle], fields)
                second = self._read(running, runs[middle:], fields if first.whole else ())
                return Page(Leads([*first.records, *second.records]), first.whole and second.whole)
            if fields:
                return self._read(running, runs, ())
            return Page(Leads(), whole=False)

    def _mirror(
        self,
        transaction: Transaction,
        by: str,
        runs: Mapping[str, Run],
        page: Page,
        marks: dict[int, int],
        fields: Sequence[LeadField],
    ) -> None:
        """Write what was read of leads that nobody else has read meanwhile; of the others what was sent, to be read again."""
        read = {int(record["id"]): record for record in page.records}
        held = leads.hold(transaction, fields)
        ours = state.clear_dirty(transaction, list(marks), list(marks.values()))
        fresh = set(read) - imports.known(transaction, sorted(read))
        mine = (ours | fresh) & set(read) if page.whole and held else set()
        sent = {
            lead: runs[key].record
            for lead, record in sorted(read.items())
            if lead not in mine and (key := core.folded(record.get(by))) in runs
        }
        others = (set(read) | ours) - mine
        effects.apply(transaction, Effects(changes=tuple(sent.items()), touched=tuple(sorted(others))))
        campaigns.enter(transaction, sorted(mine))
        answer = page.records.answer if len(mine) == len(page.records) else None
        leads.upsert_page(
            transaction, fields, [read[lead] for lead in sorted(mine)], touch=True, answer=answer
        )
        state.mark_dirty(transaction, imports.overtaken(transaction, sorted(fresh & mine)), "changed")
