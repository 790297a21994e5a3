"""Feed: who went through which smart campaign.

Marketo tells it lead by lead only, one call each, so it is read within a set number of calls a day
(``mirror.campaign_calls_per_day``): leads that have just changed first, then those that were never read, then
those whose reading is the oldest. `syncd status` tells how far that goes.
https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/leads
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd.database import campaigns, state
from syncd.errors import Refused
from syncd.mirror import assets
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.core.budget import Lane
    from syncd.core.differences import Difference
    from syncd.marketo.client import Client
    from syncd.mirror.runs import Feeds

MEMBERS = "campaign_members"
ENDPOINT = "campaigns_of_lead"
CHOSEN_AT_ONCE = 100
NO_SUCH_LEAD = {"1004", "1013"}


def pull(feeds: Feeds, *, full: bool = False) -> Counter[str]:
    """Bring smart_campaign up to date, then its members as far as the day's calls go."""
    return assets.pull_campaigns(feeds) + pull_members(feeds, full=full)


def due(feeds: Feeds) -> bool:
    """Tell whether leads wait that the day so far has calls for. Costs no call."""
    left, even = campaigns.calls_left(feeds.database, ENDPOINT, feeds.conf.campaign_calls_per_day)
    if left <= 0:
        return False
    changed, old = campaigns.waiting(feeds.database, _before(feeds, full=False))
    return changed or (old and even > 0)


def pull_members(feeds: Feeds, *, evenly: bool = False, full: bool = False) -> Counter[str]:
    """Read the smart campaigns of leads, one call a lead, until none waits or the day's calls are spent.

    A lead that did not change is not read again within ``mirror.sweep_hours``; full: every lead is read.
    evenly: leads that did not change get their calls spread over the day, so that some are left for changes.
    """
    with recorded(feeds, MEMBERS) as counts:
        client = feeds.client.on("memberships")
        before = _before(feeds, full=full)
        while not feeds.clock.stopping():
            left, even = campaigns.calls_left(feeds.database, ENDPOINT, feeds.conf.campaign_calls_per_day)
            if left <= 0:
                counts["calls_spent"] = 1
                break
            old = max(0, even) if evenly else left
            chosen, changed = campaigns.next_leads(
                feeds.database, min(left, CHOSEN_AT_ONCE), before=before if old else None
            )
            chosen = chosen[: max(changed, old)]
            if not chosen:
                break
            for lead, marked in chosen:
                if feeds.clock.stopping():
                    break
                _read(feeds, client, lead, marked, counts)
    return counts


def differences(feeds: Feeds, lead: int, read_at: datetime, *, lane: Lane) -> tuple[list[Difference], bool]:
    """Read a lead's smart campaigns and return what differs, and whether some moved since the mirror read them."""
    members = _members(feeds.client.on(lane), lead) or []
    with feeds.database.begin() as transaction:
        return campaigns.compare(transaction, lead, read_at, members)


def read_again(feeds: Feeds, leads: list[int], *, lane: Lane) -> None:
    """Read the smart campaigns of these leads now, whatever the day's calls."""
    client, counts = feeds.client.on(lane), Counter[str]()
    for lead, marked in campaigns.marks(feeds.database, leads):
        if feeds.clock.stopping():
            return
        _read(feeds, client, lead, marked, counts)


def _read(feeds: Feeds, client: Client, lead: int, marked: int | None, counts: Counter[str]) -> None:
    members = _members(client, lead)
    with feeds.database.begin() as transaction:
        if members is None:
            # Marketo no longer has the lead: the fetcher finds out what became of it.
            state.mark_dirty(transaction, [lead], "campaigns")
        counts["campaign_members_changed"] += campaigns.put(transaction, lead, marked, members or [])
    counts["leads_read"] += 1
    feeds.progress("campaigns of leads", counts["leads_read"], None)


def _members(client: Client, lead: int) -> list[dict[str, Any]] | None:
    try:
        return [
            {
                "smart_campaign_id": item.smart_campaign_id,
                "created_at": item.created_at,
                "updated_at": item.updated_at,
            }
            for item in client.campaigns_of_lead(lead)
        ]
    except Refused as problem:
        if problem.code not in NO_SUCH_LEAD:
            raise
        return None


def _before(feeds: Feeds, *, full: bool) -> datetime:
    return state.now(feeds.database) - timedelta(hours=0 if full else feeds.conf.sweep_hours)
