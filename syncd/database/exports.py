"""The part of the ledger that lends bulk exports: Marketo's places for jobs, and the megabytes of the day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.budget import EXPORT_PLACES, LEDGER, OWN_BUDGET
from syncd.core.codes import EXPORT_QUOTA, QUEUE_WAIT, next_reset
from syncd.database.engine import LEDGER_LOCK
from syncd.errors import DatabaseProblem, QuotaExhausted, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd import settings
    from syncd.clock import Clock
    from syncd.core.budget import Lane
    from syncd.database.engine import Database

MEGABYTE = 1_000_000
KEPT_SECONDS = 300.0
"""A job that nobody has looked after for so long holds no place: its process has died."""


class ExportLedger:
    """Lends places for bulk exports to all replicas, within the configured share of the day's volume."""

    _database: Database
    _conf: settings.Budget
    _clock: Clock
    _kind: int
    replica: Callable[[], int | None]

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:
        """Lend a place for one job.

        Raises Retryable where all are taken, QuotaExhausted where the day's volume is used up.
        """
        try:
            with self._database.begin() as transaction:
                transaction.lock(LEDGER_LOCK)
                state = transaction.row("export_state", kind=self._kind)
                assert state is not None  # noqa: S101 - a SELECT without FROM has one row
                now = self._clock.now()
                if state.paused_for is not None:
                    until = now + timedelta(seconds=float(state.paused_for))
                    why = "Marketo's export quota of the day is used up"
                    raise QuotaExhausted(why, code=EXPORT_QUOTA, endpoint=endpoint, until=until)
                if state.today >= self._conf.export_mb_per_day * MEGABYTE:
                    why = "the configured export megabytes of the day (budget.export_mb_per_day) are used up"
                    raise QuotaExhausted(why, code=OWN_BUDGET, endpoint=endpoint, until=next_reset(now))
                if state.under_way >= self._conf.export_jobs:
                    why = "all places for exports (budget.export_jobs) are taken"
                    raise Retryable(why, code=EXPORT_PLACES, endpoint=endpoint, after=QUEUE_WAIT)
                return int(
                    transaction.scalar(
                        "export_begin", lane=lane, seconds=KEPT_SECONDS, replica=self.replica()
                    )
                )
        except DatabaseProblem as problem:
            why = f"the export was not asked for: {problem}"
            raise Retryable(why, code=LEDGER, endpoint=endpoint) from problem

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Note the job that a place was taken for; None: there is none, and the place is free again."""
        with self._database.begin() as transaction:
            if export_id is None:
                transaction.run("export_drop", id=lease)
            else:
                transaction.run("export_known", id=lease, export_id=export_id)

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Note that somebody looks after a job, or that it has ended, with a file of so many bytes."""
        try:
            with self._database.begin() as transaction:
                transaction.run(
                    "export_seen",
                    export_id=export_id,
                    lane=lane,
                    bytes=size or 0,
                    ended=ended,
                    seconds=KEPT_SECONDS,
                    replica=self.replica(),
                )
        except DatabaseProblem as problem:
            log.get("database").warning("the state of an export could not be noted", error=str(problem))

    def export_room(self) -> tuple[int, int]:
        """Return how many bytes may still be exported today, and how many on any day."""
        with self._database.begin() as transaction:
            state = transaction.row("export_state", kind=self._kind)
        whole = int(self._conf.export_mb_per_day * MEGABYTE)
        return max(0, whole - int(state.today if state else 0)), whole
