"""Feed: partitions, static lists, programs, what their members can be, and smart campaigns, as Marketo lists them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.database import state, tables
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncd.core.budget import Lane
    from syncd.core.differences import Difference
    from syncd.database.state import AssetTable
    from syncd.marketo.models import (
        ChannelStatus,
        Describe2Field,
        Partition,
        Program,
        SmartCampaign,
        StaticList,
    )
    from syncd.mirror.runs import Feeds

    Asset = Partition | StaticList | Program | SmartCampaign | ChannelStatus | Describe2Field


def put_lists(feeds: Feeds, counts: Counter[str]) -> None:
    """Bring lead_partition and static_list up to date."""
    client = feeds.client.on("memberships")
    _put(feeds, counts, "partition", client.partitions())
    _put(feeds, counts, "static_list", client.static_lists())


def put_programs(feeds: Feeds, counts: Counter[str]) -> None:
    """Bring program up to date."""
    _put(feeds, counts, "program", feeds.client.on("memberships").programs())


def put_program_details(feeds: Feeds, counts: Counter[str]) -> None:
    """Bring channel_status and program_member_field up to date: two calls."""
    client = feeds.client.on("memberships")
    _put(feeds, counts, "channel_status", client.channels())
    _put(feeds, counts, "program_member_field", client.member_fields())


def pull_campaigns(feeds: Feeds) -> Counter[str]:
    """Bring smart_campaign up to date."""
    with recorded(feeds, "campaigns") as counts:
        _put(feeds, counts, "smart_campaign", feeds.client.on("memberships").smart_campaigns())
    return counts


def differences(feeds: Feeds, *, lane: Lane) -> list[Difference]:
    """Compare each of these tables with what Marketo lists now: one call each, or one for each full page.

    Tables of a feed that never ran to its end are left out.
    """
    client = feeds.client.on(lane)
    listings: tuple[tuple[str, AssetTable, tables.Table, Callable[[], Iterable[Asset]]], ...] = (
        ("lists", "partition", "lead_partition", client.partitions),
        ("lists", "static_list", "static_list", client.static_lists),
        ("programs", "program", "program", client.programs),
        ("programs", "channel_status", "channel_status", client.channels),
        ("programs", "program_member_field", "program_member_field", client.member_fields),
        ("campaigns", "smart_campaign", "smart_campaign", client.smart_campaigns),
    )
    found: list[Difference] = []
    for feed, asset, table, listing in listings:
        with feeds.database.begin() as transaction:
            known = tables.ever_read(transaction, feed)
        if not known:
            continue
        items = _documents(listing())
        with feeds.database.begin() as transaction:
            put = partial(state.put_assets, transaction, asset, items)
            found += tables.differences(transaction, table, put)
    return found


def read_again(feeds: Feeds) -> None:
    """Bring all of these tables up to date."""
    counts: Counter[str] = Counter()
    put_lists(feeds, counts)
    put_programs(feeds, counts)
    put_program_details(feeds, counts)
    pull_campaigns(feeds)


def _documents(items: Iterable[Asset]) -> list[dict[str, Any]]:
    return [
        {**item.extra, **{f.name: getattr(item, f.name) for f in fields(item) if f.name != "extra"}}
        for item in items
    ]


def _put(feeds: Feeds, counts: Counter[str], table: AssetTable, items: Iterable[Asset]) -> None:
    listed = _documents(items)
    with feeds.database.begin() as transaction:
        counts[f"{table}_changed"] += state.put_assets(transaction, table, listed)
    counts[table] += len(listed)
    feeds.progress(table.replace("_", " "), len(listed), len(listed))
