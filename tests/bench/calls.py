"""Calls to Marketo beside the least with which the same could be learnt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from syncd.mirror import backfill, changes, dirty, memberships, schema
from syncd.simulator import Options, running
from tests.bench.figure import Figure
from tests.bench.house import app_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.mirror.runs import Feeds
    from syncd.simulator.control import Simulator

LEADS = 20_000
CALL = 300
LOGS = 3
"""Lead changes, deleted leads, activities: one call each tells that nothing happened."""


def calls(url: str) -> Iterator[Figure]:
    """A first load of 20,000 leads with their lists and programs, and what three kinds of quiet cost after it."""
    options = Options.of(profile="medium", leads=LEADS, limits=False, history_days=90)
    with running(options) as simulator, app_of(url, simulator.base_url) as app:
        feeds = app.feeds()
        simulator.reset_calls()
        schema.pull(feeds)
        backfill.pull(feeds)
        dirty.pull(feeds, lane="backfill")
        memberships.pull_lists(feeds)
        memberships.pull_programs(feeds)
        yield Figure("calls: first load over the least", _spent(simulator) / _least(url), 1.1)
        _caught_up(feeds)
        simulator.reset_calls()
        _caught_up(feeds)
        yield Figure("calls: nothing changed, over the least", _spent(simulator) / LOGS, 1.1)

        changed = LEADS // 100
        for lead in range(1, changed + 1):
            simulator.edit_lead(lead * 7, lastName=f"Changed {lead}")
        simulator.reset_calls()
        _caught_up(feeds)
        least = LOGS - 1 + 2 * math.ceil(changed / CALL)
        yield Figure("calls: 1 % of leads changed, over the least", _spent(simulator) / least, 1.1)

        of_lists = value_of(url, "SELECT count(*) FROM marketo.list_membership") // 100
        of_programs = value_of(url, "SELECT count(*) FROM marketo.program_membership") // 100
        program = value_of(url, "SELECT min(program_id) FROM marketo.program_membership")
        members = value_of(
            url,
            "SELECT array_agg(id) FROM (SELECT id FROM marketo.lead l WHERE NOT EXISTS (SELECT FROM marketo.program_membership m "
            f"WHERE m.program_id = {program} AND m.lead_id = l.id) ORDER BY id DESC LIMIT {of_programs}) AS l",
        )
        # A program acquires a lead that none has acquired: a field of that lead changes with the membership.
        acquired = value_of(
            url,
            f"SELECT count(*) FROM marketo.lead WHERE id = ANY(ARRAY{members}) AND acquisition_program_id IS NULL",
        )
        simulator.remove_from_list(1001, _members(url, 1001, of_lists))
        status = value_of(
            url, f"SELECT max(status) FROM marketo.program_membership WHERE program_id = {program}"
        )
        simulator.set_program_status(program, status, members)
        simulator.reset_calls()
        _caught_up(feeds)
        # The log tells who left; of members of programs it tells too little, so they are read: 300 a call, as are
        # the leads that changed.
        pages = [of_lists + len(members), len(members), acquired]
        least = LOGS - 1 + sum(math.ceil(number / CALL) for number in pages)
        yield Figure("calls: 1 % of memberships changed, over the least", _spent(simulator) / least, 1.1)


def _members(url: str, container: int, most: int) -> list[int]:
    of_list = f"SELECT lead_id FROM marketo.list_membership WHERE list_id = {container} LIMIT {most}"
    return list(value_of(url, f"SELECT array_agg(lead_id) FROM ({of_list}) AS m") or [])


def _caught_up(feeds: Feeds) -> None:
    changes.pull(feeds)
    dirty.pull(feeds)
    memberships.pull_members(feeds)


def _spent(simulator: Simulator) -> int:
    return sum(count for call, count in simulator.calls().items() if "identity" not in call)


def _least(url: str) -> int:
    """Describe in its three forms, the two calls that find the oldest lead, a token for each log; windows; pages."""
    windows = value_of(url, "SELECT count(*) FROM syncd.backfill_window")
    unexported = value_of(url, "SELECT count(*) FROM marketo.lead_field WHERE data_type = 'formula'")
    formulas = math.ceil(LEADS / CALL) if unexported else 0
    pages = value_of(
        url,
        "SELECT sum(ceil(greatest(members, 1) / 300.0)) FROM syncd.sweep",
    )
    assets = 3  # partitions, lists, programs: a page each
    return int(3 + 3 + 1 + windows * 4 + formulas + pages + assets)
