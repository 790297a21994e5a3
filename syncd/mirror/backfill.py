"""Feed: all leads, by bulk extracts of windows of their creation dates, newest first.

A window's path is planned → created → queued → done; each step is in the books before the next is
taken, so that a killed process goes on with the export that it had, and no window that is done is
loaded again. The file lands in a staging table; one transaction then casts it, writes what differs
and closes the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd import log
from syncd.database import leads, staging, state
from syncd.errors import Refused, Retryable, WorkFailed
from syncd.mirror import changes, extract
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter

    from syncd.core.fields import LeadField
    from syncd.marketo.client import Client
    from syncd.marketo.models import Export
    from syncd.mirror.runs import Feeds

FEED = "backfill"
FAILURES_AT_MOST = 3


def due(feeds: Feeds) -> bool:
    """Tell whether a window is not done, or none is planned yet. Costs no call."""
    windows = state.windows(feeds.database)
    return not windows or any(w.state != "done" for w in windows)


def pull(feeds: Feeds, *, full: bool = False) -> Counter[str]:
    """Load every window that is not done. full: load all of them, done or not.

    Four calls a window at the least: create, enqueue, one look at the job, the file.
    """
    with recorded(feeds, FEED) as counts:
        client = feeds.client.on("backfill")
        if full or not state.windows(feeds.database):
            changes.start(feeds)
            spans = extract.spans(
                extract.oldest_lead(feeds, client), feeds.clock.now(), feeds.conf.window_days
            )
            state.plan_windows(feeds.database, spans, anew=full)
        _Backfill(feeds, client, counts).run()
    return counts


class _Backfill:
    def __init__(self, feeds: Feeds, client: Client, counts: Counter[str]) -> None:
        self.feeds = feeds
        self.client = client
        self.counts = counts
        self.failures = 0

    def run(self) -> None:
        while not self.feeds.clock.stopping():
            windows = state.windows(self.feeds.database)
            unfinished = [w for w in windows if w.state != "done"]
            self.feeds.progress("windows", len(windows) - len(unfinished), len(windows))
            if not unfinished:
                return
            # Jobs under way come first: they were started by this run or by one that was cut off.
            chosen = sorted(unfinished, key=lambda w: w.state == "planned")[: extract.JOBS_AT_ONCE]
            moved = [self._step(window) for window in chosen]
            if not any(moved):
                self.feeds.clock.sleep(self.feeds.conf.export_poll_seconds)

    def _step(self, window: Any) -> bool:
        """Take a window one step on; False where there is nothing to do but wait."""
        try:
            if window.state == "planned":
                self._start(window)
                return False
            export = self.client.export_status(window.export_id)
            if export.status == "Created":
                self._enqueue(window, export.id)
                return False
            if export.status == "Completed":
                self._load(window, export)
                return True
            if export.status in {"Queued", "Processing"}:
                return False
            raise WorkFailed(
                f"export {export.id} ended as {export.status}: {export.error or 'Marketo gave no reason'}"
            )
        except (Refused, WorkFailed) as problem:
            self._fail(window, problem)
        except Retryable as problem:
            log.get("mirror").warning("the export has to wait", window=window.id, error=str(problem))
            self.feeds.clock.sleep(problem.after or 0)
        return False

    def _start(self, window: Any) -> None:
        with self.feeds.database.begin() as transaction:
            fields = _wanted(leads.mirrored_fields(transaction), window)
        if not fields:
            raise WorkFailed("the field schema is not known yet; run `syncd pull schema` first")
        names = [f.name for f in fields]
        export = self.client.create_export(names, created_at=(window.starts_at, window.ends_at))
        state.window_created(self.feeds.database, window.id, export.id, names)
        self._enqueue(window, export.id)

    def _enqueue(self, window: Any, export_id: str) -> None:
        # The moment is noted before the call: rows written after it are newer than the file.
        state.window_queued(self.feeds.database, window.id, state.now(self.feeds.database))
        self.client.enqueue_export(export_id)

    def _load(self, window: Any, export: Export) -> None:
        table = f"staging_backfill_{window.id}"
        database = self.feeds.database
        with database.begin() as transaction:
            mirrored = leads.mirrored_fields(transaction)
        fields = [f for f in mirrored if f.name in window.job_fields]
        if fields != _wanted(mirrored, window):
            # Fields or settings changed since the job was made.
            state.window_again(database, window.id)
            return
        file = extract.load(self.client, database, self.feeds.clock, export, table, fields)
        with database.begin() as transaction:
            if not leads.hold(transaction, fields):
                raise WorkFailed("fields changed while the file was loaded; it will be exported again")
            if window.only_fields is not None:
                self.counts["marked"] += leads.only_living(transaction, table)
            elif any(not f.exportable for f in mirrored):
                # Formula fields are in no export: the fetcher gets them.
                self.counts["marked"] += leads.mark_staged_dirty(transaction, table, "formula")
            written = leads.upsert_staged(transaction, fields, table, exported_at=window.exported_at)
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
