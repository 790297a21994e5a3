"""Who may call now: the lanes, their floors, and the rules by which the ledger lends calls.

The telephone room asks for permission without knowing that the ledger is in PostgreSQL; the ledger asks
``decide`` without knowing the rules. In short:

- The rate and the day belong to all lanes. A lane may always use its own floor; what other lanes' floors
  hold and do not use is lent to it: of the rate one call at a time, evenly spaced, so that an owner who
  comes back finds a free call soon; of the day as much as the day has already passed.
- Of the calls under way the outbox's floor is kept free, because a call can last for minutes.
- Where callers wait, lanes below their floor go first, then the more urgent lane, then who came first.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal, Protocol

from syncd.core.codes import RATE_WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Lane = Literal["outbox", "changes", "memberships", "backfill", "verify"]
"""Who calls, most urgent first. A lane's name is also the key of its spending in the ledger."""

LANES: tuple[Lane, ...] = ("outbox", "changes", "memberships", "backfill", "verify")


NO_FEED = "no feed"
"""For whom calls are noted that are made outside of any feed, such as those of `syncd check`."""
_feed: ContextVar[str | None] = ContextVar("feed", default=None)


@contextmanager
def spending_as(feed: str) -> Iterator[None]:
    """Let the calls that this thread makes in the block be noted as spent by a feed; the innermost block counts."""
    before = _feed.set(feed)
    try:
        yield
    finally:
        _feed.reset(before)


def feed_of(lane: Lane) -> str:
    """Return which feed calls now; the outbox, which is none of the feeds, has its lane to itself."""
    return _feed.get() or ("outbox" if lane == "outbox" else NO_FEED)


OWN_BUDGET = "budget"
"""Code of the QuotaExhausted that a budget raises where the configured share of a day is used up."""
EXPORT_PLACES = "places"
"""Code of the Retryable that a budget raises where all places for exports are taken."""
STOPPING, LEDGER = "stopping", "ledger"
"""Codes of the Retryable that a budget raises when the service stops, or when the ledger is out of reach."""
LOST = "lost"
"""Code of the Retryable of a call whose caller lost, while it waited, what it was to send."""
NOT_MADE = frozenset({STOPPING, LEDGER, LOST})
"""With these codes the call never left."""

ROUNDING = 1e-9
LOOK_AGAIN = 0.02
"""Seconds until a slot may be free whose end nobody knows; whoever waits looks ever more seldom."""


class Budget(Protocol):
    """Permission for calls, shared by every replica."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:
        """Wait until one call may go out and return its lease.

        holds_for: seconds after which the lease of a caller that died no longer counts.
        Raises QuotaExhausted where the configured share of the day is used up.
        """
        ...

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """End a lease.

        charged: False where Marketo does not count the call (a response-level error).
        error: Marketo's code where the call failed.
        """
        ...

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:
        """Lend a place for one bulk export.

        Raises Retryable where all are taken, QuotaExhausted where the day's volume is used up.
        """
        ...

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Note the job that a place was taken for; None: there is none, and the place is free again."""
        ...

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Note that somebody looks after a job, or that it has ended, with a file of so many bytes."""
        ...

    def export_room(self) -> tuple[int, int]:
        """Return how many bytes may still be exported today, and how many on any day."""
        ...


class NoBudget:
    """No limits: for `syncd check` before there is a database."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:  # noqa: ARG002
        """Permit at once."""
        return 0

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """Forget it."""

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:  # noqa: ARG002
        """Permit at once."""
        return 0

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Forget it."""

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Forget it."""

    def export_room(self) -> tuple[int, int]:
        """Tell of no end."""
        return sys.maxsize, sys.maxsize


@dataclass(frozen=True)
class Limits:
    """What all lanes together may use. ``shares``: each lane's floor, as a part of each limit."""

    rate: int
    concurrency: int
    day: int
    shares: Mapping[Lane, float]


@dataclass(frozen=True)
class Seen:
    """What the books hold of one lane."""

    recent: int = 0
    """Calls that count in the rate now."""
    under_way: int = 0
    today: int = 0
    waiting: int = 0
    """Callers that wait; of the asking lane only those that came before."""


@dataclass(frozen=True)
class Books:
    """What the books hold at one moment."""

    lanes: Mapping[Lane, Seen]
    frees_in: float = RATE_WINDOW
    """Seconds until the next call no longer counts in the rate."""
    lent: int = 0
    """Calls that count in the rate now and were lent out of another lane's part of it."""
    since_lent: float | None = None
    """Seconds since the last of them."""
    day_left: float = 1.0
    """Part of the day that is still to come."""
    hold_for: float = 0.0
    """Seconds for which Marketo wants nobody to call."""


@dataclass(frozen=True)
class Decision:
    """What the ledger answers.

    lent: go, with a call out of another lane's floor. spent: the day's calls are used up. kept: what is
    left of the day is kept for other lanes.
    """

    kind: Literal["go", "lent", "wait", "spent", "kept"]
    seconds: float = 0.0


def decide(limits: Limits, books: Books, lane: Lane) -> Decision:
    """Tell whether a lane may call now."""
    if day_left_for(limits, books, lane) <= 0:
        return Decision("spent" if _sum(books, "today") >= limits.day else "kept")
    if books.hold_for > 0:
        return Decision("wait", books.hold_for)
    recent = _sum(books, "recent")
    if recent >= limits.rate:
        return Decision("wait", max(0.0, books.frees_in))
    free = min(limits.rate - recent, _free_slots(limits, books, lane))
    if free <= _ahead(limits, books, lane):
        return Decision("wait", LOOK_AGAIN)
    return _within_the_rate(limits, books, lane, recent)


def _within_the_rate(limits: Limits, books: Books, lane: Lane, recent: int) -> Decision:
    """Decide about a call for which there is room in the rate: whose it is."""
    own = limits.shares[lane] * limits.rate
    kept = sum(
        max(0.0, limits.shares[other] * limits.rate - books.lanes[other].recent)
        for other in LANES
        if other != lane
    )
    if books.lanes[lane].recent + 1 <= own or recent - books.lent + 1 + kept <= limits.rate + ROUNDING:
        return Decision("go")
    spacing = RATE_WINDOW / max(1.0, sum(limits.shares.values()) * limits.rate)
    if books.since_lent is None or books.since_lent >= spacing:
        return Decision("lent")
    return Decision("wait", spacing - books.since_lent)


def day_left_for(limits: Limits, books: Books, lane: Lane) -> int:
    """Return how many calls a lane may make today as things stand.

    What other lanes have not used of their floors is kept for them, ever less as the day passes. A
    lane's own floor yields to the more urgent lanes' floors only.
    """
    left = limits.day - _sum(books, "today")
    floors = {one: _floor_of_day(limits, books, one) for one in LANES}
    above = sum(floors[one] for one in LANES[: LANES.index(lane)])
    below = sum(floors[one] for one in LANES[LANES.index(lane) + 1 :])
    return max(0, left - above - below, min(floors[lane], left - above))


def _floor_of_day(limits: Limits, books: Books, lane: Lane) -> int:
    whole = limits.shares[lane] * limits.day
    return max(0, int(min(whole - books.lanes[lane].today, whole * books.day_left) + ROUNDING))


def _free_slots(limits: Limits, books: Books, lane: Lane) -> int:
    free = limits.concurrency - _sum(books, "under_way")
    if lane == "outbox":
        return free
    kept = min(ceil(limits.shares["outbox"] * limits.concurrency), limits.concurrency - 1)
    return free - max(0, kept - books.lanes["outbox"].under_way)


def _ahead(limits: Limits, books: Books, lane: Lane) -> int:
    """Return how many callers come before the one that asks."""
    recent = _sum(books, "recent")

    def rank(one: Lane) -> tuple[bool, int]:
        entitled = books.lanes[one].recent < limits.shares[one] * recent
        return (not entitled, LANES.index(one))

    others = sum(seen.waiting for one, seen in books.lanes.items() if one != lane and rank(one) < rank(lane))
    return others + books.lanes[lane].waiting


def _sum(books: Books, what: Literal["recent", "under_way", "today"]) -> int:
    return sum(int(getattr(seen, what)) for seen in books.lanes.values())
