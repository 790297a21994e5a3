"""Static lists: sweeps that are swapped in whole, the log in between, and what happens where the two meet."""

import pytest

from syncd import simulator as marketo
from syncd.errors import Retryable, WorkFailed
from syncd.mirror import changes, dirty, memberships
from tests.sync.inside import Inside, beside

BY_LIST = "GET /rest/v1/lists/{listId}/leads.json"
ON_LIST = "GET /rest/v1/lists/{listId}/leads/ismember.json"
ACTIVITIES = "GET /rest/v1/activities.json"


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=700,
        lists=1,
        programs=1,
        campaigns=1,
        history_days=20,
        limits=False,
        export_seconds=0.1,
        race_ms=0,
    )


@pytest.fixture
def swept(filled: Inside) -> Inside:
    """The house with its mirror filled, lists too, and the log read."""
    memberships.pull_lists(filled.feeds)
    filled.catch_up()
    filled.simulator.reset_calls()
    return filled


def held(inside: Inside, number: int = 1001) -> list[int]:
    """The members of a list, as the mirror has them."""
    rows = inside.sql("SELECT lead_id FROM list_membership WHERE list_id = %s ORDER BY lead_id", number)
    return [row["lead_id"] for row in rows]


def true(inside: Inside, number: int = 1001) -> list[int]:
    """The members of a list, as Marketo has them."""
    lists = inside.simulator.dump()["lists"]
    return sorted(int(lead) for each in lists if each["id"] == number for lead in dict(each["members"]))


def followed(inside: Inside) -> None:
    """Read the log, and ask what it leaves open."""
    inside.catch_up()
    memberships.pull_members(inside.feeds)


def test_a_list_is_read_300_members_a_call_and_a_second_sweep_writes_nothing(filled: Inside) -> None:
    counts = memberships.pull_lists(filled.feeds)
    assert held(filled) == true(filled)
    assert len(held(filled)) > 300
    assert (counts["swept"], filled.calls(BY_LIST)) == (1, 2)
    versions = "SELECT xmin::text, list_id, lead_id FROM list_membership ORDER BY 2, 3"
    before = filled.sql(versions)
    assert memberships.pull_lists(filled.feeds)["swept"] == 0
    assert memberships.pull_lists(filled.feeds, full=True)["members_changed"] == 0
    assert filled.sql(versions) == before


def test_a_reader_sees_the_old_members_until_all_pages_are_read(swept: Inside) -> None:
    before = held(swept)
    new = sorted(set(range(1, 701)) - set(before))[:5]
    swept.sql("DELETE FROM list_membership WHERE lead_id = ANY(%s)", before[:200])
    swept.sql("INSERT INTO list_membership SELECT 1001, unnest(%s::bigint[])", new)
    old = held(swept)
    seen = set()
    swept.simulator.fault("delay", BY_LIST, seconds=0.3, count=None)
    with beside(lambda: memberships.sweep(swept.feeds, "list", 1001)):
        swept.until(lambda: seen.add(tuple(held(swept))) or tuple(true(swept)) in seen)
    assert seen == {tuple(old), tuple(before)}


def test_a_page_that_fails_in_the_middle_leaves_the_list_as_it_was(
    swept: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swept.app.clock, "random", lambda: 0.001)
    swept.sql("DELETE FROM list_membership WHERE lead_id % 2 = 0")
    old = held(swept)
    swept.simulator.fault("http", BY_LIST, skip=1, count=None)
    with pytest.raises(Retryable):
        memberships.pull_lists(swept.feeds, full=True)
    assert held(swept) == old
    swept.simulator.clear_faults()
    memberships.pull_lists(swept.feeds, full=True)
    assert held(swept) == true(swept)
    assert swept.value("SELECT count(*) FROM swept_member") == 0


def test_who_comes_and_goes_between_sweeps_costs_the_log_alone(swept: Inside) -> None:
    members = held(swept)
    new = sorted(set(range(1, 701)) - set(members))[:9]
    swept.simulator.add_to_list(1001, new)
    swept.simulator.remove_from_list(1001, members[:4])
    swept.simulator.remove_from_list(1001, new[:2])
    born = swept.simulator.create_lead(email="born@example.com")
    swept.simulator.add_to_list(1001, [born])
    followed(swept)
    assert held(swept) == true(swept)
    assert (swept.calls(BY_LIST), swept.calls(ON_LIST), swept.calls(ACTIVITIES)) == (0, 0, 1)
    assert swept.lead(born) is not None
    swept.proven()


def test_what_the_log_tells_while_a_sweep_is_under_way_is_not_lost_by_the_swap(swept: Inside) -> None:
    """The sweep read an old page; the log was read further meanwhile, and is read again from where it stood."""
    leaves, comes = held(swept)[0], min(set(range(1, 701)) - set(held(swept)))
    swept.simulator.fault("delay", BY_LIST, phase="after", seconds=0.5, count=1)
    with beside(lambda: memberships.sweep(swept.feeds, "list", 1001)):
        swept.until(lambda: swept.calls(BY_LIST))
        swept.simulator.remove_from_list(1001, [leaves])
        swept.simulator.add_to_list(1001, [comes])
        changes.pull(swept.feeds)
        assert leaves not in held(swept)
    followed(swept)
    assert held(swept) == true(swept)


def test_a_page_of_the_log_that_is_under_way_at_the_swap_does_not_undo_that_it_is_read_again(
    swept: Inside,
) -> None:
    leaves = held(swept)[0]
    swept.simulator.fault("delay", BY_LIST, phase="after", seconds=0.4, count=1)
    with beside(lambda: memberships.sweep(swept.feeds, "list", 1001)):
        swept.until(lambda: swept.calls(BY_LIST))
        swept.simulator.remove_from_list(1001, [leaves])
        swept.simulator.fault("delay", ACTIVITIES, phase="after", seconds=0.8, count=1)
        changes.pull(swept.feeds)
    followed(swept)
    assert held(swept) == true(swept)


def test_lists_of_leads_that_were_merged_are_as_marketo_has_them(swept: Inside) -> None:
    """The log names the winner for what its losers did before; only what that leaves open is asked."""
    members = held(swept)
    outside = sorted(set(range(1, 701)) - set(members))
    winner, loser, other, away = members[0], members[1], members[2], outside[0]
    swept.simulator.remove_from_list(1001, [loser])
    swept.simulator.merge_leads(winner, [loser])
    swept.simulator.merge_leads(away, [other])
    followed(swept)
    assert held(swept) == true(swept)
    assert winner in held(swept)
    assert away in held(swept)
    assert swept.calls(ON_LIST) == 1
    swept.proven()


def test_a_loser_that_was_read_before_its_merge_was_told_takes_its_memberships_along(swept: Inside) -> None:
    members = held(swept)
    loser, winner = members[0], min(set(range(1, 701)) - set(members))
    swept.simulator.edit_lead(loser, lastName="Last Words")
    changes.pull(swept.feeds)
    swept.simulator.merge_leads(winner, [loser])
    dirty.pull(swept.feeds)
    assert swept.lead(loser)["_deleted_at"] is not None
    assert loser not in held(swept)
    followed(swept)
    assert winner in held(swept)
    assert held(swept) == true(swept)
    assert (swept.calls(ON_LIST), swept.calls(BY_LIST)) == (1, 0)
    swept.proven()


def test_many_doubts_of_a_list_take_one_call_and_a_list_that_is_gone_has_no_members(swept: Inside) -> None:
    members = true(swept)
    swept.simulator.delete_lead(members[5])
    swept.sql(
        "INSERT INTO dirty_list_member (list_id, lead_id) SELECT 1001, n FROM generate_series(1, 290) n"
    )
    swept.sql("INSERT INTO list_membership (list_id, lead_id) VALUES (999, 1)")
    swept.sql("INSERT INTO dirty_list_member (list_id, lead_id) VALUES (999, 1)")
    memberships.pull_members(swept.feeds)
    assert swept.calls(ON_LIST) == 2
    assert held(swept) == true(swept)
    assert held(swept, 999) == []
    assert swept.value("SELECT reason FROM dirty_lead WHERE lead_id = %s", members[5]) == "member"


def test_changed_members_of_a_program_cost_their_pages_of_the_log_and_of_members(swept: Inside) -> None:
    memberships.pull_programs(swept.feeds)
    swept.simulator.set_program_status(1001, "Engaged", list(range(1, 401)))
    swept.simulator.set_program_status(1001, "Not in Program", [5])
    swept.simulator.reset_calls()
    swept.catch_up()
    marked = swept.value("SELECT count(*) FROM dirty_member")
    memberships.pull_members(swept.feeds)
    assert marked > 300
    assert swept.calls("GET /rest/v1/programs/{programId}/members.json") == 2
    assert swept.calls(ACTIVITIES) == 2
    assert swept.sql("SELECT FROM program_membership WHERE program_id = 1001 AND lead_id = 5") == []
    swept.proven()


def test_pages_that_postgresql_lost_in_a_crash_are_not_swapped_in_as_if_they_were_all(swept: Inside) -> None:
    old = held(swept)
    swept.simulator.fault("delay", BY_LIST, phase="after", seconds=0.5, skip=1, count=1)
    problems: list[WorkFailed] = []

    def sweep() -> None:
        try:
            memberships.sweep(swept.feeds, "list", 1001)
        except WorkFailed as problem:
            problems.append(problem)

    with beside(sweep):
        swept.until(lambda: swept.value("SELECT count(*) FROM swept_member"))
        swept.sql("TRUNCATE swept_member")
    assert "read again" in str(problems)
    assert held(swept) == old


def test_what_a_killed_sweep_left_is_cleared_away_by_the_next(swept: Inside) -> None:
    swept.sql("INSERT INTO swept_member (sweep, lead_id, owner) VALUES (1, 1, 'lists'), (2, 1, 'verify')")
    memberships.pull_lists(swept.feeds)
    assert swept.sql("SELECT owner FROM swept_member") == [{"owner": "verify"}]
    swept.proven()
    assert swept.sql("SELECT owner FROM swept_member") == []


def test_a_list_that_is_deleted_while_it_is_read_has_no_members(swept: Inside) -> None:
    swept.simulator.fault("error", BY_LIST, code="1013", message="Object not found", skip=1, count=1)
    memberships.sweep(swept.feeds, "list", 1001)
    assert held(swept) == []
