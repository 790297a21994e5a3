"""Readers read the mirror; writers write outbox rows and nothing that syncd writes."""

import psycopg
import pytest
from psycopg import errors

from syncd.database import migrate
from tests.migrations.conftest import Login, Place
from tests.support.postgres import connected

PUBLIC = {
    "operation": "'create_or_update'",
    "payload": '\'{"email": "a@b.com"}\'',
    "lookup_field": "'email'",
    "partition_name": "'Default'",
    "options": "'{}'",
    "idempotency_key": "'once'",
    "not_before": "now()",
    "expires_at": "now() + interval '1 day'",
    "on_unknown_outcome": "'hold'",
    "if_matches": '\'{"email": "a@b.com"}\'',
    "if_unchanged_since": "now()",
}


@pytest.fixture
def migrated(place: Place) -> Place:
    with connected(place.url) as database:
        migrate.migrate(database)
    return place


@pytest.fixture
def reader(migrated: Place, login: Login):
    with psycopg.connect(login("syncd_reader"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def writer(migrated: Place, login: Login):
    with psycopg.connect(login("syncd_writer"), autocommit=True) as connection:
        yield connection


def tables(place: Place, schema: str) -> list[str]:
    return [
        row[0]
        for row in place.rows(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' ORDER BY 1")
    ]


def test_both_may_read_every_table_of_the_mirror(migrated: Place, reader, writer):
    names = tables(migrated, "marketo")
    assert {"lead", "lead_field", "outbox", "program", "static_list"} <= set(names)
    for connection in (reader, writer):
        for name in names:
            connection.execute(f"SELECT * FROM marketo.{name}")


def test_neither_may_look_at_the_machinery(migrated: Place, reader, writer):
    for connection in (reader, writer):
        for name in tables(migrated, "syncd"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT FROM syncd.{name}")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT nextval('syncd.outbox_claim')")


def test_a_reader_may_change_nothing(migrated: Place, reader):
    for name in tables(migrated, "marketo"):
        for statement in (
            "DELETE FROM marketo.{}",
            "TRUNCATE marketo.{}",
            "INSERT INTO marketo.{} DEFAULT VALUES",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(statement.format(name))
    for statement in (
        "UPDATE marketo.lead SET email = 'x'",
        "INSERT INTO marketo.outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')",
        "CREATE TABLE marketo.mine ()",
        "ALTER TABLE marketo.lead ADD COLUMN mine text",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(statement)


def test_a_writer_inserts_outbox_rows_and_learns_their_id(migrated: Place, writer):
    columns, values = ", ".join(PUBLIC), ", ".join(PUBLIC.values())
    row = writer.execute(
        f"INSERT INTO marketo.outbox ({columns}) VALUES ({values}) RETURNING id, status, created_by"
    ).fetchone()
    assert row is not None
    assert row[1:] == ("pending", writer.info.user)
    assert migrated.rows("SELECT outbox_id, state FROM syncd.outbox_queue") == [(row[0], "new")]


def test_a_writer_may_use_the_functions_and_a_reader_may_not(migrated: Place, reader, writer):
    statement = "SELECT marketo.add_to_list(email => 'a@b.com', list_id => 7)"
    row = writer.execute(statement).fetchone()
    assert migrated.rows("SELECT id, created_by FROM marketo.outbox") == [(row[0], writer.info.user)]
    made = migrated.rows(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'marketo'::regnamespace"
    )
    assert len(made) > 15
    for (name,) in made:
        for role, may in (("syncd_writer", True), ("syncd_reader", False)):
            assert migrated.rows(f"SELECT has_function_privilege('{role}', '{name}', 'EXECUTE')") == [(may,)]
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute(statement)


def test_a_writer_may_change_leads_through_the_view_and_a_reader_may_only_look(
    migrated: Place, reader, writer
):
    migrated.execute("INSERT INTO marketo.lead (id, email) VALUES (1, 'a@b.com')")
    migrated.execute(
        "INSERT INTO marketo.lead_field (name, column_name, display_name, data_type, read_only, updateable, searchable, hidden, "
        "sensitive, custom, crm_managed, api_created, html_encoded_in_email) "
        "VALUES ('email', 'email', 'Email', 'email', false, true, true, false, false, false, false, false, true)"
    )
    statements = (
        "INSERT INTO marketo.lead_editable (email) VALUES ('b@b.com')",
        "UPDATE marketo.lead_editable SET email = 'c@b.com' WHERE id = 1",
        "DELETE FROM marketo.lead_editable WHERE id = 1",
    )
    writer.execute("SET syncd.lead_editable_lock = on")
    for statement in statements:
        writer.execute(statement)
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(statement)
    assert migrated.rows(
        "SELECT operation, payload::text, if_matches ->> 'email', created_by = session_user FROM marketo.outbox ORDER BY id"
    ) == [
        ("create_only", '{"email": "b@b.com"}', None, False),
        ("update_only", '{"id": 1, "email": "c@b.com"}', "a@b.com", False),
        ("delete", '{"id": 1}', "a@b.com", False),
    ]
    assert reader.execute("SELECT id FROM marketo.lead_editable").fetchall() == [(1,)]
    for role in (reader, writer):
        with pytest.raises(errors.InsufficientPrivilege):
            role.execute("SELECT syncd.lead_editable_drop()")


def test_a_writer_can_not_forge_what_syncd_writes(migrated: Place, writer):
    names = {
        r[0]
        for r in migrated.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'marketo' AND table_name = 'outbox'"
        )
    }
    forged = names - set(PUBLIC)
    assert {
        "id",
        "status",
        "lead_id",
        "result",
        "created_by",
        "created_at",
        "attempts",
        "finished_at",
    } <= forged
    for column in sorted(forged):
        with pytest.raises(errors.InsufficientPrivilege):
            writer.execute(
                f"INSERT INTO marketo.outbox (operation, payload, {column}) OVERRIDING SYSTEM VALUE "
                "VALUES ('delete', '{\"id\": 1}', NULL)"
            )


def test_a_writer_can_not_change_or_remove_rows(migrated: Place, writer):
    writer.execute("INSERT INTO marketo.outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')")
    for statement in (
        "UPDATE marketo.outbox SET status = 'succeeded'",
        "UPDATE marketo.outbox SET payload = '{}'",
        "DELETE FROM marketo.outbox",
        "TRUNCATE marketo.outbox",
        "ALTER TABLE marketo.outbox DISABLE TRIGGER ALL",
        "UPDATE marketo.lead SET email = 'x'",
        "INSERT INTO marketo.lead (id) VALUES (1)",
        "SELECT syncd.outbox_check()",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            writer.execute(statement)


def test_a_writers_own_objects_do_not_mislead_the_check(migrated: Place, writer):
    """The check runs with its owner's rights: nothing that a writer makes may be taken for a table of ours."""
    writer.execute("CREATE TEMP TABLE lead_field (name text, column_name text)")
    writer.execute("CREATE TEMP TABLE outbox_queue (outbox_id bigint)")
    writer.execute("INSERT INTO marketo.outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')")
    assert migrated.rows("SELECT count(*) FROM syncd.outbox_queue") == [(1,)]
    assert writer.execute("SELECT count(*) FROM pg_temp.outbox_queue").fetchone() == (0,)


def test_tables_that_come_later_can_be_read_too(migrated: Place, reader):
    migrated.execute("SET ROLE syncd_owner; CREATE TABLE marketo.later (id bigint)")
    reader.execute("SELECT FROM marketo.later")


def test_nobody_else_sees_anything(migrated: Place, login: Login):
    with psycopg.connect(login(), autocommit=True) as stranger:
        for name in ("marketo.lead", "marketo.outbox", "syncd.run"):
            with pytest.raises(errors.InsufficientPrivilege):
                stranger.execute(f"SELECT FROM {name}")
