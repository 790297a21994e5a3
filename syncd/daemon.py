"""When things happen: the schedule of the feeds, leadership, signals, the soft stop.

APScheduler is the doorbell only. What is due is read from the books, so that a restart repeats
nothing and a new leader goes on where the old one was.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.schedulers.background import BackgroundScheduler

from syncd import log, metrics
from syncd.core.fields import LeadField  # noqa: TC001 - the scheduler's jobs are typed at run time
from syncd.database import leads, outbox, state
from syncd.database.engine import REPLICA_CLASS
from syncd.errors import QuotaExhausted, SyncdError
from syncd.mirror import assets, backfill, campaigns, changes, dirty, memberships, reconcile, schema
from syncd.status import usage
from syncd.status.http import StatusPage
from syncd.verify import compare, cost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from syncd.mirror.runs import Feeds
    from syncd.wiring import App

DOORBELL_SECONDS = 1.0
AFTER_FAILURE_SECONDS = 30.0
SIGNAL_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """A feed, how often it is due, and whether it needs the field schema first."""

    feed: str
    every: float
    work: Callable[[Feeds], Any]
    needs_schema: bool = True


class Threads(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Runs the scheduler's jobs in threads for which the process does not wait when it ends.

    A feed may be in the middle of a call that takes minutes; it is cut off as by a crash, which
    every feed can bear.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._due: SimpleQueue[tuple[Any, Any] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._working, name=f"feeds-{n}", daemon=True) for n in range(number)
        ]

    def start(self, scheduler: Any, alias: str) -> None:
        """Start the threads."""
        super().start(scheduler, alias)
        for thread in self._threads:
            thread.start()

    def shutdown(self, wait: bool = True) -> None:
        """Take no more jobs; wait: until those that run have ended."""
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _do_submit_job(self, job: Any, run_times: Any) -> None:
        self._due.put((job, run_times))

    def _working(self) -> None:
        while (due := self._due.get()) is not None:
            job, run_times = due
            self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))  # noqa: SLF001 - as the library's own executors do


class Daemon:
    """The long-running service; any number of them may share a database."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._feeds = app.feeds()
        self._stop = threading.Event()
        self._parked: dict[str, datetime] = {}
        self._session = app.session(on_notify=self._notified, lead=True)
        self._drain = app.drain(lambda: self._session.replica)
        self._scheduler = BackgroundScheduler(
            executors={"default": Threads(8)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._page = StatusPage(app.settings.daemon.status_listen, app.database)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop softly.

        Raises DatabaseProblem where PostgreSQL can't be used at the start.
        """
        logger = log.get("daemon")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self.start()
        logger.info("syncd runs", replica=self._session.replica, database=self._app.database.place)
        # Python sees a signal that the system handed to another thread only when its first thread wakes.
        while not self._stop.wait(SIGNAL_SECONDS):
            pass
        logger.info("stopping", within_seconds=self._app.settings.daemon.stop_timeout_seconds)
        self.stop()
        logger.info("stopped")

    def start(self) -> None:
        """Open the session, start the drain and the schedule."""
        self._page.start()
        self._session.start()
        self._drain.rescue()
        self._drain.start()
        for job in self._jobs():
            self._scheduler.add_job(
                self._ring, "interval", seconds=min(DOORBELL_SECONDS, job.every), args=[job]
            )
        self._scheduler.start()

    def stop(self) -> None:
        """End every feed at its next step and the outbox's calls within the set time."""
        timeout = self._app.settings.daemon.stop_timeout_seconds
        began = self._app.clock.monotonic()
        self._app.clock.stop()
        feeds = threading.Thread(target=self._scheduler.shutdown, name="feeds-stop", daemon=True)
        feeds.start()
        self._drain.stop(timeout=timeout)
        feeds.join(timeout=max(0.0, timeout - (self._app.clock.monotonic() - began)))
        self._session.stop()
        self._page.stop()

    def _notified(self) -> None:
        self._drain.wake()

    def _jobs(self) -> list[Job]:
        every = self._app.settings.schedule
        looks = self._app.settings.budget.usage_check_hours
        return [
            *([Job(usage.FEED, looks * 3600, usage.pull, needs_schema=False)] if looks else []),
            Job(schema.FEED, every.schema_, schema.pull, needs_schema=False),
            Job(changes.FEED, every.changes, changes.pull),
            Job(dirty.FEED, every.read_back, dirty.pull),
            Job(backfill.FEED, every.backfill, backfill.pull),
            Job(reconcile.FEED, every.backfill, reconcile.pull),
            Job(memberships.LISTS, every.assets, memberships.pull_lists),
            Job(memberships.PROGRAMS, every.assets, memberships.pull_programs),
            Job(memberships.MEMBERS, DOORBELL_SECONDS, memberships.pull_members),
            Job("campaigns", every.assets, assets.pull_campaigns),
            Job(campaigns.MEMBERS, every.changes, partial(campaigns.pull_members, evenly=True)),
            Job(compare.FEED, every.verify, self._verify),
            Job("housekeeping", every.housekeeping, self._tidy, needs_schema=False),
        ]

    def _ring(self, job: Job) -> None:
        metrics.LEADING.set(int(self._session.leading))
        try:
            if self._session.leading and not self._app.clock.stopping() and self._due(job):
                job.work(self._feeds)
        except QuotaExhausted as problem:
            self._parked[job.feed] = problem.until
            log.get("daemon").warning(
                "a feed is parked", feed=job.feed, until=str(problem.until), error=str(problem)
            )
        except SyncdError as problem:
            log.get("daemon").warning("a feed failed", feed=job.feed, error=str(problem))
        except Exception:  # noqa: BLE001 - told, and the schedule goes on
            log.get("daemon").exception("a feed failed in a way that nobody foresaw", feed=job.feed)

    def _due(self, job: Job) -> bool:
        """Tell from the books whether a feed's time has come."""
        database = self._app.database
        if job.feed in self._parked and self._app.clock.now() < self._parked[job.feed]:
            return False
        if job.needs_schema and not self._fields():
            return False
        if job.feed == dirty.FEED:
            return dirty.due(self._feeds, read_back_after=job.every)
        if job.feed == memberships.MEMBERS:
            return state.dirty_members(database) > 0
        if job.feed in {backfill.FEED, reconcile.FEED} and not self._has_exports_to_do(job):
            return False
        ready = not state.paused(database, "calls") and self._rested(job)
        return ready and (job.feed != campaigns.MEMBERS or campaigns.due(self._feeds))

    def _has_exports_to_do(self, job: Job) -> bool:
        due = backfill.due(self._feeds) if job.feed == backfill.FEED else reconcile.due(self._feeds)
        return due and not state.paused(self._app.database, "export")

    def _rested(self, job: Job) -> bool:
        age, outcome = state.seconds_since_run(self._app.database, job.feed)
        if age is None:
            # The first comparison waits for its turn as if there had been one when the mirror began.
            return job.feed != compare.FEED or state.seconds_since_first_run(self._app.database) >= job.every
        if outcome in {"running", "stopped"}:
            # The process that was at it has ended, or this one would still be at it.
            return True
        # Changed settings hold at once, not a day later.
        every = 0 if job.feed == schema.FEED and schema.outdated(self._feeds) else job.every
        return age >= (every if outcome == "done" else min(job.every, AFTER_FAILURE_SECONDS))

    def _fields(self) -> list[LeadField]:
        with self._app.database.begin() as transaction:
            return leads.mirrored_fields(transaction)

    def _verify(self, feeds: Feeds) -> None:
        cost.put_off(cost.CALLS_TO_FIND_THE_OLDEST, self._app.ledger.standing())
        plan = cost.whole(feeds, tables=True)
        cost.put_off(plan.calls, self._app.ledger.standing())
        report = compare.run(feeds, plan)
        if report.differences:
            log.get("daemon").warning(
                "the mirror differs from Marketo; `syncd verify --repair` mends it",
                differences=len(report.differences),
            )

    def _tidy(self, feeds: Feeds) -> None:
        """Forget what is too old to be of use."""
        database, settings = feeds.database, self._app.settings
        run = state.start_run(database, "housekeeping")
        days = settings.outbox.keep_finished_days
        counts = {"outbox": outbox.prune(database, days=days, stopping=feeds.clock.stopping)}
        self._app.ledger.prune()
        kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
        with database.begin() as transaction:
            transaction.run("run_prune")
            transaction.run("replica_prune", kind=kind)
            transaction.run("foreign_prune", days=days)
            transaction.run("import_prune", days=days)
            transaction.run("ended_members_prune")
            if settings.mirror.deleted_leads == "purge":
                counts["purged"] = transaction.run("lead_purge")
        state.end_run(database, run, "done", counts, None)
