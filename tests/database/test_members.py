"""Members of lists between two sweeps: what the log says for certain, and what Marketo has to be asked."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.database import leads, memberships, state
from tests.database.desk import Desk

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIST = 7


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(desk: Desk, *events: tuple[str, int, float]) -> None:
    """A page of the log: added or removed, the lead, and when (seconds after noon)."""
    page = [
        {
            "place": place,
            "list_id": LIST,
            "lead_id": lead,
            "added": what == "added",
            "at": at(when).isoformat(),
        }
        for place, (what, lead, when) in enumerate(events)
    ]
    with desk.database.begin() as transaction:
        memberships.apply_list_events(transaction, page)


def swept(desk: Desk, *members: int, log_at: float) -> int:
    """A sweep that began when the log was read until then (seconds after noon); return what it changed."""
    number = memberships.start_sweep(desk.database)
    memberships.keep_page(desk.database, number, [{"lead_id": lead} for lead in members], program=None)
    with desk.database.begin() as transaction:
        return memberships.swap(transaction, "list", LIST, number, at(log_at))


def merged(desk: Desk, winner: int, *losers: int) -> None:
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(loser, winner) for loser in losers])


def members(desk: Desk) -> list[int]:
    return [row[0] for row in desk.run("SELECT lead_id FROM list_membership ORDER BY 1")]


def asked(desk: Desk) -> list[int]:
    return [row[0] for row in desk.run("SELECT lead_id FROM dirty_list_member ORDER BY 1")]


@pytest.fixture(autouse=True)
def some_leads(desk: Desk) -> None:
    desk.run("INSERT INTO lead (id, created_at) SELECT n, now() FROM generate_series(1, 9) n")


def test_what_the_log_says_in_order_costs_no_call(desk: Desk) -> None:
    told(desk, ("added", 1, 1), ("added", 2, 1), ("removed", 1, 2), ("added", 3, 3))
    told(desk, ("removed", 3, 4), ("added", 1, 5))
    told(desk, ("removed", 5, 6))
    assert (members(desk), asked(desk)) == ([1, 2], [])
    row = desk.run("SELECT created_at, updated_at FROM list_membership WHERE lead_id = 1")[0]
    assert row == (at(5), at(5))


def test_a_removal_told_after_an_addition_of_the_same_second_is_asked_about(desk: Desk) -> None:
    """Within a second the log's order is not that of the events, and who was on the list already was told no news."""
    swept(desk, 1, 2, log_at=0)
    told(desk, ("added", 1, 5))
    told(desk, ("removed", 1, 5), ("removed", 2, 5))
    assert (members(desk), asked(desk)) == ([1], [1])


def test_an_event_that_is_told_twice_changes_nothing(desk: Desk) -> None:
    told(desk, ("added", 1, 1), ("added", 2, 1))
    before = desk.run("SELECT xmin::text, lead_id FROM list_membership ORDER BY 2")
    told(desk, ("added", 1, 1), ("added", 2, 1))
    assert desk.run("SELECT xmin::text, lead_id FROM list_membership ORDER BY 2") == before
    assert asked(desk) == []


@pytest.mark.parametrize(
    ("first", "late"),
    [
        ([("added", 1, 1), ("removed", 1, 9)], ("added", 1, 5)),
        ([("added", 1, 9)], ("removed", 1, 5)),
        ([], ("added", 1, 5)),
    ],
    ids=[
        "an addition after a newer removal",
        "a removal after a newer addition",
        "an addition after a newer sweep",
    ],
)
def test_an_event_that_is_told_after_a_newer_one_is_asked_about(
    desk: Desk, first: list[tuple[str, int, float]], late: tuple[str, int, float]
) -> None:
    if first:
        told(desk, *first)
    else:
        swept(desk, 2, log_at=9)
    before = members(desk)
    told(desk, late)
    assert (members(desk), asked(desk)) == (before, [1])


def test_a_page_out_of_order_is_asked_about(desk: Desk) -> None:
    told(desk, ("removed", 1, 9), ("added", 1, 5))
    assert (members(desk), asked(desk)) == ([], [1])


def test_a_removal_of_before_a_sweep_is_asked_about_and_one_of_after_it_is_not(desk: Desk) -> None:
    swept(desk, 1, 2, log_at=10)
    told(desk, ("removed", 1, 9))
    told(desk, ("removed", 2, 11))
    assert (members(desk), asked(desk)) == ([1], [1])


def test_the_winner_s_own_membership_does_not_end_with_the_loser_s(desk: Desk) -> None:
    """The log names the winner for what the loser did before the merge."""
    told(desk, ("added", 1, 1), ("added", 2, 1))
    told(desk, ("removed", 1, 5))
    merged(desk, 1, 2)
    assert asked(desk) == [1]
    merged(desk, 3, 4)
    told(desk, ("added", 3, 6))
    with desk.database.begin() as transaction:
        transaction.raw.execute("UPDATE lead SET _deleted_at = %s WHERE id = 4", [at(20)])
    told(desk, ("removed", 3, 8))
    assert asked(desk) == [1, 3]
    assert 3 in members(desk)


def test_a_removal_long_after_a_merge_is_the_winner_s_own(desk: Desk) -> None:
    merged(desk, 1, 2)
    with desk.database.begin() as transaction:
        transaction.raw.execute("UPDATE lead SET _deleted_at = %s WHERE id = 2", [at(0)])
    told(desk, ("added", 1, 2000))
    told(desk, ("removed", 1, 3000))
    assert (members(desk), asked(desk)) == ([], [])


def test_an_event_that_names_a_lead_of_before_a_merge_is_about_the_last_winner(desk: Desk) -> None:
    merged(desk, 2, 1)
    merged(desk, 3, 2)
    told(desk, ("added", 1, 5))
    assert (members(desk), asked(desk)) == ([], [3])


@pytest.mark.parametrize(
    "order", [[(2, 1), (3, 2), (4, 3)], [(4, 3), (3, 2), (2, 1)], [(3, 2), (2, 1), (4, 3)]]
)
def test_in_a_chain_of_merges_told_in_any_order_all_memberships_go_to_the_last_winner(
    desk: Desk, order: list[tuple[int, int]]
) -> None:
    told(desk, ("added", 1, 1), ("added", 9, 1))
    desk.run("INSERT INTO program_membership (program_id, lead_id) VALUES (5, 2)")
    desk.run("INSERT INTO dirty_member (program_id, lead_id) VALUES (6, 1)")
    desk.run("INSERT INTO dirty_list_member (list_id, lead_id) VALUES (8, 2)")
    for winner, loser in order:
        merged(desk, winner, loser)
    assert members(desk) == [4, 9]
    assert desk.run("SELECT id, _merged_into_id FROM lead WHERE _merged_into_id IS NOT NULL ORDER BY 1") == [
        (1, 4), (2, 4), (3, 4),
    ]  # fmt: skip
    assert desk.run("SELECT program_id, lead_id FROM dirty_member ORDER BY 1") == [(5, 4), (6, 4)]
    assert desk.run("SELECT list_id, lead_id FROM dirty_list_member WHERE list_id = 8") == [(8, 4)]
    assert desk.run("SELECT FROM program_membership") == []


def test_a_loser_that_was_found_gone_before_its_merge_was_told_takes_its_memberships_along(
    desk: Desk,
) -> None:
    told(desk, ("added", 1, 1))
    desk.run("INSERT INTO program_membership (program_id, lead_id) VALUES (5, 1)")
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, None)])
    assert members(desk) == []
    merged(desk, 2, 1)
    assert desk.run("SELECT list_id, lead_id FROM dirty_list_member") == [(LIST, 2)]
    assert desk.run("SELECT program_id, lead_id FROM dirty_member") == [(5, 2)]


def test_a_merge_during_a_sweep_that_saw_neither_lead_is_asked_about(desk: Desk) -> None:
    """The winner was on no page yet, the loser was no longer on its page."""
    told(desk, ("added", 2, 1))
    swept(desk, 5, log_at=3)
    assert members(desk) == [5]
    merged(desk, 1, 2)
    assert asked(desk) == [1]


def test_an_answer_that_was_asked_for_before_the_newest_mark_does_not_count(desk: Desk) -> None:
    told(desk, ("added", 1, 9))
    told(desk, ("removed", 1, 5))
    number, ids, marks = memberships.next_list_members(desk.database, 300)
    assert (number, ids) == (LIST, [1])
    told(desk, ("removed", 1, 12))
    with desk.database.begin() as transaction:
        memberships.put_list_members(transaction, LIST, (ids, marks), [1])
    assert asked(desk) == [1]
    number, ids, marks = memberships.next_list_members(desk.database, 300)
    with desk.database.begin() as transaction:
        memberships.put_list_members(transaction, LIST, (ids, marks), [])
    assert (members(desk), asked(desk)) == ([], [])


def test_an_answer_puts_on_the_list_who_is_on_it_and_takes_off_who_is_not(desk: Desk) -> None:
    told(desk, ("added", 1, 1), ("added", 2, 1))
    desk.run("INSERT INTO dirty_list_member (list_id, lead_id) VALUES (7, 1), (7, 2), (7, 3)")
    number, ids, marks = memberships.next_list_members(desk.database, 300)
    with desk.database.begin() as transaction:
        memberships.put_list_members(transaction, LIST, (ids, marks), [2, 3])
    assert (members(desk), asked(desk)) == ([2, 3], [])
    assert number == LIST


def test_a_sweep_that_finds_nothing_new_writes_nothing(desk: Desk) -> None:
    swept(desk, 1, 2, log_at=1)
    before = desk.run("SELECT xmin::text, lead_id FROM list_membership ORDER BY 2")
    assert swept(desk, 2, 1, log_at=2) == 0
    assert desk.run("SELECT xmin::text, lead_id FROM list_membership ORDER BY 2") == before


def test_a_member_whose_lead_is_not_mirrored_is_kept_and_the_lead_is_to_be_read(desk: Desk) -> None:
    swept(desk, 1, 400, log_at=1)
    assert members(desk) == [1, 400]
    assert desk.run("SELECT lead_id, reason FROM dirty_lead") == [(400, "member")]


def test_ended_memberships_are_forgotten_after_a_day(desk: Desk) -> None:
    told(desk, ("added", 1, 1), ("added", 2, 1), ("removed", 1, 2), ("removed", 2, 3))
    desk.run("UPDATE ended_member SET noted_at = now() - interval '25 hours' WHERE lead_id = 1")
    with desk.database.begin() as transaction:
        transaction.run("ended_members_prune")
    assert desk.run("SELECT lead_id FROM ended_member") == [(2,)]


# --- the place in the log -------------------------------------------------------------------------


def test_a_feed_that_was_sent_back_is_not_moved_on_by_a_page_of_before(desk: Desk) -> None:
    """What ``hold_cursor`` shows is what stands: a page that was asked for at another place does not count."""
    state.start_cursor(desk.database, "activities", state.Cursor("A", at(0)))
    with desk.database.begin() as transaction:
        assert state.hold_cursor(transaction, "activities") == state.Cursor("A", at(0))
        state.move_cursor(transaction, "activities", state.Cursor("B", at(9)))
    with desk.database.begin() as transaction:
        state.move_cursor(transaction, "activities", state.Cursor("A", at(0)))
    with desk.database.begin() as transaction:
        assert state.hold_cursor(transaction, "activities") == state.Cursor("A", at(0))
