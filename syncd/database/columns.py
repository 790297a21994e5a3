"""The columns of the table of leads, as fields and settings change: added, widened, emptied, hashed.

Indexes, views, triggers, comments and further columns that people made stay as they are. Where one of
them holds on to the type of a column, the type stays too.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from syncd.core.evolution import Known
from syncd.core.fields import ColumnType, FieldFacts, column_name, column_type
from syncd.database import addresses
from syncd.database.documents import document
from syncd.database.engine import QUEUE_LOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from syncd.core.evolution import Step
    from syncd.core.policy import KeptAs
    from syncd.database.engine import Database, Transaction

HASHED_AT_ONCE = 5_000
_FACTS = tuple(FieldFacts.__dataclass_fields__)
_ISO = r"""regexp_replace(to_char({c}, 'YYYY-MM-DD"T"HH24:MI:SS.US'), '\.?0+$', '') || 'Z'"""


def known(transaction: Transaction) -> dict[str, Known]:
    """Return every field that was ever seen, by API name."""
    return {
        r.name: Known(
            FieldFacts(**{name: getattr(r, name) for name in _FACTS}),
            r.column_name,
            r.column_type,
            r.kept_as,
            r.mark,
            r.removed_at is not None,
        )
        for r in transaction.rows("fields_known")
    }


def used_up(transaction: Transaction) -> int:
    """Return how many of PostgreSQL's 1,600 columns are used up, those that were dropped included."""
    return int(transaction.scalar("field_columns_ever"))


def carry_out(transaction: Transaction, steps: Sequence[Step]) -> list[Step]:
    """Do to the columns what the steps say; return the steps with the columns that fields have now."""
    done = []
    for step in steps:
        made = step
        if step.add is not None and step.column is not None:
            add_columns(transaction, [(step.column, step.facts)], kind=step.add)
        elif step.column is not None:
            made = _change(transaction, step)
        _comment(transaction, made)
        done.append(made)
    return done


def note(
    transaction: Transaction, steps: Sequence[Step], gone_hidden: Collection[str]
) -> tuple[int, list[str]]:
    """Write the log of changes and lead_field; return how many fields differ, and which are gone.

    gone_hidden: fields that are not offered because they are hidden.
    """
    # A field that is no longer offered has no step of its own facts: only the settings change it.
    offered = [s for s in steps if s.old is None or s.facts is not s.old.facts]
    changed = put(transaction, offered)
    for step in steps:
        if step.old is not None and step.facts is step.old.facts and step.kept_as != step.old.kept_as:
            tell(transaction, step.facts.name, "kept_as", step.old.kept_as, step.kept_as)
            transaction.run(
                "field_keep", field=step.facts.name, column=step.column, kept_as=step.kept_as, mark=step.mark
            )
    gone = transaction.rows("field_gone", names=[s.facts.name for s in offered], hidden=list(gone_hidden))
    return changed, [str(r.name) for r in gone]


def put(transaction: Transaction, steps: Sequence[Step]) -> int:
    """Write fields that Marketo offers to lead_field, and what is new of them to the log; return how many differ.

    The view ``lead_editable`` gets the columns of those that are new.
    """
    rows = document(
        [
            asdict(s.facts) | {"column_name": s.column, "kept_as": s.kept_as, "_hash_mark": s.mark}
            for s in steps
        ]
    )
    transaction.run("field_log_added", fields=rows)
    transaction.run("field_log_changed", fields=rows)
    changed = transaction.run("field_put", fields=rows)
    transaction.run("editable_make", rights=None)
    return changed


def tell(transaction: Transaction, field: str, what: str, old: str | None, new: str | None) -> None:
    """Note one change of one field in the log."""
    transaction.run("field_log", field=field, what=what, old=old, new=new)


def add_columns(
    transaction: Transaction, fields: Sequence[tuple[str, FieldFacts]], kind: ColumnType | None = None
) -> None:
    """Add a column for each field, with its comment; kind: its type, where it is not the natural one."""
    for name, facts in fields:
        column, natural = sql.Identifier(name), kind or column_type(facts.data_type)
        default = " NOT NULL DEFAULT false" if natural == "boolean" else ""
        transaction.composed(
            sql.SQL("ALTER TABLE lead ADD COLUMN {} {}{}").format(column, sql.SQL(natural), sql.SQL(default))
        )
        comment_columns(transaction, [(name, facts)])


def comment_of(facts: FieldFacts, kept_as: KeptAs = "plain") -> str:
    """Return what the column of a field says of itself."""
    how = {"hashed": "; salted SHA-256", "excluded": "; left out by the settings"}.get(kept_as, "")
    text = f"{facts.display_name} (Marketo field {facts.name}, {facts.data_type}){how}."
    return text.replace("\0", "")


def comment_columns(
    transaction: Transaction, fields: Sequence[tuple[str, FieldFacts]], kept_as: KeptAs = "plain"
) -> None:
    """Say at each column what it is called in Marketo."""
    for name, facts in fields:
        text = comment_of(facts, kept_as)
        transaction.composed(
            sql.SQL("COMMENT ON COLUMN lead.{} IS {}").format(sql.Identifier(name), sql.Literal(text))
        )


def forget_files(database: Database, transaction: Transaction) -> int:
    """Remove what bulk files were copied into: it may hold what the settings no longer allow; return how many."""
    tables = [str(r.name) for r in transaction.rows("staging_tables", machinery=database.names.machinery)]
    for table in tables:
        place = sql.Identifier(database.names.machinery, table)
        transaction.composed(sql.SQL("DROP TABLE {}").format(place))
    return len(tables)


def _change(transaction: Transaction, step: Step) -> Step:
    column, old = step.column or "", step.old.column_type if step.old else None
    if step.facts.name == "email" and step.content != "stays":
        transaction.lock(QUEUE_LOCK)
        addresses.kept_otherwise(transaction, emptied=step.content == "emptied")
    if step.content == "emptied":
        _empty(transaction, step)
    problem = None
    if step.retype is not None:
        problem = _retype(transaction, column, old or "", step)
        if problem is None:
            tell(transaction, step.facts.name, "column_type", old, step.retype)
        elif step.content == "hashed":
            return _moved(transaction, step, problem)
        elif step.old is None or step.facts.data_type != step.old.facts.data_type:
            tell(transaction, step.facts.name, "column_kept", old, problem)
    if step.content == "hashed":
        _hash(transaction, column, step)
    elif step.content == "stays" and problem is None:
        _take_back(transaction, column, step)
    return step


def _retype(transaction: Transaction, column: str, old: str, step: Step) -> str | None:
    """Give a column another type; return why it can't be done, or None."""
    name, kind = sql.Identifier(column), step.retype or "text"
    using = sql.SQL("{}::text::{}")
    if old == "timestamptz" and kind == "text":
        using = sql.SQL(_ISO)
    elif old == "date" and kind == "timestamptz":
        using = sql.SQL("{}::timestamp AT TIME ZONE 'UTC'")
    expression = (
        using.format(c=name) if old == "timestamptz" and kind == "text" else using.format(name, sql.SQL(kind))
    )
    parts = ["ALTER COLUMN {c} DROP NOT NULL", "ALTER COLUMN {c} DROP DEFAULT"]
    parts.append("ALTER COLUMN {c} TYPE {k} USING {e}")
    if kind == "boolean" and step.content == "emptied":
        parts += ["ALTER COLUMN {c} SET DEFAULT false"]
    try:
        with transaction.raw.transaction():
            (rights,) = transaction.composed(sql.SQL("SELECT lead_editable_drop()")).fetchone() or (None,)
            for part in parts:
                change = sql.SQL(part).format(c=name, k=sql.SQL(kind), e=expression)
                transaction.composed(sql.SQL("ALTER TABLE lead {}").format(change))
            transaction.run("editable_make", rights=document(rights))
    except psycopg.Error as problem:
        # 0A, 2B, 42: a view, trigger, index or generated column that people made holds on to the type.
        if (problem.sqlstate or "")[:2] not in {"0A", "2B", "42"} or isinstance(
            problem, psycopg.errors.InsufficientPrivilege
        ):
            raise
        return str(problem.diag.message_detail or problem.diag.message_primary or "PostgreSQL refused")
    return None


def _empty(transaction: Transaction, step: Step) -> None:
    name = sql.Identifier(step.column or "")
    transaction.composed(
        sql.SQL("ALTER TABLE lead ALTER COLUMN {c} DROP NOT NULL, ALTER COLUMN {c} DROP DEFAULT").format(
            c=name
        )
    )
    transaction.composed(
        sql.SQL(
            "UPDATE lead SET {c} = NULL, _unparsed = nullif(_unparsed - {f}::text, '{{}}') "
            "WHERE {c} IS NOT NULL OR _unparsed ? {f}"
        ).format(c=name, f=sql.Literal(step.facts.name))
    )


def _hash(transaction: Transaction, column: str, step: Step) -> None:
    """Put hashes in the place of the values of a column of text, and of what did not fit it."""
    names = {"c": sql.Identifier(column), "f": _doubled(step.facts.name)}
    read = sql.SQL(
        "SELECT id, coalesce(_unparsed ->> {f}, {c}) FROM lead "
        "WHERE id > %(after)s AND ({c} IS NOT NULL OR _unparsed ? {f}) ORDER BY id LIMIT %(most)s"
    ).format(**names)
    write = sql.SQL(
        "UPDATE lead l SET {c} = t.hash, _unparsed = nullif(l._unparsed - {f}::text, '{{}}') "
        "FROM unnest(%(ids)s::bigint[], %(hashes)s::text[]) AS t (id, hash) WHERE l.id = t.id"
    ).format(**names)
    after = -(2**63)
    while found := transaction.composed(read, {"after": after, "most": HASHED_AT_ONCE}).fetchall():
        hashes = [transaction.policy.hashed(step.facts.data_type, value) for _, value in found]
        transaction.composed(write, {"ids": [number for number, _ in found], "hashes": hashes})
        after = found[-1][0]


def _moved(transaction: Transaction, step: Step, problem: str) -> Step:
    """Hash a column that has to keep its type: into a new one; the old one stays, empty, for who holds on to it."""
    taken = {str(r.name) for r in transaction.rows("field_columns")}
    column = column_name(step.facts.name, taken)
    add_columns(transaction, [(column, step.facts)], kind="text")
    kind = step.old.column_type if step.old else ""
    using = sql.SQL(_ISO if kind == "timestamptz" else "{c}::text").format(
        c=sql.Identifier(step.column or "")
    )
    transaction.composed(sql.SQL("UPDATE lead SET {} = {}").format(sql.Identifier(column), using))
    moved = replace(step, column=column)
    _hash(transaction, column, moved)
    _empty(transaction, step)
    tell(transaction, step.facts.name, "column_kept", kind, problem)
    return moved


def _take_back(transaction: Transaction, column: str, step: Step) -> None:
    """Bring values that did not fit before into a column that has become text; all others are read anew."""
    if step.retype != "text":
        return
    transaction.composed(
        sql.SQL(
            "UPDATE lead SET {c} = _unparsed ->> {f}, _unparsed = nullif(_unparsed - {f}::text, '{{}}') "
            "WHERE _unparsed ? {f}"
        ).format(c=sql.Identifier(column), f=sql.Literal(step.facts.name))
    )


def _doubled(name: str) -> sql.Literal:
    """Return an API name as a literal of a statement with parameters, in which a percent sign is doubled."""
    return sql.Literal(name.replace("%", "%%"))


def _comment(transaction: Transaction, step: Step) -> None:
    """Say at the column what it is, unless a person has put other words there."""
    if step.column is None:
        return
    if step.old is not None and step.old.column == step.column:
        before = comment_of(step.old.facts, step.old.kept_as)
        if before == comment_of(step.facts, step.kept_as):
            return
        if transaction.scalar("column_comment", column=step.column) not in {before, None}:
            return
    elif step.old is None and step.add is None:
        return  # the words of the first migration
    comment_columns(transaction, [(step.column, step.facts)], kept_as=step.kept_as)
