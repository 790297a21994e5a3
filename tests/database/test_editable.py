"""lead_editable: what people change in the view becomes rows of the outbox, of the changed fields only."""

from dataclasses import replace
from typing import Any

import pytest
from psycopg import errors

from syncd.core import evolution
from syncd.core.fields import FieldFacts
from syncd.core.policy import FieldPolicy
from syncd.database import columns, state
from tests.database.desk import STANDARD, Desk

FIELDS = (
    *STANDARD,
    FieldFacts("contractStart", "Contract Start", "date"),
    FieldFacts("lastLoginAt", "Last Login At", "datetime"),
    FieldFacts("lifetimeValue", "Lifetime Value", "currency"),
)
ADA = {
    "id": 1,
    "email": "ada@example.com",
    "firstName": "Ada",
    "leadScore": 5,
    "unsubscribed": False,
    "contractStart": "2024-02-29",
    "lastLoginAt": "2025-03-30T01:30:00Z",
    "lifetimeValue": 12.5,
    "createdAt": "2024-01-01T00:00:00Z",
    "updatedAt": "2024-01-02T00:00:00Z",
}
LOCKED = "SET LOCAL syncd.lead_editable_lock = on"


@pytest.fixture
def filled(desk: Desk) -> Desk:
    follow(desk, FIELDS)
    desk.page([ADA, {"id": 2, "email": "bea@example.com", "leadScore": 7}])
    return desk


def follow(desk: Desk, facts: tuple[FieldFacts, ...], policy: FieldPolicy | None = None) -> None:
    """Let Marketo have these fields."""
    with desk.database.begin() as transaction:
        steps = evolution.plan(
            facts,
            columns.known(transaction),
            policy or transaction.policy,
            state.lead_columns(transaction),
            100,
        )
        columns.note(transaction, columns.carry_out(transaction, steps), ())


def change(desk: Desk, *statements: str) -> None:
    """Run statements in one transaction."""
    with desk.database.begin() as transaction:
        for statement in statements:
            transaction.raw.execute(statement)


def rows(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.run("SELECT operation, payload, if_matches FROM outbox ORDER BY id")


def test_an_update_writes_what_was_changed_and_nothing_else(filled: Desk) -> None:
    change(
        filled,
        "UPDATE lead_editable SET first_name = 'Grace', lead_score = 5 WHERE email = 'ada@example.com'",
    )
    assert rows(filled) == [("update_only", {"id": 1, "firstName": "Grace"}, None)]
    assert filled.value("SELECT first_name FROM lead_editable WHERE id = 1") == "Ada"


def test_an_update_that_changes_nothing_writes_nothing(filled: Desk) -> None:
    change(filled, "UPDATE lead_editable SET first_name = first_name, lifetime_value = 12.50 WHERE id = 1")
    assert rows(filled) == []


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("first_name = NULL", {"firstName": None}),
        ("first_name = ''", {"firstName": ""}),
        ("lead_score = lead_score + 1", {"leadScore": 6}),
        ("unsubscribed = true", {"unsubscribed": True}),
        ("contract_start = contract_start + 1", {"contractStart": "2024-03-01"}),
        ("lifetime_value = lifetime_value * 3", {"lifetimeValue": 37.5}),
        ("last_login_at = '2025-03-30T03:30:00.5+02:00'", {"lastLoginAt": "2025-03-30T01:30:00.5Z"}),
        ("last_login_at = NULL", {"lastLoginAt": None}),
    ],
)
def test_a_value_of_each_type_travels_as_marketo_takes_it(
    filled: Desk, assignment: str, value: dict[str, Any]
) -> None:
    change(
        filled, "SET LOCAL timezone = 'Asia/Kolkata'", f"UPDATE lead_editable SET {assignment} WHERE id = 1"
    )
    assert rows(filled) == [("update_only", {"id": 1, **value}, None)]


def test_one_update_of_many_leads_writes_a_row_each_and_is_checked_as_every_row_is(filled: Desk) -> None:
    change(filled, "UPDATE lead_editable SET lead_score = 0")
    assert sorted(payload["id"] for _, payload, _ in rows(filled)) == [1, 2]
    assert filled.value("SELECT count(*) FROM outbox_queue") == 2
    with pytest.raises(errors.CheckViolation, match="field firstName: its value has 13 characters"):
        change(filled, "UPDATE lead_editable SET first_name = repeat('x', 13)")
    with pytest.raises(errors.CheckViolation, match="field updatedAt: it is read-only"):
        change(filled, "UPDATE lead_editable SET updated_at = now()")


def test_an_insert_creates_a_lead_of_the_values_that_are_given(filled: Desk) -> None:
    change(
        filled,
        "INSERT INTO lead_editable (email, lead_score, first_name) VALUES ('new@example.com', 3, NULL)",
    )
    assert rows(filled) == [("create_only", {"email": "new@example.com", "leadScore": 3}, None)]


@pytest.mark.parametrize("lock", ["on", "off"])
def test_an_insert_that_names_no_lead_or_gives_an_id_is_refused(filled: Desk, lock: str) -> None:
    setting = f"SET LOCAL syncd.lead_editable_lock = {lock}"
    with pytest.raises(errors.CheckViolation, match="field email: the payload must name the lead by it"):
        change(filled, setting, "INSERT INTO lead_editable (first_name) VALUES ('Ada')")
    with pytest.raises(errors.CheckViolation, match="id: Marketo gives a new lead its id; leave it out"):
        change(filled, setting, "INSERT INTO lead_editable (id, email) VALUES (9, 'a@b.com')")
    with pytest.raises(errors.CheckViolation, match="id: the id of a lead cannot be changed"):
        change(filled, setting, "UPDATE lead_editable SET id = 9 WHERE id = 1")


def test_a_delete_names_the_lead_by_its_id(filled: Desk) -> None:
    change(filled, "DELETE FROM lead_editable WHERE first_name = 'Ada'")
    assert rows(filled) == [("delete", {"id": 1}, None)]


def test_with_the_lock_an_update_carries_the_old_values_of_what_it_changes(filled: Desk) -> None:
    change(
        filled,
        LOCKED,
        "UPDATE lead_editable SET first_name = 'Grace', last_login_at = NULL, lifetime_value = 1 WHERE id = 1",
        "UPDATE lead_editable SET first_name = 'Grace' WHERE id = 2",
    )
    assert [(payload, matches) for _, payload, matches in rows(filled)] == [
        (
            {"id": 1, "firstName": "Grace", "lastLoginAt": None, "lifetimeValue": 1},
            {"firstName": "Ada", "lastLoginAt": "2025-03-30T01:30:00Z", "lifetimeValue": 12.5},
        ),
        ({"id": 2, "firstName": "Grace"}, {"firstName": None}),
    ]


def test_with_the_lock_a_delete_carries_every_value_that_can_be_written(filled: Desk) -> None:
    change(filled, LOCKED, "DELETE FROM lead_editable WHERE id = 1")
    believed = {k: v for k, v in ADA.items() if k not in {"id", "createdAt", "updatedAt"}}
    assert rows(filled) == [("delete", {"id": 1}, believed)]


def test_with_the_lock_a_value_that_did_not_fit_its_column_is_compared_as_marketo_has_it(
    filled: Desk,
) -> None:
    filled.page([{"id": 3, "leadScore": "many"}])
    change(filled, LOCKED, "UPDATE lead_editable SET lead_score = 1 WHERE id = 3")
    assert rows(filled) == [("update_only", {"id": 3, "leadScore": 1}, {"leadScore": "many"})]


@pytest.mark.parametrize("policy", [{"hash": ("firstName",), "salt": b"x" * 16}, {"exclude": ("firstName",)}])
def test_what_the_mirror_does_not_hold_can_be_written_and_not_be_compared(
    filled: Desk, policy: dict[str, Any]
) -> None:
    follow(filled, FIELDS, FieldPolicy(**policy))
    change(filled, "UPDATE lead_editable SET first_name = 'Grace' WHERE id = 1")
    assert rows(filled) == [("update_only", {"id": 1, "firstName": "Grace"}, None)]
    with pytest.raises(errors.CheckViolation, match="column first_name: the mirror does not hold its value"):
        change(filled, LOCKED, "UPDATE lead_editable SET first_name = 'Grace' WHERE id = 1")
    change(filled, LOCKED, "DELETE FROM lead_editable WHERE id = 1")
    assert "firstName" not in rows(filled)[1][2]


def test_an_option_that_is_no_option_is_refused(filled: Desk) -> None:
    with pytest.raises(errors.CheckViolation, match="lead_editable_lock is maybe and must be on or off"):
        change(filled, "SET LOCAL syncd.lead_editable_lock = maybe", "DELETE FROM lead_editable")


def test_leads_that_are_gone_are_not_in_it(filled: Desk) -> None:
    filled.run("UPDATE lead SET _deleted_at = now() WHERE id = 1")
    change(filled, "DELETE FROM lead_editable WHERE id = 1")
    assert filled.run("SELECT id FROM lead_editable") == [(2,)]
    assert rows(filled) == []


def test_a_new_field_becomes_a_column_that_can_be_written_and_a_persons_own_column_does_not(
    filled: Desk,
) -> None:
    filled.run("ALTER TABLE lead ADD COLUMN ours text")
    follow(filled, (*FIELDS, FieldFacts("shoeSize", "Shoe Size", "integer")))
    change(filled, "UPDATE lead_editable SET shoe_size = 42 WHERE id = 1")
    assert rows(filled) == [("update_only", {"id": 1, "shoeSize": 42}, None)]
    with pytest.raises(errors.UndefinedColumn):
        filled.run("SELECT ours FROM lead_editable")
    assert ("Shoe Size (Marketo field shoeSize, integer).",) in filled.run(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'lead_editable'::regclass"
    )


def test_a_field_of_another_type_changes_the_view_too_and_the_rights_to_it_stay(filled: Desk) -> None:
    filled.run("GRANT UPDATE (first_name), SELECT ON lead_editable TO PUBLIC")
    filled.run("REVOKE DELETE ON lead_editable FROM syncd_writer")
    rights = (
        "SELECT (SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM aclexplode(c.relacl) r), "
        "(SELECT string_agg(a.attname || r::text, ' ' ORDER BY a.attname) FROM pg_attribute a, aclexplode(a.attacl) r "
        "WHERE a.attrelid = c.oid) FROM pg_class c WHERE oid = 'lead_editable'::regclass"
    )
    before = filled.run(rights)
    follow(filled, tuple(replace(f, data_type="float") if f.name == "leadScore" else f for f in FIELDS))
    assert filled.run(rights) == before
    change(filled, "UPDATE lead_editable SET lead_score = 5.25 WHERE id = 1")
    assert rows(filled) == [("update_only", {"id": 1, "leadScore": 5.25}, None)]
    assert filled.value("SELECT count(*) FROM lead_field_change WHERE what = 'column_kept'") == 0


def test_a_view_that_people_made_of_it_holds_on_to_the_type_of_a_column(filled: Desk) -> None:
    filled.run("CREATE VIEW scores AS SELECT id, lead_score FROM lead_editable")
    follow(filled, tuple(replace(f, data_type="float") if f.name == "leadScore" else f for f in FIELDS))
    (kept,) = filled.run("SELECT new FROM lead_field_change WHERE what = 'column_kept'")
    assert "scores" in kept[0]
    assert filled.run("SELECT * FROM scores ORDER BY id") == [(1, 5), (2, 7)]
    change(filled, "UPDATE lead_editable SET lead_score = 6 WHERE id = 1")
    assert rows(filled) == [("update_only", {"id": 1, "leadScore": 6}, None)]


def test_a_view_that_was_dropped_comes_back(filled: Desk) -> None:
    filled.run("ALTER TABLE lead DROP COLUMN first_name CASCADE")
    follow(filled, FIELDS)
    change(filled, "UPDATE lead_editable SET first_name = 'Grace' WHERE id = 1")
    assert rows(filled) == [("update_only", {"id": 1, "firstName": "Grace"}, None)]


def test_an_update_finds_its_lead_by_an_index(filled: Desk) -> None:
    filled.run(
        "INSERT INTO lead (id, email) SELECT n, 'x' || n || '@example.com' FROM generate_series(10, 5000) AS n"
    )
    filled.run("ANALYZE lead")
    plan = filled.run(
        "EXPLAIN UPDATE lead_editable SET first_name = 'x' WHERE lower(email) = 'x77@example.com'"
    )
    assert not any("Seq Scan" in line for (line,) in plan)
