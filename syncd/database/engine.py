"""Connections and transactions.

Every connection has both schemas in its search path, runs in UTC and reads what is committed, so that
SQL needs no prefix and timestamps no thought, whatever the database's own defaults are.
"""

from __future__ import annotations

import select
import zlib
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import set_json_loads
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, InvalidRequestError

from syncd.core.policy import EVERYTHING, FieldPolicy
from syncd.database.documents import parsed
from syncd.database.queries import for_driver
from syncd.errors import ConfigError, DatabaseProblem, ValueRefused, WorkFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import sql
    from sqlalchemy import Engine

    from syncd import settings

LOWEST_VERSION = 16
LIMIT_EXCEEDED = "54"
"""Class of the codes with which PostgreSQL says that something is beyond its limits, such as a row of over 8 KB."""
KEEPALIVES: dict[str, Any] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""Seconds, seconds and times: a server that is gone is noticed within a minute."""
IDLE_IN_TRANSACTION = "20s"
"""Far more than a living process leaves between two statements."""
QUEUE_LOCK, LEDGER_LOCK, MIGRATION_LOCK, LEADER_LOCK, SCHEMA_LOCK = 1, 2, 3, 4, 5
REPLICA_CLASS, SHARED_CLASS, FEED_CLASS = 0, 1, 2


@dataclass(frozen=True)
class Names:
    """What this subscription's schemas and roles are called."""

    mirror: str
    machinery: str
    owner: str
    reader: str
    writer: str

    @property
    def channel(self) -> str:
        """The NOTIFY channel that wakes the drain."""
        return f"{self.machinery}_outbox"

    def lock_class(self, kind: int) -> int:
        """Return the first key of this subscription's advisory locks of one kind."""
        return (zlib.crc32(f"{self.machinery}/{kind}".encode()) ^ 0x80000000) - 0x80000000

    def quoted(self) -> dict[str, str]:
        """Return what the migrations are formatted with."""
        plain = {key: getattr(self, key) for key in ("mirror", "machinery", "owner", "reader", "writer")}
        return {key: '"' + value + '"' for key, value in plain.items()} | {
            "channel": self.channel,
            "version_schema": self.machinery,
        }


class Transaction:
    """One transaction; a thin hand on psycopg's connection that knows the named statements, and gives rows as named tuples."""

    def __init__(self, raw: psycopg.Connection[Any], names: Names, policy: FieldPolicy = EVERYTHING) -> None:
        self.raw = raw
        """The driver's own connection, for COPY and savepoints."""
        self.policy = policy
        self._names = names

    def run(self, name: str, **values: Any) -> int:
        """Run a named statement and return how many rows it touched."""
        return self._execute(name, values).rowcount

    def rows(self, name: str, **values: Any) -> list[Any]:
        """Run a named statement and return its rows."""
        return self._execute(name, values).fetchall()

    def row(self, name: str, **values: Any) -> Any:
        """Run a named statement and return its first row; None where there is none."""
        return self._execute(name, values).fetchone()

    def scalar(self, name: str, **values: Any) -> Any:
        """Run a named statement and return the first value of its first row."""
        row = self._execute(name, values).fetchone()
        return None if row is None else row[0]

    def composed(
        self, statement: sql.Composed | sql.SQL, values: dict[str, Any] | None = None
    ) -> psycopg.Cursor[Any]:
        """Run a statement that one of this room's builders made; its parameters are psycopg's."""
        return self.raw.execute(statement, values)

    def lock(self, which: int, *, shared: bool = False) -> None:
        """Wait for one of this subscription's locks; it ends with the transaction."""
        name = "share_lock" if shared else "take_lock"
        self.run(name, kind=self._names.lock_class(SHARED_CLASS), which=which)

    def _execute(self, name: str, values: dict[str, Any]) -> psycopg.Cursor[Any]:
        return self.raw.cursor(row_factory=namedtuple_row).execute(for_driver(name), values)


class Database:
    """A pool of connections to one PostgreSQL, for one subscription."""

    def __init__(
        self, conf: settings.Database, *, application: str = "syncd", policy: FieldPolicy = EVERYTHING
    ) -> None:
        """Make the pool; nothing is connected yet. policy: which fields of leads may come in, and how.

        Raises ConfigError where there is no URL or it is none.
        """
        if conf.url is None or not conf.url.get_secret_value():
            raise ConfigError(
                "database.url is not set; give SYNCD_DATABASE__URL, or url or url_file under [database], such as "
                "postgresql://user:password@host:5432/name"
            )
        self.policy = policy
        self.names = Names(
            conf.mirror_schema, conf.machinery_schema, conf.owner_role, conf.reader_role, conf.writer_role
        )
        self._conninfo = _conninfo(conf.url.get_secret_value())
        # A lock is of use only where the statements after it see what others did before.
        self._options = (
            f"-csearch_path={conf.mirror_schema},{conf.machinery_schema} -ctimezone=UTC -cdatestyle=ISO "
            r"-cdefault_transaction_isolation=read\ committed "
            # The server notices within a minute that this machine is gone, and lets go of its locks.
            "-ctcp_keepalives_idle=30 -ctcp_keepalives_interval=10 -ctcp_keepalives_count=3 "
            # A process that is paused in the middle of a transaction holds up everybody for so long at the most.
            f"-cidle_in_transaction_session_timeout={IDLE_IN_TRANSACTION}"
        )
        self._application = application
        self.engine: Engine = create_engine(
            "postgresql+psycopg://",
            creator=self.connect,
            pool_size=conf.pool_size,
            max_overflow=0,
            hide_parameters=True,
        )
        event.listen(self.engine, "checkout", _still_open)

    @property
    def place(self) -> str:
        """Host and name of the database, without secrets."""
        parts = psycopg.conninfo.conninfo_to_dict(self._conninfo)
        return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[Any]:
        """Open a connection outside the pool. Raises psycopg.OperationalError."""
        connection = psycopg.connect(
            self._conninfo,
            options=self._options,
            application_name=self._application,
            autocommit=autocommit,
            connect_timeout=10,
            client_encoding="UTF8",
            **KEEPALIVES,
        )
        set_json_loads(parsed, connection)
        return connection

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Open a transaction: committed at the end of the block, rolled back by an exception.

        Raises what ``plainly`` raises.
        """
        with self._connection() as connection:
            try:
                yield Transaction(connection, self.names, self.policy)
            except BaseException:
                with suppress(psycopg.Error):  # what ended it is what is told
                    connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def each(self) -> Iterator[Transaction]:
        """Let each statement of the block be a transaction of its own: one way there and back in place of three.

        Raises what ``plainly`` raises.
        """
        with self._connection() as connection:
            try:
                connection.autocommit = True
                yield Transaction(connection, self.names, self.policy)
            finally:
                with suppress(psycopg.Error):
                    connection.autocommit = False

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection of the pool, without the way through SQLAlchemy for its statements."""
        with self.plainly():
            lent = self.engine.raw_connection()
            connection = lent.driver_connection
            assert isinstance(connection, psycopg.Connection)  # noqa: S101 - the URL's driver is fixed in this file
            try:
                yield connection
            finally:
                # One that still commits by itself would make nothing of the next transaction's locks.
                if connection.closed or connection.autocommit:
                    lent.invalidate()
                lent.close()

    @contextmanager
    def plainly(self) -> Iterator[None]:
        """Let what goes wrong with PostgreSQL in the block be told in a sentence.

        Raises DatabaseProblem where it is not reached, goes away or was not migrated, and ValueRefused
        where it does not take a value.
        """
        try:
            yield
        except InvalidRequestError:
            # The pool gives up where the server ends each new connection, too: it is restarting.
            raise DatabaseProblem(
                f"PostgreSQL at {self.place} ends connections at once; it may be restarting"
            ) from None
        except (DBAPIError, psycopg.Error) as problem:
            cause = getattr(problem, "orig", None) or problem
            what = f"{type(cause).__name__}, {getattr(cause, 'sqlstate', None)}"
            if isinstance(cause, psycopg.errors.BadCopyFileFormat):
                raise ValueRefused(
                    f"a bulk file has a record that can't be told from the next one ({what})"
                ) from None
            if isinstance(cause, psycopg.DataError):
                raise ValueRefused(
                    f"PostgreSQL does not take a value ({what}); this is a mistake in syncd"
                ) from None
            if str(getattr(cause, "sqlstate", None)).startswith(LIMIT_EXCEEDED):
                raise ValueRefused(f"PostgreSQL has no room for so large a row or value ({what})") from None
            sentence = self.sentence(problem)
            if sentence is None:
                raise
            raise DatabaseProblem(sentence) from problem

    @contextmanager
    def exclusive(self, feed: str) -> Iterator[None]:
        """Hold the lock of a feed, on a session of its own that ends with the block or the process.

        Raises WorkFailed where another process holds it.
        """
        key = (self.names.lock_class(FEED_CLASS), zlib.crc32(feed.encode()) - 0x80000000)
        with ExitStack() as held:
            try:
                connection = self.connect(autocommit=True)
                held.callback(connection.close)
                row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", key).fetchone()
            except psycopg.Error as problem:
                raise DatabaseProblem(self.sentence(problem) or type(problem).__name__) from problem
            if not (row and row[0]):
                raise WorkFailed(
                    f"another process is at the feed {feed} of this database; wait for it, or stop it"
                )
            try:
                yield
            finally:
                # The server ends a session a little after it is told to; the next run of the feed may come sooner.
                with suppress(psycopg.Error):
                    connection.execute("SELECT pg_advisory_unlock(%s, %s)", key)

    def sentence(self, problem: Exception) -> str | None:
        """Say in a sentence what is wrong with the server or the database; None where it is something else."""
        cause = getattr(problem, "orig", None) or problem
        if isinstance(cause, psycopg.errors.UndefinedTable):
            return f"the database at {self.place} has not been migrated to this version; run `syncd migrate`"
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            return f"the database user may not do this at {self.place}: {_first_line(cause)}; run `syncd migrate` as it"
        if isinstance(cause, psycopg.errors.IdleInTransactionSessionTimeout):
            return f"PostgreSQL at {self.place} ended the session of a process that slept in a transaction; it goes on by itself"
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return f"PostgreSQL at {self.place} can't be used: {_first_line(cause)}; check database.url and the server"
        return None

    def version(self) -> int:
        """Return PostgreSQL's major version. Raises DatabaseProblem below the lowest that is supported."""
        with self.begin() as transaction:
            version = int(transaction.scalar("server_version")) // 10_000
            encoding = str(transaction.scalar("server_encoding"))
        if version < LOWEST_VERSION:
            raise DatabaseProblem(
                f"PostgreSQL at {self.place} is version {version}; syncd needs {LOWEST_VERSION} or newer"
            )
        if encoding != "UTF8":
            raise DatabaseProblem(
                f"the database at {self.place} has the encoding {encoding}; make one with ENCODING 'UTF8' for syncd"
            )
        return version

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()


def _conninfo(url: str) -> str:
    try:
        make_url(url)
        # The text itself goes on: written anew, an encoded space of a password would be lost.
        scheme, _, rest = url.partition("://")
        psycopg.conninfo.conninfo_to_dict("postgresql://" + rest)
    except (ArgumentError, psycopg.ProgrammingError, ValueError):
        raise ConfigError(
            "database.url can't be read; it must look like postgresql://user:password@host:5432/name"
        ) from None
    if scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigError(f"database.url names {scheme}, and syncd needs PostgreSQL (postgresql://…)")
    return "postgresql://" + rest


def _still_open(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    """Let the pool open another connection where the server has said something unasked: that it ended this one.

    A question to the server would tell the same for a round trip before each transaction.
    """
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    if look.poll(0):
        raise DisconnectionError


def _first_line(problem: BaseException) -> str:
    return str(problem).strip().split("\n", 1)[0].rstrip(".") or type(problem).__name__
