"""Erasing a person: every trace in both schemas goes, and a tombstone of the id alone keeps the feeds from bringing them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from syncd.database.engine import QUEUE_LOCK
from syncd.errors import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.database.engine import Database, Transaction

NAMED = 10


@dataclass(frozen=True)
class Erased:
    """What was erased."""

    leads: tuple[int, ...]
    """The lead, those of the same address, and those that were merged into them."""
    rows: int
    """Rows of all tables, without those of the outbox."""
    outbox: int


def erase(database: Database, *, lead_id: int | None = None, email: str | None = None) -> Erased:
    """Erase a person by id, or all leads of an address, in one transaction.

    Raises WorkFailed where nobody is known by the address, or where outbox rows that concern the
    person are not finished: whether they shall still be sent, a person must say.
    """
    with database.begin() as transaction:
        transaction.run("erase_close")
        address = None if email is None else email.strip().lower()
        found = transaction.rows("erase_whom", lead_id=lead_id, email=address)
        ids = [int(row.id) for row in found]
        if not ids:
            raise WorkFailed("the mirror knows no lead of this address; give the lead's id, if there is one")
        known = {row.email for row in transaction.rows("erase_addresses", ids=ids)}
        emails = sorted(known | ({address} if address else set()))
        transaction.run("erase_tombstone", ids=ids)
        gone = _forget(database, transaction, ids)
        rows = _outbox(transaction, ids, emails)
        return Erased(tuple(ids), gone, rows)


def _forget(database: Database, transaction: Transaction, ids: Sequence[int]) -> int:
    names, gone = database.names, 0
    places = transaction.rows(
        "erase_places", schemas=[names.mirror, names.machinery], machinery=names.machinery
    )
    for place in places:
        values: list[int] | list[str] = [str(lead) for lead in ids] if place.staged else list(ids)
        statement = sql.SQL("DELETE FROM {} WHERE {} = ANY(%(ids)s)").format(
            sql.SQL(place.place), sql.Identifier(place.by)
        )
        gone += transaction.composed(statement, {"ids": values}).rowcount
    return gone


def _outbox(transaction: Transaction, ids: Sequence[int], emails: Sequence[str]) -> int:
    transaction.lock(QUEUE_LOCK)
    keys = [f"lead:{lead}" for lead in ids] + [f"email:{email}" for email in emails]
    rows = transaction.rows("erase_outbox_rows", ids=list(ids), keys=keys, emails=list(emails))
    unfinished = [str(row.id) for row in rows if row.open]
    if unfinished:
        raise WorkFailed(
            f"outbox rows that concern this person are not finished: {', '.join(unfinished[:NAMED])}; "
            "let them be carried out, or end them with `syncd outbox cancel` (`release`, where one halts), "
            "then erase again; nothing was erased"
        )
    return transaction.run("erase_outbox", rows=[int(row.id) for row in rows]) if rows else 0
