"""Races and odd values that a mirror and an outbox meet sooner or later."""

import os
import time

import pytest

from syncd.database import operators
from syncd.mirror import changes, dirty
from tests.sync.inside import DELETE, READ, SYNC, Inside, beside


def test_a_lead_that_is_deleted_while_it_is_being_read_stays_deleted(filled: Inside) -> None:
    filled.simulator.edit_lead(5, lastName="Changed")
    changes.pull(filled.feeds)
    filled.simulator.fault("delay", READ, phase="after", seconds=0.7)
    with beside(lambda: dirty.pull(filled.feeds)):
        time.sleep(0.3)
        filled.simulator.delete_lead(5)
        changes.pull(filled.feeds)
    lead = filled.lead(5)
    assert lead is not None
    assert lead["_deleted_at"] is not None
    filled.proven()


def test_a_lead_that_the_outbox_deletes_while_it_is_being_read_stays_deleted(filled: Inside) -> None:
    filled.simulator.edit_lead(5, lastName="Changed")
    changes.pull(filled.feeds)
    filled.simulator.fault("delay", READ, phase="after", seconds=0.7)
    with beside(lambda: dirty.pull(filled.feeds)):
        time.sleep(0.3)
        filled.carry_all([("delete", {"id": 5})])
    lead = filled.lead(5)
    assert lead is not None
    assert lead["_deleted_at"] is not None


def test_a_nul_character_in_a_changed_value_stops_no_page(filled: Inside) -> None:
    filled.simulator.edit_lead(5, lastName="before\0after")
    filled.simulator.edit_lead(6, lastName="Plain")
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "beforeafter"
    assert filled.value("SELECT last_name FROM lead WHERE id = 6") == "Plain"


def test_a_row_with_an_endless_key_holds_nobody_up(filled: Inside) -> None:
    long = os.urandom(6000).hex() + "@example.com"
    endless, other = filled.carry_all(
        [("delete", {"email": long}), ("update_only", {"id": 3, "lastName": "Other"})]
    )
    assert (endless["status"], endless["error_code"]) == ("failed", "1004")
    assert other["status"] == "succeeded"


def test_a_deletion_by_address_that_took_effect_unseen_is_a_success(filled: Inside) -> None:
    email = filled.value("SELECT email FROM lead WHERE id = 7")
    filled.simulator.fault("reset", DELETE, phase="after")
    number = filled.insert("delete", {"email": email})
    assert filled.step()
    assert filled.row(number)["status"] == "retrying"
    filled.catch_up()
    filled.carry()
    row = filled.row(number)
    assert (row["status"], row["lead_id"]) == ("succeeded", 7), row["error_message"]


@pytest.fixture
def in_doubt(conf: dict[str, dict[str, object]], request: pytest.FixtureRequest) -> tuple[Inside, int]:
    """A creation of which nobody knows whether Marketo is still at it; its key must stay closed for three seconds."""
    conf["outbox"]["unknown_outcome_wait_seconds"] = 3.0
    filled: Inside = request.getfixturevalue("filled")
    filled.simulator.fault("reset", SYNC, phase="after")
    number = filled.insert("create_or_update", {"email": "doubt@example.com", "lastName": "One"})
    assert filled.step()
    assert filled.row(number)["status"] == "retrying"
    return filled, number


def test_a_retry_by_hand_does_not_hurry_a_row_that_marketo_may_still_be_at(
    in_doubt: tuple[Inside, int],
) -> None:
    filled, number = in_doubt
    operators.retry(filled.app.database, ids=[number], error_code=None)
    assert not filled.step(), (
        "a second request for the same new lead went out while the first may still be at work"
    )


def test_a_cancelled_row_in_doubt_keeps_its_key_closed_and_ends_as_uncertain(
    in_doubt: tuple[Inside, int],
) -> None:
    filled, number = in_doubt
    filled.insert("create_or_update", {"email": "doubt@example.com", "lastName": "Two"})
    operators.cancel(filled.app.database, [number])
    assert not filled.step(), (
        "a second request for the same new lead went out while the first may still be at work"
    )
    assert filled.row(number)["status"] == "uncertain"


def test_a_row_in_doubt_that_expires_keeps_its_key_closed_and_ends_as_uncertain(
    in_doubt: tuple[Inside, int],
) -> None:
    filled, number = in_doubt
    filled.insert("create_or_update", {"email": "doubt@example.com", "lastName": "Two"})
    filled.sql("UPDATE outbox SET expires_at = clock_timestamp() WHERE id = %s", number)
    filled.sql("UPDATE outbox_queue SET expires_at = clock_timestamp() WHERE outbox_id = %s", number)
    assert not filled.step(), (
        "a second request for the same new lead went out while the first may still be at work"
    )
    filled.carry()
    assert filled.row(number)["status"] == "uncertain"
    assert filled.calls(SYNC) == 2


def test_a_lead_that_was_there_before_does_not_prove_a_creation(filled: Inside) -> None:
    email = filled.value("SELECT email FROM lead WHERE id = 9")
    name = filled.value("SELECT last_name FROM lead WHERE id = 9")
    filled.simulator.fault("reset", SYNC, phase="before")
    (row,) = filled.carry_all([("create_only", {"email": email, "lastName": "Not This"})])
    assert (row["status"], row["error_code"]) == ("failed", "1005")
    assert filled.value("SELECT last_name FROM lead WHERE id = 9") == name


def test_a_database_error_that_nobody_foresaw_stops_no_worker_for_good(filled: Inside) -> None:
    filled.sql("ALTER TABLE outbox_key ADD CONSTRAINT surprise CHECK (key NOT LIKE 'lead:8%%')")
    number = filled.insert("update_only", {"id": 8, "lastName": "Late"})
    filled.drain.start()
    time.sleep(0.5)
    assert filled.row(number)["status"] == "pending"
    filled.sql("ALTER TABLE outbox_key DROP CONSTRAINT surprise")
    filled.until(lambda: filled.row(number)["status"] == "succeeded")
    filled.drain.stop(timeout=5)
