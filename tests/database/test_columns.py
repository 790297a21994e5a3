"""The columns of lead as steps change them, on each version of PostgreSQL."""

from dataclasses import replace

import pytest

from syncd.core import evolution
from syncd.core.fields import FieldFacts
from syncd.core.policy import FieldPolicy
from syncd.database import columns, state
from tests.database.desk import STANDARD, Desk

SALTED = FieldPolicy(hash=("leadScore", "unsubscribed", "firstName", "updatedAt"), salt=b"0123456789abcdef")


def pull(desk: Desk, facts: tuple[FieldFacts, ...], *, room: int = 100) -> list[evolution.Step]:
    """Do what a pull of the schema does, without Marketo."""
    with desk.database.begin() as transaction:
        known, there = columns.known(transaction), state.lead_columns(transaction)
        steps = evolution.plan(facts, known, transaction.policy, there, room)
        steps = columns.carry_out(transaction, steps)
        columns.note(transaction, steps, ())
        return steps


def retyped(name: str, kind: str) -> tuple[FieldFacts, ...]:
    return tuple(replace(f, data_type=kind) if f.name == name else f for f in STANDARD)


def test_what_people_see_of_each_kind_of_change(desk: Desk) -> None:
    pull(desk, STANDARD)
    desk.page([{"id": 1, "leadScore": 5}, {"id": 2, "leadScore": "5.5"}])
    pull(desk, retyped("leadScore", "percent")[:-1])
    assert desk.run(
        "SELECT field, what, old, new FROM lead_field_change WHERE what <> 'added' ORDER BY id"
    ) == [
        ("leadScore", "column_type", "bigint", "numeric"),
        ("leadScore", "data_type", "score", "percent"),
        ("unsubscribed", "removed", None, None),
    ]
    pull(desk, STANDARD)
    assert desk.run("SELECT what FROM lead_field_change WHERE field = 'unsubscribed'") == [
        ("added",),
        ("removed",),
        ("returned",),
    ]


@pytest.mark.parametrize(
    "kind", ["integer", "percent", "currency", "float", "boolean", "date", "datetime", "text", "email"]
)
@pytest.mark.parametrize("field", ["leadScore", "unsubscribed", "updatedAt", "firstName"])
def test_no_change_of_type_loses_a_value(desk: Desk, field: str, kind: str) -> None:
    pull(desk, STANDARD)
    values = {"leadScore": 7, "unsubscribed": True, "updatedAt": "2026-03-02T12:00:00Z", "firstName": "7"}
    desk.page([{"id": 1, **values}, {"id": 2, field: "odd one"}])
    column = desk.value("SELECT column_name FROM lead_field WHERE name = %s", field)
    pull(desk, retyped(field, kind))
    shown = "SELECT coalesce(_unparsed ->> %s, to_jsonb(l) ->> %s) FROM lead l ORDER BY id"
    (first,), (second,) = desk.run(shown, field, column)
    wanted = {"unsubscribed": "true", "leadScore": "7", "firstName": "7"}.get(field)
    assert first == wanted if wanted else first.startswith("2026-03-02T12:00:00")
    assert second == "odd one"


def test_hashes_of_what_was_there_are_those_of_what_comes(desk: Desk) -> None:
    pull(desk, STANDARD)
    records = [
        {
            "id": 1,
            "leadScore": 7,
            "unsubscribed": True,
            "firstName": "Ada",
            "updatedAt": "2026-03-02T10:00:00Z",
        },
        {"id": 2, "leadScore": "7.5", "firstName": "null"},
        {"id": 3},
    ]
    desk.page(records)
    desk.database.policy = SALTED
    pull(desk, STANDARD)
    assert desk.page(records).rows == 0, "each hash made in place is the one that the page has"
    assert desk.lead(2)["_unparsed"] is None
    assert desk.lead(3)["unsubscribed"] == SALTED.hashed("boolean", None)
    assert desk.lead(3)["first_name"] is None


def test_dropped_columns_count(desk: Desk) -> None:
    pull(desk, STANDARD)
    with desk.database.begin() as transaction:
        before = columns.used_up(transaction)
    desk.run("ALTER TABLE lead ADD COLUMN x text")
    desk.run("ALTER TABLE lead DROP COLUMN x")
    with desk.database.begin() as transaction:
        assert columns.used_up(transaction) == before + 1


def test_over_a_thousand_fields_are_mirrored_up_to_postgresqls_limit(desk: Desk) -> None:
    many = tuple(
        FieldFacts(f"field{n}", f"Field {n}", "string" if n % 2 else "integer") for n in range(1_700)
    )
    with desk.database.begin() as transaction:
        room = evolution.MOST_COLUMNS - columns.used_up(transaction)
    steps = pull(desk, (*STANDARD, *many), room=room)
    refused = [s.facts.name for s in steps if s.kept_as == "no_room"]
    assert len(refused) == len(STANDARD) - 4 + len(many) - room
    assert desk.page([{"id": 1, "field1": "a", "field2": 5, "field3": "b", "leadScore": "x"}]).rows == 1
    assert desk.page([{"id": 1, "field1": "a", "field2": 5, "field3": "b", "leadScore": "x"}]).rows == 0
    assert pull(desk, (*STANDARD, *many), room=0)[-1].kept_as == "no_room"
