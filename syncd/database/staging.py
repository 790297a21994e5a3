"""Tables of text into which bulk files are copied as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from syncd.database.engine import Database, Transaction


def create(database: Database, name: str, columns: int) -> None:
    """Make an empty staging table with an id and so many columns of text; an old one of that name goes."""
    others = [sql.SQL("{} text").format(sql.Identifier(f"c{n}")) for n in range(columns)]
    with database.begin() as transaction:
        transaction.composed(sql.SQL("DROP TABLE IF EXISTS {}").format(_place(database, name)))
        transaction.composed(
            # Unlogged: should the server crash, the file is simply read again.
            sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(
                _place(database, name), sql.SQL(", ").join([sql.SQL("id text"), *others])
            )
        )


def copy(database: Database, name: str, rows: bytes) -> None:
    """Append whole CSV records, without a header, to a staging table; ``null`` without quotes is NULL."""
    with database.begin() as transaction, transaction.raw.cursor() as cursor:
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, NULL 'null')").format(_place(database, name))
        with cursor.copy(statement) as sink:
            sink.write(rows)


def count(database: Database, name: str) -> int:
    """Return the number of records in a staging table."""
    with database.begin() as transaction:
        row = transaction.composed(
            sql.SQL("SELECT count(*) FROM {}").format(_place(database, name))
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
