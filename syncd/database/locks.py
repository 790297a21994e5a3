"""Optimistic locks: who else changed a lead, and the log of conflicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from syncd.database import leads
from syncd.database.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.core.locks import Conflict
    from syncd.database.engine import Database, Transaction


@dataclass(frozen=True)
class Ask:
    """A row that may go only where nobody else changed its lead."""

    outbox_id: int
    lead_id: int
    since: datetime
    updated_at: str | None
    """As Marketo has it now; it does not move for the company's own fields."""
    fields: frozenset[str]
    """The fields that the row writes."""


def changed(database: Database, asks: Sequence[Ask], records: Sequence[dict[str, Any]]) -> set[int]:
    """Return the rows whose lead somebody else changed since their time.

    records: the leads as Marketo has them now. Where one of the row's fields is not as the mirror
    shows it, a change is on its way that Marketo's log has not told yet.
    """
    if not asks:
        return set()
    names = {name for ask in asks for name in ask.fields}
    rows = [
        {
            "outbox_id": a.outbox_id,
            "lead_id": a.lead_id,
            "since": a.since.isoformat(),
            "updated_at": a.updated_at,
        }
        for a in asks
    ]
    with database.begin() as transaction:
        told = {int(row.outbox_id) for row in transaction.rows("lock_changed", asks=document(rows))}
        ids = [ask.lead_id for ask in asks]
        unread = {int(row.lead_id) for row in transaction.rows("lock_unread", ids=ids)}
        fields = [f for f in leads.mirrored_fields(transaction) if f.name in names | {"id"}]
        read = [record for record in records if record["id"] not in unread] if len(fields) > 1 else []
        differing = leads.compare_page(transaction, fields, read)
    news = {d.lead_id: set(d.fields) for d in differing if d.kind == "changed"}
    return told | {ask.outbox_id for ask in asks if news.get(ask.lead_id, set()) & ask.fields}


def note_foreign(transaction: Transaction, changes: Sequence[dict[str, Any]]) -> None:
    """Keep which leads somebody else changed, and when (lead_id, name of the field, at)."""
    if changes:
        transaction.run("foreign_note", changes=document(list(changes)))


def note_conflicts(transaction: Transaction, conflicts: Sequence[Conflict]) -> None:
    """Write both sides of conflicts down."""
    if conflicts:
        transaction.run("conflict_note", conflicts=document([asdict(conflict) for conflict in conflicts]))
