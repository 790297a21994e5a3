"""Fields of leads that are to be read again: planned by the fewest calls.

Either every living lead is marked dirty and read 300 a call with all its fields, or the bulk windows that
were loaded before are exported once more with these fields alone, four calls each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from syncd.core.evolution import by_pages
from syncd.database.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.database.engine import Transaction

    Spans = list[tuple[datetime, datetime]]


def plan(
    transaction: Transaction, fields: Sequence[str], *, formula: bool, spans: Callable[[datetime], Spans]
) -> dict[str, int]:
    """Arrange that the fields are read; return how many leads were marked and windows planned for it.

    Windows under way begin anew, with the fields of now. formula: there are fields in no export as well.
    spans: cuts the time from a moment until now into windows.
    """
    facts = transaction.row("refill_facts")
    if facts is None:
        return {}
    filled = {"leads_again": 0, "windows_again": 0}
    wanted = bool(fields) or formula
    all_by_pages = wanted and (formula or facts.walked or by_pages(facts.leads, facts.windows))
    names = [] if all_by_pages else list(fields)
    filled["windows_again"] = transaction.run("windows_refill", fields=names)
    if all_by_pages:
        filled["leads_again"] = transaction.run("refill_by_pages", all=True)
        return filled
    if not wanted or facts.last_end is None:
        return filled
    younger = spans(facts.last_end)
    if by_pages(facts.younger, len(younger)):
        filled["leads_again"] = transaction.run("refill_by_pages", all=False)
    else:
        plan = [{"starts_at": start.isoformat(), "ends_at": end.isoformat()} for start, end in younger]
        filled["windows_again"] += transaction.run("refill_by_windows", windows=document(plan), fields=names)
    return filled


def only_living(transaction: Transaction, table: str) -> int:
    """Take leads that the mirror does not hold out of a staging table of some fields alone, and mark them dirty."""
    return transaction.composed(
        sql.SQL(
            "WITH strange AS (DELETE FROM {} s WHERE s.id IS NOT NULL "
            "AND NOT EXISTS (SELECT FROM lead l WHERE l.id = s.id::bigint AND l._deleted_at IS NULL) "
            "RETURNING s.id::bigint AS id) "
            "INSERT INTO dirty_lead (lead_id, reason) SELECT DISTINCT id, 'fields' FROM strange ORDER BY 1 "
            "ON CONFLICT (lead_id) DO NOTHING"
        ).format(sql.Identifier(table))
    ).rowcount
