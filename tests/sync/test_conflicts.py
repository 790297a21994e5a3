"""Rows that say what the lead must still be like: checked against Marketo just before they are sent."""

import psycopg
import pytest

from syncd import simulator as marketo
from syncd.database import operators
from tests.sync.inside import DELETE, READ, SYNC, Inside, Row


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=60, history_days=20, limits=False, export_seconds=0.05, race_ms=0)


@pytest.fixture
def quiet(filled: Inside) -> Inside:
    filled.catch_up()
    return filled


def conflicts(inside: Inside, number: int) -> list[Row]:
    return inside.sql(
        "SELECT field, lead_id, believed, in_marketo, wanted, resolution FROM outbox_conflict WHERE outbox_id = %s "
        "ORDER BY attempt, field",
        number,
    )


def matching(inside: Inside, lead: int, payload: Row, matches: Row) -> int:
    return inside.insert("update_only", {"id": lead, **payload}, if_matches=psycopg.types.json.Jsonb(matches))


def test_three_hundred_locks_cost_one_read_and_each_row_ends_by_itself(quiet: Inside) -> None:
    held = {row["id"]: row for row in quiet.sql("SELECT id, last_name FROM lead WHERE id <= 50")}
    foreign = {3: "Smith", 4: "Miller"}
    for lead, name in foreign.items():
        quiet.simulator.edit_lead(lead, lastName=name)
    rows = {
        lead: matching(quiet, lead, {"city": "Oslo"}, {"lastName": row["last_name"]})
        for lead, row in held.items()
    }
    reads, writes = quiet.calls(READ), quiet.calls(SYNC)
    quiet.carry()
    assert (quiet.calls(READ) - reads, quiet.calls(SYNC) - writes) == (1, 1)
    for lead, number in rows.items():
        row = quiet.row(number)
        assert row["status"] == ("conflict" if lead in foreign else "succeeded")
        assert (quiet.simulator.lead(lead)["city"] == "Oslo") == (lead not in foreign)
    assert conflicts(quiet, rows[3]) == [
        {
            "field": "lastName",
            "lead_id": 3,
            "believed": held[3]["last_name"],
            "in_marketo": "Smith",
            "wanted": None,
            "resolution": "failed",
        }
    ]
    row = quiet.row(rows[3])
    assert (row["error_code"], row["lead_id"], quiet.attempts(rows[3])) == (
        "conflict",
        3,
        ["conflict conflict"],
    )
    assert "lastName" in row["error_message"]
    assert "Smith" not in row["error_message"]
    quiet.proven()


def test_a_row_in_conflict_can_be_checked_again(quiet: Inside) -> None:
    number = matching(quiet, 5, {"city": "Oslo"}, {"lastName": "Nobody"})
    quiet.carry()
    assert quiet.row(number)["status"] == "conflict"
    quiet.simulator.edit_lead(5, lastName="Nobody")
    assert operators.retry(quiet.app.database, ids=[number], error_code=None) == [number]
    quiet.carry()
    assert quiet.row(number)["status"] == "succeeded"
    assert quiet.attempts(number) == ["conflict conflict", "succeeded"]


def since(inside: Inside, moment: object, operation: str, payload: Row) -> Row:
    number = inside.insert(operation, payload, if_unchanged_since=moment)
    inside.carry()
    return inside.row(number)


def test_unchanged_since_sees_what_others_did_and_not_what_the_outbox_did(quiet: Inside) -> None:
    began = quiet.value("SELECT clock_timestamp() - interval '3 seconds'")
    # The outbox's own write moves updatedAt, and comes back through the log.
    own = quiet.carry_all([("update_only", {"id": 7, "lastName": "Own"})])[0]
    assert own["status"] == "succeeded"
    assert since(quiet, began, "update_only", {"id": 7, "lastName": "Again"})["status"] == "succeeded"
    quiet.catch_up()
    assert quiet.value("SELECT count(*) FROM foreign_change WHERE lead_id = 7") == 0
    assert since(quiet, began, "update_only", {"id": 7, "lastName": "Still"})["status"] == "succeeded"
    # Somebody else's does count: before the log tells, and after.
    quiet.simulator.advance(60)
    quiet.simulator.edit_lead(7, lastName="Foreign")
    assert since(quiet, began, "update_only", {"id": 7, "lastName": "Late"})["status"] == "conflict"
    quiet.catch_up()
    assert quiet.value("SELECT count(*) FROM foreign_change WHERE lead_id = 7") == 1
    later = since(quiet, began, "update_only", {"id": 7, "lastName": "Later"})
    assert [c["in_marketo"] for c in conflicts(quiet, later["id"])] == ["Foreign"]


def test_a_deletion_with_a_lock_spares_a_lead_that_changed(quiet: Inside) -> None:
    before = quiet.value("SELECT updated_at FROM lead WHERE id = 9")
    quiet.simulator.advance(3600)
    quiet.simulator.edit_lead(9, lastName="Alive")
    deletions = quiet.calls(DELETE)
    row = since(quiet, before, "delete", {"id": 9})
    assert (row["status"], quiet.calls(DELETE)) == ("conflict", deletions)
    assert [c["field"] for c in conflicts(quiet, row["id"])] == ["updatedAt"]
    assert (
        since(quiet, quiet.value("SELECT updated_at FROM lead WHERE id = 10"), "delete", {"id": 10})["status"]
        == "succeeded"
    )
    quiet.proven()


def test_a_field_that_does_not_move_updated_at_is_seen_all_the_same(quiet: Inside) -> None:
    quiet.simulator.add_field("shoeSize", "integer")
    quiet.fill()
    now = quiet.value("SELECT clock_timestamp()")
    quiet.simulator.edit_lead(11, shoeSize=42)
    row = since(quiet, now, "update_only", {"id": 11, "shoeSize": 43})
    assert row["status"] == "conflict"
    assert conflicts(quiet, row["id"])[0]["in_marketo"] == 42


def test_policies_decide_whose_value_stands(quiet: Inside, conf: dict[str, dict[str, object]]) -> None:
    locks = quiet.drain._sender._locks
    locks._policies = type(locks._policies)("local_wins", {"city": "marketo_wins"})
    quiet.simulator.edit_lead(12, lastName="Theirs", city="Their City")
    number = matching(
        quiet, 12, {"lastName": "Ours", "city": "Our City"}, {"lastName": "Old", "city": "Old City"}
    )
    quiet.carry()
    assert quiet.row(number)["status"] == "succeeded"
    lead = quiet.simulator.lead(12)
    assert (lead["lastName"], lead["city"]) == ("Ours", "Their City")
    assert {c["field"]: c["resolution"] for c in conflicts(quiet, number)} == {
        "lastName": "local_won",
        "city": "marketo_won",
    }
    quiet.proven()


def test_after_an_unknown_outcome_a_row_does_not_conflict_with_itself(quiet: Inside) -> None:
    name = quiet.value("SELECT last_name FROM lead WHERE id = 13")
    quiet.simulator.fault("reset", SYNC, phase="after")
    number = matching(quiet, 13, {"lastName": "Once"}, {"lastName": name})
    quiet.carry()
    row = quiet.row(number)
    assert (row["status"], row["attempts"]) == ("succeeded", 2)
    assert conflicts(quiet, number) == []


def test_a_lock_that_cannot_be_read_fails_alone_and_a_busy_marketo_is_waited_for(quiet: Inside) -> None:
    name = quiet.value("SELECT last_name FROM lead WHERE id = 15")
    odd = quiet.insert(
        "update_only",
        {"email": "a,b@example.com", "city": "Oslo"},
        if_matches=psycopg.types.json.Jsonb({"city": "Rome"}),
    )
    email = quiet.value("SELECT email FROM lead WHERE id = 15")
    fine = quiet.insert(
        "update_only",
        {"email": email, "city": "Oslo"},
        if_matches=psycopg.types.json.Jsonb({"lastName": name}),
    )
    quiet.simulator.fault("error", READ, code="608")
    quiet.carry()
    assert quiet.row(fine)["status"] == "succeeded"
    row = quiet.row(odd)
    assert row["status"] == "failed"
    assert "lock could not be checked" in row["error_message"]


LOCKED = "SET syncd.lead_editable_lock = on; "


def test_what_is_changed_in_the_view_arrives_and_the_mirror_shows_it(quiet: Inside) -> None:
    quiet.sql("UPDATE lead_editable SET last_name = 'Byron', lead_score = 77 WHERE id IN (16, 17)")
    quiet.sql("INSERT INTO lead_editable (email, last_name) VALUES ('view@example.com', 'New')")
    quiet.sql("DELETE FROM lead_editable WHERE id = 18")
    quiet.carry()
    assert {r["status"] for r in quiet.sql("SELECT status FROM outbox")} == {"succeeded"}
    assert [
        r["last_name"] for r in quiet.sql("SELECT last_name FROM lead_editable WHERE id IN (16, 17)")
    ] == [
        "Byron",
        "Byron",
    ]
    assert quiet.value("SELECT last_name FROM lead_editable WHERE email = 'view@example.com'") == "New"
    assert quiet.sql("SELECT FROM lead_editable WHERE id = 18") == []
    quiet.proven()


def test_with_the_lock_a_view_that_is_behind_overwrites_nothing(quiet: Inside) -> None:
    quiet.simulator.edit_lead(19, lastName="Theirs")
    quiet.sql(LOCKED + "UPDATE lead_editable SET last_name = 'Ours' WHERE id IN (19, 20)")
    quiet.sql(LOCKED + "DELETE FROM lead_editable WHERE id IN (19, 21)")
    quiet.carry()
    rows = quiet.sql("SELECT payload ->> 'id' AS lead, operation, status FROM outbox ORDER BY operation, 1")
    assert [(r["lead"], r["operation"], r["status"]) for r in rows] == [
        ("19", "delete", "conflict"),
        ("21", "delete", "succeeded"),
        ("19", "update_only", "conflict"),
        ("20", "update_only", "succeeded"),
    ]
    assert quiet.simulator.lead(19)["lastName"] == "Theirs"
    quiet.catch_up()
    quiet.proven()
