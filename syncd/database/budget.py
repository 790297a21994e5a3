"""The ledger: one count of calls for all replicas, in PostgreSQL.

The rules are in ``syncd.core.budget``; here are the books and the waiting. In each process only the
first caller of each lane looks into the books, the others stand behind it.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.budget import (
    LANES,
    LEDGER,
    OWN_BUDGET,
    STOPPING,
    Books,
    Decision,
    Limits,
    Seen,
    day_left_for,
    decide,
    feed_of,
)
from syncd.core.codes import RATE_WINDOW, last_reset, next_reset
from syncd.database.engine import LEDGER_LOCK, REPLICA_CLASS
from syncd.database.exports import ExportLedger
from syncd.errors import DatabaseProblem, QuotaExhausted, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from syncd import settings
    from syncd.clock import Clock
    from syncd.core.budget import Lane
    from syncd.database.engine import Database, Transaction

DAILY_QUOTA = "607"
SHORTEST_WAIT = 0.02
LONGEST_WAIT = 1.0
LONGEST_LOOK = 0.25
"""Seconds between two looks of who waits for a call of unknown end."""
WAITS_FOR = 3 * LONGEST_WAIT
"""Seconds after which a waiting process that gave no sign counts no longer as waiting."""
KEPT_SECONDS = 900.0
"""How long a lane is parked when what is left of the day is kept for others: their part shrinks with the day."""
DEAD_SECONDS = 5.0
"""Seconds for which Marketo may go on with a call of a replica that died."""
HOLDS = {"606": RATE_WINDOW / 4, "615": 1.0}
"""Codes after which all replicas hold their breath, and for how long: others use the subscription too."""


@dataclass(frozen=True)
class Standing:
    """What the books hold now, and what follows from it."""

    now: datetime
    limits: Limits
    books: Books
    paused_for: float | None
    others: int | None
    """Calls of other integrations today, as of the last look; None before it."""

    @property
    def spent(self) -> int:
        """Calls of the day."""
        return sum(seen.today for seen in self.books.lanes.values())

    def left(self, lane: Lane) -> int:
        """Return how many calls a lane may make today as things stand."""
        return 0 if self.paused_for is not None else day_left_for(self.limits, self.books, lane)

    def parked_until(self, lane: Lane) -> datetime | None:
        """Return when a lane may call again; None where it may now."""
        if self.paused_for is not None:
            return self.now + timedelta(seconds=self.paused_for)
        if self.left(lane) > 0:
            return None
        return self.resumes(spent=self.spent >= self.limits.day)

    def resumes(self, *, spent: bool) -> datetime:
        """Return when a lane goes on that has no calls left: at the day's end where all are spent."""
        reset = next_reset(self.now)
        return reset if spent else min(reset, self.now + timedelta(seconds=KEPT_SECONDS))


def limits_of(conf: settings.Budget, others: int | None) -> Limits:
    """Return the limits in force, now that others have made so many calls today."""
    return Limits(
        rate=conf.calls_per_20_seconds,
        concurrency=conf.concurrent_calls,
        day=max(0, min(conf.calls_per_day, conf.quota - conf.reserve_per_day - (others or 0))),
        shares={lane: conf.share_of(lane) for lane in LANES},
    )


def standing(
    transaction: Transaction, conf: settings.Budget, *, lane: Lane = "outbox", waiter: str = ""
) -> Standing:
    """Read the books."""
    rows = transaction.rows("ledger_books", lanes=list(LANES), lane=lane, waiter=waiter)
    first = rows[0]
    frees = [float(r.frees_in) for r in rows if r.frees_in is not None]
    lent = [float(r.since_lent) for r in rows if r.since_lent is not None]
    day = next_reset(first.now) - last_reset(first.now)
    books = Books(
        lanes={r.lane: Seen(r.recent, r.under_way, r.today, r.waiting) for r in rows},
        frees_in=min(frees, default=RATE_WINDOW),
        lent=sum(int(r.lent) for r in rows),
        since_lent=min(lent, default=None),
        day_left=(next_reset(first.now) - first.now) / day,
        hold_for=float(first.hold_for or 0),
    )
    others = None if first.others is None else int(first.others)
    paused = None if first.paused_for is None else float(first.paused_for)
    return Standing(first.now, limits_of(conf, others), books, paused, others)


class Ledger(ExportLedger):
    """Lends calls within the configured rate, concurrency and daily share, by the rules of the lanes."""

    def __init__(self, database: Database, conf: settings.Budget, clock: Clock) -> None:
        self._database = database
        self._conf = conf
        self._clock = clock
        self._waiter = secrets.token_hex(8)
        self._queues: dict[Lane, _Queue] = {lane: _Queue() for lane in LANES}
        self._kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
        self.replica: Callable[[], int | None] = lambda: None
        """Under which replica the calls are made, so that they soon no longer count as under way when it dies."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:
        """Wait until one call may go out and return its lease.

        holds_for: seconds after which the lease of a caller that died no longer counts.
        Raises QuotaExhausted where the configured share of the day is used up, and Retryable when the
        service is told to stop.
        """
        queue, looks = self._queues[lane], 0
        with queue.turn(self._clock.stopping):
            while True:
                if self._clock.stopping():
                    raise Retryable(
                        "the service is stopping; the call was not made", code=STOPPING, endpoint=endpoint
                    )
                try:
                    lease, wait = self._try(lane, endpoint, holds_for, queue.length)
                except DatabaseProblem as problem:
                    raise Retryable(
                        f"the call was not made: {problem}", code=LEDGER, endpoint=endpoint
                    ) from problem
                if lease is not None:
                    return lease
                if wait <= SHORTEST_WAIT:
                    wait = min(SHORTEST_WAIT * 2**looks, LONGEST_LOOK)
                    looks += 1
                self._clock.sleep(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT))

    def _try(self, lane: Lane, endpoint: str, holds_for: float, callers: int) -> tuple[int | None, float]:
        with self._database.begin() as transaction:
            transaction.lock(LEDGER_LOCK)
            now = standing(transaction, self._conf, lane=lane, waiter=self._waiter)
            if now.paused_for is not None:
                raise self._exhausted(endpoint, "Marketo's daily quota is used up", now.paused_for)
            decision = decide(now.limits, now.books, lane)
            if decision.kind == "wait":
                self._wait(transaction, lane, callers, now)
                return None, decision.seconds
            if decision.kind in {"spent", "kept"}:
                raise self._parked(lane, endpoint, decision, now)
            lease = transaction.scalar(
                "call_start",
                lane=lane,
                feed=feed_of(lane),
                endpoint=endpoint,
                holds_for=holds_for,
                lent=decision.kind == "lent",
                replica=self.replica(),
                waiter=self._waiter,
            )
            return int(lease), 0

    def _wait(self, transaction: Transaction, lane: Lane, callers: int, now: Standing) -> None:
        """Let the others know that somebody waits, and end what the dead have under way."""
        transaction.run("call_wait", waiter=self._waiter, lane=lane, callers=callers, seconds=WAITS_FOR)
        if sum(seen.under_way for seen in now.books.lanes.values()) >= now.limits.concurrency - 1:
            transaction.run("calls_of_the_dead", kind=self._kind, seconds=DEAD_SECONDS)

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """End a lease; a call that failed as a whole is taken off the day's count and the rate.

        Where Marketo says that the day's quota is used up, no replica calls again before the reset;
        where it says that there are too many calls, none for a moment.
        """
        try:
            self._release(lease, charged=charged, error=error)
        except DatabaseProblem as problem:
            # Marketo's answer must not be lost over this: the lease ends by itself.
            log.get("database").warning("the end of a call could not be noted", error=str(problem))

    def _release(self, lease: int, *, charged: bool, error: str | None) -> None:
        with self._database.each() as transaction:
            if error == DAILY_QUOTA:
                until = next_reset(self._clock.now())
                transaction.run(
                    "pause_put", what="calls", until=until, reason="Marketo's daily quota is used up"
                )
            elif error in HOLDS:
                reason = f"Marketo answered {error}: too many calls, by all integrations together"
                transaction.run("hold_put", seconds=HOLDS[error], reason=reason)
            transaction.run("call_end", id=lease, charged=charged, failed=error is not None or not charged)

    def prune(self) -> None:
        """Forget calls that no longer count."""
        with self._database.begin() as transaction:
            transaction.run("call_prune")
            transaction.run("export_prune")
            transaction.run("pace_prune")

    def standing(self) -> Standing:
        """Read the books."""
        with self._database.begin() as transaction:
            return standing(transaction, self._conf)

    def _parked(self, lane: Lane, endpoint: str, decision: Decision, now: Standing) -> QuotaExhausted:
        if decision.kind == "kept":
            why = f"what is left of the day's calls is kept for others than {lane} (budget.*_share)"
            return self._exhausted(
                endpoint, why, (now.resumes(spent=False) - now.now).total_seconds(), OWN_BUDGET
            )
        why = "the configured calls of the day (budget.calls_per_day) are used up"
        if now.limits.day < self._conf.calls_per_day:
            why = (
                f"the day's calls are used up: other integrations have made {now.others or 0} of Marketo's {self._conf.quota}, "
                "and budget.reserve_per_day is left to them"
            )
        return self._exhausted(endpoint, why, None)

    def _exhausted(
        self, endpoint: str, why: str, seconds: float | None, code: str = DAILY_QUOTA
    ) -> QuotaExhausted:
        now = self._clock.now()
        if seconds is None:
            return QuotaExhausted(why, code=OWN_BUDGET, endpoint=endpoint, until=next_reset(now))
        return QuotaExhausted(why, code=code, endpoint=endpoint, until=now + timedelta(seconds=seconds))


class _Queue:
    """The callers of one lane in this process, in the order in which they came."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @property
    def length(self) -> int:
        """How many wait, the first one included."""
        return len(self._line)

    @contextmanager
    def turn(self, stopping: Callable[[], bool]) -> Iterator[None]:
        """Stand in line; the block is entered by the first, and by all when the service stops."""
        mine = threading.Event()
        with self._guard:
            self._line.append(mine)
            if self._line[0] is mine:
                mine.set()
        try:
            while not mine.wait(LONGEST_WAIT) and not stopping():
                pass
            yield
        finally:
            with self._guard:
                self._line.remove(mine)
                if self._line:
                    self._line[0].set()
