"""A page of leads on its way into PostgreSQL: hashed where the settings say so, mended where it has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from syncd import log, metrics
from syncd.core.csv import Mended
from syncd.database.casting import name_of
from syncd.database.documents import encoded, may_hold_nul, without_nul

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncd.core.fields import LeadField
    from syncd.core.policy import FieldPolicy
    from syncd.database.engine import Transaction

Done = TypeVar("Done")

NAMED = 20


def _document(
    policy: FieldPolicy,
    fields: Sequence[LeadField],
    records: Sequence[dict[str, Any]],
    answer: bytes | None = None,
) -> Jsonb:
    """Return a page as JSON that PostgreSQL takes, with hashes where only they may be kept.

    answer: what Marketo wrote, where that tells of these records and no others; so they need not be written again.
    """
    page = _as_told(records) if answer is None else answer
    with_nul = may_hold_nul(page)
    if with_nul:
        _tell_nul(fields, records)
    if hashed := [f for f in fields if f.hashed]:
        page = _as_told(
            [
                record | {f.name: policy.hashed(f.data_type, record.get(f.name)) for f in hashed}
                for record in records
            ]
        )
    # It is JSON already, and as bytes it need not be encoded anew.
    return Jsonb(without_nul(page) if with_nul else page, dumps=bytes)


def with_page(
    transaction: Transaction,
    fields: Sequence[LeadField],
    records: Sequence[dict[str, Any]],
    answer: bytes | None,
    work: Callable[[Jsonb], Done],
) -> Done:
    """Do something with a page as Marketo wrote it or, where PostgreSQL does not take that, with what was read of it."""
    if answer is not None:
        try:
            with transaction.raw.transaction():
                return work(_document(transaction.policy, fields, records, answer))
        except psycopg.DataError as problem:
            log.get("database").warning(
                "a page has a number that PostgreSQL can't hold; it is left out",
                leads=len(records),
                problem=problem.sqlstate,
            )
    return work(_document(transaction.policy, fields, records))


def page_source(fields: Sequence[LeadField]) -> sql.Composable:
    """Return a JSON page, the parameter ``page``, as a table of text."""
    others = [field for field in fields if field.name != "id"]
    columns = [
        sql.SQL("e ->> {} AS {}").format(name_of(f), sql.Identifier(f"c{n}")) for n, f in enumerate(others)
    ]
    return sql.SQL("(SELECT {} FROM jsonb_array_elements(%(page)s::jsonb -> 'result') e)").format(
        sql.SQL(", ").join([sql.SQL("e ->> 'id' AS id"), *columns])
    )


def tell_mended(mended: Sequence[Mended], where: str) -> None:
    """Name the leads and fields of which characters were taken out that PostgreSQL can't hold."""
    metrics.MENDED.inc(len(mended))
    log.get("database").warning(
        "values have characters that PostgreSQL can't hold; they were taken out",
        where=where,
        values=len(mended),
        some=[{"lead": m.lead, "field": m.field, "what": m.what} for m in mended[:NAMED]],
    )


def _as_told(records: Sequence[dict[str, Any]]) -> bytes:
    return b'{"result":' + encoded(list(records)) + b"}"


def _tell_nul(fields: Sequence[LeadField], records: Sequence[dict[str, Any]]) -> None:
    names = [f.name for f in fields]
    mended = [
        Mended(str(record.get("id")), name, "nul")
        for record in records
        for name in names
        if isinstance(value := record.get(name), str) and "\0" in value
    ]
    if mended:
        tell_mended(mended, "a page of leads")
