"""What becomes of rows that fail, wait, expire, or whose outcome nobody knows."""

import time

import pytest

from syncd.clock import SystemClock
from syncd.core.outbox import Verdict
from syncd.database import operators, outbox
from syncd.database.session import ReplicaSession
from tests.database.desk import Desk

HOUR = 3600.0


# --- time -----------------------------------------------------------------------------------------


def test_a_row_is_not_sent_before_its_time_and_holds_back_its_lead_alone(desk):
    early = desk.email("a@b.com", not_before="2999-01-01")
    behind = desk.email("a@b.com")
    other = desk.email("b@b.com")
    assert desk.send_all() == [[other]]
    assert (desk.state(early), desk.state(behind)) == ("waiting", "blocked")
    assert outbox.next_due(desk.database) > HOUR
    desk.due(early)
    assert outbox.next_due(desk.database) < 0
    assert desk.send_all() == [[early], [behind]]


def test_a_row_whose_time_is_over_expires_and_lets_the_next_go(desk):
    over = desk.email("a@b.com", not_before="2020-01-01", expires_at="2020-01-02")
    behind = desk.email("a@b.com")
    assert desk.send_all() == [[behind]]
    row = desk.row(over)
    assert (row["status"], row["attempts"], row["queue_state"]) == ("expired", 0, None)
    assert row["error_message"] == "it was not sent before expires_at"
    assert row["finished_at"] is not None


def test_a_row_that_waits_for_its_next_attempt_expires_with_its_last_error(desk):
    number = desk.email("a@b.com", expires_at="2999-01-01")
    desk.settle(desk.claim(), "retry", "retrying", due_in=HOUR, error_code="606", error_message="rate limit")
    desk.run("UPDATE outbox_queue SET expires_at = now() - interval '1 second'")
    assert desk.send_all() == []
    assert (desk.status(number), desk.row(number)["error_message"]) == ("expired", "rate limit")


def test_a_row_that_is_being_sent_does_not_expire(desk):
    number = desk.email("a@b.com", expires_at="2999-01-01")
    claim = desk.claim()
    desk.run("UPDATE outbox_queue SET expires_at = now() - interval '1 second'")
    assert desk.claim() is None
    assert desk.status(number) == "sending"
    assert desk.settle(claim) == [number]


# --- another attempt ------------------------------------------------------------------------------


def test_a_row_that_was_turned_away_is_sent_again_when_it_is_due_and_keeps_its_place(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    desk.settle(desk.claim(), "retry", "retrying", due_in=HOUR, error_code="606", error_message="rate limit")
    row = desk.row(first)
    assert (row["status"], row["attempts"], row["error_code"], row["queue_state"]) == (
        "retrying",
        1,
        "606",
        "waiting",
    )
    assert row["next_attempt_at"] is not None
    assert desk.claim() is None
    desk.due(first)
    claim = desk.claim()
    assert [(r.id, r.attempts, r.unknown) for r in claim.rows] == [(first, 2, False)]
    desk.settle(claim)
    assert desk.row(first)["error_message"] is None
    assert desk.send_all() == [[second]]
    assert desk.run("SELECT outbox_id, number, outcome FROM outbox_attempt ORDER BY 1, 2") == [
        (first, 1, "retry"),
        (first, 2, "succeeded"),
        (second, 1, "succeeded"),
    ]


def test_each_row_of_a_call_has_its_own_outcome(desk):
    good, bad, later = (desk.email(f"{n}@b.com") for n in range(3))
    desk.settle_each(
        desk.claim(),
        [
            Verdict(good, "succeeded", "succeeded", lead_id=1),
            Verdict(bad, "failed", "failed", error_code="1003", error_message="Value for field"),
            Verdict(later, "retry", "retrying", error_code="1016", error_message="busy", due_in=HOUR),
        ],
    )
    assert [desk.status(n) for n in (good, bad, later)] == ["succeeded", "failed", "retrying"]
    assert desk.row(bad)["error_code"] == "1003"
    assert desk.unfinished() == 1


def test_a_failed_row_lets_the_next_of_its_lead_go(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    desk.settle(desk.claim(), "failed")
    assert desk.send_all() == [[second]]
    assert desk.status(first) == "failed"


# --- an outcome that nobody knows -----------------------------------------------------------------


def test_while_marketo_may_still_be_working_nothing_of_the_lead_is_sent(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    other = desk.email("b@b.com", "create_only")
    assert desk.unknown() == [first]
    assert desk.status(first) == "retrying"
    assert desk.send_all() == [[other]]
    desk.due(first)
    claim = desk.claim()
    assert [(r.id, r.attempts, r.unknown) for r in claim.rows] == [(first, 2, True)]
    desk.settle(claim)
    assert desk.send_all() == [[second]]


def test_not_even_an_earlier_row_that_committed_late_is_sent_meanwhile(desk):
    with desk.database.begin() as late:
        (early,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        later = desk.email("a@b.com")
        assert desk.unknown() == [later]
    assert desk.claim() is None
    desk.due(later)
    assert desk.send_all() == [[early], [later]]


def test_an_earlier_row_that_came_in_during_the_call_goes_first_afterwards(desk):
    with desk.database.begin() as late:
        (early,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        later = desk.email("a@b.com")
        claim = desk.claim()
    assert desk.claim() is None
    assert desk.state(early) == "blocked"
    desk.settle(claim, "unknown", "retrying", due_in=HOUR, unknown=True, error_message="timed out")
    assert desk.claim() is None
    desk.due(early, later)
    assert desk.send_all() == [[early], [later]]


def test_a_row_of_unknown_outcome_is_not_hurried(desk):
    number = desk.email("a@b.com")
    desk.unknown()
    operators.retry(desk.database, ids=[number], error_code=None)
    assert desk.claim() is None
    assert desk.status(number) == "retrying"


def test_a_row_of_unknown_outcome_that_is_cancelled_is_uncertain_and_its_lead_stays_closed(desk):
    number, behind = desk.email("a@b.com"), desk.email("a@b.com")
    desk.unknown()
    assert operators.cancel(desk.database, [number]) == [number]
    assert desk.status(number) == "uncertain"
    assert desk.claim() is None
    desk.due(number)
    assert desk.send_all() == [[behind]]
    assert desk.state(number) is None


def test_a_row_of_unknown_outcome_that_expires_is_uncertain_not_unsent(desk):
    number, behind = desk.email("a@b.com", expires_at="2999-01-01"), desk.email("a@b.com")
    desk.unknown()
    desk.run("UPDATE outbox_queue SET expires_at = now() - interval '1 second' WHERE outbox_id = %s", number)
    assert desk.claim() is None
    assert desk.status(number) == "retrying"
    desk.due(number)
    assert desk.send_all() == [[behind]]
    row = desk.row(number)
    assert row["status"] == "uncertain"
    assert "timed out" in row["error_message"]


def test_that_an_outcome_was_unknown_is_remembered_over_later_refusals(desk):
    number = desk.email("a@b.com", "create_only")
    desk.unknown(due_in=0)
    desk.settle(desk.claim(), "retry", "retrying", due_in=0, error_message="busy")
    claim = desk.claim()
    assert [(r.id, r.unknown) for r in claim.rows] == [(number, True)]


def test_an_uncertain_row_is_final_but_its_lead_stays_closed_for_a_while(desk):
    first = desk.email("a@b.com", "create_duplicate")
    second = desk.email("a@b.com")
    assert desk.unknown(status="uncertain") == [first]
    row = desk.row(first)
    assert (row["status"], row["queue_state"]) == ("uncertain", "closing")
    assert row["finished_at"] is not None
    assert desk.unfinished() == 1
    assert desk.claim() is None
    assert 0 < outbox.next_due(desk.database) <= HOUR
    desk.due(first)
    assert desk.send_all() == [[second]]
    assert desk.state(first) is None


# --- a process that dies --------------------------------------------------------------------------


def session(desk: Desk) -> ReplicaSession:
    made = ReplicaSession(desk.database, SystemClock(), on_notify=lambda: None, lead=False)
    made.start()
    return made


def test_what_a_living_replica_is_sending_is_its_own_affair(desk):
    desk.email("a@b.com")
    alive = session(desk)
    try:
        claim = desk.claim(replica=alive.replica)
        assert outbox.orphans(desk.database) == []
        desk.settle(claim)
    finally:
        alive.stop()


@pytest.mark.parametrize("how", ["it stopped", "its connection was killed"])
def test_what_a_replica_was_sending_when_its_session_ended_is_found(desk, how):
    rows = [desk.email(f"{n}@b.com") for n in range(2)]
    other = desk.lead_id(9)
    dead = session(desk)
    number = dead.replica
    try:
        first, second = desk.claim(replica=number), desk.claim(replica=number)
        if how == "it stopped":
            dead.stop()
        else:
            desk.run(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s "
                "AND objsubid = 2 AND classid = %s::bigint::oid",
                number,
                desk.database.names.lock_class(0) & 0xFFFFFFFF,
            )
        deadline = time.monotonic() + 10
        while not (found := outbox.orphans(desk.database)):
            assert time.monotonic() < deadline
        assert [(claim.number, [row.id for row in claim.rows]) for claim in found] == [
            (first.number, rows),
            (second.number, [other]),
        ]
        assert found[0].shape == first.shape
        for claim in found:
            desk.settle(claim, "unknown", "retrying", due_in=0, unknown=True)
        assert outbox.orphans(desk.database) == []
        assert sorted(row for call in desk.send_all() for row in call) == [*rows, other]
    finally:
        dead.stop()


def test_a_session_that_was_killed_comes_back_under_a_new_number(desk):
    lively = session(desk)
    try:
        first = lively.replica
        desk.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%%'"
        )
        deadline = time.monotonic() + 10
        while lively.replica in (first, None):
            assert time.monotonic() < deadline
        assert lively.replica > first
    finally:
        lively.stop()


# --- afterwards -----------------------------------------------------------------------------------


def test_finished_rows_of_a_certain_age_are_forgotten_with_their_attempts(desk):
    old, young, waiting = (
        desk.email("a@b.com"),
        desk.email("b@b.com"),
        desk.email("c@b.com", not_before="2999-01-01"),
    )
    desk.send_all()
    desk.run("UPDATE outbox SET finished_at = now() - interval '91 days' WHERE id = %s", old)
    assert outbox.prune(desk.database, days=90) == 1
    assert [n for (n,) in desk.run("SELECT id FROM outbox ORDER BY id")] == [young, waiting]
    assert desk.run("SELECT outbox_id FROM outbox_attempt") == [(young,)]


def test_pruning_goes_step_by_step_until_nothing_is_left(desk):
    for n in range(7):
        desk.email(f"{n}@b.com")
    desk.send_all()
    desk.run("UPDATE outbox SET finished_at = now() - interval '91 days'")
    assert outbox.prune(desk.database, days=90, most=3) == 7
    assert desk.value("SELECT count(*) FROM outbox") == 0


def test_a_row_whose_lead_is_still_closed_is_not_forgotten(desk):
    number = desk.email("a@b.com", "create_duplicate")
    desk.unknown(status="uncertain")
    desk.run("UPDATE outbox SET finished_at = now() - interval '91 days'")
    assert outbox.prune(desk.database, days=90) == 0
    assert desk.status(number) == "uncertain"
