"""What INSERT refuses: the program that writes a row learns at once what is wrong with it, and where."""

import time
from collections.abc import Iterator

import pytest
from psycopg import errors

from syncd.core.fields import FieldFacts
from tests.database.desk import STANDARD, Desk
from tests.support.postgres import Server, connected

EMAIL = {"email": "a@b.com"}


@pytest.fixture(scope="module")
def plain(every_postgres: Server) -> Iterator[Desk]:
    """A database in which the schema of leads is not known yet; refusals leave nothing in it."""
    with every_postgres.migrated() as name, connected(every_postgres.url_of(name)) as database:
        yield Desk(database)


@pytest.fixture(scope="module")
def strict(every_postgres: Server) -> Iterator[Desk]:
    """A database in which it is known; refusals leave nothing in it."""
    with every_postgres.migrated() as name, connected(every_postgres.url_of(name)) as database:
        desk = Desk(database)
        more = (
            FieldFacts("oldField", "Old", "string"),
            FieldFacts("describedOnly", "D", "string", updateable=False),
        )
        desk.fields((*STANDARD, *more))
        desk.run("UPDATE lead_field SET _removed_at = now() WHERE name = 'oldField'")
        yield desk


def refusal(desk: Desk, operation, payload, **columns) -> str:
    with pytest.raises(errors.CheckViolation) as problem:
        desk.insert(operation, payload, **columns)
    assert desk.value("SELECT count(*) FROM outbox") == 0
    return problem.value.diag.message_primary or ""


@pytest.mark.parametrize(
    ("operation", "payload", "said"),
    [
        ("upsert", EMAIL, "(upsert): the operation is not known; it must be create_or_update, "),
        ("", EMAIL, "the operation is not known"),
        ("create_or_update", ["a@b.com"], "the payload is a JSON array and must be an object such as"),
        ("create_or_update", ["email", "id"], "the payload is a JSON array"),
        ("create_or_update", "a@b.com", "the payload is a JSON string and must be an object"),
        ("create_or_update", None, "the payload is a JSON null and must be an object"),
        ("delete", 5, "the payload is a JSON number and must be an object"),
        (
            "create_or_update",
            {},
            "field email: the payload must name the lead by it, and it is missing or empty",
        ),
        ("create_only", {"email": ""}, "field email: the payload must name the lead by it"),
        ("create_only", {"email": "  "}, "field email: the payload must name the lead by it"),
        ("update_only", {"email": None}, "field email: the payload must name the lead by it"),
        ("delete", {}, "field email: the payload must name the lead by it"),
        (
            "create_or_update",
            {"id": 1, **EMAIL},
            "field id: Marketo does not take it with this operation",
        ),
        ("create_only", {"id": 1, **EMAIL}, "field id: Marketo does not take it with this operation"),
        (
            "create_duplicate",
            {"id": 1, **EMAIL},
            "field id: Marketo does not take it with this operation",
        ),
        ("update_only", {"id": 0}, "field id: it must be a whole number above 0"),
        ("update_only", {"id": -3}, "field id: it must be a whole number above 0"),
        ("update_only", {"id": 1.5}, "field id: it must be a whole number above 0"),
        ("update_only", {"id": None, **EMAIL}, "field id: it must be a whole number above 0"),
        ("delete", {"id": "abc"}, "field id: it must be a whole number above 0"),
        ("delete", {"id": 10**30}, "field id: it must be a whole number above 0"),
        (
            "update_only",
            {"id": 1, "firstName": {"a": 1}},
            "field firstName: its value is a JSON object and must be text",
        ),
        (
            "update_only",
            {"id": 1, "firstName": ["a"]},
            "field firstName: its value is a JSON array and must be text",
        ),
        ("create_or_update", {"email": "a@b.com", "x": "x" * 900_001}, "the payload has over 900,000 bytes"),
    ],
)
def test_a_structural_mistake_is_refused_with_its_reason(plain, strict, operation, payload, said):
    """Whether the schema is known yet or not."""
    for desk in (plain, strict):
        message = refusal(desk, operation, payload)
        assert said in message
        assert message.startswith("outbox row ")


@pytest.mark.parametrize(
    ("operation", "payload", "columns", "said"),
    [
        (
            "submit_form",
            {"leadFormFields": EMAIL},
            {"lookup_field": "email", "options": {"formId": 1}},
            "lookup_field: this operation takes none",
        ),
        (
            "create_or_update",
            EMAIL,
            {"lookup_field": "id"},
            "lookup_field id: Marketo does not take it with this operation",
        ),
        (
            "create_or_update",
            EMAIL,
            {"lookup_field": "externalId"},
            "field externalId: the payload must name the lead by it",
        ),
        (
            "update_only",
            {"id": 1},
            {"partition_name": "P"},
            "partition_name: Marketo takes none with this operation",
        ),
        ("create_duplicate", EMAIL, {"partition_name": "P"}, "partition_name: Marketo takes none with"),
        ("delete", EMAIL, {"partition_name": "P"}, "partition_name: Marketo takes none with"),
        ("create_only", EMAIL, {"partition_name": "P" * 256}, "partition_name: it has over 255 characters"),
        ("create_only", EMAIL, {"lookup_field": "P" * 256}, "lookup_field: it has over 255 characters"),
        (
            "create_or_update",
            EMAIL,
            {"options": {"listId": 1}},
            "option listId: there is none of this name; this operation takes on_failure",
        ),
    ],
)
def test_a_mistake_in_another_column_is_refused_with_its_reason(plain, operation, payload, columns, said):
    assert said in refusal(plain, operation, payload, **columns)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("firstname", "A", "field firstname: Marketo has no such field; did you mean firstName?"),
        ("first_name", "A", "field first_name: Marketo has no such field; did you mean firstName?"),
        ("FIRSTNAME", "A", "did you mean firstName?"),
        ("shoeSize", 42, "field shoeSize: Marketo has no such field; SELECT name FROM lead_field lists them"),
        ("createdAt", "2026-01-01T00:00:00Z", "field createdAt: it is read-only in Marketo"),
        ("firstName", "thirteen char", "field firstName: its value has 13 characters and Marketo takes 12"),
        ("oldField", "x", "field oldField: Marketo no longer offers this field"),
        ("describedOnly", "x", "field describedOnly: it is read-only in Marketo"),
    ],
)
def test_what_marketo_would_refuse_of_a_field_is_refused_by_its_name(strict, field, value, said):
    for operation, key in (
        ("create_or_update", EMAIL),
        ("update_only", {"id": 5}),
        ("create_duplicate", EMAIL),
    ):
        assert said in refusal(strict, operation, {**key, field: value})


def test_a_lookup_field_must_be_searchable(desk):
    desk.fields()
    assert "lookup_field firstName: leads cannot be looked up by it" in refusal(
        desk, "update_only", {"firstName": "A"}, lookup_field="firstName"
    )
    assert desk.insert("update_only", {"externalId": "A"}, lookup_field="externalId")


def test_length_is_counted_in_characters_and_of_text_alone(desk):
    desk.fields()
    desk.insert("create_or_update", {**EMAIL, "firstName": "é" * 12})
    desk.insert("create_or_update", {**EMAIL, "firstName": None})
    desk.insert("create_or_update", {**EMAIL, "leadScore": 12345678901234})


def test_before_the_schema_is_known_any_field_is_taken(desk):
    desk.insert("create_or_update", {**EMAIL, "anything": "goes"})


def test_what_a_delete_names_besides_its_lead_is_nobodys_concern(desk):
    desk.fields()
    desk.insert("delete", {"id": 5, "whatever": {"a": 1}})


@pytest.mark.parametrize(
    ("operation", "payload"),
    [
        ("create_or_update", EMAIL),
        ("create_only", {"email": "a@b.com", "firstName": "A", "leadScore": 5, "unsubscribed": True}),
        ("update_only", {"id": 5, "firstName": None}),
        ("update_only", {"id": "5"}),
        ("update_only", EMAIL),
        ("create_duplicate", EMAIL),
        ("delete", {"id": 5}),
        ("delete", EMAIL),
    ],
)
def test_good_rows_are_taken_and_queued(desk, operation, payload):
    desk.fields()
    number = desk.insert(operation, payload)
    assert (desk.status(number), desk.state(number)) == ("pending", "new")


def test_one_bad_row_of_a_statement_refuses_the_statement_and_names_the_first(desk):
    with pytest.raises(errors.CheckViolation) as problem:
        desk.run(
            "INSERT INTO outbox (operation, payload) SELECT 'create_or_update', "
            "CASE n % 50 WHEN 49 THEN '{}'::jsonb ELSE '{\"email\": \"a@b.com\"}' END FROM generate_series(0, 199) n"
        )
    assert "outbox row 50 (create_or_update): field email" in str(problem.value)
    assert problem.value.diag.table_name == "outbox"
    assert desk.value("SELECT count(*) FROM outbox") == 0
    assert desk.value("SELECT count(*) FROM outbox_queue") == 0


def test_an_idempotency_key_is_taken_once(desk):
    desk.email("a@b.com", idempotency_key="order-1")
    with pytest.raises(errors.UniqueViolation):
        desk.email("a@b.com", idempotency_key="order-1")
    desk.run(
        "INSERT INTO outbox (operation, payload, idempotency_key) VALUES ('delete', '{\"id\": 1}', 'order-1') "
        "ON CONFLICT (idempotency_key) DO NOTHING"
    )
    assert desk.value("SELECT count(*) FROM outbox_queue") == 1


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"on_unknown_outcome": "explode"}, "outbox_on_unknown_outcome_is_hold_or_resend"),
        ({"not_before": "2026-02-02", "expires_at": "2026-02-01"}, "outbox_expires_after_not_before"),
    ],
)
def test_other_columns_are_checked_too(desk, columns, constraint):
    with pytest.raises(errors.CheckViolation) as problem:
        desk.email("a@b.com", **columns)
    assert problem.value.diag.constraint_name == constraint


def test_nul_characters_are_refused_by_postgresql_itself(desk):
    with desk.database.connect() as connection, pytest.raises(errors.UntranslatableCharacter):
        connection.execute(
            """INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{"email": "a\\u0000b"}')"""
        )


def copied(desk: Desk, operation: str) -> None:
    with (
        desk.database.begin() as transaction,
        transaction.raw.cursor() as cursor,
        cursor.copy("COPY outbox (operation, payload) FROM STDIN") as sink,
    ):
        sink.write_row((operation, '{"id": 1}'))


def test_copy_is_checked_like_insert(desk):
    copied(desk, "delete")
    assert desk.value("SELECT count(*) FROM outbox_queue") == 1
    with pytest.raises(errors.CheckViolation, match="the operation is not known"):
        copied(desk, "erase")


def test_a_statement_wakes_the_drain_once_and_only_when_it_commits(desk):
    with desk.database.connect(autocommit=True) as listener:
        listener.execute(f"LISTEN {desk.database.names.channel}")
        with pytest.raises(errors.CheckViolation):
            desk.insert("erase", EMAIL)
        desk.run(
            "INSERT INTO outbox (operation, payload) SELECT 'delete', '{\"id\": 1}' FROM generate_series(1, 50)"
        )
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        assert list(listener.notifies(timeout=0)) == []


def test_a_batch_of_a_hundred_thousand_rows_is_taken_in_seconds(desk):
    desk.fields()
    started = time.monotonic()
    desk.run(
        "INSERT INTO outbox (operation, payload) SELECT 'create_or_update', "
        "jsonb_build_object('email', 'p' || n || '@example.com', 'firstName', 'N' || n, 'leadScore', n) "
        "FROM generate_series(1, 100000) n"
    )
    assert time.monotonic() - started < 30
    assert desk.value("SELECT count(*) FROM outbox_queue WHERE state = 'new'") == 100_000


@pytest.mark.parametrize(
    ("operation", "columns", "said"),
    [
        (
            "create_only",
            {"if_unchanged_since": "2026-01-01"},
            "go with create_or_update, update_only and delete",
        ),
        ("update_only", {"if_unchanged_since": "2999-01-01"}, "if_unchanged_since: it lies in the future"),
        ("update_only", {"if_matches": "[]"}, "if_matches: it is a JSON array"),
        ("update_only", {"if_matches": "{}"}, "if_matches: it names no field"),
        (
            "update_only",
            {"if_matches": '{"firstName": []}'},
            "if_matches, field firstName: its value is a JSON array",
        ),
        ("update_only", {"if_matches": '{"nope": 1}'}, "if_matches, field nope: Marketo has no such field"),
    ],
)
def test_a_lock_that_could_never_hold_is_refused(strict, operation, columns, said):
    assert said in refusal(strict, operation, EMAIL, **columns)


def test_a_lock_on_any_field_of_the_lead_is_taken(desk):
    desk.fields()
    desk.email("a@b.com", if_matches='{"createdAt": "2026-01-01T00:00:00Z", "firstName": null}')
    desk.email("a@b.com", "delete", if_unchanged_since="2026-01-01")


def nested(depth: int) -> object:
    value: object = "core"
    for _ in range(depth):
        value = [value]
    return value


FORM = {"leadFormFields": EMAIL}


@pytest.mark.parametrize(
    ("operation", "payload", "columns", "said"),
    [
        ("create_or_update", EMAIL | {"leadScore": 10**400}, {}, "field leadScore: it holds a number that is"),
        ("create_or_update", EMAIL | {"leadScore": -(10**4000)}, {}, "field leadScore: it holds a number"),
        ("delete", {"id": 7, "note": {"much": [10**309]}}, {}, "field note: it holds a number that is larger"),
        ("submit_form", FORM | {"visitorData": {"a": nested(110)}}, {}, "field visitorData: its value is nested"),
        (
            "trigger_campaign",
            {"id": 7},
            {"options": {"campaignId": 1, "tokens": [{"name": "n", "value": "v", "more": nested(600)}]}},
            "option tokens: its value is nested more than 100 deep",
        ),
        ("update_only", {"id": 7}, {"if_matches": f'{{"leadScore": {10**400}}}'}, "if_matches, field leadScore: it holds"),
    ],
)  # fmt: skip
def test_a_row_that_no_process_could_read_is_refused(plain, operation, payload, columns, said):
    assert said in refusal(plain, operation, payload, **columns)


def test_long_texts_great_numbers_and_deep_values_that_can_be_read_are_taken(desk):
    desk.insert("create_or_update", EMAIL | {"leadScore": 10**308, "lastName": "9" * 400})
    form = FORM | {"visitorData": {"a": nested(90), "b": "x" * 400}}
    desk.insert("submit_form", form, options={"formId": 1})
    assert desk.value("SELECT count(*) FROM outbox") == 2
