"""What the logs no longer tell after a long absence is learnt in other ways.

Marketo keeps deletions for 14 days and changes of values for 90. Beyond the first, the ids of all leads
are compared; beyond the second, the leads that changed meanwhile are exported in bulk by their hidden date
of change, and where the subscription does not offer that filter, all leads are loaded again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from syncd import log
from syncd.database import state, walks
from syncd.mirror import extract

if TYPE_CHECKING:
    from syncd.mirror.runs import Feeds

DELETIONS_KEPT, CHANGES_KEPT = timedelta(days=14), timedelta(days=90)
"""Source: facts of the activity log: …/rest/lead-database/activities, and "activities data retention"."""
MARGIN = timedelta(hours=6)


def note(feeds: Feeds, *, deletions_age: float, changes_age: float) -> None:
    """Plan what is needed where the logs were last read so many seconds ago; both are 0 for a new mirror."""
    if deletions_age > (DELETIONS_KEPT - MARGIN).total_seconds():
        days = deletions_age / 86400
        reason = f"the log of deletions was not read for {days:.1f} days, and Marketo keeps 14"
        if walks.begin(feeds.database, "reconcile", reason):
            log.get("mirror").warning("the ids of all leads will be compared", reason=reason)
    if changes_age > (CHANGES_KEPT - MARGIN).total_seconds():
        _load_what_changed(feeds, changes_age)


def _load_what_changed(feeds: Feeds, age: float) -> None:
    database, now = feeds.database, feeds.clock.now()
    reason = f"the log of changes was not read for {age / 86400:.1f} days, and Marketo keeps 90"
    if walk := walks.get(database, "backfill"):
        walks.begin(database, "backfill", f"{walk.reason}; {reason}")
        how = "all leads are read again, 300 a call"
    elif state.not_offered(database, extract.BY_CHANGE):
        state.forget_windows(database)
        how = "all leads are loaded again"
    else:
        since = now - timedelta(seconds=age) - timedelta(minutes=feeds.conf.overlap_minutes)
        state.plan_changed_windows(database, extract.spans(since, now, feeds.conf.window_days))
        how = "the leads that changed meanwhile are exported"
    log.get("mirror").warning(how, reason=reason)
