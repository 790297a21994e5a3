"""One odd row ends by itself: no other row goes with it, and none waits for it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from syncd import simulator as marketo
from syncd.core.codes import without_values
from syncd.core.locks import same
from tests.sync.inside import SYNC, Inside
from tests.sync.test_outbox import fault

LIST = '{"listId": 1001}'
ADD = "POST /rest/v1/lists/{listId}/leads.json"


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=60, history_days=20, limits=False, export_seconds=0.05, race_ms=0)


def statuses(inside: Inside, numbers: list[int]) -> list[tuple[str, str | None]]:
    return [(row["status"], row["error_code"]) for row in map(inside.row, numbers)]


@pytest.mark.parametrize("column", ["not_before", "expires_at", "if_unchanged_since"])
@pytest.mark.parametrize("time", ["-infinity", "infinity", "0044-03-15 BC", "20000-01-01"])
def test_a_time_outside_the_calendar_is_refused(inside: Inside, column: str, time: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        inside.insert("update_only", {"id": 1, "city": "X"}, **{column: time})


def test_a_lock_that_is_no_number_harms_no_other_row(filled: Inside) -> None:
    assert not same("sNaN", 5)
    assert not same(5, "Infinity")
    assert same("5.0", 5)
    assert same(Decimal(5), "5")
    ids = [
        filled.insert("update_only", {"id": 1, "city": "X"}, if_matches='{"leadScore": "sNaN"}'),
        filled.insert("update_only", {"id": 2, "city": "Good"}),
    ]
    filled.carry()
    assert [status for status, _ in statuses(filled, ids)] == ["conflict", "succeeded"]


def test_a_value_that_marketo_refuses_to_look_for_fails_its_own_row(filled: Inside) -> None:
    for n in range(1005):
        filled.simulator.create_lead(email=f"many{n}@example.com", sfdcAccountId="Shared")
    filled.simulator.create_lead(email="one@example.com", sfdcAccountId="Own")
    columns = {"lookup_field": "sfdcAccountId", "options": LIST}
    ids = [filled.insert("add_to_list", {"sfdcAccountId": name}, **columns) for name in ("Shared", "Own")]
    filled.carry()
    assert statuses(filled, ids) == [("failed", "1003"), ("succeeded", None)]


@pytest.mark.parametrize("blank", ["\t", "\u00a0", "\u3000"])
def test_a_blank_name_names_nobody_and_is_not_asked_for(filled: Inside, blank: str) -> None:
    known = filled.value("SELECT email FROM lead WHERE id = 7")
    ids = [filled.insert("add_to_list", {"email": name}, options=LIST) for name in (blank, known)]
    filled.carry()
    assert statuses(filled, ids) == [("failed", "1004"), ("succeeded", None)]


def test_a_creation_in_doubt_that_can_t_be_looked_for_ends_and_the_one_beside_it_is_found(
    filled: Inside,
) -> None:
    fault(filled.simulator, "reset", "after")
    names = ('"a,b"@example.com', "beside@example.com", "  blanks@example.com")
    ids = filled.insert_all([("create_only", {"email": name}) for name in names])
    filled.carry(60.0)
    assert [status for status, _ in statuses(filled, ids)] == ["uncertain", "succeeded", "succeeded"]
    assert filled.calls(SYNC) == 1


@pytest.mark.parametrize("blank", ["\t", "\u00a0", "\u3000"])
def test_blanks_of_any_kind_around_a_name_make_no_other_lead_of_it(filled: Inside, blank: str) -> None:
    lead = filled.simulator.create_lead(email="blank@example.com")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    first = filled.insert(
        "update_only", {"email": f"{blank}blank@example.com", "city": "First"}, not_before=soon
    )
    second = filled.insert("update_only", {"email": "Blank@example.com", "city": "Second"})
    assert not filled.step(), "the second waits for the first"
    filled.carry()
    assert statuses(filled, [first, second]) == [("succeeded", None)] * 2
    assert filled.simulator.lead(lead)["city"] == "Second"


@pytest.mark.parametrize(
    "record",
    [
        {"id": 3, "status": "notfound", "reasons": [{"code": "1004", "message": "Lead not found"}]},
        {"id": 3, "status": "Skipped", "reasons": [{"code": "1004", "message": "Lead not found"}]},
    ],
)
def test_a_record_with_reasons_was_not_taken_whatever_its_status_is_called(
    filled: Inside, record: dict[str, Any]
) -> None:
    body = marketo_answer([record])
    filled.simulator.fault("http", ADD, status=200, body=body, count=1)
    number = filled.insert("add_to_list", {"id": 3}, options=LIST)
    filled.carry()
    assert statuses(filled, [number]) == [("failed", "1004")]


def marketo_answer(result: list[Any]) -> str:
    return json.dumps({"requestId": "a\0#18f0a0b0c0d", "success": True, "result": result})


def test_a_request_id_with_a_character_that_postgresql_can_t_hold_is_kept_without_it(filled: Inside) -> None:
    body = marketo_answer([{"id": 3, "status": "updated"}])
    filled.simulator.fault("http", SYNC, status=200, body=body, count=1)
    number = filled.insert("update_only", {"id": 3, "city": "X"})
    filled.carry()
    assert filled.row(number)["request_id"] == "a#18f0a0b0c0d"


def test_a_long_refusal_takes_no_longer_to_read_than_a_short_one() -> None:
    assert len(without_values("it's 'x' and " * 100_000)) <= 500


def test_every_kind_of_blank_is_one(inside: Inside) -> None:
    assert inside.value("SELECT stripped(%s)", "\t\u00a0a b\u2003\n") == "a b"
