"""Feed: all leads, by bulk extracts of windows of their creation dates, newest first.

A window's path is planned → created → queued → done; each step is in the books before the next is
taken, so that a killed process goes on with the export that it had, and no window that is done is
loaded again. The file lands in a staging table, is cast and written in parts (only what differs), and then one
transaction closes the window and removes the table.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd import log
from syncd.core.budget import OWN_BUDGET
from syncd.core.codes import EXPORT_QUOTA, next_reset
from syncd.database import bulk, leads, refill, staging, state, walks
from syncd.errors import QuotaExhausted, Refused, Retryable, ValueRefused, WorkFailed
from syncd.mirror import changes, extract, newleads
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter

    from syncd.core.fields import LeadField
    from syncd.marketo.client import Client
    from syncd.marketo.models import Export
    from syncd.mirror.runs import Feeds

FEED = "backfill"
FAILURES_AT_MOST = 3
SHORTEST_WINDOW = timedelta(hours=1)


def due(feeds: Feeds) -> bool:
    """Tell whether a window is not done, or none is planned yet. Costs no call."""
    by_pages = newleads.under_way(feeds)
    if by_pages is not None:
        return by_pages
    windows = state.windows(feeds.database)
    return not windows or any(w.state != "done" for w in windows)


def pull(feeds: Feeds, *, full: bool = False) -> Counter[str]:
    """Load every window that is not done. full: load all of them, done or not.

    Four calls a window at the least: create, enqueue, one look at the job, the file.
    """
    with recorded(feeds, FEED) as counts:
        if full:
            walks.forget(feeds.database, "backfill")
            state.forget_not_offered(feeds.database)
        if newleads.under_way(feeds) is None:
            _by_windows(feeds, counts, full=full)
        newleads.pull(feeds, counts)
    return counts


def _by_windows(feeds: Feeds, counts: Counter[str], *, full: bool) -> None:
    client = feeds.client.on("backfill")
    if full or not state.windows(feeds.database):
        changes.start(feeds)
        _plan(feeds, client)
    backfill = _Backfill(feeds, client, counts)
    try:
        try:
            backfill.run()
        except extract.NoFilterError:
            state.note_not_offered(feeds.database, extract.BY_CHANGE, extract.FILTER_NOT_OFFERED)
            log.get("mirror").warning(
                "bulk exports by the date of change are not offered; all leads are loaded again"
            )
            _plan(feeds, client)
            backfill.run()
    except extract.NoBulkError as problem:
        newleads.begin(feeds, problem.refusal)


def _plan(feeds: Feeds, client: Client) -> None:
    """Plan the windows of all leads, in place of what was planned before."""
    spans = extract.spans(extract.oldest_lead(feeds, client), feeds.clock.now(), feeds.conf.window_days)
    state.plan_windows(feeds.database, spans, anew=True)


class _Backfill:
    def __init__(self, feeds: Feeds, client: Client, counts: Counter[str]) -> None:
        self.feeds = feeds
        self.client = client
        self.counts = counts
        self.failures = 0
        self.quota: QuotaExhausted | None = None
        self.starts_again = 0.0

    def run(self) -> None:
        clock = self.feeds.clock
        while not clock.stopping():
            windows = state.windows(self.feeds.database)
            unfinished = [w for w in windows if w.state != "done"]
            self.feeds.progress("windows", len(windows) - len(unfinished), len(windows))
            if not unfinished:
                return
            # Jobs under way come first: they were started by this run or by one that was cut off.
            under_way = [w for w in unfinished if w.state != "planned"]
            if self.quota and not under_way:
                raise self.quota
            chosen = under_way[: extract.JOBS_AT_ONCE]
            if not self.quota and clock.monotonic() >= self.starts_again:
                planned = [w for w in unfinished if w.state == "planned"]
                chosen += planned[: extract.JOBS_AT_ONCE - len(chosen)]
            moved = [self._step(window) for window in chosen]
            if not any(moved) and not (self.quota and not under_way):
                clock.sleep(self.feeds.conf.export_poll_seconds)

    def _step(self, window: Any) -> bool:
        """Take a window one step on; False where there is nothing to do but wait."""
        try:
            if window.state == "planned":
                return self._start(window)
            export = self.client.export_status(window.export_id)
            if export.status == "Created":
                self._enqueue(window, export.id)
                return False
            if export.status == "Completed":
                return self._load(window, export)
            if export.status in {"Queued", "Processing"}:
                return False
            raise WorkFailed(
                f"export {export.id} ended as {export.status}: {export.error or 'Marketo gave no reason'}"
            )
        except QuotaExhausted as problem:
            self._out_of_quota(window, problem)
        except ValueRefused as problem:
            if not state.window_ids_only(self.feeds.database, window.id):
                self._fail(window, problem)
                return False
            log.get("mirror").warning(
                "PostgreSQL does not take a window's file; its leads are exported by id and read 300 a call",
                window=window.id,
                starts_at=window.starts_at,
                ends_at=window.ends_at,
                error=str(problem),
            )
        except (Refused, WorkFailed) as problem:
            self._fail(window, problem)
        except Retryable as problem:
            # The queue is full of others' jobs, or Marketo was not reached: ours go on meanwhile.
            log.get("mirror").warning("the export has to wait", window=window.id, error=str(problem))
            wait = min(problem.after or 0, self.feeds.conf.export_poll_seconds)
            self.starts_again = self.feeds.clock.monotonic() + wait
        return False

    def _start(self, window: Any) -> bool:
        """Ask for a window's export; True where the window was halved instead."""
        guess = state.window_guess(self.feeds.database, window.id)
        left, whole = self.client.export_room()
        if guess is not None and guess > left:
            if guess > whole and self._halve(window, "its file would be more than a day's export megabytes"):
                return True
            if left < whole:
                raise QuotaExhausted(
                    "what is left of the day's export megabytes (budget.export_mb_per_day) is less than the next file",
                    code=OWN_BUDGET,
                    endpoint="bulk extract",
                    until=next_reset(self.feeds.clock.now()),
                )
        with self.feeds.database.begin() as transaction:
            fields = _wanted(leads.mirrored_fields(transaction), window)
        if not fields:
            raise WorkFailed("the field schema is not known yet; run `syncd pull schema` first")
        names = [f.name for f in fields]
        create = extract.create if window.filter == "createdAt" else extract.create_changed
        export = create(self.client, names, (window.starts_at, window.ends_at))
        state.window_created(self.feeds.database, window.id, export.id, names)
        self._enqueue(window, export.id)
        return False

    def _enqueue(self, window: Any, export_id: str) -> None:
        # The moment is noted before the call: rows written after it are newer than the file.
        state.window_queued(self.feeds.database, window.id, state.now(self.feeds.database))
        self.client.enqueue_export(export_id)

    def _halve(self, window: Any, why: str) -> bool:
        """Make two windows of one, unless it is short already."""
        if (window.ends_at - window.starts_at) < SHORTEST_WINDOW:
            return False
        log.get("mirror").warning("a window is halved", window=window.id, reason=why)
        with self.feeds.database.begin() as transaction:
            transaction.run("window_split", id=window.id)
        self.counts["halved"] += 1
        return True

    def _out_of_quota(self, window: Any, problem: QuotaExhausted) -> None:
        """Start no more today; jobs under way are finished. Smaller windows make better use of a day."""
        self.quota = problem
        if problem.code == EXPORT_QUOTA:
            state.pause(self.feeds.database, "export", problem.until, problem.message)
            if window.ends_at - window.starts_at > timedelta(days=1):
                self._halve(window, problem.message)

    def _load(self, window: Any, export: Export) -> bool:
        table = f"staging_backfill_{window.id}"
        database = self.feeds.database
        with database.begin() as transaction:
            mirrored = leads.mirrored_fields(transaction)
        fields = [f for f in mirrored if f.name in window.job_fields]
        if fields != _wanted(mirrored, window):
            # Fields or settings changed since the job was made.
            state.window_again(database, window.id)
            return True
        try:
            file = extract.load(
                self.client, database, self.feeds.clock, export, table, fields, come_back=True
            )
        except extract.FileLateError:
            return False
        pages = staging.pages(database, table)
        if window.only_fields:
            with database.begin() as transaction:
                self.counts["marked"] += refill.only_living(transaction, table)
        if window.only_fields == []:
            with database.begin() as transaction:
                self.counts["marked"] += leads.mark_staged_dirty(transaction, table, "backfill")
            written = leads.Written(0, 0)
        else:
            written = bulk.upsert(database, fields, table, exported_at=window.exported_at)
        if staging.pages(database, table) != pages:
            raise WorkFailed("the server lost the staging table while it was read; it is loaded again")
        with database.begin() as transaction:
            if not leads.hold(transaction, fields):
                raise WorkFailed("fields changed while the file was loaded; it will be exported again")
            if window.only_fields is None and any(not f.exportable for f in mirrored):
                # Formula fields are in no export: the fetcher gets them.
                self.counts["marked"] += leads.mark_staged_dirty(transaction, table, "formula")
            transaction.run(
                "window_done",
                id=window.id,
                export_id=window.export_id,
                rows=file.rows,
                bytes=file.bytes,
                checksum=file.checksum,
                unparsed=written.unparsed,
            )
            # Not after the window is closed: killed in between, nobody would come back for the table.
            staging.drop(database, transaction, table)
        self.counts.update(
            windows=1, leads=file.rows, written=written.rows, unparsed=written.unparsed, bytes=file.bytes
        )
        return True

    def _fail(self, window: Any, problem: Exception) -> None:
        self.failures += 1
        state.window_again(self.feeds.database, window.id)
        if self.failures >= FAILURES_AT_MOST:
            raise WorkFailed(
                f"the backfill gave up after {self.failures} failed exports; the last: {problem}"
            )
        log.get("mirror").warning("a window will be exported again", window=window.id, error=str(problem))


def _wanted(mirrored: list[LeadField], window: Any) -> list[LeadField]:
    """Return the fields that a window's export must have: all that can be exported, or those to be filled."""
    only = window.only_fields
    return [f for f in mirrored if f.exportable and (only is None or f.name == "id" or f.name in only)]
