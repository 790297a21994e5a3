"""The queue behind the outbox: which rows may go, in which order, in which call."""

import threading
from random import Random

import pytest

from syncd.database import outbox
from syncd.database.engine import QUEUE_LOCK
from syncd.errors import DatabaseProblem
from tests.database.desk import Desk


def test_nothing_waits_in_an_empty_outbox(desk):
    assert desk.claim() is None
    assert outbox.next_due(desk.database) is None
    assert desk.unfinished() == 0


def test_a_row_goes_from_pending_over_sending_to_succeeded(desk):
    number = desk.email("a@b.com")
    claim = desk.claim(replica=7)
    assert claim is not None
    assert claim.shape.operation == "create_or_update"
    assert claim.shape.lookup_field == "email"
    assert [(r.id, r.payload, r.attempts, r.unknown) for r in claim.rows] == [
        (number, {"email": "a@b.com"}, 1, False)
    ]
    during = desk.row(number)
    assert (during["status"], during["queue_state"], during["attempts"]) == ("sending", "sending", 1)
    assert during["first_sent_at"] is not None
    assert during["finished_at"] is None

    assert desk.settle(claim, lead_id=42, result={"id": 42, "status": "created"}) == [number]
    after = desk.row(number)
    assert (after["status"], after["queue_state"], after["lead_id"]) == ("succeeded", None, 42)
    assert after["result"] == {"id": 42, "status": "created"}
    assert after["finished_at"] is not None
    assert after["request_id"] == "req#1"
    ((attempt, replica, outcome, endpoint),) = desk.run(
        "SELECT number, replica, outcome, endpoint FROM outbox_attempt"
    )
    assert (attempt, replica, outcome, endpoint) == (1, 7, "succeeded", "Sync Leads")
    assert desk.value("SELECT count(*) FROM outbox_key") == 0


def test_rows_of_different_leads_share_a_call_up_to_its_limit(desk):
    rows = [desk.email(f"{n}@b.com") for n in range(7)]
    assert desk.claimed(most=5) == rows[:5]
    assert desk.claimed(most=5) == rows[5:]


def test_only_rows_of_one_shape_share_a_call_and_the_oldest_row_chooses_it(desk):
    first = desk.email("a@b.com")
    second = desk.email("b@b.com", "create_only")
    third = desk.email("c@b.com", partition_name="Europe")
    fourth = desk.lead_id(4)
    fifth = desk.email("e@b.com")
    assert desk.send_all() == [[first, fifth], [second], [third], [fourth]]


def test_a_row_that_names_its_lead_by_id_has_a_shape_of_its_own(desk):
    by_id, by_email = desk.lead_id(4), desk.email("a@b.com", "update_only")
    claims = [desk.claim(), desk.claim()]
    assert [claim.shape.lookup_field for claim in claims if claim] == ["id", "email"]
    assert [claim.rows[0].id for claim in claims if claim] == [by_id, by_email]


def test_a_call_holds_no_more_bytes_than_marketo_takes(desk):
    big = [desk.insert(payload={"email": f"{n}@b.com", "note": "x" * 400_000}) for n in range(4)]
    assert desk.claimed() == big[:2]
    assert desk.claimed() == big[2:]


def test_bytes_are_counted_not_characters(desk):
    big = [desk.insert(payload={"email": f"{n}@b.com", "note": "é" * 300_000}) for n in range(2)]
    assert desk.claimed() == big[:1]


def test_a_row_that_is_too_big_to_share_goes_alone(desk):
    small = desk.email("a@b.com")
    big = desk.insert(payload={"email": "b@b.com", "note": "x" * 899_960})
    last = desk.email("c@b.com")
    assert desk.claimed() == [small]
    assert desk.claimed() == [big]
    assert desk.claimed() == [last]


def test_one_leads_rows_go_one_after_the_other_in_the_order_of_their_ids(desk):
    rows = [desk.email("a@b.com") for _ in range(4)]
    assert desk.send_all() == [[row] for row in rows]


def test_a_row_waits_while_an_earlier_one_of_its_lead_is_being_sent(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    claim = desk.claim()
    assert [row.id for row in claim.rows] == [first]
    assert desk.claim() is None
    desk.settle(claim, "failed")
    assert desk.claimed() == [second]


@pytest.mark.parametrize(
    ("mine", "yours"),
    [
        ({"email": "A@B.com"}, {"email": "a@b.COM"}),
        ({"email": " a@b.com "}, {"email": "a@b.com"}),
        ({"email": "É@b.com"}, {"email": "É@b.com"}),
    ],
)
def test_an_address_is_the_same_whatever_its_case_and_edges(desk, mine, yours):
    first, second = desk.insert(payload=mine), desk.insert(payload=yours)
    assert desk.send_all() == [[first], [second]]


def test_an_id_is_the_same_as_a_number_or_as_text(desk):
    first, second = desk.insert("update_only", {"id": 42}), desk.insert("update_only", {"id": "42"})
    assert desk.send_all() == [[first], [second]]


def test_another_lookup_field_names_leads_too(desk):
    def external(value: object) -> int:
        return desk.insert(payload={"externalId": value}, lookup_field="externalId")

    first, second, other = external("X7"), external("x7"), external("X8")
    assert desk.send_all() == [[first, other], [second]]


def test_a_payload_that_names_an_address_besides_its_id_touches_both(desk):
    change = desk.insert("update_only", {"id": 42, "email": "new@b.com"})
    create = desk.email("new@b.com")
    update = desk.lead_id(42)
    assert desk.claimed() == [change]
    assert desk.claim() is None
    assert [desk.state(row) for row in (create, update)] == ["blocked", "blocked"]


@pytest.mark.parametrize("by_email_first", [True, False])
def test_an_address_and_an_id_of_one_lead_keep_their_order_through_the_mirror(desk, by_email_first):
    desk.mirror((42, "a@b.com"), (43, "z@b.com"))
    write = [lambda: desk.email("A@b.com"), lambda: desk.lead_id(42)]
    first, second = [one() for one in (write if by_email_first else reversed(write))]
    stranger = desk.lead_id(43)
    claims = [desk.claim(), desk.claim()]
    sent = sorted(row.id for claim in claims if claim for row in claim.rows)
    assert sent == [first, stranger]
    assert desk.claim() is None
    for claim in claims:
        if claim:
            desk.settle(claim)
    assert desk.send_all() == [[second]]


def test_every_lead_that_bears_an_address_is_touched_by_it(desk):
    desk.mirror((1, "twin@b.com"), (2, "TWIN@b.com"))
    rows = [desk.lead_id(1), desk.email("twin@b.com"), desk.lead_id(2)]
    assert desk.send_all() == [[row] for row in rows]


def test_a_deleted_lead_lends_its_address_to_nobody(desk):
    desk.mirror((1, "a@b.com"))
    desk.run("UPDATE lead SET _deleted_at = now()")
    by_email, by_id = desk.email("a@b.com"), desk.lead_id(1, "delete")
    assert desk.claimed() == [by_email]
    assert desk.claimed() in ([by_id], [])  # its own row knows the address still: that is cautious, not wrong


def test_what_the_mirror_learns_from_the_first_row_orders_the_next(desk):
    create = desk.email("new@b.com")
    claim = desk.claim()
    desk.mirror((77, "new@b.com"))
    desk.settle(claim)
    by_id = desk.lead_id(77)
    by_email = desk.email("new@b.com")
    assert create < by_id
    assert desk.send_all() == [[by_id], [by_email]]


def test_a_row_that_commits_late_still_goes_before_a_later_one_that_waits(desk):
    with desk.database.begin() as late:
        (early,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        later = desk.email("a@b.com")
        desk.tidy()
        assert desk.state(later) == "ready"
    assert desk.send_all() == [[early], [later]]


def test_a_row_that_commits_late_waits_for_a_later_one_that_is_being_sent(desk):
    with desk.database.begin() as late:
        (early,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        later = desk.email("a@b.com")
        claim = desk.claim()
        assert [row.id for row in claim.rows] == [later]
    assert desk.claim() is None
    desk.settle(claim)
    assert desk.send_all() == [[early]]


def test_a_stuck_lead_does_not_hold_up_others(desk):
    stuck = [desk.email("stuck@b.com") for _ in range(200)]
    free = [desk.email(f"{n}@b.com") for n in range(50)]
    claim = desk.claim(most=300)
    assert [row.id for row in claim.rows] == [stuck[0], *free]
    others = desk.email("other@b.com")
    assert desk.claimed() == [others]


def test_rows_taken_in_a_few_at_a_time_keep_their_order(desk, monkeypatch):
    monkeypatch.setattr(outbox, "SORT_AT_ONCE", 3)
    rows = [desk.email(f"{n % 4}@b.com") for n in range(12)]
    calls = desk.send_all()
    assert sorted(row for call in calls for row in call) == rows
    for n in range(4):
        assert [row for call in calls for row in call if row in rows[n::4]] == rows[n::4]


def test_a_row_with_a_very_long_name_is_sent_like_any_other(desk):
    """Before the schema is known nothing limits a value, and an index entry holds 2,700 bytes."""
    noise = Random(1).randbytes(5000).hex()
    first = desk.email(f"{noise}@b.com")
    second = desk.email(f"{noise}@b.com")
    third = desk.insert(payload={"externalId": noise}, lookup_field="externalId")
    other = desk.email("a@b.com")
    calls = desk.send_all()
    assert sorted(row for call in calls for row in call) == [first, second, third, other]
    assert [row for call in calls for row in call if row in (first, second)] == [first, second]


def test_a_settlement_of_a_claim_that_was_taken_over_changes_nothing(desk):
    number = desk.email("a@b.com")
    old = desk.claim(replica=1)
    desk.settle(old, "unknown", "retrying", unknown=True)
    desk.due(number)
    new = desk.claim(replica=2)
    assert new.number != old.number
    assert desk.settle(old, "succeeded") == []
    assert desk.status(number) == "sending"
    assert desk.settle(new, "succeeded") == [number]


def test_a_row_that_was_not_sent_after_all_is_pending_as_before(desk):
    number = desk.email("a@b.com")
    desk.settle(desk.claim(), "not_sent", "pending")
    row = desk.row(number)
    assert (row["status"], row["attempts"], row["first_sent_at"], row["queue_state"]) == (
        "pending",
        0,
        None,
        "ready",
    )
    assert desk.run("SELECT FROM outbox_attempt") == []
    assert desk.send_all() == [[number]]


def test_two_workers_at_once_never_get_the_same_row(desk):
    rows = [desk.email(f"{n}@b.com") for n in range(100)]
    got: list[int] = []

    def work() -> None:
        while claimed := desk.claimed(most=7):
            got.extend(claimed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == rows


def test_claims_see_each_other_whatever_isolation_the_database_prefers(desk: Desk):
    """Under repeatable read a claim that waited for the lock would not see what was claimed meanwhile."""
    name = desk.value("SELECT current_database()")
    desk.run(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
    desk.database.close()
    assert [desk.email("a@b.com"), desk.email("a@b.com")] == [1, 2]
    results: list[object] = []

    def claim() -> None:
        try:
            results.append(desk.claimed())
        except DatabaseProblem as problem:
            results.append(problem)

    with desk.database.begin() as holder:
        holder.lock(QUEUE_LOCK)
        threads = [threading.Thread(target=claim) for _ in range(2)]
        for thread in threads:
            thread.start()
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        while desk.value(waiting) < 2:
            pass
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [[1], []]
