"""Runs: consecutive rows that write the same lead, sent as one record, each with its own result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from syncd.core.outbox import after_unknown_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncd.core.outbox import ClaimedRow, Shape, Verdict

OF_THE_LEAD = frozenset({"1004", "1005", "1007", "1008", "1009", "1010", "1018"})
"""Refusals that concern the lead, whatever a row writes: they hold for every row of a run."""

_FIELD = re.compile(r"(?i)\bfield\s+['\u2018\"]([^'\u2019\"]+)['\u2019\"]")


@dataclass(frozen=True)
class Run:
    """Rows of one lead in their order, that travel as one record."""

    rows: tuple[ClaimedRow, ...]

    @cached_property
    def record(self) -> dict[str, Any]:
        """What Marketo holds after all rows, one after the other: a later row's value of a field wins."""
        merged: dict[str, Any] = {}
        for row in self.rows:
            merged |= row.payload
        return merged

    def results(self, lead: int | None, status: str | None) -> list[dict[str, Any]]:
        """Return what each row gets to read of Marketo's answer; only the first of them can have made the lead."""
        alone = len(self.rows) == 1
        shared = {} if alone else {"sent_as_one_with": self.rows[-1].id}
        later = "updated" if status == "created" else status
        return [
            {"id": lead, "status": later if place else status} | shared for place in range(len(self.rows))
        ]

    def parted(self, shape: Shape, code: str, message: str) -> tuple[tuple[ClaimedRow, ...], tuple[Run, ...]]:
        """Part a run whose record was refused: the rows that are refused with it, and what goes out again.

        Where Marketo's words name a field, its value came from the last row that sets it, and that row alone is to blame;
        where they name none, the run is halved until the culprit stands alone, but for rows that may have
        taken effect together already: the first of them alone would undo the last.
        """
        if len(self.rows) == 1 or code in OF_THE_LEAD:
            return self.rows, ()
        named = _FIELD.search(message)
        if named and named[1] == shape.lookup_field:
            return self.rows, ()
        blamed = next((row for row in reversed(self.rows) if named and named[1] in row.payload), None)
        if blamed is not None:
            return (blamed,), (Run(tuple(row for row in self.rows if row is not blamed)),)
        doubted = max((place for place, row in enumerate(self.rows, 1) if row.unknown), default=0)
        middle = max(len(self.rows) // 2, doubted if doubted < len(self.rows) else 1)
        return (), (Run(self.rows[:middle]), Run(self.rows[middle:]))


def in_doubt(
    shape: Shape, runs: Iterable[Run], *, code: str, reason: str, wait: float, attempts_at_most: int
) -> list[Verdict]:
    """Decide about the rows of a call that may have taken effect; see ``after_unknown_outcome``.

    With a row that is given up the earlier ones of its run are too: alone they would undo what it may have written.
    """
    decide = partial(after_unknown_outcome, shape, code=code, reason=reason, wait=wait)
    verdicts: list[Verdict] = []
    for run in runs:
        found = [decide(row, attempts_at_most=attempts_at_most) for row in run.rows]
        given_up = max((n for n, verdict in enumerate(found) if verdict.status == "uncertain"), default=0)
        verdicts += [*(decide(row, attempts_at_most=0) for row in run.rows[:given_up]), *found[given_up:]]
    return verdicts


def runs(rows: Iterable[ClaimedRow]) -> list[Run]:
    """Part the rows of a claim, which are in their order, by the row that each follows."""
    found: dict[int, list[ClaimedRow]] = {}
    for row in rows:
        found.setdefault(row.follows or row.id, []).append(row)
    return [Run(tuple(together)) for together in found.values()]
