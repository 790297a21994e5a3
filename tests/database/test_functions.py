"""A function for each operation: each inserts the row that a person would write by hand, and returns its id."""

from typing import Any

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from syncd.core.operations import CATALOGUE
from tests.database.desk import Desk

DAY, WEEK = "2099-01-01 00:00:00+00", "2099-01-07 00:00:00+00"
LAST = {"idempotency_key": "once", "not_before": DAY, "expires_at": WEEK, "on_failure": "halt"}
ROW = {"idempotency_key": "once", "not_before": DAY, "expires_at": WEEK}
LOCK = {"if_matches": {"firstName": "Ada"}, "if_unchanged_since": "2026-01-01 00:00:00+00"}
ADA = {"email": "ada@example.com", "firstName": None}
FLAGS = {"is_hidden": True, "is_html_encoding_in_email": False, "is_sensitive": True}
API_FLAGS = {"isHidden": True, "isHtmlEncodingInEmail": False, "isSensitive": True}
NAMED = (
    ({"lead_id": 42}, {"id": 42}, {}),
    ({"email": "ada@example.com"}, {"email": "ada@example.com"}, {}),
    (
        {"lookup_field": "externalId", "lookup_value": "x-1"},
        {"externalId": "x-1"},
        {"lookup_field": "externalId"},
    ),
)
"""How a lead is named to a function, and what the payload and the other columns then hold."""

RECORDS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    (
        "upsert_lead",
        "create_or_update",
        {"fields": ADA, "lookup_field": "email", "partition_name": "EU", **LOCK},
        {"payload": ADA, "lookup_field": "email", "partition_name": "EU", **LOCK},
    ),
    (
        "create_lead",
        "create_only",
        {"fields": ADA, "lookup_field": "email", "partition_name": "EU"},
        {"payload": ADA, "lookup_field": "email", "partition_name": "EU"},
    ),
    (
        "update_lead",
        "update_only",
        {"fields": {"id": 42, "firstName": "Ada"}, "lookup_field": "id", **LOCK},
        {"payload": {"id": 42, "firstName": "Ada"}, "lookup_field": "id", **LOCK},
    ),
    (
        "create_duplicate_lead",
        "create_duplicate",
        {"fields": ADA, "lookup_field": "email", "on_unknown_outcome": "resend"},
        {"payload": ADA, "lookup_field": "email", "on_unknown_outcome": "resend"},
    ),
    (
        "push_lead",
        "push",
        {
            "fields": ADA,
            "program_name": "P",
            "program_status": "S",
            "source": "shop",
            "reason": "why",
            "lookup_field": "email",
            "partition_name": "EU",
            "on_unknown_outcome": "resend",
        },
        {
            "payload": ADA,
            "options": {"programName": "P", "programStatus": "S", "source": "shop", "reason": "why"},
            "lookup_field": "email",
            "partition_name": "EU",
            "on_unknown_outcome": "resend",
        },
    ),
    (
        "submit_form",
        "submit_form",
        {
            "form_id": 7,
            "fields": {"email": "ada@example.com"},
            "visitor_data": {"pageURL": "https://example.com/", "leadClientIpAddress": None},
            "cookie": "id:1",
            "program_id": 8,
            "on_unknown_outcome": "resend",
        },
        {
            "payload": {
                "leadFormFields": {"email": "ada@example.com"},
                "visitorData": {"pageURL": "https://example.com/", "leadClientIpAddress": None},
                "cookie": "id:1",
            },
            "options": {"formId": 7, "programId": 8},
            "on_unknown_outcome": "resend",
        },
    ),
    (
        "create_field",
        "create_field",
        {
            "name": "shoeSize",
            "display_name": "Shoe",
            "data_type": "integer",
            "description": "EU size",
            **FLAGS,
        },
        {
            "payload": {
                "name": "shoeSize",
                "displayName": "Shoe",
                "dataType": "integer",
                "description": "EU size",
                **API_FLAGS,
            }
        },
    ),
    (
        "update_field",
        "update_field",
        {"name": "shoeSize", "display_name": "Shoe", "description": "EU size", **FLAGS},
        {"payload": {"name": "shoeSize", "displayName": "Shoe", "description": "EU size", **API_FLAGS}},
    ),
)
OF_LEADS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("delete_lead", "delete", LOCK, LOCK),
    (
        "merge_leads",
        "merge",
        {"loser_ids": [43, 44], "merge_in_crm": False},
        {"payload": {"leadIds": [43, 44]}, "options": {"mergeInCRM": False}},
    ),
    ("associate_lead", "associate", {"cookie": "id:1"}, {"options": {"cookie": "id:1"}}),
    ("add_to_list", "add_to_list", {"list_id": 1001}, {"options": {"listId": 1001}}),
    ("remove_from_list", "remove_from_list", {"list_id": 1001}, {"options": {"listId": 1001}}),
    (
        "set_program_status",
        "set_program_status",
        {"program_id": 1, "status_name": "Engaged"},
        {"options": {"programId": 1, "statusName": "Engaged"}},
    ),
    ("remove_from_program", "remove_from_program", {"program_id": 1}, {"options": {"programId": 1}}),
    ("update_partition", "update_partition", {"partition_name": "EU"}, {"partition_name": "EU"}),
    (
        "trigger_campaign",
        "trigger_campaign",
        {
            "campaign_id": 5,
            "tokens": [{"name": "{{my.code}}", "value": "X"}],
            "on_unknown_outcome": "resend",
        },
        {
            "options": {"campaignId": 5, "tokens": [{"name": "{{my.code}}", "value": "X"}]},
            "on_unknown_outcome": "resend",
        },
    ),
)
CALLS = [
    *RECORDS,
    *(
        (
            name,
            operation,
            {**named, **given},
            {**row, "payload": {**payload, **row.get("payload", {})}, **columns},
        )
        for name, operation, given, row in OF_LEADS
        for named, payload, columns in NAMED
    ),
]
TITLES = [f"{name}-by-{next(iter(given))}" for name, _, given, _ in CALLS]


def call(desk: Desk, name: str, given: dict[str, Any]) -> int:
    """Call a function by the names of its arguments."""
    ways = ", ".join(f"{argument} => %s" for argument in given)
    values = (Jsonb(v) if isinstance(v, dict) or (k == "tokens") else v for k, v in given.items())
    return int(desk.value(f"SELECT {name}({ways})", *values))


def written(desk: Desk, number: int) -> dict[str, Any]:
    """Return all that a writer may say of a row."""
    return dict(
        desk.value(
            "SELECT to_jsonb(o) FROM (SELECT operation, payload, lookup_field, partition_name, options, "
            "idempotency_key, not_before, expires_at, if_matches, if_unchanged_since, on_unknown_outcome "
            "FROM outbox WHERE id = %s) AS o",
            number,
        )
    )


@pytest.mark.parametrize(("name", "operation", "given", "row"), CALLS, ids=TITLES)
def test_a_function_inserts_the_row_that_one_would_write_by_hand(
    desk: Desk, name: str, operation: str, given: dict[str, Any], row: dict[str, Any]
) -> None:
    by_function = written(desk, call(desk, name, {**given, **LAST}))
    desk.run("UPDATE outbox SET idempotency_key = NULL")
    row = {"options": {}, **row, **ROW}
    row["options"] = {**row["options"], "on_failure": "halt"}
    by_hand = desk.insert(
        operation, **{k: Jsonb(v) if k == "if_matches" else v for k, v in row.items() if k != "operation"}
    )
    assert by_function == written(desk, by_hand)


def test_each_operation_has_one_function_by_which_each_of_its_options_can_be_given(desk: Desk) -> None:
    reached: dict[str, set[str]] = {}
    for _, operation, given, row in CALLS:
        reached.setdefault(operation, set()).update(row.get("options", {}), given)
    assert set(reached) == set(CATALOGUE)
    for name, operation in CATALOGUE.items():
        assert {option.name for option in operation.options} <= reached[name]
        assert (operation.partition != "no") == ("partition_name" in reached[name])
        assert (operation.lookup is not None) == ("lookup_field" in reached[name])
        assert (operation.repeat == "never") == ("on_unknown_outcome" in reached[name])
    made = desk.run(
        "SELECT p.proname, p.pronargs FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "JOIN pg_type t ON t.oid = p.prorettype "
        "WHERE n.nspname = current_schema() AND t.typname = 'int8' AND obj_description(p.oid) LIKE '%%id of the new row%%'"
    )
    given_to = {
        name: {argument for n, _, given, _ in CALLS if n == name for argument in (*given, *LAST)}
        for name in {n for n, *_ in CALLS}
    }
    assert dict(made) == {name: len(arguments) for name, arguments in given_to.items()}


def test_what_is_left_out_is_as_if_the_column_had_not_been_named(desk: Desk) -> None:
    one, other = (
        call(desk, "add_to_list", {"lead_id": 42, "list_id": 7}),
        desk.insert("add_to_list", {"id": 42}, options={"listId": 7}),
    )
    assert written(desk, one) == written(desk, other)
    assert desk.value("SELECT add_to_list(42, 7)") == other + 1


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("add_to_list(42)", r"outbox row \d+ \(add_to_list\): option listId: it is missing"),
        ("add_to_list(list_id => 7)", "field email: the payload must name the lead by it"),
        ("upsert_lead()", "payload"),
        (
            "delete_lead(lookup_field => 'externalId')",
            "field externalId: the payload must name the lead by it",
        ),
        ("upsert_lead('{\"email\": \"a@b.com\"}', on_failure => 'stop')", 'on_failure: it must be "halt"'),
    ],
)
def test_a_mistake_is_told_as_for_a_row_by_hand(desk: Desk, statement: str, told: str) -> None:
    with pytest.raises((errors.CheckViolation, errors.NotNullViolation), match=told):
        desk.run(f"SELECT {statement}")


def test_a_key_that_was_used_is_refused(desk: Desk) -> None:
    call(desk, "delete_lead", {"lead_id": 1, "idempotency_key": "k"})
    with pytest.raises(errors.UniqueViolation):
        call(desk, "delete_lead", {"lead_id": 1, "idempotency_key": "k"})


def test_a_function_writes_a_row_for_each_row_of_a_query(desk: Desk) -> None:
    desk.run(
        "SELECT update_lead(jsonb_build_object('id', n, 'leadScore', 0)) FROM generate_series(1, 20) AS n"
    )
    assert desk.value("SELECT count(*) FROM outbox") == 20
    assert desk.value("SELECT count(*) FROM outbox_queue") == 20
