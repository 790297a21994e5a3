"""From nothing to the newest migration, by anybody who may, any number of times."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from syncd.database import engine, leads, migrate
from syncd.errors import DatabaseProblem
from tests.migrations.conftest import Place
from tests.support.postgres import connected

OBJECTS = """
    SELECT n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname IN ('marketo', 'syncd') ORDER BY 1, 2, 4
"""


def test_an_empty_database_is_brought_to_the_newest_migration(every_place: Place):
    with connected(every_place.url) as database:
        assert migrate.current(database) is None
        assert migrate.migrate(database) == (None, migrate.newest(database))
        assert migrate.current(database) == migrate.newest(database)
        with database.begin() as transaction:
            assert transaction.row("outbox_counts").waiting == 0
            assert leads.mirrored_fields(transaction) == []


def test_to_migrate_again_changes_nothing(place: Place):
    with connected(place.url) as database:
        migrate.migrate(database)
        before = place.rows(OBJECTS)
        newest = migrate.newest(database)
        assert migrate.migrate(database) == (newest, newest)
        assert place.rows(OBJECTS) == before


def test_several_may_migrate_at_once(every_place: Place):
    start = Barrier(4)

    def migrate_it(_: int) -> tuple[str | None, str]:
        with connected(every_place.url) as database:
            start.wait()
            return migrate.migrate(database)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(migrate_it, range(4)))
    with connected(every_place.url) as database:
        newest = migrate.newest(database)
    assert {after for _, after in results} == {newest}
    assert every_place.rows("SELECT version_num FROM syncd.alembic_version") == [(newest,)]


def test_a_migration_leaves_no_session_with_the_owners_role_behind(place: Place):
    with connected(place.url) as database:
        migrate.migrate(database)
        with database.begin() as transaction:
            row = transaction.composed("SELECT current_user = session_user").fetchone()
        assert row == (True,)
        assert (
            place.rows(
                "SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            == []
        )


def test_every_schema_table_and_column_says_what_it_is(place: Place):
    with connected(place.url) as database:
        migrate.migrate(database)
    silent = place.rows("""
        SELECT c.relname, a.attname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname IN ('marketo', 'syncd') AND c.relkind IN ('r', 'v', 'm', 'p')
          AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
    """)
    assert silent == []
    schemas = place.rows(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname IN ('marketo', 'syncd')"
    )
    assert len(schemas) == 2
    assert all(comment for (comment,) in schemas)
    functions = place.rows("""
        SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('marketo', 'syncd') AND obj_description(p.oid, 'pg_proc') IS NULL
    """)
    assert functions == []


def test_everything_belongs_to_the_owner(place: Place):
    with connected(place.url) as database:
        migrate.migrate(database)
    owners = place.rows("""
        SELECT DISTINCT pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('marketo', 'syncd')
        UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname IN ('marketo', 'syncd')
        UNION SELECT pg_get_userbyid(proowner) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('marketo', 'syncd')
    """)
    assert owners == [("syncd_owner",)]


def test_two_subscriptions_share_a_database_and_know_nothing_of_each_other(
    place: Place, other_names: dict[str, str]
):
    with connected(place.url) as one, connected(place.url, **other_names) as other:
        migrate.migrate(one)
        assert migrate.current(other) is None
        migrate.migrate(other)
        assert one.names.channel != other.names.channel
        assert one.names.lock_class(1) != other.names.lock_class(1)
        with other.begin() as transaction:
            transaction.composed("INSERT INTO outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')")
        with one.begin() as transaction:
            assert transaction.row("outbox_counts").waiting == 0
        with other.begin() as transaction:
            assert transaction.row("outbox_counts").waiting == 1
            assert transaction.composed("SELECT FROM outbox_queue").rowcount == 1
        assert place.rows("SELECT count(*) FROM syncd.outbox_queue") == [(0,)]
        assert place.rows("SELECT count(*) FROM other_syncd.outbox_queue") == [(1,)]
        assert place.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'other_marketo'") == [
            (other_names["owner_role"],)
        ]


def test_a_user_who_may_make_roles_and_schemas_can_migrate_and_work(
    place: Place, login, other_names: dict[str, str]
):
    url = login(attributes="CREATEROLE")
    user = psycopg.conninfo.conninfo_to_dict(url)["user"]
    place.execute(f'GRANT CREATE ON DATABASE "{place.name}" TO "{user}"')
    with connected(url, **other_names) as database:
        migrate.migrate(database)
        migrate.migrate(database)
        with database.begin() as transaction:
            transaction.composed("INSERT INTO outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')")
            assert transaction.row("outbox_counts").waiting == 1
            # As the feeds do: a new field is a new column.
            transaction.composed("ALTER TABLE lead ADD COLUMN first_name text")
    # The tables are the owner's, whom this user may only give to others: they go with their owner.
    place.execute(f'REVOKE CREATE ON DATABASE "{place.name}" FROM "{user}"')
    for role in ("owner_role", "reader_role", "writer_role"):
        place.execute(f'DROP OWNED BY "{other_names[role]}" CASCADE')


@pytest.mark.parametrize("attributes", ["", "CREATEROLE"])
def test_a_user_who_may_not_migrate_is_told_what_to_grant(
    place: Place, login, other_names: dict[str, str], attributes
):
    with (
        connected(login(attributes=attributes), **other_names) as database,
        pytest.raises(DatabaseProblem) as problem,
    ):
        migrate.migrate(database)
    message = str(problem.value)
    assert "permission denied" in message
    assert "let a superuser run `syncd migrate` once" in message
    assert f"GRANT {other_names['owner_role']} to this user" in message
    assert "\n" not in message


def test_a_user_who_got_roles_and_rights_beforehand_can_migrate(
    place: Place, login, other_names: dict[str, str]
):
    url = login()
    user = psycopg.conninfo.conninfo_to_dict(url)["user"]
    for role in ("owner_role", "reader_role", "writer_role"):
        place.execute(f'CREATE ROLE "{other_names[role]}"')
    place.execute(f'GRANT "{other_names["owner_role"]}" TO "{user}"')
    place.execute(f'GRANT CREATE ON DATABASE "{place.name}" TO "{user}"')
    with connected(url, **other_names) as database:
        assert migrate.migrate(database) == (None, migrate.newest(database))


def test_a_server_that_is_too_old_is_told_plainly(place: Place, monkeypatch):
    monkeypatch.setattr(engine, "LOWEST_VERSION", 99)
    with connected(place.url) as database:
        with pytest.raises(DatabaseProblem, match=r"is version \d+; syncd needs 99 or newer"):
            migrate.migrate(database)
        assert migrate.current(database) is None


def test_work_before_the_first_migration_says_to_migrate(place: Place):
    with (
        connected(place.url) as database,
        pytest.raises(DatabaseProblem, match="run `syncd migrate`"),
        database.begin() as t,
    ):
        t.row("outbox_counts")


def test_an_unreachable_server_is_told_plainly_and_without_the_password():
    with (
        connected("postgresql://me:hush-hush@127.0.0.1:1/nothing") as database,
        pytest.raises(DatabaseProblem) as problem,
    ):
        migrate.migrate(database)
    message = str(problem.value)
    assert message.startswith("PostgreSQL at 127.0.0.1:1/nothing can't be used")
    assert "check database.url" in message
    assert "hush-hush" not in message
    assert "\n" not in message
