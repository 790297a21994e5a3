"""The table of leads: typed columns, upserts that write only what differs, tombstones, comparison.

Pages of the API and files of bulk extracts go the same way: both are brought into the shape
``(id text, c0 text, c1 text, …)`` and cast by the same expressions. A value that does not fit its
column's type becomes NULL there and is kept in ``_unparsed``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, LiteralString

import orjson
from psycopg import sql

from syncd import log, metrics
from syncd.core.differences import Difference
from syncd.core.fields import LeadField
from syncd.database import memberships
from syncd.database.casting import name_of, names_of, typed
from syncd.database.documents import document
from syncd.database.engine import SCHEMA_LOCK
from syncd.database.intake import page_source, with_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from psycopg.types.json import Jsonb

    from syncd.core.policy import FieldPolicy
    from syncd.database.engine import Transaction

UNPARSED_NAMED = 20
LONGEST_CHAIN = 50
LOADING: LiteralString = "SELECT EXISTS (SELECT FROM backfill_window WHERE state IN ('created', 'queued'))"


@dataclass(frozen=True)
class Written:
    """What an upsert did."""

    rows: int
    unparsed: int
    """How many of them have a value that does not fit its column."""


def mirrored_fields(transaction: Transaction) -> list[LeadField]:
    """Return the fields that have a column and that Marketo still offers, the id first.

    They stay as they are until the transaction ends. A field that is not yet kept as the settings say
    waits for the next pull of the schema.
    """
    transaction.lock(SCHEMA_LOCK, shared=True)
    return list(_fields_of(transaction.scalar("fields_mirrored") or "[]", transaction.policy))


@lru_cache(maxsize=8)
def _fields_of(told: str, policy: FieldPolicy) -> tuple[LeadField, ...]:
    """Read what PostgreSQL tells of the fields, which is the same from page to page."""
    return tuple(
        LeadField(
            name,
            f["column_name"],
            f["column_type"],
            f["exportable"],
            f["data_type"],
            f["kept_as"] == "hashed",
        )
        for f in orjson.loads(told)
        if policy.kept_as(name := f["name"]) == f["kept_as"]
        and f["mark"] == (policy.mark if f["kept_as"] == "hashed" else None)
    )


def hold(transaction: Transaction, fields: Sequence[LeadField]) -> bool:
    """Keep the columns as they are until the transaction ends; tell whether the fields are still what they were."""
    present = mirrored_fields(transaction)
    return list(fields) == present or set(fields) <= set(present)


def upsert_page(
    transaction: Transaction,
    fields: Sequence[LeadField],
    records: Sequence[dict[str, Any]],
    *,
    touch: bool,
    answer: bytes | None = None,
) -> Written:
    """Write leads as a page of the API holds them; of each, the fields named here.

    answer: what Marketo wrote, where that tells of these records and no others.
    touch: renew ``_synced_at`` of leads that are the same too, so that an older bulk file does not
    overwrite them; else that is done only while a bulk file is under way.
    """
    if not records:
        return Written(0, 0)
    statement = _upsert_page(tuple(fields), touch=touch)
    return with_page(
        transaction, fields, records, answer, lambda page: _upsert(transaction, statement, page=page)
    )


def upsert_staged(
    transaction: Transaction,
    fields: Sequence[LeadField],
    table: str,
    *,
    exported_at: datetime,
    pages: tuple[int, int] | None = None,
    unique: bool = False,
) -> Written:
    """Write the leads of a loaded bulk file, except those whose row is newer than the export.

    pages: a part of the table, from one of PostgreSQL's pages up to another.
    unique: no id comes twice there; raises psycopg's CardinalityViolation where one does.
    """
    source = _staged(table, pages)
    statement = _upsert_statement(
        fields,
        source,
        "l._synced_at < %(older_than)s AND {differs}",
        unique=unique,
        file=True,
        compared=not _all_new(transaction, source),
    )
    return _upsert(transaction, statement, older_than=exported_at)


def apply_changes(
    transaction: Transaction, fields: Sequence[LeadField], changes: Iterable[tuple[int, dict[str, Any]]]
) -> None:
    """Write what Marketo has just confirmed: for each lead, the fields that were sent and no others."""
    known = {field.name: field for field in fields}
    merged: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for lead_id, record in changes:
        merged[lead_id] |= record
    groups: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for lead_id, record in merged.items():
        names = tuple(sorted(name for name in record if name in known and name != "id"))
        # Marketo stores an empty text as nothing.
        values = {name: None if record[name] == "" else record[name] for name in names}
        groups[names].append(values | {"id": lead_id})
    for names in sorted(groups):
        upsert_page(transaction, [known[name] for name in names], groups[names], touch=True)


def unseen_changes(transaction: Transaction, changes: Sequence[dict[str, Any]]) -> set[int]:
    """Return the leads of which the mirror does not show one of these changes (lead_id, name, value as text)."""
    policy = transaction.policy
    kept = [change for change in changes if not policy.hides(change["name"])]
    if not kept:
        return set()
    if policy.hash:
        types = {f.name: f.data_type for f in mirrored_fields(transaction)}
        kept = [
            change | {"value": policy.hashed(types.get(change["name"], ""), change["value"])}
            if policy.kept_as(change["name"]) == "hashed"
            else change
            for change in kept
        ]
    return {int(row.lead_id) for row in transaction.rows("changes_unseen", changes=document(kept))}


def unseen_leads(transaction: Transaction, ids: Sequence[int]) -> set[int]:
    """Return those of the leads that the mirror does not hold whole, and that nobody is about to read."""
    return {int(row.lead_id) for row in transaction.rows("leads_unseen", ids=list(ids))} if ids else set()


def mirrored_since(transaction: Transaction) -> datetime | None:
    """Return when the row was written that is the longest as it is; None where there is none."""
    found: datetime | None = transaction.scalar("mirrored_since")
    return found


def seen_since(transaction: Transaction, moments: Sequence[tuple[int, datetime]]) -> set[int]:
    """Return those of the leads, each with a moment of Marketo's log, whose row was written well after it."""
    if not moments:
        return set()
    rows = document([{"lead_id": lead, "at": at.isoformat()} for lead, at in moments])
    return {int(row.lead_id) for row in transaction.rows("leads_seen_since", moments=rows)}


def forget_dirty(transaction: Transaction, ids: Sequence[int]) -> None:
    """Leads that are gone for good need no reading; a read of them that began earlier can't bring them back."""
    if ids:
        transaction.run("dirty_forget", ids=list(ids))


def bury(transaction: Transaction, leads: Sequence[tuple[int, int | None]]) -> int:
    """Retire leads that Marketo says are gone for good."""
    forget_dirty(transaction, [lead for lead, _ in leads])
    return retire(transaction, leads)


def retire(transaction: Transaction, leads: Sequence[tuple[int, int | None]]) -> int:
    """Retire leads, each with the lead that it was merged into, if any; return how many rows changed.

    Their memberships end, or move to the winner. In a chain of merges every loser points to the last winner.
    """
    if not leads:
        return 0
    rows = document([{"id": lead, "merged_into": winner} for lead, winner in leads])
    changed = transaction.run("lead_retire", leads=rows)
    merged = sorted({lead for pair in leads if pair[1] is not None for lead in pair if lead is not None})
    for _ in range(LONGEST_CHAIN if merged else 0):
        if not transaction.run("lead_rechain", winners_and_losers=merged):
            break
    memberships.follow_retired(transaction, rows)
    return changed


def compare_staged(transaction: Transaction, fields: Sequence[LeadField], table: str) -> list[Difference]:
    """Compare a table of loaded bulk files with the whole mirror, field by field."""
    found = _differing(transaction, fields, typed(fields, sql.Identifier(table)), None)
    extra = transaction.composed(
        sql.SQL(
            "SELECT l.id FROM lead l WHERE l._deleted_at IS NULL AND NOT EXISTS (SELECT FROM {} s WHERE s.id = l.id::text) "
            "ORDER BY l.id"
        ).format(sql.Identifier(table))
    )
    return found + [Difference(int(row[0]), "extra") for row in extra]


def compare_page(
    transaction: Transaction,
    fields: Sequence[LeadField],
    records: Sequence[dict[str, Any]],
    *,
    answer: bytes | None = None,
) -> list[Difference]:
    """Compare leads as a page of the API holds them with their rows.

    answer: as for ``upsert_page``; both must read alike, down to the digits of a number in a column of text.
    """
    if not records:
        return []
    table = typed(fields, page_source(fields))
    return with_page(
        transaction, fields, records, answer, lambda page: _differing(transaction, fields, table, page)
    )


def with_values(
    transaction: Transaction,
    fields: Sequence[LeadField],
    found: Sequence[Difference],
    records: Sequence[dict[str, Any]],
) -> list[Difference]:
    """Return the differences with both values of each differing field: the mirror's and the record's."""
    columns = {f.name: f.column for f in fields}
    theirs = {int(r["id"]): r for r in records}
    rows = {r.id: r.row for r in transaction.rows("lead_documents", ids=[d.lead_id for d in found])}
    filled = []
    for one in found:
        row = rows.get(one.lead_id, {})
        odd = row.get("_unparsed") or {}
        values = {
            name: (odd.get(name, row.get(columns[name])), theirs.get(one.lead_id, {}).get(name))
            for name in one.fields
        }
        filled.append(replace(one, values=values))
    return filled


def mark_staged_dirty(transaction: Transaction, table: str, reason: str) -> int:
    """Mark every lead of a staging table dirty; return how many."""
    return transaction.composed(
        sql.SQL(
            "INSERT INTO dirty_lead (lead_id, reason) SELECT DISTINCT id::bigint, %(reason)s FROM {} ORDER BY 1 "
            "ON CONFLICT (lead_id) DO NOTHING"
        ).format(sql.Identifier(table)),
        {"reason": reason},
    ).rowcount


def _differing(
    transaction: Transaction, fields: Sequence[LeadField], table: sql.Composable, page: Jsonb | None
) -> list[Difference]:
    others = [field for field in fields if field.name != "id"]
    pairs = [(sql.Identifier("l", f.column), sql.Identifier("t", f.column)) for f in others]
    named = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(mine, theirs, name_of(f))
        for (mine, theirs), f in zip(pairs, others, strict=True)
    )
    rows = transaction.composed(
        sql.SQL(
            "SELECT t.id, l.id IS NULL OR l._deleted_at IS NOT NULL AS missing, array_remove(ARRAY[{named}]::text[], NULL) "
            "FROM ({typed}) t LEFT JOIN lead l ON l.id = t.id "
            "WHERE (l.id IS NULL OR l._deleted_at IS NOT NULL OR ({mine}, {kept}) IS DISTINCT FROM ({theirs}, t._unparsed)) "
            "AND NOT EXISTS (SELECT FROM erased_lead e WHERE e.lead_id = t.id) "
            "ORDER BY t.id"
        ).format(
            # Only what concerns the fields that are compared.
            kept=sql.SQL(
                "(SELECT jsonb_object_agg(u.key, u.value) FROM jsonb_each(l._unparsed) u WHERE u.key = ANY({}::text[]))"
            ).format(names_of(others)),
            named=named,
            typed=table,
            mine=sql.SQL(", ").join(p[0] for p in pairs),
            theirs=sql.SQL(", ").join(p[1] for p in pairs),
        ),
        {"page": page},
    )
    return [
        Difference(int(r[0]), "missing")
        if r[1]
        else Difference(int(r[0]), "changed", tuple(r[2]) or ("_unparsed",))
        for r in rows
    ]


def _staged(table: str, pages: tuple[int, int] | None) -> sql.Composable:
    """Return a staging table, or a part of it."""
    if pages is None:
        return sql.Identifier(table)
    return sql.SQL("(SELECT * FROM {} WHERE ctid >= {}::tid AND ctid < {}::tid)").format(
        sql.Identifier(table), *(sql.Literal(f"({page},0)") for page in pages)
    )


def _all_new(transaction: Transaction, source: sql.Composable) -> bool:
    """Tell whether the mirror holds no lead between the lowest and the highest id of a source: so it is in a first load."""
    row = transaction.composed(
        sql.SQL(
            "SELECT coalesce((SELECT min(l.id) FROM lead l WHERE l.id >= p.low) > p.high, true) "
            "FROM (SELECT min(s.id::bigint) AS low, max(s.id::bigint) AS high FROM {} s) p"
        ).format(source)
    ).fetchone()
    return bool(row and row[0])


def _upsert(
    transaction: Transaction,
    statement: sql.SQL,
    *,
    older_than: datetime | None = None,
    page: Jsonb | None = None,
) -> Written:
    row = transaction.composed(statement, {"older_than": older_than, "page": page}).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    written = Written(int(row[0]), int(row[1]))
    if written.unparsed:
        metrics.UNPARSED.inc(written.unparsed)
        log.get("database").warning(
            "some leads have data that does not fit its column; it is kept in lead._unparsed",
            leads=written.unparsed,
            some=[{"lead": lead, "fields": names} for lead, names in row[2]],
        )
    return written


@lru_cache(maxsize=64)
def _upsert_page(fields: tuple[LeadField, ...], *, touch: bool) -> sql.SQL:
    """Return the statement for a page; made once for each choice of fields, since a page has but 300 rows."""
    return _upsert_statement(fields, page_source(fields), "true" if touch else f"({LOADING}) OR {{differs}}")


def _upsert_statement(
    fields: Sequence[LeadField],
    source: sql.Composable,
    condition: LiteralString,
    *,
    unique: bool = False,
    file: bool = False,
    compared: bool = True,
) -> sql.SQL:
    """Return the statement that writes a source. compared: rows that are the same are left out first; none is there otherwise."""
    others = [field for field in fields if field.name != "id"]
    columns = [sql.Identifier(f.column) for f in others]
    statement = sql.SQL(
        "WITH w AS (INSERT INTO lead AS l ({into}) SELECT {names} FROM ({typed}) t {unless_same} ORDER BY t.id "
        "ON CONFLICT (id) DO UPDATE SET {sets} WHERE {condition} RETURNING l.id, l._unparsed) "
        "SELECT count(*), count(*) FILTER (WHERE _unparsed IS NOT NULL), "
        "(SELECT jsonb_agg(jsonb_build_array(s.id, (SELECT jsonb_agg(k) FROM jsonb_object_keys(s._unparsed) k))) "
        "FROM (SELECT id, _unparsed FROM w WHERE _unparsed IS NOT NULL ORDER BY id LIMIT {named}) s) FROM w"
    ).format(
        into=sql.SQL(", ").join([sql.Identifier("id"), *columns, sql.Identifier("_unparsed")]),
        names=sql.SQL(", ").join(
            [sql.Identifier("t", c) for c in ["id", *(f.column for f in others), "_unparsed"]]
        ),
        typed=typed(fields, source, unique=unique),
        # ON CONFLICT locks even a row that it then leaves as it is, and a lock is a write: such rows stay out of it.
        # OFFSET 0: by the index, however many rows the planner expects.
        unless_same=sql.SQL(
            "LEFT JOIN LATERAL (SELECT * FROM lead WHERE id = t.id OFFSET 0) l ON true WHERE l.id IS NULL OR ({})"
        ).format(sql.SQL(condition).format(differs=_differs(others, "t", file=file)))
        if compared and "differs" in condition
        else sql.SQL(""),
        sets=sql.SQL(", ").join(
            [
                sql.SQL("{} = {}").format(sql.Identifier(f.column), _told(f, "excluded", file=file))
                for f in others
            ]
            + [
                sql.SQL("_unparsed = {}").format(_kept_unparsed(others, "excluded")),
                sql.SQL("_synced_at = now(), _deleted_at = NULL, _merged_into_id = NULL"),
            ]
        ),
        condition=sql.SQL(condition).format(differs=_differs(others, "excluded", file=file)),
        named=sql.Literal(UNPARSED_NAMED),
    )
    return sql.SQL(statement.as_string(None))


def _told(field: LeadField, theirs: str, *, file: bool) -> sql.Composable:
    """Return a field's new value. A bulk file has no word for the text "null": it is no reason to forget that text."""
    told = sql.Identifier(theirs, field.column)
    if not file or field.column_type != "text":
        return told
    mine = sql.Identifier("l", field.column)
    return sql.SQL("coalesce({}, CASE WHEN {} = 'null' THEN {} END)").format(told, mine, mine)


def _differs(others: Sequence[LeadField], theirs: str, *, file: bool = False) -> sql.Composed:
    """Return whether a row (l) is not what it should be."""
    return sql.SQL(
        "({mine}, l._deleted_at, l._unparsed) IS DISTINCT FROM ({theirs}, NULL::timestamptz, {unparsed})"
    ).format(
        mine=sql.SQL(", ").join([sql.Identifier("l", c) for c in ["id", *(f.column for f in others)]]),
        theirs=sql.SQL(", ").join(
            [sql.Identifier(theirs, "id"), *(_told(f, theirs, file=file) for f in others)]
        ),
        unparsed=_kept_unparsed(others, theirs),
    )


def _kept_unparsed(others: Sequence[LeadField], theirs: str) -> sql.Composed:
    """Return what does not fit by now: of these fields what they say, of all others what the row (l) says."""
    return sql.SQL(
        "nullif((coalesce(l._unparsed, '{{}}') - {names}::text[]) || coalesce({theirs}, '{{}}'), '{{}}')"
    ).format(names=names_of(others), theirs=sql.Identifier(theirs, "_unparsed"))
