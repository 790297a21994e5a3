"""When a lead is still as a row believed, and whose value stands where it is not."""

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.core.locks import Lock, Policies, fields_to_read, judge, same
from syncd.core.outbox import ClaimedRow, Shape

SINCE = datetime(2026, 5, 1, tzinfo=UTC)
UPDATE, DELETE = Shape("update_only", "id", None), Shape("delete", "id", None)
LEAD = {"id": 7, "phone": "2", "city": "Rome", "leadScore": 5, "updatedAt": "2026-05-02T00:00:00Z"}
FAIL = Policies("fail", {})


def row(
    matches: dict[str, Any] | None = None,
    since: datetime | None = None,
    payload: dict[str, Any] | None = None,
    **more: Any,
) -> ClaimedRow:
    given = {"id": 7, "phone": "3"} if payload is None else payload
    told = {"id": 1, "payload": given, "attempts": 1, "unknown": False, "on_unknown_outcome": "hold"}
    return ClaimedRow(**(told | more), lock=Lock(matches or {}, since))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (None, "", True),
        (None, False, True),
        ("true", True, True),
        ("false", None, False),
        (5, "5", True),
        (5.0, 5, True),
        ("5", "5.0", False),
        ("007", 7, True),
        (0, None, False),
        ("2026-05-01T12:00:00Z", "2026-05-01T14:00:00+02:00", True),
        ("2026-05-01T12:00:00Z", "2026-05-01T12:00:01Z", False),
        ("Rome", "rome", False),
        ("a", None, False),
    ],
)
def test_values_are_compared_as_marketo_holds_them(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_it_goes_where_the_lead_is_as_believed() -> None:
    asked = row({"phone": "2", "leadScore": "5", "city": "Rome"})
    assert judge(UPDATE, asked, [LEAD], changed=False, policies=FAIL).row is asked
    assert fields_to_read(UPDATE, asked) == {"id", "phone", "leadScore", "city"}
    assert "updatedAt" in fields_to_read(DELETE, row(since=SINCE))


def test_a_mismatch_holds_it_back_with_both_sides() -> None:
    judged = judge(UPDATE, row({"phone": "1", "city": "Rome"}), [LEAD], changed=False, policies=FAIL)
    assert judged.row is None
    (conflict,) = judged.conflicts
    assert (conflict.field, conflict.believed, conflict.in_marketo, conflict.wanted, conflict.resolution) == (
        *("phone", "1", "2", "3"),
        "failed",
    )


def test_policies_decide_field_by_field() -> None:
    policies = Policies("local_wins", {"city": "marketo_wins"})
    payload = {"id": 7, "phone": "3", "city": "Oslo"}
    asked = row({"phone": "1", "city": "Bonn"}, payload=payload)
    judged = judge(UPDATE, asked, [LEAD], changed=False, policies=policies)
    assert judged.row is not None
    assert judged.row.payload == {"id": 7, "phone": "3"}
    assert {c.field: c.resolution for c in judged.conflicts} == {"phone": "local_won", "city": "marketo_won"}


def test_where_marketos_values_leave_nothing_to_write_nothing_is_sent() -> None:
    judged = judge(UPDATE, row({"phone": "1"}), [LEAD], changed=False, policies=Policies("marketo_wins", {}))
    assert judged.row is None
    assert [c.resolution for c in judged.conflicts] == ["marketo_won"]


def test_one_field_that_fails_holds_back_all() -> None:
    policies = Policies("local_wins", {"city": "fail"})
    judged = judge(UPDATE, row({"phone": "1", "city": "Bonn"}), [LEAD], changed=False, policies=policies)
    assert judged.row is None
    assert {c.resolution for c in judged.conflicts} == {"failed"}


def test_a_change_by_others_concerns_the_fields_that_would_be_overwritten() -> None:
    asked = row(since=SINCE, payload={"id": 7, "phone": "3", "city": "Rome"})
    judged = judge(UPDATE, asked, [LEAD], changed=True, policies=FAIL)
    assert [c.field for c in judged.conflicts] == ["phone"]
    agreed = row(since=SINCE, payload={"id": 7, "city": "Rome"})
    assert judge(UPDATE, agreed, [LEAD], changed=True, policies=FAIL).row is agreed


@pytest.mark.parametrize(("policy", "goes"), [("fail", False), ("marketo_wins", False), ("local_wins", True)])
def test_a_deletion_meets_any_change(policy: Any, goes: bool) -> None:
    asked = row(since=SINCE, payload={"id": 7})
    judged = judge(DELETE, asked, [LEAD], changed=True, policies=Policies(policy, {}))
    assert (judged.row is not None) is goes
    assert [c.field for c in judged.conflicts] == ["updatedAt"]


def test_a_lead_that_is_not_there_is_none_that_was_believed_in() -> None:
    judged = judge(UPDATE, row({"phone": None}), [], changed=False, policies=Policies("local_wins", {}))
    assert judged.row is None
    assert [(c.field, c.lead_id) for c in judged.conflicts] == [("id", None)]
    again = row({"phone": "2"}, payload={"id": 7}, unknown=True)
    assert judge(DELETE, again, [], changed=False, policies=FAIL).row is again


def test_after_an_unknown_outcome_its_own_value_is_not_foreign() -> None:
    asked = row({"phone": "1"}, payload={"id": 7, "phone": "2"}, unknown=True)
    assert judge(UPDATE, asked, [LEAD], changed=False, policies=FAIL).row is asked
    first = row({"phone": "1"}, payload={"id": 7, "phone": "2"})
    assert judge(UPDATE, first, [LEAD], changed=False, policies=FAIL).row is None


def test_which_of_several_leads_is_meant_is_left_to_marketo() -> None:
    asked = row({"phone": "9"})
    assert judge(UPDATE, asked, [LEAD, LEAD], changed=False, policies=FAIL).row is asked
