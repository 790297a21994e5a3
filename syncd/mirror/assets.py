"""Feed: partitions, static lists, programs, what their members can be, and smart campaigns, as Marketo lists them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from syncd.database import state
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

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


def _put(feeds: Feeds, counts: Counter[str], table: AssetTable, items: Iterable[Asset]) -> None:
    listed = [
        {**item.extra, **{f.name: getattr(item, f.name) for f in fields(item) if f.name != "extra"}}
        for item in items
    ]
    with feeds.database.begin() as transaction:
        counts[f"{table}_changed"] += state.put_assets(transaction, table, listed)
    counts[table] += len(listed)
    feeds.progress(table.replace("_", " "), len(listed), len(listed))
