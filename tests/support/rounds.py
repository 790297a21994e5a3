"""One round of every feed, with something to do for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.mirror import backfill, campaigns, changes, dirty, memberships, schema

if TYPE_CHECKING:
    from syncd.mirror.runs import Feeds
    from syncd.simulator.control import Simulator


def every_feed(feeds: Feeds, simulator: Simulator) -> None:
    """Load, then let leads change, go, merge, join and leave, and catch up."""
    object.__setattr__(feeds.conf, "campaign_calls_per_day", 5)
    schema.pull(feeds)
    backfill.pull(feeds)
    dirty.pull(feeds)
    memberships.pull_lists(feeds)
    memberships.pull_programs(feeds)
    campaigns.pull(feeds)
    simulator.edit_lead(5, lastName="Changed")
    simulator.delete_lead(6)
    simulator.merge_leads(7, [8, 9])
    simulator.create_lead(email="new@example.com")
    simulator.add_to_list(1001, [10, 11])
    simulator.remove_from_list(1001, [12])
    simulator.set_program_status(1001, "Visited", [13, 14])
    changes.pull(feeds)
    dirty.pull(feeds)
    memberships.pull_members(feeds)
    campaigns.pull(feeds)
