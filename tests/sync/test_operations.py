"""Each operation of the outbox, against both sides: what Marketo did, and what the mirror shows when the row is done."""

import json
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.mirror import assets, memberships
from tests.sync.inside import Inside
from tests.sync.test_outbox import BEFORE_OR_AFTER, fault

LIST, PROGRAM, EVENT, FORM = 1001, 1001, 1002, 1029
COOKIE = "id:123-ABC-456&token:_mch-example.com-1555555555555-12345"

ENDPOINTS = {
    "push": "POST /rest/v1/leads/push.json",
    "submit_form": "POST /rest/v1/leads/submitForm.json",
    "merge": "POST /rest/v1/leads/{leadId}/merge.json",
    "associate": "POST /rest/v1/leads/{leadId}/associate.json",
    "add_to_list": "POST /rest/v1/lists/{listId}/leads.json",
    "remove_from_list": "DELETE /rest/v1/lists/{listId}/leads.json",
    "set_program_status": "POST /rest/v1/programs/{programId}/members/status.json",
    "remove_from_program": "POST /rest/v1/programs/{programId}/members/delete.json",
    "update_partition": "POST /rest/v1/leads/partitions.json",
    "trigger_campaign": "POST /rest/v1/campaigns/{campaignId}/trigger.json",
    "create_field": "POST /rest/v1/leads/schema/fields.json",
    "update_field": "POST /rest/v1/leads/schema/fields/{fieldApiName}.json",
}


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=60, history_days=20, limits=False, export_seconds=0.05, race_ms=0)


@pytest.fixture
def house(filled: Inside) -> Inside:
    """The house with its mirror filled: leads, assets, members, and the log read."""
    assets.pull_campaigns(filled.feeds)
    memberships.pull_lists(filled.feeds)
    memberships.pull_programs(filled.feeds)
    filled.catch_up()
    return filled


def done(house: Inside, operation: str, payload: Any, options: Any = None, **columns: Any) -> dict[str, Any]:
    """Carry one row, which must succeed."""
    row = carried(house, operation, payload, options, **columns)
    assert row["status"] == "succeeded", (row["error_code"], row["error_message"])
    return row


def carried(
    house: Inside, operation: str, payload: Any, options: Any = None, **columns: Any
) -> dict[str, Any]:
    (row,) = house.carry_all([(operation, payload)], options=json.dumps(options or {}), **columns)
    return row


def settled(house: Inside) -> None:
    """Read the log and what it leaves open; then the mirror equals Marketo."""
    house.catch_up()
    memberships.pull_members(house.feeds)
    house.proven()


def listed(house: Inside, number: int = LIST) -> set[int]:
    return {
        row["lead_id"] for row in house.sql("SELECT lead_id FROM list_membership WHERE list_id = %s", number)
    }


def true_list(house: Inside, number: int = LIST) -> set[int]:
    lists = house.simulator.dump()["lists"]
    return {int(lead) for each in lists if each["id"] == number for lead in dict(each["members"])}


def status(house: Inside, lead: int, program: int = EVENT) -> str | None:
    query = "SELECT status FROM program_membership WHERE program_id = %s AND lead_id = %s"
    found: str | None = house.value(query, program, lead)
    return found


def absent(house: Inside, query: str) -> int:
    """A living lead of the mirror that the query does not name."""
    return int(
        house.value(
            f"SELECT min(id) FROM lead WHERE _deleted_at IS NULL AND email <> '' AND id NOT IN ({query})"
        )
    )


def test_leads_are_put_on_lists_and_taken_off_and_the_mirror_shows_it_at_once(house: Inside) -> None:
    lead = 6
    house.simulator.remove_from_list(LIST, [lead])
    house.catch_up()
    assert lead not in listed(house)
    row = done(house, "add_to_list", {"id": lead}, {"listId": LIST})
    assert (row["lead_id"], row["result"]) == (lead, {"id": lead, "status": "added"})
    assert lead in listed(house)
    email = house.value("SELECT email FROM lead WHERE id = %s", lead)
    done(house, "remove_from_list", {"email": email.upper()}, {"listId": LIST})
    assert lead not in listed(house)
    again = done(house, "remove_from_list", {"id": lead}, {"listId": LIST})
    assert again["result"]["code"] == "1015"
    done(house, "add_to_list", {"id": lead}, {"listId": str(LIST)})
    house.catch_up()
    memberships.pull_members(house.feeds)
    assert listed(house) == true_list(house)


def test_a_list_is_filled_300_leads_a_call_and_an_unknown_lead_fails_alone(house: Inside) -> None:
    house.simulator.reset_calls()
    rows = house.carry_all(
        [("add_to_list", {"id": lead}) for lead in (*range(1, 51), 999_999)],
        options=json.dumps({"listId": LIST}),
    )
    assert [row["status"] for row in rows] == ["succeeded"] * 50 + ["failed"]
    assert (rows[-1]["error_code"], rows[-1]["lead_id"]) == ("1004", 999_999)
    assert house.calls(ENDPOINTS["add_to_list"]) == 1
    assert listed(house) == true_list(house)


def test_a_list_that_is_not_there_costs_one_call_however_many_leads_it_was_to_have(house: Inside) -> None:
    house.simulator.reset_calls()
    rows = house.carry_all(
        [("add_to_list", {"id": n}) for n in range(1, 31)], options=json.dumps({"listId": 7})
    )
    assert {(row["status"], row["error_code"]) for row in rows} == {("failed", "1013")}
    assert house.calls(ENDPOINTS["add_to_list"]) == 1


def test_a_lead_that_an_earlier_row_makes_is_put_on_a_list_by_its_address(house: Inside) -> None:
    made, added, gone = (
        house.insert("create_or_update", {"email": "New@example.com", "lastName": "New"}),
        house.insert("add_to_list", {"email": "new@example.com"}, options=json.dumps({"listId": LIST})),
        house.insert("delete", {"email": "nEw@example.com"}),
    )
    assert house.step()
    lead = house.row(made)["lead_id"]
    assert house.row(added)["status"] == "pending"
    assert house.step()
    assert (house.row(added)["status"], house.row(added)["lead_id"]) == ("succeeded", lead)
    assert lead in listed(house)
    house.carry()
    assert house.row(gone)["lead_id"] == lead
    assert listed(house) == true_list(house)


def test_a_lead_that_the_mirror_does_not_know_is_looked_up_in_marketo(house: Inside) -> None:
    lead = house.simulator.create_lead(email="fresh@example.com")
    twin = house.simulator.create_lead(email="fresh2@example.com")
    rows = house.carry_all(
        [
            ("add_to_list", {"email": e})
            for e in ("fresh@example.com", "fresh2@example.com", "nobody@example.com")
        ],
        options=json.dumps({"listId": LIST}),
    )
    assert [(r["status"], r["lead_id"], r["error_code"]) for r in rows] == [
        ("succeeded", lead, None),
        ("succeeded", twin, None),
        ("failed", None, "1004"),
    ]


def test_leads_join_programs_move_on_and_leave(house: Inside) -> None:
    lead = absent(house, f"SELECT lead_id FROM program_membership WHERE program_id = {EVENT}")
    done(house, "set_program_status", {"id": lead}, {"programId": EVENT, "statusName": "Registered"})
    assert status(house, lead) == "Registered"
    done(house, "set_program_status", {"id": lead}, {"programId": EVENT, "statusName": "Attended"})
    shown = house.sql("SELECT * FROM program_membership WHERE program_id = %s AND lead_id = %s", EVENT, lead)[
        0
    ]
    assert (shown["status"], shown["reached_success"]) == ("Attended", True)
    back = carried(house, "set_program_status", {"id": lead}, {"programId": EVENT, "statusName": "Invited"})
    assert (back["status"], back["error_code"]) == ("failed", "1037")
    odd = carried(house, "set_program_status", {"id": lead}, {"programId": EVENT, "statusName": "Nowhere"})
    assert (odd["status"], odd["error_code"]) == ("failed", "1025")
    memberships.pull_members(house.feeds)
    assert status(house, lead) == "Attended"
    done(house, "remove_from_program", {"id": lead}, {"programId": EVENT})
    assert status(house, lead) is None
    assert done(house, "remove_from_program", {"id": lead}, {"programId": EVENT})["result"]["code"] == "1037"
    house.catch_up()
    memberships.pull_members(house.feeds)
    assert status(house, lead) is None


def test_a_merge_unites_leads_with_their_memberships_and_fills_what_the_winner_lacks(house: Inside) -> None:
    (winner, first, second) = (row["id"] for row in house.sql("SELECT id FROM lead ORDER BY id LIMIT 3"))
    house.carry_all(
        [
            ("update_only", {"id": winner, "city": None, "lastName": "Winner"}),
            ("update_only", {"id": first, "city": None, "lastName": "First"}),
            ("update_only", {"id": second, "city": "Oslo", "lastName": "Second"}),
        ]
    )
    done(house, "add_to_list", {"id": second}, {"listId": LIST})
    row = done(house, "merge", {"id": winner, "leadIds": [first, str(second)]})
    assert (row["lead_id"], row["result"]["status"]) == (winner, "merged")
    assert house.value("SELECT city || last_name FROM lead WHERE id = %s", winner) == "OsloWinner"
    losers = house.sql(
        "SELECT _merged_into_id AS into, _deleted_at IS NOT NULL AS gone FROM lead WHERE id IN (%s, %s)",
        first,
        second,
    )
    assert losers == [{"into": winner, "gone": True}] * 2
    assert winner in listed(house)
    missing = carried(house, "merge", {"id": winner, "leadIds": [first]})
    assert (missing["status"], missing["error_code"]) == ("failed", "1004")
    settled(house)


def test_an_update_of_a_loser_keeps_its_place_before_the_merge(house: Inside) -> None:
    update = house.insert("update_only", {"id": 2, "city": "Bergen"})
    merge = house.insert("merge", {"id": 1, "leadIds": [2]})
    late = house.insert("update_only", {"id": 2, "city": "Tromsø"})
    house.carry()
    assert [house.row(n)["status"] for n in (update, merge, late)] == ["succeeded", "succeeded", "failed"]
    settled(house)


def test_leads_move_to_other_partitions(house: Inside) -> None:
    row = done(house, "update_partition", {"id": 5}, partition_name="Europe")
    assert row["result"]["status"] == "updated"
    assert (
        house.value(
            "SELECT p.name FROM lead l JOIN lead_partition p ON p.id = l.lead_partition_id WHERE l.id = 5"
        )
        == "Europe"
    )
    wrong = carried(house, "update_partition", {"id": 5}, partition_name="Atlantis")
    assert wrong["status"] == "failed"
    settled(house)


def test_leads_go_through_campaigns_with_tokens_100_a_call(house: Inside) -> None:
    campaign = int(house.value("SELECT min(id) FROM smart_campaign WHERE is_requestable AND is_active"))
    house.simulator.reset_calls()
    tokens = [{"name": "{{my.code}}", "value": "SPRING"}]
    wanted = json.dumps({"campaignId": campaign, "tokens": tokens})
    rows = house.carry_all([("trigger_campaign", {"id": 1 + n % 50}) for n in range(120)], options=wanted)
    assert {(row["status"], row["result"]["status"]) for row in rows} == {("succeeded", "requested")}
    effects = [e for e in house.simulator.effects() if e["kind"] == "campaign_requested"]
    assert len(effects) == 120
    lost = house.carry_all([("trigger_campaign", {"id": n}) for n in (3, 999_999)], options=wanted)
    assert [(row["status"], row["error_code"]) for row in lost] == [("succeeded", None), ("failed", "1004")]


def test_a_push_writes_the_lead_and_its_program(house: Inside) -> None:
    program = house.sql("SELECT id, name FROM program WHERE id = %s", EVENT)[0]
    wanted = {
        "programName": program["name"],
        "programStatus": "Registered",
        "source": "shop",
        "reason": "order",
    }
    row = done(house, "push", {"email": "pushed@example.com", "lastName": "Pushed"}, wanted)
    assert row["result"] == {"id": row["lead_id"], "status": "created"}
    assert house.value("SELECT last_name FROM lead WHERE id = %s", row["lead_id"]) == "Pushed"
    assert status(house, row["lead_id"]) == "Registered"
    token = house.simulator.mkt_token(row["lead_id"])
    by_token = done(house, "push", {"mktToken": token, "city": "Paris"}, wanted, lookup_field="mktToken")
    assert by_token["lead_id"] == row["lead_id"]
    assert house.value("SELECT city FROM lead WHERE id = %s", row["lead_id"]) == "Paris"
    settled(house)


def test_a_form_is_filled_out(house: Inside) -> None:
    payload = {
        "leadFormFields": {"email": "form@example.com", "lastName": "Form"},
        "visitorData": {"pageURL": "https://www.example.com/contact"},
        "cookie": COOKIE,
    }
    row = done(house, "submit_form", payload, {"formId": FORM, "programId": EVENT})
    assert row["result"]["status"] == "created"
    assert house.value("SELECT last_name FROM lead WHERE id = %s", row["lead_id"]) == "Form"
    assert house.value("SELECT count(*) FROM program_membership WHERE lead_id = %s", row["lead_id"]) == 1
    later = house.carry_all([("update_only", {"email": "form@example.com", "city": "Rome"})])[0]
    assert later["lead_id"] == row["lead_id"]
    unknown = carried(house, "submit_form", payload, {"formId": 9})
    assert (unknown["status"], unknown["error_code"]) == ("failed", "1013")
    settled(house)


def test_a_cookie_is_tied_to_a_lead(house: Inside) -> None:
    row = done(house, "associate", {"id": 7}, {"cookie": COOKIE})
    assert row["result"] == {"id": 7, "status": "associated"}
    assert any(e["kind"] == "associated" and e["leadId"] == 7 for e in house.simulator.effects())
    bad = carried(house, "associate", {"id": 7}, {"cookie": "crumbs"})
    assert (bad["status"], bad["error_code"]) == ("failed", "1012")
    settled(house)


def test_a_new_field_is_a_column_that_the_next_row_can_write(house: Inside) -> None:
    made = done(
        house, "create_field", {"name": "shoeSize", "displayName": "Shoe Size", "dataType": "integer"}
    )
    assert made["result"]["status"] == "created"
    done(house, "update_only", {"id": 3, "shoeSize": 42})
    assert house.value("SELECT shoe_size FROM lead WHERE id = 3") == 42
    done(house, "update_field", {"name": "shoeSize", "displayName": "Size of Shoes", "isHidden": True})
    shown = house.sql(
        "SELECT display_name, hidden, custom, api_created FROM lead_field WHERE name = 'shoeSize'"
    )
    assert shown == [{"display_name": "Size of Shoes", "hidden": True, "custom": True, "api_created": True}]
    twice = carried(house, "create_field", {"name": "shoeSize", "displayName": "Other", "dataType": "string"})
    assert twice["status"] == "failed"
    settled(house)


REPEATED: dict[str, tuple[Any, Any, str]] = {
    "associate": ({"id": 7}, {"cookie": COOKIE}, "associated"),
    "add_to_list": ({"id": 7}, {"listId": LIST}, "added_to_list"),
    "remove_from_list": ({"id": 8}, {"listId": LIST}, "removed_from_list"),
    "set_program_status": ({"id": 7}, {"programId": EVENT, "statusName": "Attended"}, ""),
    "remove_from_program": ({"id": 8}, {"programId": EVENT}, ""),
    "merge": ({"id": 9, "leadIds": [10, 11]}, {}, "merged"),
    "create_field": ({"name": "hatSize", "displayName": "Hat Size", "dataType": "integer"}, {}, ""),
    "update_field": ({"name": "hatSize", "description": "of hats"}, {}, ""),
}
HURTING: dict[str, tuple[Any, Any, str]] = {
    "push": ({"email": "p@example.com"}, {"programName": "?"}, "pushed"),
    "submit_form": ({"leadFormFields": {"email": "f@example.com"}}, {"formId": FORM}, "form_filled_out"),
    "trigger_campaign": ({"id": 7}, {"campaignId": 0}, "campaign_requested"),
}


@pytest.mark.parametrize(
    ("kind", "phase"), [("timeout", "before"), ("reset", "after"), ("malformed", "after")]
)
def test_after_an_unknown_outcome_what_may_be_repeated_takes_effect_once(
    house: Inside, kind: str, phase: str
) -> None:
    assert (kind, phase) in BEFORE_OR_AFTER
    house.simulator.add_to_list(LIST, [8])
    house.simulator.set_program_status(EVENT, "Invited", [8])
    house.simulator.set_program_status(EVENT, "Not in Program", [7])
    house.simulator.remove_from_list(LIST, [7])
    for operation, (payload, options, effect) in REPEATED.items():
        since = len(house.simulator.effects())
        fault(house.simulator, kind, phase, ENDPOINTS[operation])
        row = done(house, operation, payload, options)
        assert row["attempts"] == 2, operation
        assert house.attempts(row["id"])[0].startswith("unknown")
        if effect and operation != "associate":
            happened = [e for e in house.simulator.effects(since) if e["kind"] == effect]
            assert len(happened) == 1, operation
    assert house.value("SELECT description FROM lead_field WHERE name = 'hatSize'") == "of hats"
    settled(house)
    assert listed(house) == true_list(house)


def test_a_merge_of_which_half_was_done_is_finished(house: Inside) -> None:
    fault(house.simulator, "reset", "before", ENDPOINTS["merge"])
    number = house.insert("merge", {"id": 1, "leadIds": [2, 3]})
    assert house.step()
    house.simulator.merge_leads(1, [2])
    house.carry()
    assert house.row(number)["status"] == "succeeded"
    settled(house)
    losers = house.sql("SELECT id FROM lead WHERE _merged_into_id = 1 ORDER BY id")
    assert [row["id"] for row in losers] == [2, 3]


def test_losers_that_somebody_else_took_away_while_a_merge_was_in_doubt_are_not_called_its_own(
    house: Inside,
) -> None:
    fault(house.simulator, "reset", "before", ENDPOINTS["merge"])
    number = house.insert("merge", {"id": 1, "leadIds": [2, 3]})
    assert house.step()
    house.simulator.merge_leads(4, [2])
    house.simulator.merge_leads(5, [3])
    house.catch_up()
    house.carry()
    assert house.row(number)["result"]["proven_by"]
    merged = house.sql("SELECT id, _merged_into_id AS into FROM lead WHERE id IN (2, 3) ORDER BY id")
    assert merged == [{"id": 2, "into": 4}, {"id": 3, "into": 5}]
    settled(house)


def test_a_loser_that_was_deleted_while_its_merge_was_in_doubt_is_gone_and_not_called_merged(
    house: Inside,
) -> None:
    """Gone it is either way; only the log, which is read later, tells which."""
    fault(house.simulator, "reset", "before", ENDPOINTS["merge"])
    number = house.insert("merge", {"id": 1, "leadIds": [3]})
    assert house.step()
    house.simulator.delete_lead(3)
    house.carry()
    assert house.row(number)["result"]["proven_by"]
    gone = house.sql("SELECT _deleted_at IS NOT NULL AS gone, _merged_into_id AS into FROM lead WHERE id = 3")
    assert gone == [{"gone": True, "into": None}]
    settled(house)


def test_a_loser_that_is_gone_when_a_merge_in_doubt_goes_again_is_gone_in_the_mirror_at_once(
    house: Inside,
) -> None:
    fault(house.simulator, "reset", "before", ENDPOINTS["merge"])
    number = house.insert("merge", {"id": 1, "leadIds": [2, 3]})
    assert house.step()
    house.simulator.delete_lead(3)
    house.carry()
    assert house.row(number)["status"] == "succeeded"
    gone = house.sql("SELECT id FROM lead WHERE id IN (2, 3) AND _deleted_at IS NOT NULL ORDER BY id")
    assert [row["id"] for row in gone] == [2, 3]
    settled(house)


@pytest.mark.parametrize(("kind", "phase"), [("timeout", "after"), ("http", "before")])
def test_what_hurts_when_repeated_waits_for_a_person_or_goes_again_where_the_row_says_so(
    house: Inside, kind: str, phase: str
) -> None:
    names = {"push": {"programName": house.value("SELECT name FROM program WHERE id = %s", PROGRAM)}}
    campaign = int(house.value("SELECT min(id) FROM smart_campaign WHERE is_requestable AND is_active"))
    names["trigger_campaign"] = {"campaignId": campaign}
    for operation, (payload, options, effect) in HURTING.items():
        for mode, ends, attempts in (("hold", "uncertain", 1), ("resend", "succeeded", 2)):
            since = len(house.simulator.effects())
            fault(house.simulator, kind, phase, ENDPOINTS[operation])
            row = carried(house, operation, payload, names.get(operation, options), on_unknown_outcome=mode)
            assert (row["status"], row["attempts"]) == (ends, attempts), operation
            happened = [e for e in house.simulator.effects(since) if e["kind"] == effect]
            assert len(happened) == (attempts if phase == "after" else attempts - 1)
