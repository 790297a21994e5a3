"""The ledger: one count of calls for all replicas, in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.budget import LEDGER, OWN_BUDGET, STOPPING
from syncd.core.codes import next_reset
from syncd.database.engine import LEDGER_LOCK, REPLICA_CLASS
from syncd.database.exports import ExportLedger
from syncd.errors import DatabaseProblem, QuotaExhausted, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd import settings
    from syncd.clock import Clock
    from syncd.core.budget import Lane
    from syncd.database.engine import Database

DAILY_QUOTA = "607"
SHORTEST_WAIT = 0.02
LONGEST_WAIT = 1.0


class Ledger(ExportLedger):
    """Lends calls within the configured rate, concurrency and daily share.

    The outbox may use each limit to the full; all other lanes together leave it its reserved share.
    """

    def __init__(self, database: Database, conf: settings.Budget, clock: Clock) -> None:
        self._database = database
        self._conf = conf
        self._clock = clock
        self._kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
        self.replica: Callable[[], int | None] = lambda: None
        """Under which replica the calls are made, so that they no longer count as under way when it dies."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:
        """Wait until one call may go out and return its lease.

        holds_for: seconds after which the lease of a caller that died no longer counts.
        Raises QuotaExhausted where the configured share of the day is used up, and Retryable when the
        service is told to stop.
        """
        while True:
            if self._clock.stopping():
                raise Retryable(
                    "the service is stopping; the call was not made", code=STOPPING, endpoint=endpoint
                )
            try:
                lease, wait = self._try(lane, endpoint, holds_for)
            except DatabaseProblem as problem:
                raise Retryable(
                    f"the call was not made: {problem}", code=LEDGER, endpoint=endpoint
                ) from problem
            if lease is not None:
                return lease
            self._clock.sleep(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT))

    def _try(self, lane: Lane, endpoint: str, holds_for: float) -> tuple[int | None, float]:
        with self._database.begin() as transaction:
            transaction.lock(LEDGER_LOCK)
            state = transaction.row("call_state", kind=self._kind)
            assert state is not None  # noqa: S101 - an aggregate has one row
            if state.paused_for is not None:
                raise self._exhausted(endpoint, "Marketo's daily quota is used up", float(state.paused_for))
            if state.today >= self._limit(self._conf.calls_per_day, lane):
                raise self._exhausted(
                    endpoint, "the configured calls of the day (budget.calls_per_day) are used up", None
                )
            if state.recent >= self._limit(self._conf.calls_per_20_seconds, lane):
                return None, float(state.recent_frees_in or 0)
            if state.under_way >= self._limit(self._conf.concurrent_calls, lane):
                return None, SHORTEST_WAIT
            given = {"lane": lane, "endpoint": endpoint, "holds_for": holds_for, "replica": self.replica()}
            return int(transaction.scalar("call_start", **given)), 0

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """End a lease; a call that failed as a whole is taken off the day's count.

        Where Marketo says that the day's quota is used up, no replica calls again before the reset.
        """
        try:
            self._release(lease, charged=charged, error=error)
        except DatabaseProblem as problem:
            # Marketo's answer must not be lost over this: the lease ends by itself.
            log.get("database").warning("the end of a call could not be noted", error=str(problem))

    def _release(self, lease: int, *, charged: bool, error: str | None) -> None:
        with self._database.begin() as transaction:
            if error == DAILY_QUOTA:
                until = next_reset(self._clock.now())
                transaction.run(
                    "pause_put", what="calls", until=until, reason="Marketo's daily quota is used up"
                )
            call = transaction.row("call_end", id=lease)
            if call is not None and (error is not None or not charged):
                transaction.run(
                    "call_correct",
                    uncharged=int(not charged),
                    day=call.day,
                    lane=call.lane,
                    endpoint=call.endpoint,
                )

    def prune(self) -> None:
        """Forget calls that no longer count."""
        with self._database.begin() as transaction:
            transaction.run("call_prune")
            transaction.run("export_prune")

    def _limit(self, whole: int, lane: Lane) -> int:
        return whole if lane == "outbox" else max(1, int(whole * (1 - self._conf.outbox_share)))

    def _exhausted(self, endpoint: str, why: str, seconds: float | None) -> QuotaExhausted:
        code = OWN_BUDGET if seconds is None else DAILY_QUOTA
        now = self._clock.now()
        until = next_reset(now) if seconds is None else now + timedelta(seconds=seconds)
        return QuotaExhausted(why, code=code, endpoint=endpoint, until=until)
