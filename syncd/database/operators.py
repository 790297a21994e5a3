"""What people decide about outbox rows, and how they look at them: the commands under ``syncd outbox``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.database.engine import QUEUE_LOCK
from syncd.database.outbox import finish, ids_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.database.engine import Database, Transaction


def listed(
    database: Database,
    *,
    most: int,
    statuses: Sequence[str] | None = None,
    operation: str | None = None,
    error_code: str | None = None,
    lead_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    halted: bool = False,
) -> list[dict[str, Any]]:
    """Return rows for a person, newest first; since, until: when they were inserted.

    halted: only those that hold back the later rows of their lead since they ended badly.
    """
    with database.begin() as transaction:
        found = transaction.rows(
            "outbox_list",
            statuses=None if statuses is None else list(statuses),
            operation=operation,
            error_code=error_code,
            lead_id=lead_id,
            since=since,
            until=until,
            halted=halted,
            most=most,
        )
        return [row._asdict() for row in found]


def story(database: Database, number: int) -> dict[str, Any] | None:
    """Return a row, its attempts and the rows that hold it back; None where there is no such row."""
    with database.begin() as transaction:
        row = transaction.row("outbox_row", id=number)
        if row is None:
            return None
        parts = {
            "attempts": "outbox_attempts",
            "conflicts": "outbox_conflicts",
            "held_back_by": "outbox_blockers",
        }
        return {"row": row._asdict()} | {
            part: [r._asdict() for r in transaction.rows(name, id=number)] for part, name in parts.items()
        }


def cancel(database: Database, ids: Sequence[int]) -> list[int]:
    """End rows that are not being sent; return those that were ended.

    A row that may have taken effect ends as ``uncertain``, and its keys stay closed for as long as before.
    """
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        ended = transaction.rows("outbox_cancel", ids=list(ids))
        finish(transaction, [int(row.id) for row in ended if not row.closing])
        return sorted(ids_of(ended))


def release(database: Database, ids: Sequence[int]) -> list[int]:
    """Let the later rows of a lead go that these rows hold back since they ended badly; return those that did."""
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        released = _release(transaction, ids)
        transaction.run("outbox_notify", channel=database.names.channel)
        return sorted(released)


def retry(
    database: Database,
    *,
    ids: Sequence[int] | None,
    error_code: str | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[int]:
    """Queue rows again; return them.

    ids: rows that failed, expired or were cancelled, and rows that wait, which go at once. None: all
    that failed with this code, or in this time, or both.
    """
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        again = transaction.rows(
            "outbox_retry",
            ids=None if ids is None else list(ids),
            error_code=error_code,
            since=since,
            until=until,
        )
        transaction.run("outbox_notify", channel=database.names.channel)
        return sorted(ids_of(again))


def resolve(database: Database, ids: Sequence[int], *, as_status: str, lead_id: int | None) -> list[int]:
    """Close rows of unknown outcome as ``succeeded`` or ``failed``, or send them again (``resend``).

    One that halts the rows behind it lets them go where it turns out to have succeeded.
    """
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        if as_status == "resend":
            resolved = transaction.rows("outbox_resend", ids=list(ids))
            transaction.run("outbox_notify", channel=database.names.channel)
        else:
            resolved = transaction.rows("outbox_resolve", ids=list(ids), status=as_status, lead_id=lead_id)
            if as_status == "succeeded" and _release(transaction, ids_of(resolved)):
                transaction.run("outbox_notify", channel=database.names.channel)
        return sorted(ids_of(resolved))


def _release(transaction: Transaction, ids: Sequence[int]) -> list[int]:
    """Let the rows go that halted ones of these hold back; return the halted ones. The queue's lock must be held."""
    halted = ids_of(transaction.rows("queue_halted", ids=list(ids)))
    if halted:
        keys = [row.key for row in transaction.rows("queue_keys", ids=halted)]
        transaction.run("queue_drop", ids=halted)
        transaction.run("queue_promote", keys=keys)
    return halted
