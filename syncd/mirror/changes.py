"""Feed: what happened in Marketo since the last look.

Three logs are read, each from its own paging token: lead changes, deleted leads, and the activities
that tell of merges and of members coming, going and moving on. A page's effects and the next token
are committed together. Only ``moreResult`` ends a round: an empty page is no end.
https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/activities
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from syncd import log
from syncd.core.numbers import HIGHEST
from syncd.database import campaigns, leads, locks, memberships, state
from syncd.database.state import Cursor
from syncd.errors import Refused, WorkFailed
from syncd.mirror import absence, schema
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from datetime import datetime

    from syncd.database.engine import Transaction
    from syncd.marketo.models import Activity, ActivityPage
    from syncd.mirror.runs import Feeds

FEED = "changes"
LEAD_CHANGES, DELETED_LEADS, ACTIVITIES = "lead_changes", "deleted_leads", "activities"
NEW_LEAD, CHANGE_DATA_VALUE = 12, 13
ADD_TO_LIST, REMOVE_FROM_LIST, MERGE_LEADS = 24, 25, 32
REQUEST_CAMPAIGN, CHANGE_STATUS, CHANGE_MEMBER_DATA = 47, 104, 123
ADD_TO_NURTURE, CHANGE_STREAM, CHANGE_CADENCE = 113, 114, 115
CHANGE_PARTITION = 100
TOLD = (
    ADD_TO_LIST, REMOVE_FROM_LIST, MERGE_LEADS, REQUEST_CAMPAIGN, CHANGE_STATUS, ADD_TO_NURTURE, CHANGE_STREAM, CHANGE_CADENCE,
    CHANGE_MEMBER_DATA, CHANGE_PARTITION,
)  # fmt: skip
"""Types that share the log's calls, at most ten."""
TOKEN_REFUSED = re.compile(r"1001|1003|7\d\d")
"""With these codes Marketo says that it does not take a paging token."""
LEAST_OVERLAP = timedelta(minutes=5)


def pull(feeds: Feeds) -> Counter[str]:
    """Read all three logs to their present end: three calls where nothing happened."""
    return schema.again_with_present_fields(feeds, lambda: _pull(feeds))


def _pull(feeds: Feeds) -> Counter[str]:
    with recorded(feeds, FEED) as counts:
        with feeds.database.begin() as transaction:
            names = [f.name for f in leads.mirrored_fields(transaction) if f.name != "id"]
        if not names:
            raise WorkFailed("the field schema is not known yet; run `syncd pull schema` first")
        start(feeds)
        client = feeds.client.on("changes")
        absence.note(
            feeds,
            deletions_age=state.cursor_age(feeds.database, DELETED_LEADS),
            changes_age=state.cursor_age(feeds.database, LEAD_CHANGES),
        )
        _read(feeds, LEAD_CHANGES, lambda token: client.lead_changes(token, names), _mark_changed, counts)
        _read(feeds, ACTIVITIES, lambda token: client.activities(token, TOLD), _follow, counts)
        _read(feeds, DELETED_LEADS, client.deleted_leads, _retire, counts)
    return counts


def start(feeds: Feeds) -> None:
    """Give each log its first token, a little before now. Must precede the backfill's first export.

    Where the outbox wrote to the mirror before, they begin before that: only the log tells into whom a lead was merged.
    """
    missing = [
        f for f in (LEAD_CHANGES, DELETED_LEADS, ACTIVITIES) if state.cursor(feeds.database, f) is None
    ]
    if missing:
        now = feeds.clock.now()
        with feeds.database.begin() as transaction:
            since = leads.mirrored_since(transaction) or now
        if now - since > absence.DELETIONS_KEPT - LEAST_OVERLAP:
            since = now
        place = _place_since(feeds, since - LEAST_OVERLAP)
        for feed in missing:
            state.start_cursor(feeds.database, feed, place)


def _place_since(feeds: Feeds, moment: datetime) -> Cursor:
    return Cursor(feeds.client.on("changes").paging_token(moment), moment)


def _read(
    feeds: Feeds,
    feed: str,
    page_at: Callable[[str], ActivityPage],
    effect: Callable[[Transaction, list[Activity], Counter[str]], None],
    counts: Counter[str],
) -> None:
    stored = place = state.cursor(feeds.database, feed)
    more, rebuilt = True, False
    while more and place is not None and not feeds.clock.stopping():
        try:
            page = page_at(place.token)
        except Refused as problem:
            if rebuilt or not TOKEN_REFUSED.fullmatch(problem.code):
                raise
            place, rebuilt = _rebuilt(feeds, feed, place, problem), True
            continue
        with feeds.database.begin() as transaction:
            held = state.hold_cursor(transaction, feed)
            if held != stored:
                # A sweep sent the log back meanwhile: what comes before this page is to be seen again first.
                stored, rebuilt = held, False
                place = held
                continue
            effect(transaction, list(page.items), counts)
            stored = place = Cursor(page.next_token, _reached(place, page))
            state.move_cursor(transaction, feed, place)
        counts[feed] += len(page.items)
        feeds.progress(feed.replace("_", " "), counts[feed], None)
        more = page.more


def _reached(place: Cursor, page: ActivityPage) -> datetime:
    """Return until when the log was read, by Marketo's clock: until the call, or the newest entry if there is more."""
    newest = max((item.date for item in page.items), default=place.reached_at)
    if page.server_time is not None:
        newest = min(newest, page.server_time) if page.more else page.server_time
    return max(place.reached_at, newest)


def _rebuilt(feeds: Feeds, feed: str, place: Cursor, problem: Refused) -> Cursor:
    """Make a new token from where the log was read to, with an overlap: nothing is lost, some is seen twice.

    It is kept with the first page that is read from it. A refusal of that page is not the token's fault.
    """
    since = place.reached_at - timedelta(minutes=feeds.conf.overlap_minutes)
    log.get("mirror").warning(
        "Marketo no longer takes the paging token; the log is read again from an earlier time",
        feed=feed,
        since=since.isoformat(timespec="seconds"),
        error=str(problem),
    )
    return replace(_place_since(feeds, since), reached_at=place.reached_at)


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
    locks.note_foreign(
        transaction,
        [
            {"lead_id": item.lead_id, "name": change.name, "at": item.date.isoformat()}
            for item in items
            if item.type_id == CHANGE_DATA_VALUE
            for change in item.fields
        ],
    )
    born = [item.lead_id for item in items if item.type_id == NEW_LEAD]
    plain = {change["lead_id"] for change in known} | set(born)
    other = [item.lead_id for item in items if item.lead_id not in plain]
    news = leads.unseen_changes(transaction, known) | leads.unseen_leads(transaction, born) | set(other)
    counts["marked"] += state.mark_dirty(transaction, sorted(news), "changed")
    # What a campaign did is news of the lead's campaigns, even where the mirror has the value already.
    campaigns.mark(transaction, news | {item.lead_id for item in items if item.campaign_id is not None})


def _retire(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Retire what was deleted; a lead that was seen since is read again, since its id may live."""
    seen = leads.seen_since(transaction, [(item.lead_id, item.date) for item in items])
    counts["marked"] += state.mark_dirty(transaction, sorted(seen), "deleted")
    counts["retired"] += leads.bury(
        transaction, [(item.lead_id, None) for item in items if item.lead_id not in seen]
    )


def _follow(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Apply activities in the order of the log: a merge moves what was added before it."""
    _mark_leads(transaction, items)
    effects = {
        MERGE_LEADS: _merge,
        ADD_TO_LIST: _list_events,
        REMOVE_FROM_LIST: _list_events,
        REQUEST_CAMPAIGN: _campaign_events,
        CHANGE_PARTITION: _moves,
    }
    for effect, run in groupby(items, key=lambda item: effects.get(item.type_id, _program_events)):
        effect(transaction, list(run), counts)


def _mark_leads(transaction: Transaction, items: list[Activity]) -> None:
    """Mark the leads to be read, before any membership is written: the fetcher takes its locks in that order too."""
    merges = [_merged(item) for item in items if item.type_id == MERGE_LEADS]
    # A program that acquires a lead is written on the lead too, and no change of a value tells of it.
    acquired = {item.lead_id for item in items if str(item.attributes.get("Acquired By")).lower() == "true"}
    named = {item.lead_id for item in items if item.type_id not in {REMOVE_FROM_LIST, MERGE_LEADS}}
    unseen = leads.unseen_leads(transaction, sorted(named))
    state.mark_dirty(transaction, sorted(unseen | acquired), "member")
    # No change of a value tells of a new partition either.
    moved = {item.lead_id for item in items if item.type_id == CHANGE_PARTITION}
    state.mark_dirty(transaction, sorted(moved), "changed")
    state.mark_dirty(transaction, sorted({winner for winner, _ in merges}), "merged")
    leads.forget_dirty(transaction, sorted({loser for _, losers in merges for loser in losers}))


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
        if item.primary_value_id is not None
    ]
    counts["list_events"] += len(events)
    counts["list_members_asked"] += memberships.apply_list_events(transaction, events)


def _campaign_events(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Let the leads' campaigns be read soon."""
    campaigns.mark(transaction, {item.lead_id for item in items})
    counts["campaign_events"] += len(items)


def _moves(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:  # noqa: ARG001
    """Leads that came to another partition have been marked to be read."""
    counts["moved"] += len(items)


def _program_events(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Mark memberships to be read again: the activity tells the status but not all else."""
    members = {(item.primary_value_id, item.lead_id) for item in items if item.primary_value_id is not None}
    counts["members_marked"] += memberships.mark_members(transaction, members)


def _merge(transaction: Transaction, items: list[Activity], counts: Counter[str]) -> None:
    """Retire the losers; the winner is read again."""
    losers = [(loser, winner) for winner, lost in map(_merged, items) for loser in lost]
    counts["merged"] += leads.retire(transaction, losers)


def _merged(item: Activity) -> tuple[int, list[int]]:
    """Return the winner of a merge and its losers.

    The winner at the time is the primary attribute's id; ``lead_id`` may be a later survivor.
    """
    winner = item.primary_value_id or item.lead_id
    return winner, [loser for loser in _losers(item.attributes.get("Merge IDs")) if loser != winner]


def _losers(value: Any) -> list[int]:
    """Read the ids, in whichever form they are told; what is none is left out."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = re.findall(r"\d+", value)
    found = []
    for told in value if isinstance(value, list) else [value]:
        with suppress(TypeError, ValueError, OverflowError):
            if 0 < int(told) <= HIGHEST:
                found.append(int(told))
    return found
