"""What the queue must keep to, told without a look at how it does it.

Two rows touch each other where they touch the same lead. A row that touches another and was committed
before the other's transaction began goes first; and nothing is sent while a row that touches it is
being sent, or may still be at work in Marketo.
"""

import threading
import time
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Row:
    """What the oracle knows of an outbox row."""

    number: int
    leads: frozenset[int]
    begun: int
    committed: int = 0
    sent: list[int] = field(default_factory=list)
    over: int | None = None


class Oracle:
    """Is told what happens, and raises where it must not."""

    def __init__(self) -> None:
        self._ticks = count(1)
        self._guard = threading.RLock()
        self._holders: dict[int, int] = {}
        self._closed_until: dict[int, float] = {}
        self.rows: dict[int, Row] = {}
        self.problems: list[str] = []

    def tick(self) -> int:
        return next(self._ticks)

    def written(self, number: int, leads: frozenset[int], begun: int) -> None:
        """Note an INSERT whose transaction began at a tick; it counts from its commit on."""
        with self._guard:
            self.rows[number] = Row(number, leads, begun)

    def committed(self, numbers: list[int]) -> None:
        with self._guard:
            now = self.tick()
            for number in numbers:
                self.rows[number].committed = now

    def sending(self, numbers: list[int]) -> None:
        """Note that a claim was given out."""
        with self._guard:
            now = self.tick()
            for number in numbers:
                row = self.rows[number]
                row.sent.append(now)
                if row.over is not None:
                    self._problem(f"row {number} is sent after it was over")
                for lead in row.leads:
                    if lead in self._holders:
                        self._problem(f"lead {lead}: row {number} is sent while {self._holders[lead]} is")
                    if time.monotonic() < self._closed_until.get(lead, 0):
                        self._problem(
                            f"lead {lead}: row {number} is sent while Marketo may be at work for another"
                        )
                    self._holders[lead] = number
                self._in_order(row)

    def settling(self, number: int, *, over: bool, closed_for: float = 0.0) -> None:
        """Note, before it is written down, that a row is no longer being sent; over: for good."""
        with self._guard:
            row = self.rows[number]
            for lead in row.leads:
                self._holders.pop(lead, None)
                if closed_for:
                    self._closed_until[lead] = max(
                        self._closed_until.get(lead, 0), time.monotonic() + closed_for
                    )
            if over:
                row.over = self.tick()

    def ended(self, number: int) -> None:
        """Note that a row ended without being sent."""
        with self._guard:
            self.rows[number].over = self.tick()

    def _in_order(self, row: Row) -> None:
        for other in self.rows.values():
            must_precede = other.number < row.number and other.committed and other.committed < row.begun
            if must_precede and other.leads & row.leads and other.over is None:
                self._problem(
                    f"row {row.number} is sent before row {other.number}, which was there before it"
                )

    def _problem(self, text: str) -> None:
        self.problems.append(text)
