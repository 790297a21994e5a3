"""options.on_failure: a row that ends badly and holds back what is behind it, until a person decides."""

from datetime import timedelta

import pytest

from syncd.clock import SystemClock
from syncd.core.story import told
from syncd.database import operators, outbox
from tests.database.desk import Desk

HALT = {"on_failure": "halt"}


def halted(desk: Desk, outcome: str = "failed") -> tuple[int, int, int]:
    """Let the first of three rows end badly, of which the third touches another lead; return their ids."""
    first = desk.email("a@b.com", options=HALT)
    behind = desk.email("A@B.com")
    other = desk.email("b@b.com")
    code = {"error_code": "conflict", "error_message": "no"} if outcome == "conflict" else {}
    desk.settle(desk.claim(1), outcome, **code)
    return first, behind, other


@pytest.mark.parametrize("outcome", ["failed", "conflict"])
def test_a_row_that_halts_holds_back_its_lead_alone_and_goes_by_release(desk, outcome):
    first, behind, other = halted(desk, outcome)
    assert desk.send_all() == [[other]]
    assert (desk.status(first), desk.state(first), desk.state(behind)) == (outcome, "halted", "blocked")
    assert outbox.stands_still(desk.database)
    assert not outbox.busy(desk.database)
    assert operators.release(desk.database, [first, behind]) == [first]
    assert desk.send_all() == [[behind]]
    assert desk.status(first) == outcome
    assert operators.release(desk.database, [first]) == []


def test_a_row_that_succeeds_or_may_continue_holds_nothing_back(desk):
    good = desk.email("a@b.com", options=HALT)
    desk.send_next()
    bad = desk.email("a@b.com", options={"on_failure": "continue"})
    desk.settle(desk.claim(), "failed")
    last = desk.email("a@b.com")
    assert desk.send_all() == [[last]]
    assert (desk.status(good), desk.status(bad)) == ("succeeded", "failed")


def test_a_halted_row_that_is_tried_again_keeps_its_place(desk):
    first, behind, _ = halted(desk)
    later = desk.email("a@b.com")
    assert operators.retry(desk.database, ids=[first], error_code=None) == [first]
    desk.send_all()
    order = [row for (row,) in desk.run("SELECT outbox_id FROM outbox_attempt ORDER BY claim, outbox_id")]
    assert [row for row in order if row in {first, behind, later}] == [first, first, behind, later]


def test_a_row_that_failed_again_halts_again_and_one_that_is_cancelled_does_not(desk):
    first, behind, other = halted(desk)
    desk.send_all()
    operators.retry(desk.database, ids=[first], error_code=None)
    desk.settle(desk.claim(), "failed")
    assert desk.send_all() == []
    operators.retry(desk.database, ids=[first], error_code=None)
    assert operators.cancel(desk.database, [first]) == [first]
    assert desk.send_all() == [[behind]]
    assert desk.status(other) == "succeeded"


def test_a_row_that_expires_halts_too(desk):
    first = desk.email("a@b.com", options=HALT, expires_at=SystemClock().now() + timedelta(hours=1))
    behind = desk.email("a@b.com")
    assert desk.claimed(1) == [first]
    desk.run("UPDATE outbox_queue SET state = 'ready', claim = NULL, replica = NULL, claimed_at = NULL")
    desk.run("UPDATE outbox_key SET busy = false")
    desk.run("UPDATE outbox_queue SET expires_at = now() - interval '1 second' WHERE outbox_id = %s", first)
    assert desk.send_all() == []
    assert (desk.status(first), desk.state(first)) == ("expired", "halted")
    assert operators.release(desk.database, [first]) == [first]
    assert desk.send_all() == [[behind]]


@pytest.mark.parametrize(
    ("verdict", "goes"), [("succeeded", "behind"), ("failed", "nothing"), ("resend", "both")]
)
def test_an_uncertain_row_halts_after_its_keys_are_open_until_it_is_resolved(desk, verdict, goes):
    first = desk.email("a@b.com", "create_duplicate", options=HALT)
    behind = desk.email("a@b.com")
    desk.settle(
        desk.claim(), "unknown", "uncertain", due_in=60.0, unknown=True, error_code="604", error_message="?"
    )
    assert desk.state(first) == "closing"
    desk.due(first)
    assert desk.send_all() == []
    assert desk.state(first) == "halted"
    assert operators.resolve(desk.database, [first], as_status=verdict, lead_id=None) == [first]
    sent = [row for call in desk.send_all() for row in call]
    assert sent == {"behind": [behind], "nothing": [], "both": [first, behind]}[goes]
    if goes == "nothing":
        assert operators.release(desk.database, [first]) == [first]
        assert desk.send_all() == [[behind]]


def test_a_row_that_halts_never_shares_a_record_and_is_not_pruned(desk):
    first, behind, _ = halted(desk)
    desk.run("UPDATE outbox SET finished_at = now() - interval '9 years' WHERE id = %s", first)
    assert outbox.prune(desk.database, days=1) == 0
    operators.release(desk.database, [first])
    assert outbox.prune(desk.database, days=1) == 1
    rows = [desk.email("c@b.com"), desk.email("c@b.com", options=HALT), desk.email("c@b.com")]
    desk.run("DELETE FROM outbox WHERE id = %s", behind)
    heads = []
    while claim := outbox.claim(desk.database, replica=1, most=300, coalesce=True):
        heads.append([row.id for row in claim.rows if row.id in rows])
        desk.settle(claim)
    assert [call for call in heads if call] == [[row] for row in rows]


def test_a_person_sees_what_halts_and_what_to_do(desk):
    first, behind, other = halted(desk)
    assert [row["id"] for row in operators.listed(desk.database, most=9, halted=True)] == [first]
    assert len(operators.listed(desk.database, most=9)) == 3
    story = "\n".join(told(operators.story(desk.database, first)))
    assert f"syncd outbox release {first}" in story
    assert f"It waits for row {first} (failed)" in "\n".join(told(operators.story(desk.database, behind)))
    assert desk.state(other) == "ready"


@pytest.mark.parametrize("value", ["stop", True, None, ["halt"]])
def test_another_word_for_it_is_refused_at_insert(desk, value):
    with pytest.raises(Exception, match='option on_failure: it must be "halt" or "continue"'):
        desk.email("a@b.com", options={"on_failure": value})
