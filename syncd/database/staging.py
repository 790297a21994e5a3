"""Tables of text into which bulk files are copied as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from psycopg import sql

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

    from syncd.database.engine import Database, Transaction


def create(database: Database, name: str, columns: int) -> None:
    """Make an empty staging table with an id and so many columns of text; an old one of that name goes."""
    others = [sql.SQL("{} text").format(sql.Identifier(f"c{n}")) for n in range(columns)]
    with database.begin() as transaction:
        transaction.composed(sql.SQL("DROP TABLE IF EXISTS {}").format(_place(database, name)))
        transaction.composed(
            # Unlogged: should the server crash, the file is simply read again.
            # It lives for minutes and is read twice at most: nobody need clean or measure it.
            sql.SQL("CREATE UNLOGGED TABLE {} ({}) WITH (autovacuum_enabled = off)").format(
                _place(database, name), sql.SQL(", ").join([sql.SQL("id text"), *others])
            )
        )


def copy(database: Database, name: str, rows: bytes) -> int:
    """Append whole CSV records, without a header, to a staging table, and return how many; ``null`` without quotes is NULL."""
    with database.begin() as transaction, transaction.raw.cursor() as cursor:
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, NULL 'null')").format(_place(database, name))
        with cursor.copy(statement) as sink:
            sink.write(rows)
        return cursor.rowcount


class Copier:
    """Copies pieces into a staging table in a thread of its own, one behind the other, while the next one arrives.

    At most two pieces are in memory: ``put`` waits until the one before it is in the table.
    """

    def __init__(self, database: Database, name: str) -> None:
        """Nothing is copied yet."""
        self._database = database
        self._name = name
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._last: Future[int] | None = None
        self.rows = 0
        """Records in the table, by PostgreSQL's own count."""

    def put(self, rows: bytes) -> None:
        """Copy whole records, or nothing. Raises what went wrong with the piece before."""
        self.wait()
        if rows:
            self._last = self._pool.submit(copy, self._database, self._name, rows)

    def wait(self) -> None:
        """Return when everything is in the table. Raises what went wrong with the last piece."""
        if self._last is not None:
            last, self._last = self._last, None
            self.rows += last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def pages(database: Database, name: str) -> int:
    """Return how many of PostgreSQL's pages a staging table has; none after a crash of the server, which empties it."""
    with database.begin() as transaction:
        row = transaction.composed(
            sql.SQL("SELECT pg_relation_size({}::regclass) / current_setting('block_size')::integer").format(
                sql.Literal(_place(database, name).as_string(None))
            )
        ).fetchone()
        return int(row[0]) if row else 0


def move(database: Database, source: str, target: str) -> None:
    """Append one staging table to another of the same columns, and remove it."""
    places = {"source": _place(database, source), "target": _place(database, target)}
    with database.begin() as transaction:
        transaction.composed(sql.SQL("INSERT INTO {target} SELECT * FROM {source}").format(**places))
        transaction.composed(sql.SQL("DROP TABLE {source}").format(**places))


def drop(database: Database, transaction: Transaction, name: str) -> None:
    """Remove a staging table, together with whatever else the transaction does."""
    transaction.composed(sql.SQL("DROP TABLE IF EXISTS {}").format(_place(database, name)))


def _place(database: Database, name: str) -> sql.Identifier:
    return sql.Identifier(database.names.machinery, name)
