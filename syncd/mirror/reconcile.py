"""Feed: leads that are gone without a word. Marketo forgets deletions after 14 days.

When the log of deletions was not read for so long, the ids of all leads are compared: exported in bulk
by windows of creation dates, or asked for 300 a call, whichever costs fewer calls. What is missing is
read once more and then retired; but before that a brake looks at how many there are, and where they
are too many, it stops and asks a person.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from syncd import log
from syncd.database import leads, staging, state, walks
from syncd.errors import Retryable, WorkFailed
from syncd.mirror import dirty, extract
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.core.fields import LeadField
    from syncd.marketo.client import Client
    from syncd.mirror.runs import Feeds

FEED: Final = "reconcile"
CALLS_A_WINDOW = 4
PART = walks.TABLE + "_part"
COMMAND = "syncd pull reconcile --retire"
"""What lets a reconcile that the brake stopped go on, once."""


def due(feeds: Feeds) -> bool:
    """Tell whether a pass is under way. Costs no call."""
    walk = walks.get(feeds.database, FEED)
    return walk is not None and walk.state == "running"


def pull(feeds: Feeds, *, retire: bool = False) -> Counter[str]:
    """Compare the ids of all leads. retire: let the pass that the brake stopped go on, once.

    Raises WorkFailed where more than ``mirror.retire_at_most`` of the leads would be retired.
    """
    with recorded(feeds, FEED) as counts:
        if retire and not walks.allow(feeds.database):
            raise WorkFailed("no reconcile waits for a permission; `syncd status` shows one that does")
        walks.begin(feeds.database, FEED, "asked for")
        walk = walks.get(feeds.database, FEED)
        if walk is None or walk.state != "running":
            raise WorkFailed(f"the brake stopped the reconcile; `{COMMAND}` lets it go on once")
        if walk.way != "pages":
            _choose(feeds, counts)
        if due(feeds) and (walk := walks.get(feeds.database, FEED)) is not None and walk.way == "pages":
            _ask_for_all(feeds, int(walk.token or 0), counts)
        if not feeds.clock.stopping():
            _settle(feeds, counts)
    return counts


def _choose(feeds: Feeds, counts: Counter[str]) -> None:
    """Take the way that costs fewer calls, and where that is the bulk one, go it."""
    client = feeds.client.on("backfill")
    with feeds.database.begin() as transaction:
        row = transaction.row("lead_count")
        fields = [f for f in leads.mirrored_fields(transaction) if f.name == "id"]
    living = int(row.living) if row else 0
    spans = extract.spans(extract.oldest_lead(feeds, client), feeds.clock.now(), feeds.conf.window_days)
    if math.ceil(living / dirty.IDS_A_CALL) > len(spans) * CALLS_A_WINDOW:
        walks.choose(feeds.database, FEED, "bulk", None)
        try:
            _export_ids(feeds, client, fields, spans, counts)
        except extract.NoBulkError:
            pass
        else:
            return
    walks.choose(feeds.database, FEED, "pages", "0")


def _export_ids(
    feeds: Feeds,
    client: Client,
    fields: Sequence[LeadField],
    spans: Sequence[tuple[datetime, datetime]],
    counts: Counter[str],
) -> None:
    """Export the id of every lead. A pass that is cut off begins anew: the files are small."""
    staging.create(feeds.database, walks.TABLE, 0)
    waiting, failures = list(spans), 0
    running: dict[str, tuple[datetime, datetime]] = {}
    while (waiting or running) and not feeds.clock.stopping():
        try:
            while waiting and len(running) < extract.JOBS_AT_ONCE:
                export = extract.create(client, ["id"], waiting[0])
                client.enqueue_export(export.id)
                running[export.id] = waiting.pop(0)
        except Retryable as problem:
            log.get("mirror").warning("an export has to wait", error=str(problem))
        feeds.clock.sleep(feeds.conf.export_poll_seconds)
        for export_id, span in list(running.items()):
            export = client.export_status(export_id)
            if export.status in {"Created", "Queued", "Processing"}:
                continue
            del running[export_id]
            if export.status == "Completed":
                file = extract.load(client, feeds.database, feeds.clock, export, PART, fields)
                staging.move(feeds.database, PART, walks.TABLE)
                counts["seen"] += file.rows
                feeds.progress("windows of ids", len(spans) - len(waiting) - len(running), len(spans))
            else:
                failures += 1
                if failures > extract.DOWNLOADS_AT_MOST:
                    raise WorkFailed(
                        f"export {export_id} ended as {export.status}: {export.error or 'no reason'}"
                    )
                waiting.append(span)
    if not feeds.clock.stopping():
        walks.compare_staged(feeds.database)


def _ask_for_all(feeds: Feeds, last: int, counts: Counter[str]) -> None:
    """Ask for each living lead by its id, from where the pass stood."""
    client = feeds.client.on("backfill")
    while not feeds.clock.stopping():
        with feeds.database.begin() as transaction:
            ids = [int(r.id) for r in transaction.rows("lead_ids_after", after=last, most=dirty.IDS_A_CALL)]
        if not ids:
            return
        there = set(client.leads("id", ids, ["id"]).ids)
        last = ids[-1]
        with feeds.database.begin() as transaction:
            walks.move(transaction, FEED, token=str(last), seen=len(ids), missing=sorted(set(ids) - there))
        counts["seen"] += len(there)


def _settle(feeds: Feeds, counts: Counter[str]) -> None:
    missing, living, stopped = walks.settle(feeds.database, at_most=feeds.conf.retire_at_most)
    counts["missing"] += missing
    if stopped:
        raise WorkFailed(
            f"the reconcile would retire {missing} of {living} leads, more than mirror.retire_at_most allows; look into "
            f"Marketo, and if it is right, `{COMMAND}` lets it go on once"
        )
    if missing or state.dirty_count(feeds.database):
        dirty.pull(feeds, lane="backfill")
