"""What an attempt's outcome means for an outbox row."""

import pytest

from syncd.core.operations import CATALOGUE
from syncd.core.outbox import (
    ClaimedRow,
    Shape,
    after_refusal_to_work,
    after_skip,
    after_unknown_outcome,
    key_of,
)

REPEATABLE = sorted(name for name, operation in CATALOGUE.items() if operation.repeat != "never")
NEVER = sorted(set(CATALOGUE) - set(REPEATABLE))


def shape(operation: str = "create_or_update", lookup: str = "email") -> Shape:
    return Shape(operation, lookup, None)


def row(
    *, attempts: int = 1, unknown: bool = False, on_unknown: str = "hold", **payload: object
) -> ClaimedRow:
    lead = payload.get("id")
    named = lead if isinstance(lead, int) else None
    return ClaimedRow(7, payload or {"email": "a@b.com"}, attempts, unknown, on_unknown, lead_id=named)


def unknown(what: Shape, which: ClaimedRow, *, most: int = 3):
    return after_unknown_outcome(what, which, code="604", reason="timed out", wait=40, attempts_at_most=most)


@pytest.mark.parametrize("operation", REPEATABLE)
def test_a_repeatable_row_of_unknown_outcome_is_tried_again_once_marketo_has_given_up(operation):
    verdict = unknown(shape(operation), row())
    assert (verdict.outcome, verdict.status, verdict.unknown) == ("unknown", "retrying", True)
    assert verdict.due_in == 40
    assert verdict.error_code == "604"


def test_these_operations_hurt_when_they_are_repeated():
    assert NEVER == ["create_duplicate", "push", "submit_form", "trigger_campaign"]


@pytest.mark.parametrize("operation", NEVER)
def test_what_hurts_when_it_is_repeated_is_left_to_a_person(operation):
    verdict = unknown(shape(operation), row())
    assert (verdict.outcome, verdict.status, verdict.unknown) == ("unknown", "uncertain", True)
    assert verdict.due_in == 40
    assert "outbox resolve" in (verdict.error_message or "")


@pytest.mark.parametrize("operation", NEVER)
def test_it_is_repeated_where_the_row_says_so(operation):
    assert unknown(shape(operation), row(on_unknown="resend")).status == "retrying"


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


def test_a_status_that_is_reached_already_proves_an_earlier_attempt_and_nothing_else():
    told = {"code": "1037", "reason": "already in or past this status"}
    sure, doubted = row(id=42), row(unknown=True, id=42)
    assert after_skip(shape("set_program_status", "id"), sure, **told).status == "failed"
    verdict = after_skip(shape("set_program_status", "id"), doubted, **told)
    assert verdict.status == "succeeded"
    assert "proven_by" in (verdict.result or {})


@pytest.mark.parametrize(
    ("operation", "code"), [("remove_from_list", "1015"), ("remove_from_program", "1037")]
)
def test_a_lead_that_is_not_there_need_not_be_taken_away(operation, code):
    verdict = after_skip(shape(operation, "id"), row(id=42), code=code, reason="Lead not in list")
    assert verdict.status == "succeeded"
    assert verdict.result == {"id": 42, "status": "skipped", "code": code, "message": "Lead not in list"}


def test_a_row_is_named_by_its_lookup_field():
    assert key_of(shape(lookup="id"), {"id": 42, "email": "a@b.com"}) == "42"
    assert key_of(shape(), {"email": "a@b.com"}) == "a@b.com"
    assert key_of(shape(), {"email": None}) == ""
    assert key_of(shape(), {}) == ""
