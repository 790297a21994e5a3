"""Feed: all leads where bulk exports are not available: ids from the log of new leads, read 300 a call.

New Lead activities are kept without limit. The paging token and the marks of its page are committed
together, so a process that is killed goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd import log
from syncd.database import state, walks
from syncd.mirror import dirty
from syncd.mirror.extract import EARLIEST

if TYPE_CHECKING:
    from collections import Counter

    from syncd.errors import MarketoError
    from syncd.mirror.runs import Feeds

NEW_LEAD = 12
OLDEST_IDS = range(1, 301)
"""Leads may be older than the log of activities; theirs are the lowest ids."""


def under_way(feeds: Feeds) -> bool | None:
    """Tell whether leads are read this way: True, or False where it is done; None: they are exported in bulk."""
    walk = walks.get(feeds.database, "backfill")
    return None if walk is None else walk.state == "running"


def begin(feeds: Feeds, problem: MarketoError) -> None:
    """Take this way instead of the planned windows, from now on."""
    log.get("mirror").warning(
        "bulk exports are not available; all leads are read 300 a call, by the ids of the log",
        error=str(problem),
    )
    walks.begin(feeds.database, "backfill", f"bulk exports are not available: {problem.code}")
    with feeds.database.begin() as transaction:
        transaction.run("windows_forget")


def pull(feeds: Feeds, counts: Counter[str]) -> None:
    """Read all leads, from where it stood."""
    client = feeds.client.on("backfill")
    walk = walks.get(feeds.database, "backfill")
    if walk is None or walk.state != "running":
        return
    token = walk.token
    if token is None:
        oldest = client.leads("id", list(OLDEST_IDS), ["id"]).ids
        token = client.paging_token(EARLIEST)
        with feeds.database.begin() as transaction:
            state.mark_dirty(transaction, oldest, "backfill")
        walks.choose(feeds.database, "backfill", "pages", token)
    more = True
    while more and not feeds.clock.stopping():
        page = client.activities(token, [NEW_LEAD])
        ids = sorted({item.lead_id for item in page.items})
        token, more = page.next_token, page.more
        with feeds.database.begin() as transaction:
            state.mark_dirty(transaction, ids, "backfill")
            walks.move(transaction, "backfill", token=token, seen=len(ids))
        counts["leads"] += len(ids)
        if state.dirty_count(feeds.database) >= dirty.IDS_A_CALL:
            dirty.pull(feeds, lane="backfill")
        feeds.progress("leads of the log", counts["leads"], None)
    if more:
        return
    dirty.pull(feeds, lane="backfill")
    if not feeds.clock.stopping():
        with feeds.database.begin() as transaction:
            walks.done(transaction, "backfill")
