"""The check of optimistic locks just before a call: one read for all rows of the claim that carry one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from syncd import log, metrics
from syncd.core.locks import UPDATED_AT, Conflict, Judgement, Policies, fields_to_read, judge
from syncd.core.outbox import ClaimedRow, Settlement, Shape, Verdict, key_of
from syncd.database.locks import Ask
from syncd.errors import MarketoError, Refused
from syncd.marketo import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncd.clock import Clock
    from syncd.marketo.client import Client

    Rows = tuple[ClaimedRow, ...]
    Record = dict[str, Any]

CONFLICT = "conflict"


class Locks:
    """Holds back rows whose lead is not as their writer believed."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        policies: Policies,
        changed: Callable[[Sequence[Ask], Sequence[Record]], set[int]],
    ) -> None:
        self._client = client.on("outbox")
        self._clock = clock
        self._policies = policies
        self._changed = changed

    def check(
        self, shape: Shape, rows: Rows, after_error: Callable[[ClaimedRow, MarketoError, float], Verdict]
    ) -> tuple[list[Settlement], Rows]:
        """Return what is settled already, and the rows that may be sent, in their order.

        after_error: decides about a row whose lead could not be read; it gets the seconds that it took.
        """
        asked = tuple(row for row in rows if row.lock is not None)
        if not asked:
            return [], rows
        settled: list[Settlement] = []
        may_go: dict[int, ClaimedRow] = {}
        for settlement, going in self._checked(shape, asked, after_error):
            settled.append(settlement)
            may_go |= {row.id: row for row in going}
        left = tuple(
            may_go[row.id] if row.lock else row for row in rows if row.lock is None or row.id in may_go
        )
        return [s for s in settled if s.verdicts or s.conflicts], left

    def _checked(
        self, shape: Shape, rows: Rows, after_error: Callable[[ClaimedRow, MarketoError, float], Verdict]
    ) -> Iterator[tuple[Settlement, Rows]]:
        started = self._clock.monotonic()
        try:
            records = self._read(shape, rows)
        except Refused as problem:
            if len(rows) > 1:
                middle = len(rows) // 2
                yield from self._checked(shape, rows[:middle], after_error)
                yield from self._checked(shape, rows[middle:], after_error)
                return
            reason = f"its lock could not be checked: {problem.message}"
            verdict = Verdict(rows[0].id, "failed", "failed", error_code=problem.code, error_message=reason)
            yield self._settlement((verdict,), (), started, problem.request_id), ()
        except MarketoError as problem:
            took = self._clock.monotonic() - started
            verdicts = tuple(after_error(row, problem, took) for row in rows)
            yield self._settlement(verdicts, (), started, problem.request_id), ()
        else:
            yield self._judged(shape, rows, records, started)

    def _read(self, shape: Shape, rows: Rows) -> list[Record]:
        names = sorted(set().union(*(fields_to_read(shape, row) for row in rows)))
        keys = sorted({_key(shape, row) for row in rows})
        return list(self._client.leads(_filter(shape), keys, names))

    def _judged(
        self, shape: Shape, rows: Rows, records: list[Record], started: float
    ) -> tuple[Settlement, Rows]:
        by_key: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_key[str(record.get(_filter(shape), "")).strip().lower()].append(record)
        found = {row.id: by_key[_key(shape, row).lower()] for row in rows}
        changed = self._changed(_asks(shape, rows, found), records)
        judged: list[tuple[ClaimedRow, Judgement]] = [
            (row, judge(shape, row, found[row.id], changed=row.id in changed, policies=self._policies))
            for row in rows
        ]
        conflicts = tuple(conflict for _, judgement in judged for conflict in judgement.conflicts)
        for conflict in conflicts:
            metrics.OUTBOX_CONFLICTS.labels(resolution=conflict.resolution).inc()
            log.get("outbox").info(
                "a lead is not as a row believed",
                row=conflict.outbox_id,
                lead=conflict.lead_id,
                field=conflict.field,
                resolution=conflict.resolution,
            )
        held = tuple(_held(row, judgement.conflicts) for row, judgement in judged if judgement.row is None)
        going = tuple(judgement.row for _, judgement in judged if judgement.row is not None)
        return self._settlement(held, conflicts, started, None), going

    def _settlement(
        self,
        verdicts: tuple[Verdict, ...],
        conflicts: tuple[Conflict, ...],
        started: float,
        request_id: str | None,
    ) -> Settlement:
        duration = round((self._clock.monotonic() - started) * 1000)
        return Settlement(verdicts, endpoints.LEADS.name, request_id, duration, conflicts=conflicts)


def _filter(shape: Shape) -> str:
    """Return the field by which the leads are read: deletions have been given their lead's id."""
    return "id" if shape.operation == "delete" else shape.lookup_field


def _key(shape: Shape, row: ClaimedRow) -> str:
    return str(row.lead_id) if shape.operation == "delete" else key_of(shape, row.payload).strip()


def _asks(shape: Shape, rows: Rows, found: dict[int, list[Record]]) -> list[Ask]:
    return [
        Ask(
            row.id,
            int(lead["id"]),
            row.lock.unchanged_since,
            lead.get(UPDATED_AT),
            frozenset(row.payload) - {"id"} if shape.operation != "delete" else frozenset(),
        )
        for row in rows
        if row.lock and row.lock.unchanged_since and len(found[row.id]) == 1
        for lead in found[row.id]
    ]


def _held(row: ClaimedRow, conflicts: Sequence[Conflict]) -> Verdict:
    names = ", ".join(sorted({conflict.field for conflict in conflicts}))
    if all(conflict.lead_id is None for conflict in conflicts):
        reason = "Marketo has no such lead, and the row says what it must look like"
    elif all(conflict.resolution == "marketo_won" for conflict in conflicts):
        reason = f"field {names}: Marketo's value stays, and nothing else was to be written"
    else:
        reason = f"field {names}: the lead is not as the row believed; outbox_conflict has both sides"
    lead = next((conflict.lead_id for conflict in conflicts if conflict.lead_id is not None), None)
    return Verdict(row.id, "conflict", "conflict", lead_id=lead, error_code=CONFLICT, error_message=reason)
