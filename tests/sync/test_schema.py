"""Fields of Marketo come, go and change, and the columns follow without losing anything."""

import pytest

from syncd.core import evolution
from syncd.core.csv import Mended
from syncd.core.policy import FieldPolicy
from syncd.mirror import backfill, dirty, schema
from tests.sync.inside import READ, Inside

CREATE = "POST /bulk/v1/leads/export/create.json"


def log(inside: Inside, field: str) -> list[tuple[str, str | None, str | None]]:
    """What the log of changes says of a field."""
    rows = inside.sql("SELECT what, old, new FROM lead_field_change WHERE field = %s ORDER BY id", field)
    return [(row["what"], row["old"], row["new"]) for row in rows]


def column(inside: Inside, field: str) -> str | None:
    return inside.value("SELECT column_name FROM lead_field WHERE name = %s", field)


def type_of(inside: Inside, name: str) -> str:
    return inside.value(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'lead'::regclass AND attname = %s",
        name,
    )


def comment_on(inside: Inside, name: str) -> str:
    return inside.value(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'lead'::regclass AND attname = %s",
        name,
    )


def follow(inside: Inside) -> dict[str, int]:
    """Pull the schema, and read what it asks for."""
    counts = schema.pull(inside.feeds)
    return counts + backfill.pull(inside.feeds) + dirty.pull(inside.feeds)


def test_the_first_pull_notes_every_field_and_a_second_one_changes_nothing(filled: Inside) -> None:
    assert log(filled, "email") == [("added", None, "email")]
    before = filled.value("SELECT count(*) FROM lead_field_change")
    filled.simulator.reset_calls()
    counts = schema.pull(filled.feeds)
    assert (counts["changed"], counts["new"], counts["gone"]) == (0, 0, 0)
    assert filled.value("SELECT count(*) FROM lead_field_change") == before
    assert not schema.outdated(filled.feeds)
    assert not backfill.due(filled.feeds)


def test_a_new_field_of_few_leads_is_filled_by_one_call(filled: Inside) -> None:
    filled.simulator.add_field("shoeSize", "integer", "Shoe Size")
    filled.simulator.edit_lead(5, shoeSize=43)
    filled.simulator.reset_calls()
    counts = follow(filled)
    assert (counts["new"], counts["leads_again"], counts["windows_again"]) == (1, 200, 0)
    assert filled.calls(READ) == 1
    assert filled.calls(CREATE) == 0
    assert filled.value("SELECT shoe_size FROM lead WHERE id = 5") == 43
    assert log(filled, "shoeSize") == [("added", None, "integer")]
    filled.proven()


def test_a_new_field_of_many_leads_is_filled_by_windows_with_that_field_alone(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.database.refill.by_pages", lambda leads, windows: leads < 10)
    filled.simulator.add_field("shoeSize", "integer")
    filled.simulator.edit_lead(5, shoeSize=43)
    new = filled.simulator.create_lead(email="young@example.com")
    filled.catch_up()
    filled.simulator.edit_lead(new, shoeSize=38)
    windows = filled.value("SELECT count(*) FROM backfill_window")
    filled.simulator.reset_calls()
    counts = follow(filled)
    assert counts["windows_again"] == windows == filled.calls(CREATE)
    # The lead is younger than all windows, or was created in the last second of the newest.
    assert counts["leads_again"] <= 1
    assert counts["bytes"] < 200 * 30
    sizes = {n: filled.value("SELECT shoe_size FROM lead WHERE id = %s", n) for n in (5, new)}
    assert sizes == {5: 43, new: 38}
    assert filled.value("SELECT count(*) FROM backfill_window WHERE only_fields IS NOT NULL") == 0
    filled.proven()


def test_many_leads_younger_than_all_windows_get_windows_of_their_own(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.database.refill.by_pages", lambda leads, windows: False)
    filled.simulator.add_field("shoeSize", "integer")
    new = filled.simulator.create_lead(email="young@example.com")
    filled.catch_up()
    filled.simulator.edit_lead(new, shoeSize=38)
    filled.simulator.advance(5)
    assert follow(filled)["leads_again"] == 0
    assert filled.value("SELECT shoe_size FROM lead WHERE id = %s", new) == 38


def test_a_lead_that_the_mirror_lacks_is_read_whole_by_a_targeted_fill(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.database.refill.by_pages", lambda leads, windows: False)
    filled.sql("DELETE FROM lead WHERE id = 7")
    filled.simulator.add_field("shoeSize", "integer")
    follow(filled)
    filled.proven()


def test_a_field_that_comes_while_a_window_is_under_way_is_in_it(inside: Inside) -> None:
    schema.pull(inside.feeds)
    inside.simulator.fault(
        "delay", "POST /bulk/v1/leads/export/{exportId}/enqueue.json", phase="after", seconds=0.1
    )
    runs = []

    def between(what: str, done: int, total: int | None) -> None:
        if what == "windows" and not runs:
            runs.append(done)
            return
        if what == "windows" and len(runs) == 1:
            runs.append(done)
            inside.simulator.add_field("shoeSize", "integer")
            inside.simulator.edit_lead(5, shoeSize=43)
            schema.pull(inside.feeds)

    inside.feeds.progress = between
    backfill.pull(inside.feeds)
    dirty.pull(inside.feeds)
    assert len(runs) == 2
    assert inside.value("SELECT shoe_size FROM lead WHERE id = 5") == 43
    inside.proven()


def test_a_field_that_is_hidden_keeps_its_column_and_is_filled_when_it_is_back(filled: Inside) -> None:
    name = "department"
    filled.simulator.edit_lead(5, department="Sales")
    filled.catch_up()
    filled.simulator.edit_field(name, isHidden=True)
    assert follow(filled)["gone"] == 1
    row = filled.sql("SELECT * FROM lead_field WHERE name = %s", name)[0]
    assert row["_removed_at"] is not None
    assert row["hidden"]
    assert filled.lead(5)["department"] == "Sales"
    filled.simulator.edit_lead(5, department="Marketing")
    filled.catch_up()
    # No log tells of a hidden field's change; it moves updatedAt where it comes in a later second.
    assert {field for d in filled.differences() for field in d.fields} <= {"updatedAt"}
    filled.simulator.edit_field(name, isHidden=False)
    follow(filled)
    assert filled.lead(5)["department"] == "Marketing"
    assert [what for what, *_ in log(filled, name)] == ["added", "removed", "returned", "hidden"]
    filled.proven()


def test_a_new_display_name_is_in_the_comment_unless_a_person_wrote_another(filled: Inside) -> None:
    filled.simulator.edit_field("department", displayName="Division")
    filled.sql("COMMENT ON COLUMN lead.city IS 'Ask Eve before you use this'")
    filled.simulator.edit_field("city", displayName="Town")
    counts = follow(filled)
    assert counts["changed"] == 2
    assert counts["leads_again"] == counts["windows_again"] == 0
    assert comment_on(filled, "department") == "Division (Marketo field department, string)."
    assert comment_on(filled, "city") == "Ask Eve before you use this"
    assert log(filled, "department")[1:] == [("display_name", "Department", "Division")]


def test_a_whole_number_that_becomes_text_widens_its_column_and_loses_nothing(filled: Inside) -> None:
    filled.simulator.add_field("shoeSize", "integer")
    filled.simulator.edit_lead(5, shoeSize=43)
    filled.simulator.edit_lead(6, shoeSize=42)
    follow(filled)
    filled.sql("UPDATE lead SET _unparsed = %s WHERE id = 9", '{"shoeSize": "XXL", "other": "x"}')
    filled.simulator.delete_lead(6)
    filled.catch_up()
    filled.sql("CREATE INDEX by_shoe ON lead (shoe_size)")
    filled.simulator.edit_field("shoeSize", dataType="string", length=255)
    filled.simulator.edit_lead(7, shoeSize="wide")
    filled.simulator.edit_lead(9, shoeSize="XXL")
    follow(filled)
    assert type_of(filled, "shoe_size") == "text"
    sizes = filled.sql("SELECT id, shoe_size FROM lead WHERE shoe_size IS NOT NULL ORDER BY id")
    assert [tuple(r.values()) for r in sizes] == [(5, "43"), (6, "42"), (7, "wide"), (9, "XXL")]
    assert filled.value("SELECT _unparsed FROM lead WHERE id = 9") == {"other": "x"}
    assert ("column_type", "bigint", "text") in log(filled, "shoeSize")
    assert ("data_type", "integer", "string") in log(filled, "shoeSize")
    assert filled.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_shoe'") == 1
    filled.sql("UPDATE lead SET _unparsed = NULL WHERE id = 9")
    filled.proven()


def test_text_that_becomes_a_number_stays_text(filled: Inside) -> None:
    filled.simulator.add_field("shoeSize", "string")
    filled.simulator.edit_lead(5, shoeSize="43")
    filled.simulator.edit_lead(6, shoeSize="wide")
    follow(filled)
    filled.simulator.edit_field("shoeSize", dataType="integer", length=None)
    follow(filled)
    assert type_of(filled, "shoe_size") == "text"
    assert filled.lead(6)["shoe_size"] == "wide"
    assert filled.lead(5)["shoe_size"] == "43"
    filled.proven()


def test_a_view_that_holds_on_to_a_type_keeps_it_and_misfits_are_unparsed_until_it_is_gone(
    filled: Inside,
) -> None:
    filled.simulator.add_field("shoeSize", "integer")
    follow(filled)
    filled.sql("CREATE VIEW everybody AS SELECT * FROM lead")
    filled.simulator.edit_field("shoeSize", dataType="string", length=255)
    filled.simulator.edit_lead(7, shoeSize="wide")
    follow(filled)
    assert type_of(filled, "shoe_size") == "bigint"
    assert filled.lead(7)["_unparsed"] == {"shoeSize": "wide"}
    kept = [row for row in log(filled, "shoeSize") if row[0] == "column_kept"]
    assert len(kept) == 1
    assert "everybody" in (kept[0][2] or "")
    filled.proven()
    schema.pull(filled.feeds)
    assert [row for row in log(filled, "shoeSize") if row[0] == "column_kept"] == kept
    filled.sql("DROP VIEW everybody")
    schema.pull(filled.feeds)
    assert (filled.lead(7)["shoe_size"], filled.lead(7)["_unparsed"]) == ("wide", None)
    filled.proven()


def test_names_that_fold_to_the_same_column_stay_apart(filled: Inside) -> None:
    names = ("shoe_size", "shoeSize", "s" * 80 + "A", "s" * 80 + "B")
    for n, name in enumerate(names):
        filled.simulator.add_field(name, "string")
        filled.simulator.edit_lead(5, **{name: str(n)})
    follow(filled)
    columns = [column(filled, name) or "" for name in names]
    assert columns[:2] == ["shoe_size", "shoe_size_2"]
    assert len(set(columns)) == 4
    row = filled.lead(5)
    assert row is not None
    assert [row[name] for name in columns] == ["0", "1", "2", "3"]
    filled.proven()


def test_what_people_made_on_the_table_survives(filled: Inside) -> None:
    filled.sql("CREATE INDEX mine ON lead (lead_source) WHERE _deleted_at IS NULL")
    filled.sql("CREATE VIEW mine_view AS SELECT id, lead_source, last_name FROM lead")
    filled.sql("ALTER TABLE lead ADD COLUMN our_note text DEFAULT 'new', ADD COLUMN extra_field text")
    filled.sql("COMMENT ON COLUMN lead.our_note IS 'ours'")
    filled.sql("COMMENT ON TABLE lead IS 'our words'")
    filled.sql(
        "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.our_note := NEW.last_name; RETURN NEW; END $$"
    )
    filled.sql(
        "CREATE TRIGGER mine_trigger BEFORE UPDATE OF last_name ON lead FOR EACH ROW EXECUTE FUNCTION touched()"
    )
    filled.simulator.add_field("extraField", "string")
    filled.simulator.edit_field("lastName", dataType="text", length=None)
    filled.simulator.edit_lead(5, lastName="Changed", extraField="x")
    follow(filled)
    filled.catch_up()
    assert column(filled, "extraField") == "extra_field_2"
    row = filled.lead(5)
    assert (row["our_note"], row["extra_field"], row["extra_field_2"]) == ("Changed", None, "x")
    assert comment_on(filled, "our_note") == "ours"
    assert filled.value("SELECT obj_description('lead'::regclass)") == "our words"
    assert filled.value("SELECT last_name FROM mine_view WHERE id = 5") == "Changed"
    assert filled.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'mine'") == 1
    filled.proven()


def test_a_column_that_a_person_dropped_is_made_again(filled: Inside) -> None:
    filled.simulator.edit_lead(5, department="Sales")
    filled.sql("ALTER TABLE lead DROP COLUMN department CASCADE")
    follow(filled)
    assert filled.lead(5)["department"] == "Sales"
    filled.proven()


def test_fields_beyond_what_postgresql_can_hold_are_refused_by_name_and_the_rest_goes_on(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = filled.value("SELECT max(attnum) FROM pg_attribute WHERE attrelid = 'lead'::regclass")
    monkeypatch.setattr(evolution, "MOST_COLUMNS", used + 2)
    for n in range(5):
        filled.simulator.add_field(f"extra{n}", "string")
        filled.simulator.edit_lead(5, **{f"extra{n}": "x"})
    counts = follow(filled)
    assert (counts["new"], counts["no_room"]) == (5, 3)
    kept = filled.sql(
        "SELECT name, kept_as, column_name FROM lead_field WHERE name LIKE 'extra_' ORDER BY name"
    )
    assert [row["kept_as"] for row in kept] == ["plain", "plain", "no_room", "no_room", "no_room"]
    assert [row["column_name"] for row in kept] == ["extra0", "extra1", None, None, None]
    assert not schema.outdated(filled.feeds)
    filled.proven()
    monkeypatch.setattr(evolution, "MOST_COLUMNS", used + 3)
    follow(filled)
    assert filled.lead(5)["extra2"] == "x"
    assert log(filled, "extra2")[1:] == [("column_name", None, "extra2"), ("kept_as", "no_room", "plain")]
    filled.proven()


def test_a_value_with_a_nul_character_is_named(filled: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Mended] = []
    monkeypatch.setattr("syncd.database.intake.tell_mended", lambda mended, _: told.extend(mended))
    filled.simulator.edit_lead(5, lastName="a\0b")
    filled.catch_up()
    wanted = {Mended("5", name, "nul") for name in ("lastName", "mktoName")}
    assert set(told) == wanted
    told.clear()
    backfill.pull(filled.feeds, full=True)
    assert set(told) == wanted
    filled.proven()


def test_a_policy_does_not_show_its_salt() -> None:
    assert "salt" not in repr(FieldPolicy(salt=b"a secret salt"))
