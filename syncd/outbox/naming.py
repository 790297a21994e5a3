"""Finds the id of each row's lead, for calls that know leads by id alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from syncd.core.operations import LEAD_NOT_FOUND, SEVERAL_LEADS
from syncd.core.outbox import ClaimedRow, Shape, Verdict, after_skip, deleted_unseen, key_of
from syncd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.marketo.client import Client

    Rows = tuple[ClaimedRow, ...]

ASKED_AT_ONCE = 300


class Names:
    """Knows leads by e-mail from the mirror, and by anything else from Marketo.

    The mirror comes first, because it costs no call, and because earlier rows of the lead have written their effect
    there: a list row finds the lead that the row before it has made.
    """

    def __init__(
        self,
        client: Client,
        leads_by_email: Callable[[Sequence[str]], dict[str, list[int]]],
        buried_by_email: Callable[[Sequence[str]], dict[str, list[tuple[datetime, int]]]],
    ) -> None:
        self._client = client
        self._leads_by_email = leads_by_email
        self._buried_by_email = buried_by_email

    def by_id(
        self, shape: Shape, rows: Rows, refused: Callable[[ClaimedRow, Refused], Verdict]
    ) -> tuple[list[Verdict], Rows]:
        """Return the verdicts of rows whose lead can't be told, and the others with their lead's id.

        refused: decides about a row whose value Marketo refuses to look for.
        Raises MarketoError where Marketo had to be asked and did not answer; then nothing was executed.
        """
        if shape.lookup_field == "id":
            return [], tuple(replace(row, lead_id=int(row.payload["id"])) for row in rows)
        keys = {row.id: key_of(shape, row.payload).strip().lower() for row in rows}
        known = self._leads_by_email(sorted(set(keys.values()))) if shape.lookup_field == "email" else {}
        unknown = sorted({key for key in keys.values() if key not in known})
        buried = self._buried(shape, [keys[row.id] for row in rows if row.unknown])
        doubtful = {keys[row.id] for row in rows if row.unknown and keys[row.id] in buried}
        # A value with a comma can't be asked for, and a blank one names nobody.
        asked = [key for key in unknown if key and key not in doubtful and "," not in key]
        refusals: dict[str, Refused] = {}
        for place in range(0, len(asked), ASKED_AT_ONCE):
            self._ask(shape.lookup_field, asked[place : place + ASKED_AT_ONCE], known, refusals)
        named, verdicts = [], []
        for row in rows:
            leads = known.get(keys[row.id], [])
            if keys[row.id] in refusals:
                verdicts.append(refused(row, refusals[keys[row.id]]))
            elif len(leads) == 1:
                named.append(replace(row, lead_id=leads[0]))
            else:
                verdicts.append(self._unnamed(shape, row, leads, buried.get(keys[row.id], [])))
        return verdicts, tuple(named)

    def _buried(self, shape: Shape, keys: Sequence[str]) -> dict[str, list[tuple[datetime, int]]]:
        if shape.operation != "delete" or shape.lookup_field != "email" or not keys:
            return {}
        return self._buried_by_email(sorted(set(keys)))

    def _ask(
        self, field: str, keys: Sequence[str], found: dict[str, list[int]], refusals: dict[str, Refused]
    ) -> None:
        """Ask Marketo which leads have these values; in halves, until one that is refused stands alone."""
        try:
            for record in self._client.leads(field, keys, ["id", field]):
                found.setdefault(_text(record.get(field)), []).append(int(record["id"]))
        except Refused as problem:
            if len(keys) == 1:
                refusals[keys[0]] = problem
                return
            middle = len(keys) // 2
            self._ask(field, keys[:middle], found, refusals)
            self._ask(field, keys[middle:], found, refusals)

    def _unnamed(
        self, shape: Shape, row: ClaimedRow, leads: Sequence[int], buried: Sequence[tuple[datetime, int]]
    ) -> Verdict:
        gone = [lead for end, lead in buried if row.first_sent_at is not None and end >= row.first_sent_at]
        if row.unknown and not leads and gone:
            return deleted_unseen(row, gone[0])
        count = "no lead" if not leads else f"{len(leads)} leads ({', '.join(map(str, sorted(leads)))})"
        reason = (
            f"field {shape.lookup_field}: there is {count} with this value; name the lead by its id"
            if not leads
            else f"field {shape.lookup_field}: there are {count} with this value; name the lead by its id"
        )
        return after_skip(shape, row, code=SEVERAL_LEADS if leads else LEAD_NOT_FOUND, reason=reason)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip().lower()
