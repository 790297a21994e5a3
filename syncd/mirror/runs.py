"""What every feed does around its work: the run in the books, and one log line."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from syncd import log, metrics
from syncd.core.budget import spending_as
from syncd.core.codes import EXPORT_QUOTA
from syncd.database import state
from syncd.errors import DatabaseProblem, MarketoError, QuotaExhausted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd import settings
    from syncd.clock import Clock
    from syncd.database.engine import Database
    from syncd.marketo.client import Client


class Progress(Protocol):
    """Told how far a feed is, for a person who watches."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Note that ``done`` of ``total`` (None: not known) are done."""
        ...


def no_progress(what: str, done: int, total: int | None) -> None:
    """Tell nobody."""


class Feeds:
    """What the feeds work with."""

    def __init__(
        self,
        *,
        client: Client,
        database: Database,
        clock: Clock,
        conf: settings.Mirror,
        progress: Progress = no_progress,
    ) -> None:
        self.client = client
        self.database = database
        self.clock = clock
        self.conf = conf
        self.progress = progress


@contextmanager
def recorded(feeds: Feeds, feed: str, *, alone: bool = True) -> Iterator[Counter[str]]:
    """Keep a run in the books: its counts, how it ended, and why.

    The counter that it gives is what the feed did, in numbers.
    alone: one run of the feed at a time; raises WorkFailed where another process is at it.
    """
    lock = feeds.database.exclusive(feed) if alone else nullcontext()
    with lock, spending_as(feed), _noted(feeds, feed) as counts:
        yield counts


@contextmanager
def _noted(feeds: Feeds, feed: str) -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    logger = log.get("mirror").bind(feed=feed)
    started = feeds.clock.monotonic()
    run = state.start_run(feeds.database, feed)
    outcome, error = "done", None
    try:
        yield counts
        if feeds.clock.stopping():
            outcome = "stopped"
    except Exception as problem:
        if feeds.clock.stopping() and isinstance(problem, MarketoError):
            outcome = "stopped"
            return
        outcome, error = "failed", plain(problem)
        if isinstance(problem, QuotaExhausted) and problem.code == EXPORT_QUOTA:
            state.pause(feeds.database, "export", problem.until, problem.message)
        raise
    finally:
        seconds = feeds.clock.monotonic() - started
        _close(feeds, run, outcome, counts, error)
        metrics.RUNS.labels(feed=feed, outcome=outcome).inc()
        metrics.RUN_SECONDS.labels(feed=feed).observe(seconds)
        if error or any(counts.values()):
            logger.info("feed ran", outcome=outcome, seconds=round(seconds, 3), error=error, **counts)


def _close(feeds: Feeds, run: int, outcome: str, counts: Counter[str], error: str | None) -> None:
    try:
        state.end_run(feeds.database, run, outcome, dict(counts), error)
    except DatabaseProblem as problem:
        log.get("mirror").warning("the end of a run could not be noted", error=str(problem))
