"""What an attempt's outcome means for an outbox row."""

import json

import pytest

from syncd.core.outbox import (
    ClaimedRow,
    Shape,
    after_refusal_to_work,
    after_skip,
    after_unknown_outcome,
    key_of,
)

REPEATABLE = ["create_or_update", "create_only", "update_only", "delete"]


def shape(operation: str = "create_or_update", lookup: str = "email") -> Shape:
    return Shape(operation, lookup, None)


def row(
    *, attempts: int = 1, unknown: bool = False, on_unknown: str = "hold", **payload: object
) -> ClaimedRow:
    return ClaimedRow(7, payload or {"email": "a@b.com"}, attempts, unknown, on_unknown)


def unknown(what: Shape, which: ClaimedRow, *, most: int = 3):
    return after_unknown_outcome(what, which, code="604", reason="timed out", wait=40, attempts_at_most=most)


@pytest.mark.parametrize("operation", REPEATABLE)
def test_a_repeatable_row_of_unknown_outcome_is_tried_again_once_marketo_has_given_up(operation):
    verdict = unknown(shape(operation), row())
    assert (verdict.outcome, verdict.status, verdict.unknown) == ("unknown", "retrying", True)
    assert verdict.due_in == 40
    assert verdict.error_code == "604"


def test_a_duplicate_that_may_have_been_made_is_left_to_a_person():
    verdict = unknown(shape("create_duplicate"), row())
    assert (verdict.outcome, verdict.status, verdict.unknown) == ("unknown", "uncertain", True)
    assert verdict.due_in == 40
    assert "outbox resolve" in (verdict.error_message or "")


def test_a_duplicate_is_made_again_where_the_row_says_so():
    assert unknown(shape("create_duplicate"), row(on_unknown="resend")).status == "retrying"


@pytest.mark.parametrize("operation", REPEATABLE)
def test_the_last_attempts_unknown_outcome_is_no_failure_but_uncertain(operation):
    assert unknown(shape(operation), row(attempts=2)).status == "retrying"
    assert unknown(shape(operation), row(attempts=3)).status == "uncertain"


def test_a_call_that_was_turned_away_is_tried_again_until_the_attempts_are_used_up():
    def refused(attempts: int):
        return after_refusal_to_work(
            row(attempts=attempts), code="606", reason="rate limit", due_in=5, attempts_at_most=3
        )

    first, last = refused(2), refused(3)
    assert (first.outcome, first.status, first.due_in, first.unknown) == ("retry", "retrying", 5, False)
    assert (last.outcome, last.status) == ("failed", "failed")
    assert last.error_message == "rate limit; given up after 3 attempts"


def test_a_skipped_record_fails_with_marketos_reason():
    verdict = after_skip(shape(), row(), code="1003", reason="Value for field")
    assert (verdict.outcome, verdict.status) == ("failed", "failed")
    assert (verdict.error_code, verdict.error_message) == ("1003", "Value for field")


def test_a_lead_that_is_not_found_after_a_deletion_of_unknown_outcome_was_deleted_by_it():
    verdict = after_skip(
        shape("delete", "id"), row(unknown=True, id=42), code="1004", reason="Lead not found"
    )
    assert (verdict.outcome, verdict.status, verdict.lead_id) == ("succeeded", "succeeded", 42)
    assert verdict.result is not None
    assert "proven_by" in verdict.result


@pytest.mark.parametrize(
    ("operation", "seen_unknown", "code"),
    [("delete", False, "1004"), ("delete", True, "1003"), ("update_only", True, "1004")],
)
def test_any_other_skip_proves_nothing(operation, seen_unknown, code):
    verdict = after_skip(shape(operation, "id"), row(unknown=seen_unknown, id=42), code=code, reason="no")
    assert verdict.status == "failed"


def test_a_shape_is_read_as_the_queue_keeps_it():
    assert Shape.parse(json.dumps(["delete", "id", None])) == Shape("delete", "id", None)
    assert Shape.parse('["create_only", "email", "Europe"]') == Shape("create_only", "email", "Europe")


def test_a_row_is_named_by_its_lookup_field():
    assert key_of(shape(lookup="id"), {"id": 42, "email": "a@b.com"}) == "42"
    assert key_of(shape(), {"email": "a@b.com"}) == "a@b.com"
    assert key_of(shape(), {"email": None}) == ""
    assert key_of(shape(), {}) == ""
