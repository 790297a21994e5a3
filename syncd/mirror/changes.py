"""Feed: what happened in Marketo since the last look.

Three logs are read, each from its own paging token: lead changes, deleted leads, and the activities
that tell of merges and of members coming, going and moving on. A page's effects and the next token
are committed together. Only ``moreResult`` ends a round: an empty page is no end.
https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/activities
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from syncd import log
from syncd.database import campaigns, leads, memberships, state
from syncd.errors import Refused
from syncd.mirror import reconcile, schema
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from syncd.database.engine import Transaction
    from syncd.marketo.client import Client
    from syncd.marketo.models import Activity, ActivityPage
    from syncd.mirror.runs import Feeds

FEED = "changes"
LEAD_CHANGES, DELETED_LEADS, ACTIVITIES = "lead_changes", "deleted_leads", "activities"
NEW_LEAD, CHANGE_DATA_VALUE = 12, 13
ADD_TO_LIST, REMOVE_FROM_LIST, MERGE_LEADS = 24, 25, 32
REQUEST_CAMPAIGN, CHANGE_STATUS, CHANGE_MEMBER_DATA = 47, 104, 123
TOLD = (ADD_TO_LIST, REMOVE_FROM_LIST, MERGE_LEADS, REQUEST_CAMPAIGN, CHANGE_STATUS, CHANGE_MEMBER_DATA)
TOKEN_REFUSED = re.compile(r"1001|1003|7\d\d")
"""With these codes Marketo says that it does not take a paging token."""
LEAST_OVERLAP = timedelta(minutes=5)


def pull(feeds: Feeds) -> Counter[str]:
    """Read all three logs to their present end: three calls where nothing happened."""
    return schema.again_with_present_fields(feeds, lambda: _pull(feeds))


def _pull(feeds: Feeds) -> Counter[str]:
    with recorded(feeds, FEED) as counts:
        start(feeds)
        client = feeds.client.on("changes")
        reconcile.note_absence(feeds, state.cursor_age(feeds.database, DELETED_LEADS))
        with feeds.database.begin() as transaction:
            names = [f.name for f in leads.mirrored_fields(transaction) if f.name != "id"]
        _read(feeds, LEAD_CHANGES, lambda token: client.lead_changes(token, names), _mark_changed, counts)
        _read(feeds, ACTIVITIES, lambda token: client.activities(token, TOLD), _follow, counts)
        _read(feeds, DELETED_LEADS, client.deleted_leads, _retire, counts)
    return counts


def start(feeds: Feeds) -> None:
    """Give each log its first token, a little before now. Must precede the backfill's first export."""
    missing = [
        f for f in (LEAD_CHANGES, DELETED_LEADS, ACTIVITIES) if state.cursor(feeds.database, f) is None
    ]
    if missing:
        token = _token_since(feeds.client.on("changes"), feeds, LEAST_OVERLAP.total_seconds())
        for feed in missing:
            state.start_cursor(feeds.database, feed, token)


def _token_since(client: Client, feeds: Feeds, seconds: float) -> str:
    return client.paging_token(feeds.clock.now() - timedelta(seconds=seconds))


def _read(
    feeds: Feeds,
    feed: str,
    page_at: Callable[[str], ActivityPage],
    effect: Callable[[Transaction, list[Activity], Counter[str]], None],
    counts: Counter[str],
) -> None:
    token = state.cursor(feeds.database, feed)
    while token is not None and not feeds.clock.stopping():
        try:
            page = page_at(token)
        except Refused as problem:
            if not TOKEN_REFUSED.fullmatch(problem.code):
                raise
            token = _rebuilt(feeds, feed, problem)
            continue
        with feeds.database.begin() as transaction:
            effect(transaction, list(page.items), counts)
            state.move_cursor(transaction, feed, page.next_token)
        counts[feed] += len(page.items)
        feeds.progress(feed.replace("_", " "), counts[feed], None)
        token = page.next_token if page.more else None


def _rebuilt(feeds: Feeds, feed: str, problem: Refused) -> str:
    """Make a new token from the time when the old one last moved, with an overlap: nothing is lost, some is seen twice.

    Raises the refusal itself where the token was made just now: it is then not the token's fault.
    """
    age = state.cursor_age(feeds.database, feed)
    if age < 1:
        raise problem
    token = _token_since(feeds.client.on("changes"), feeds, age + feeds.conf.overlap_minutes * 60)
    with feeds.database.begin() as transaction:
        state.move_cursor(transaction, feed, token)
    log.get("mirror").warning(
        "Marketo no longer takes the paging token; it was rebuilt", feed=feed, error=str(problem)
    )
    return token


def _mark_changed(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Mark the leads of which the mirror does not show the change yet.

    The outbox's own writes come back through this log: values that the mirror already has are no news.
    """
    known = [
        {"lead_id": item.lead_id, "name": change.name, "value": change.new}
        for item in items
        if item.type_id == CHANGE_DATA_VALUE
        for change in item.fields
    ]
    born = [item.lead_id for item in items if item.type_id == NEW_LEAD]
    plain = {change["lead_id"] for change in known} | set(born)
    other = [item.lead_id for item in items if item.lead_id not in plain]
    news = leads.unseen_changes(transaction, known) | leads.unseen_leads(transaction, born) | set(other)
    counts["marked"] += state.mark_dirty(transaction, sorted(news), "changed")
    # What a campaign did is news of the lead's campaigns, even where the mirror has the value already.
    campaigns.mark(transaction, news | {item.lead_id for item in items if item.campaign_id is not None})


def _retire(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    counts["retired"] += leads.bury(transaction, [(item.lead_id, None) for item in items])


def _follow(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Apply activities in the order of the log: a merge moves what was added before it."""
    effects = {
        MERGE_LEADS: _merge,
        ADD_TO_LIST: _list_events,
        REMOVE_FROM_LIST: _list_events,
        REQUEST_CAMPAIGN: _campaign_events,
    }
    for effect, run in groupby(items, key=lambda item: effects.get(item.type_id, _program_events)):
        effect(transaction, list(run), counts)


def _list_events(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    events = [
        {
            "place": place,
            "list_id": item.primary_value_id,
            "lead_id": item.lead_id,
            "added": item.type_id == ADD_TO_LIST,
            "at": item.date.isoformat(),
        }
        for place, item in enumerate(items)
    ]
    unseen = leads.unseen_leads(transaction, [item.lead_id for item in items if item.type_id == ADD_TO_LIST])
    state.mark_dirty(transaction, sorted(unseen), "member")
    memberships.apply_list_events(transaction, events)
    counts["list_events"] += len(events)


def _campaign_events(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Let the leads' campaigns be read soon."""
    requested = {item.lead_id for item in items}
    state.mark_dirty(transaction, sorted(leads.unseen_leads(transaction, sorted(requested))), "member")
    campaigns.mark(transaction, requested)
    counts["campaign_events"] += len(items)


def _program_events(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Mark memberships to be read again: the activity tells the status but not all else."""
    members = {(item.primary_value_id, item.lead_id) for item in items if item.primary_value_id is not None}
    unseen = leads.unseen_leads(transaction, [lead for _, lead in members])
    # A program that acquires a lead is written on the lead too, and no change of a value tells of it.
    acquired = {item.lead_id for item in items if str(item.attributes.get("Acquired By")).lower() == "true"}
    state.mark_dirty(transaction, sorted(unseen | acquired), "member")
    counts["members_marked"] += memberships.mark_members(transaction, members)


def _merge(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Retire the losers and read the winner again.

    The winner at the time is the primary attribute's id; ``lead_id`` may be a later survivor.
    """
    merges = [
        (item.primary_value_id or item.lead_id, _losers(item.attributes.get("Merge IDs"))) for item in items
    ]
    winners = sorted({winner for winner, _ in merges})
    state.mark_dirty(transaction, winners, "merged")
    losers = [(loser, winner) for winner, lost in merges for loser in lost]
    counts["merged"] += leads.bury(transaction, losers)


def _losers(value: Any) -> list[int]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = re.findall(r"\d+", value)
    if isinstance(value, int):
        value = [value]
    return [int(lead) for lead in value or []]
