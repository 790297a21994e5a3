"""Tables that are read whole, beside what Marketo lists now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from syncd.core.differences import Difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.database.engine import Transaction

Table = Literal[
    "lead_field",
    "lead_partition",
    "static_list",
    "program",
    "channel_status",
    "program_member_field",
    "smart_campaign",
]
KEYS: dict[Table, tuple[str, ...]] = {
    "lead_field": ("name",),
    "lead_partition": ("id",),
    "static_list": ("id",),
    "program": ("id",),
    "channel_status": ("channel", "status"),
    "program_member_field": ("name",),
    "smart_campaign": ("id",),
}
PLACE = "table "
"""How ``Difference.where`` begins for a row of one of these tables; the table and the row's key follow."""

Row = dict[str, Any]


def differences(transaction: Transaction, table: Table, write: Callable[[], object]) -> list[Difference]:
    """Let ``write`` bring a table up to date, tell what it changed, and take it back.

    So the comparison and the feed cannot have two opinions.
    """
    before = _living(transaction, table)
    with transaction.raw.transaction(force_rollback=True):
        write()
        after = _living(transaction, table)
    found = []
    for key in sorted(before.keys() | after.keys()):
        ours, theirs = before.get(key), after.get(key)
        if ours == theirs:
            continue
        where = f"{PLACE}{table} {key}"
        if ours is None or theirs is None:
            found.append(Difference(0, "missing" if ours is None else "extra", where=where))
            continue
        values = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
        found.append(Difference(0, "changed", tuple(values), where, values))
    return found


def ever_read(transaction: Transaction, feed: str) -> bool:
    """Tell whether a feed has run to its end at least once: before that its tables say nothing."""
    return bool(transaction.scalar("feed_ever_done", feed=feed))


def _living(transaction: Transaction, table: Table) -> dict[str, Row]:
    query = sql.SQL("SELECT to_jsonb(t) - '_synced_at' FROM {} AS t WHERE _removed_at IS NULL")
    rows = transaction.composed(query.format(sql.Identifier(table))).fetchall()
    return {" / ".join(str(row[name]) for name in KEYS[table]): row for (row,) in rows}
