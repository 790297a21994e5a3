"""Brings the database to the newest migration; the only caller of Alembic."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from syncd.database import operations
from syncd.database.engine import MIGRATION_LOCK, SHARED_CLASS, Database
from syncd.errors import DatabaseProblem

if TYPE_CHECKING:
    from sqlalchemy import Connection


def scripts() -> Path:
    """Return the folder of the migrations: inside an installed wheel, or beside the package in a checkout."""
    inside = Path(str(files("syncd"))) / "_migrations"
    return inside if inside.is_dir() else inside.parent.parent / "migrations"


def _config(database: Database, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["names"] = database.names.quoted()
    config.attributes["connection"] = connection
    return config


def newest(database: Database) -> str:
    """Return the newest migration that this version knows."""
    head = ScriptDirectory.from_config(_config(database)).get_current_head()
    if head is None:
        raise DatabaseProblem(f"no migration was found in {scripts()}; the installation is not whole")
    return head


def current(database: Database) -> str | None:
    """Return the migration that the database is at, or None before the first."""
    with database.plainly(), database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table_schema": database.names.machinery}
        )
        return context.get_current_revision()


def require_newest(database: Database) -> None:
    """Raise DatabaseProblem unless the database is at this version's newest migration."""
    there, wanted = current(database), newest(database)
    if there != wanted:
        raise DatabaseProblem(
            f"the database at {database.place} is at {there or 'no migration'} and this version needs {wanted}; run "
            "`syncd migrate`"
        )


def migrate(database: Database) -> tuple[str | None, str]:
    """Bring the database to the newest migration; return the one before and the one after.

    Several may call it at once: an advisory lock lets them in one after the other. Roles and schemas
    that are missing are made first, by the connected user. Raises DatabaseProblem with what to grant.
    """
    database.version()
    before = current(database)
    with database.engine.connect() as connection:
        connection.execute(
            text("SELECT pg_advisory_lock(:kind, :which)"),
            {"kind": database.names.lock_class(SHARED_CLASS), "which": MIGRATION_LOCK},
        )
        connection.commit()
        try:
            _prepare(database, connection)
            connection.execute(text(f'SET ROLE "{database.names.owner}"'))
            connection.commit()
            command.upgrade(_config(database, connection), "head")
            connection.commit()
            operations.put(connection, database.names.machinery)
            connection.commit()
        except ProgrammingError as problem:
            raise _plain(database, problem) from problem
        finally:
            # The session is ended rather than handed back: it holds the lock and another role.
            connection.invalidate()
    return before, newest(database)


def _prepare(database: Database, connection: Connection) -> None:
    names = database.names
    for role in (names.owner, names.reader, names.writer):
        # Two databases of one cluster may be migrated at once: the role may appear in between.
        statement = sql.SQL(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN CREATE ROLE {name} NOLOGIN; "
            "END IF; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ).format(text=sql.Literal(role), name=sql.Identifier(role))
        connection.exec_driver_sql(statement.as_string(None))
    # Who made a role is its member, but may neither act as it nor use its tables before it is granted.
    member = connection.execute(
        text("SELECT pg_has_role(:owner, 'SET') AND pg_has_role(:owner, 'USAGE')"), {"owner": names.owner}
    )
    if not member.scalar():
        connection.exec_driver_sql(f'GRANT "{names.owner}" TO CURRENT_USER')
    for schema in (names.mirror, names.machinery):
        there = connection.execute(text("SELECT to_regnamespace(:name)"), {"name": f'"{schema}"'}).scalar()
        if there is None:
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}" AUTHORIZATION "{names.owner}"')
    connection.exec_driver_sql(
        f"COMMENT ON SCHEMA \"{names.mirror}\" IS 'Marketo''s leads in SQL, and the outbox of changes to Marketo; kept by syncd.'"
    )
    connection.exec_driver_sql(
        f"COMMENT ON SCHEMA \"{names.machinery}\" IS 'Cursors, queue, ledger and history of syncd; nothing to report on.'"
    )
    connection.commit()


def _plain(database: Database, problem: ProgrammingError) -> Exception:
    if not isinstance(problem.orig, psycopg.errors.InsufficientPrivilege):
        return problem
    names = database.names
    message = str(problem.orig).strip().split("\n", 1)[0]
    return DatabaseProblem(
        f"the database user may not migrate {database.place}: {message}; let a superuser run `syncd migrate` once, or "
        f"CREATE ROLE {names.owner}, {names.reader} and {names.writer}, GRANT {names.owner} to this user, and "
        "GRANT CREATE ON DATABASE to it"
    )
