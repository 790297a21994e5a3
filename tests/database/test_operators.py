"""What a person can do about rows: cancel, try again, list and resolve."""

from datetime import timedelta

import pytest

from syncd.core.outbox import Verdict
from syncd.database import operators

HOUR = 3600.0


def test_a_row_that_waits_can_be_cancelled_and_lets_the_next_go(desk):
    first, second, third = (desk.email("a@b.com") for _ in range(3))
    assert operators.cancel(desk.database, [first, second, 999]) == [first, second]
    assert [desk.status(n) for n in (first, second, third)] == ["cancelled", "cancelled", "pending"]
    assert desk.send_all() == [[third]]


def test_the_row_behind_a_cancelled_one_goes_though_both_were_sorted(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    desk.tidy()
    assert desk.state(second) == "blocked"
    operators.cancel(desk.database, [first])
    assert desk.send_all() == [[second]]


def test_a_row_that_is_being_sent_or_is_over_cannot_be_cancelled(desk):
    done = desk.email("a@b.com")
    desk.send_all()
    sending = desk.email("b@b.com")
    desk.claim()
    assert operators.cancel(desk.database, [done, sending]) == []
    assert [desk.status(n) for n in (done, sending)] == ["succeeded", "sending"]


@pytest.mark.parametrize("how", ["failed", "cancelled", "expired"])
def test_what_ended_badly_can_be_tried_again(desk, how):
    if how == "expired":
        number = desk.email("a@b.com", expires_at="2020-01-01")
        assert desk.send_all() == []
        desk.run("UPDATE outbox SET expires_at = '2999-01-01'")
    else:
        number = desk.email("a@b.com")
        if how == "cancelled":
            operators.cancel(desk.database, [number])
        else:
            desk.settle(desk.claim(), "failed", error_code="1003")
    assert desk.status(number) == how
    assert operators.retry(desk.database, ids=[number], error_code=None) == [number]
    row = desk.row(number)
    assert (row["status"], row["finished_at"], row["queue_state"]) == ("pending", None, "new")
    assert desk.send_all() == [[number]]
    assert desk.status(number) == "succeeded"


def test_all_rows_of_one_error_can_be_tried_again_together(desk):
    rows = [desk.email(f"{n}@b.com") for n in range(3)]
    claim = desk.claim()
    codes = ["1003", "1008", "1003"]
    desk.settle_each(
        claim,
        [
            Verdict(n, "failed", "failed", error_code=c, error_message="no")
            for n, c in zip(rows, codes, strict=True)
        ],
    )
    assert operators.retry(desk.database, ids=None, error_code="1003") == [rows[0], rows[2]]
    assert desk.send_all() == [[rows[0], rows[2]]]


def test_rows_that_failed_in_a_time_can_be_tried_again_together(desk):
    rows = [desk.email(f"{n}@b.com") for n in range(4)]
    desk.settle(desk.claim(), "failed", error_code="1003")
    for days, number in enumerate(rows):
        desk.run("UPDATE outbox SET finished_at = now() - %s * interval '1 day' WHERE id = %s", days, number)
    operators.cancel(desk.database, [desk.email("c@b.com")])
    now = desk.value("SELECT now()")
    since, until = now - timedelta(days=2.5), now - timedelta(days=0.5)
    assert operators.retry(desk.database, ids=None, error_code="1008", since=since, until=until) == []
    assert operators.retry(desk.database, ids=None, error_code=None, since=since, until=until) == rows[1:3]
    assert operators.retry(desk.database, ids=None, error_code="1003", since=until) == rows[:1]


def test_rows_are_listed_by_state_lead_and_time(desk):
    desk.mirror((42, "a@b.com"))
    named, other = desk.lead_id(42), desk.email("c@b.com")
    assert desk.claimed() == [named]
    known = desk.email("a@b.com")

    def ids(**choice):
        return [row["id"] for row in operators.listed(desk.database, most=10, **choice)]

    assert ids() == [known, other, named]
    assert ids(lead_id=42) == [named]
    assert ids(statuses=["pending", "succeeded"], operation="create_or_update") == [known, other]
    now = desk.value("SELECT now()")
    assert ids(since=now + timedelta(minutes=1)) == ids(until=now - timedelta(minutes=1)) == []


def test_what_succeeded_or_expired_for_good_is_not_tried_again(desk):
    done = desk.email("a@b.com")
    over = desk.email("b@b.com", expires_at="2020-01-01")
    desk.send_all()
    assert operators.retry(desk.database, ids=[done, over], error_code=None) == []


def test_a_row_that_waits_for_its_next_attempt_can_be_hurried(desk):
    number = desk.email("a@b.com")
    desk.settle(desk.claim(), "retry", "retrying", due_in=HOUR, error_message="busy")
    assert desk.claim() is None
    assert operators.retry(desk.database, ids=[number], error_code=None) == [number]
    assert desk.send_all() == [[number]]


def test_a_row_tried_again_takes_its_old_place_before_later_rows(desk):
    first = desk.email("a@b.com")
    desk.settle(desk.claim(), "failed")
    second = desk.email("a@b.com")
    desk.tidy()
    operators.retry(desk.database, ids=[first], error_code=None)
    assert desk.send_all() == [[first], [second]]


@pytest.mark.parametrize(("verdict", "lead"), [("succeeded", 42), ("failed", None)])
def test_an_uncertain_row_is_closed_by_a_person(desk, verdict, lead):
    number = desk.email("a@b.com", "create_duplicate")
    desk.unknown(due_in=0, status="uncertain")
    assert operators.resolve(desk.database, [number], as_status=verdict, lead_id=lead) == [number]
    row = desk.row(number)
    assert (row["status"], row["lead_id"]) == (verdict, lead)
    assert row["result"]["resolved_by"] == desk.value("SELECT session_user")
    assert desk.claim() is None
    assert desk.state(number) is None


def test_an_uncertain_row_is_sent_again_where_a_person_says_so_but_not_too_soon(desk):
    number = desk.email("a@b.com", "create_duplicate")
    desk.unknown(status="uncertain")
    assert operators.resolve(desk.database, [number], as_status="resend", lead_id=None) == []
    desk.due(number)
    desk.tidy()
    assert operators.resolve(desk.database, [number], as_status="resend", lead_id=None) == [number]
    assert desk.send_all() == [[number]]


def test_only_uncertain_rows_are_resolved(desk):
    number = desk.email("a@b.com")
    for how in ("succeeded", "failed", "resend"):
        assert operators.resolve(desk.database, [number], as_status=how, lead_id=None) == []
    assert desk.status(number) == "pending"
