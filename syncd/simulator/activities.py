"""The activity log: appended to in the order of commits, read by position, made lazily for seeded leads."""

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.clock import SECONDS_A_DAY

if TYPE_CHECKING:
    from array import array

DATE_SHIFT, KIND_SHIFT = 36, 32
REST = (1 << KIND_SHIFT) - 1


@dataclass(slots=True)
class Activity:
    """One entry of the log."""

    guid: int
    lead: int
    date: int
    type: int
    primary_id: int | None = None
    primary: str | None = None
    attributes: tuple[tuple[str, Any], ...] = ()
    fields: tuple[tuple[int, str, str | None, str | None], ...] | None = None
    campaign: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader of the log stands; entries before `settled` and older than `since` are not for it."""

    index: int
    since: int = 0
    settled: int = 0


class ActivityLog:
    """Seeded entries are numbers until they are read; later ones are kept whole."""

    def __init__(
        self, base: int, codes: "array[int]", render: Callable[[int, int, int, int], Activity],
        *, lag: float = 0.0, seed: int = 0, delete_days: float = 14.0, now: Callable[[], float],
    ) -> None:  # fmt: skip
        self._base, self._codes, self._render = base, codes, render
        self._lag, self._random, self._now = lag, random.Random(seed), now  # noqa: S311 - a simulation
        self.live: list[Activity] = []
        self._committed: list[float] = []
        self._waiting: list[tuple[float, int, Activity]] = []
        self._added = 0
        self._delete_days = delete_days

    def __len__(self) -> int:
        self.commit()
        return len(self._codes) + len(self.live)

    def add(self, activity: Activity) -> None:
        """Write an entry; with a lag it shows later, and then later ones may have shown before it."""
        self._added += 1
        if self._lag and self._random.random() < 0.3:  # noqa: PLR2004 - a share of them
            due = self._now() + self._random.random() * self._lag
            heapq.heappush(self._waiting, (due, self._added, activity))
        else:
            self._append(activity, self._now())

    def commit(self, *, everything: bool = False) -> None:
        """Show the entries whose time has come."""
        while self._waiting and (everything or self._waiting[0][0] <= self._now()):
            due, _, activity = heapq.heappop(self._waiting)
            self._append(activity, due)

    def hold(self, seconds: float) -> None:
        """From now on entries may show that much later than their date."""
        self._lag = seconds

    def since(self, moment: float) -> Position:
        """Where a reader starts who wants all from a date on."""
        self.commit()
        seconds = int(moment)
        if self._codes and (seconds - self._base) <= self._codes[-1] >> DATE_SHIFT:
            index = bisect_left(self._codes, max(0, seconds - self._base) << DATE_SHIFT)
        else:
            index = len(self._codes) + bisect_left(self._committed, seconds)
        return Position(index, seconds, len(self))

    def scan(
        self, position: Position, wanted: Callable[[int], bool], block: int
    ) -> Iterator[tuple[int, Activity]]:
        """The entries of the wanted types in the next block, each with the index after it."""
        self.commit()
        now = self._now()
        oldest = {k: now - days * SECONDS_A_DAY for k, days in kinds.RETENTION_DAYS.items()}
        oldest[kinds.DELETE] = now - self._delete_days * SECONDS_A_DAY
        rest = now - kinds.OTHER_DAYS * SECONDS_A_DAY
        seeded = len(self._codes)
        for index in range(position.index, min(position.index + block, seeded + len(self.live))):
            if index < seeded:
                code = self._codes[index]
                kind = SEEDED_KINDS[(code >> KIND_SHIFT) & 15]
                date = self._base + (code >> DATE_SHIFT)
            else:
                activity = self.live[index - seeded]
                kind, date = activity.type, activity.date
            if not wanted(kind) or date < oldest.get(kind, rest):
                continue
            if index < position.settled and date < position.since:
                continue
            if index < seeded:
                activity = self._render(index + 1, (code >> KIND_SHIFT) & 15, date, code & REST)
            yield index + 1, activity

    def between(self, start: float, end: float, wanted: Callable[[int], bool]) -> Iterator[Activity]:
        """All entries of the wanted types with a date in the range, both ends inclusive."""
        for _, activity in self.scan(self.since(start), wanted, len(self)):
            if start <= activity.date <= end:
                yield activity

    def dump(self) -> dict[str, Any]:
        """All but the seeded entries."""
        return {
            "live": [asdict(a) for a in self.live],
            "committed": self._committed,
            "waiting": [[due, n, asdict(a)] for due, n, a in self._waiting],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over entries, as they were dumped."""
        self.live = [_activity(a) for a in state["live"]]
        self._committed = list(state["committed"])
        self._waiting = [(due, n, _activity(a)) for due, n, a in state["waiting"]]
        self._added = max((n for _, n, _ in self._waiting), default=0)

    def _append(self, activity: Activity, when: float) -> None:
        activity.guid = len(self._codes) + len(self.live) + 1
        self.live.append(activity)
        self._committed.append(when)


def _activity(state: dict[str, Any]) -> Activity:
    fields = state["fields"]
    pairs = tuple((name, value) for name, value in state["attributes"])
    return Activity(**{**state, "attributes": pairs, "fields": fields and tuple(tuple(f) for f in fields)})


SEEDED_KINDS = (
    kinds.NEW_LEAD, kinds.CHANGE, kinds.CHANGE, kinds.LIST_ADD, kinds.STATUS,
    kinds.VISIT, kinds.MERGE, kinds.DELETE, 0, 0, 0, 0, 0, 0, 0, 0,
)  # fmt: skip
"""Activity type by the kind number of a seeded entry."""


def code(base: int, date: int, kind: int, rest: int) -> int:
    """A seeded entry as one number that sorts by date."""
    return ((date - base) << DATE_SHIFT) | (kind << KIND_SHIFT) | rest
