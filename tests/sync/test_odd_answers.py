"""One odd item of Marketo's is named and kept out of the way: whatever is beside it goes on."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.database import leads
from syncd.errors import Retryable, WorkFailed
from syncd.mirror import backfill, changes, dirty, extract, memberships, schema
from syncd.simulator.control import Simulator
from tests.sync.inside import CHANGES, EXPORT_FILE, READ, Inside

DELETED = "GET /rest/v1/activities/deletedleads.json"
MERGES = "GET /rest/v1/activities.json"
AT = "2026-01-01T00:00:00Z"
SOON = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
"""Later than any row of the mirror was written."""
WIDE = 450
"""So many long values are more than a row of PostgreSQL holds."""


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=40, lists=2, programs=2, history_days=20, limits=False, export_seconds=0.1, race_ms=0
    )


def answered(simulator: Simulator, endpoint: str, result: list[Any], *, count: int = 1, **more: Any) -> None:
    """Let a call be answered with this result."""
    body = json.dumps({"requestId": "a#18f0a0b0c0d", "success": True, "result": result} | more)
    simulator.fault("http", endpoint, status=200, body=body, count=count)


def told(inside: Inside, endpoint: str, items: list[Any]) -> None:
    """Let one page of a log hold these entries."""
    answered(inside.simulator, endpoint, items, nextPageToken="NEXT", moreResult=False)


def entry(lead: Any, kind: int = 13, **more: Any) -> dict[str, Any]:
    return {"id": 1, "marketoGUID": "1", "leadId": lead, "activityDate": SOON, "activityTypeId": kind} | more


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {"marketoGUID": "7"},
        entry(None),
        entry(2**63),
        entry(6) | {"activityDate": "once"},
        entry(6) | {"activityDate": "0001-01-01T00:00:00+05:00"},
        entry(6) | {"activityTypeId": None},
    ],
    ids=["nothing", "no lead", "null", "too large", "no time", "before all time", "no type"],
)
def test_an_entry_that_tells_not_even_of_whom_is_left_out_and_those_beside_it_count(
    filled: Inside, odd: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.catch_up()
    told(filled, DELETED, [entry(8, 37), odd, entry(9, 37)])
    changes.pull(filled.feeds)
    assert filled.value("SELECT count(*) FROM lead WHERE id IN (8, 9) AND _deleted_at IS NOT NULL") == 2
    assert "an entry of the log can't be read" in capsys.readouterr().out


def test_parts_of_an_entry_that_nobody_needs_may_be_odd(filled: Inside) -> None:
    filled.catch_up()
    odd = {"primaryAttributeValueId": "abc", "campaignId": 2**70, "attributes": [{"value": 1}, None]}
    told(filled, CHANGES, [{k: v for k, v in entry(6, 12, **odd).items() if k not in {"id", "marketoGUID"}}])
    told(filled, DELETED, [entry(8, 37, **odd)])
    changes.pull(filled.feeds)
    assert filled.lead(8)["_deleted_at"] is not None


@pytest.mark.parametrize(
    ("ids", "gone"),
    [
        ([10, 11], {11}),
        ("[11]", {11}),
        ([None, 1.0, {}, "x", 11, 2**70], {1, 11}),
        ("11;12", {11, 12}),
        (None, set()),
    ],
)
def test_a_merge_takes_whom_it_names_and_never_its_own_winner(
    filled: Inside, ids: Any, gone: set[int]
) -> None:
    filled.catch_up()
    attributes = [{"name": "Merge IDs", "value": ids}]
    told(filled, MERGES, [entry(10, 32, primaryAttributeValueId=10, attributes=attributes)])
    changes.pull(filled.feeds)
    rows = filled.sql("SELECT id FROM lead WHERE _merged_into_id = 10")
    assert {row["id"] for row in rows} == gone
    assert filled.lead(10)["_deleted_at"] is None
    assert filled.value("SELECT count(*) FROM dirty_lead WHERE lead_id = 10") == 1


def test_pages_of_a_log_that_go_round_in_circles_are_noticed(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filled.app.clock, "random", lambda: 0.0)
    filled.catch_up()
    token = filled.value("SELECT token FROM cursor WHERE feed = 'deleted_leads'")
    answered(filled.simulator, DELETED, [], count=50, nextPageToken=token, moreResult=True)
    with pytest.raises(Retryable, match="go round in circles"):
        changes.pull(filled.feeds)


def test_a_description_without_the_field_that_all_leads_have_is_none(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filled.app.clock, "random", lambda: 0.0)
    answered(filled.simulator, "GET /rest/v1/leads/describe.json", [])
    with pytest.raises(Retryable, match="no field id"):
        schema.pull(filled.feeds)
    assert filled.value("SELECT count(*) FROM lead_field WHERE _removed_at IS NOT NULL") == 0
    assert filled.catch_up()["read"] == 0


def test_an_asset_that_is_listed_twice_is_one(filled: Inside) -> None:
    one = {"id": 1001, "name": "Twice", "createdAt": AT, "updatedAt": AT}
    answered(filled.simulator, "GET /rest/v1/lists.json", [one, one])
    memberships.pull_lists(filled.feeds)
    assert filled.value("SELECT name FROM static_list WHERE id = 1001") == "Twice"


@pytest.mark.parametrize("odd", [{"id": 1001, "name": None}, {"id": 1001}, {"id": 1001, "name": 5}])
def test_an_asset_without_a_name_is_told_and_no_other_is_taken_for_gone(filled: Inside, odd: Any) -> None:
    memberships.pull_lists(filled.feeds)
    answered(filled.simulator, "GET /rest/v1/lists.json", [odd])
    with pytest.raises(Retryable, match="not what Marketo's pages describe"):
        memberships.pull_lists(filled.feeds)
    assert filled.value("SELECT count(*) FROM static_list WHERE _removed_at IS NULL") == 2


def test_a_list_that_marketo_does_not_let_us_read_leaves_the_others_to_be_read(filled: Inside) -> None:
    refusal = {"requestId": "a#b", "success": False, "errors": [{"code": "1003", "message": "not this one"}]}
    endpoint = "GET /rest/v1/lists/{listId}/leads.json"
    filled.simulator.fault("http", endpoint, status=200, body=json.dumps(refusal), count=1)
    with pytest.raises(WorkFailed, match="members of 1 lists or programs could not be read; list 1001"):
        memberships.pull_lists(filled.feeds)
    assert filled.value("SELECT array_agg(container_id) FROM sweep WHERE kind = 'list'") == [1002]
    memberships.pull_lists(filled.feeds)
    assert filled.value("SELECT count(*) FROM sweep WHERE kind = 'list'") == 2


def test_a_program_whose_members_marketo_does_not_tell_leaves_the_others_to_be_read(filled: Inside) -> None:
    memberships.pull_programs(filled.feeds)
    filled.sql("INSERT INTO dirty_member (program_id, lead_id) VALUES (1001, 5), (1001, 6), (1002, 6)")
    refusal = {"requestId": "a#b", "success": False, "errors": [{"code": "610", "message": "not this one"}]}
    endpoint = "GET /rest/v1/programs/{programId}/members.json"
    filled.simulator.fault("http", endpoint, status=200, body=json.dumps(refusal), count=1)
    with pytest.raises(WorkFailed, match="program 1001"):
        memberships.pull_members(filled.feeds)
    assert filled.value("SELECT array_agg(DISTINCT program_id) FROM dirty_member") == [1001]
    memberships.pull_members(filled.feeds)
    assert filled.value("SELECT count(*) FROM dirty_member") == 0


@pytest.mark.parametrize("odd", [{"statusName": "Member"}, {"leadId": "5"}, {"leadId": None}, "a member"])
def test_a_member_that_nobody_can_tell_leaves_other_programs_to_be_read_and_ends_no_membership(
    filled: Inside, odd: Any
) -> None:
    memberships.pull_programs(filled.feeds)
    before = filled.sql("SELECT program_id, lead_id FROM program_membership ORDER BY 1, 2")
    filled.sql("INSERT INTO dirty_member (program_id, lead_id) VALUES (1001, 5), (1001, 6), (1002, 6)")
    answered(filled.simulator, "GET /rest/v1/programs/{programId}/members.json", [odd])
    with pytest.raises(WorkFailed, match="members of 1 lists or programs could not be read; program 1001"):
        memberships.pull_members(filled.feeds)
    assert filled.value("SELECT array_agg(DISTINCT program_id) FROM dirty_member") == [1001]
    answered(filled.simulator, "GET /rest/v1/programs/{programId}/members.json", [odd])
    with pytest.raises(WorkFailed, match="members of 1 lists or programs could not be read; program 1001"):
        memberships.pull_programs(filled.feeds, full=True)
    memberships.pull_members(filled.feeds)
    assert filled.sql("SELECT program_id, lead_id FROM program_membership ORDER BY 1, 2") == before


@pytest.mark.parametrize("created", ["2014-11-13 12:43:04", "unknown", "0001-01-01T00:00:00Z", 1415882584])
def test_the_first_load_begins_whatever_the_first_leads_say_of_their_age(
    inside: Inside, created: Any
) -> None:
    schema.pull(inside.feeds)
    answered(inside.simulator, READ, [{"id": 1, "createdAt": created}])
    oldest = extract.oldest_lead(inside.feeds, inside.feeds.client.on("backfill"))
    assert extract.EARLIEST - timedelta(days=1) <= oldest < datetime.now(UTC)


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ('"He said "hi" there"', 'He said "hi" there'),
        ('17" screen', '17" screen'),
        ('"17" screen"', '17" screen'),
        ('"He said "hi, you" there"', 'He said "hi, you" there'),
        ('"one, ""two"" and "three" more"', 'one, "two" and "three" more'),
    ],
)
def test_quotes_that_an_export_did_not_double_are_kept(filled: Inside, title: str, kept: str) -> None:
    load(filled, title)
    assert [row["title"] for row in titles(filled)] == [kept, "u"]


@pytest.mark.parametrize("title", ['"He said "hi", you"', "one,too many"])
def test_the_leads_of_a_file_that_postgresql_does_not_take_are_read_by_page(
    filled: Inside, title: str
) -> None:
    filled.simulator.edit_lead(5, title="as it is")
    load(filled, title, again="id\n5\n6\n")
    assert filled.value("SELECT array_agg(lead_id ORDER BY lead_id) FROM dirty_lead") == [5, 6]
    dirty.pull(filled.feeds)
    assert filled.lead(5)["title"] == "as it is"
    filled.proven()


def load(inside: Inside, title: str, *, again: str | None = None) -> None:
    """Let one window be exported as a file in which lead 5 has this title; again: the next file."""
    with inside.app.database.begin() as transaction:
        names = [f.name for f in leads.mirrored_fields(transaction) if f.exportable]
    rows = ({"id": "5", "title": title}, {"id": "6", "title": "u"})
    lines = [",".join(names), *(",".join(row.get(name, "null") for name in names) for row in rows)]
    for number, text in enumerate(("\n".join(lines) + "\n", *([again] if again else []))):
        offer(inside.simulator, text, f"odd{number}")
    inside.sql("UPDATE lead SET _synced_at = now() - interval '1 day'")
    inside.sql("DELETE FROM backfill_window")
    inside.sql(
        "INSERT INTO backfill_window (filter, starts_at, ends_at) VALUES ('createdAt', now() - interval '20 days', now())"
    )
    backfill.pull(inside.feeds)
    assert inside.value("SELECT array_agg(state) FROM backfill_window") == ["done"]


def offer(simulator: Simulator, text: str, number: str) -> None:
    job = {"exportId": number, "format": "CSV", "status": "Created"}
    done = {
        "status": "Completed", "finishedAt": AT, "numberOfRecords": 2, "fileSize": len(text.encode()),
        "fileChecksum": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
    }  # fmt: skip
    answered(simulator, "POST /bulk/v1/leads/export/create.json", [job])
    answered(simulator, "POST /bulk/v1/leads/export/{exportId}/enqueue.json", [job])
    answered(simulator, "GET /bulk/v1/leads/export/{exportId}/status.json", [job | done])
    simulator.fault("http", EXPORT_FILE, status=200, body=text, count=1)


def titles(inside: Inside) -> list[dict[str, Any]]:
    return inside.sql("SELECT title FROM lead WHERE id IN (5, 6) ORDER BY id")


def test_a_lead_that_no_row_has_room_for_is_named_and_all_others_are_loaded(
    inside: Inside, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(WIDE):
        inside.simulator.add_field(f"wide{n}")
    values = {f"wide{n}": f"a value of thirty characters {n}" for n in range(WIDE)}
    inside.simulator.edit_lead(7, **values)
    counts = inside.fill()
    assert counts["refused"] == 1
    assert inside.value("SELECT array_agg(id) @> ARRAY[6, 8, 40]::bigint[] FROM lead")
    assert inside.value("SELECT count(*) FROM lead") == 39
    assert "a lead can't be written" in capsys.readouterr().out
    assert inside.value("SELECT count(*) FROM dirty_lead") == 0
    ended, beside = inside.carry_all(
        [("update_only", {"id": 9} | values), ("update_only", {"id": 6, "lastName": "Beside"})]
    )
    assert (ended["status"], beside["status"]) == ("succeeded", "succeeded")
    inside.catch_up()
    assert inside.lead(6)["last_name"] == "Beside"
