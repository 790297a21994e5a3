"""Text from Marketo becomes typed columns.

Pages of the API and files of bulk extracts have the shape ``(id text, c0 text, c1 text, …)`` here, and
are cast by the same expressions. A value that does not fit its column's type becomes NULL there and is
kept in ``_unparsed``.

The rules are written out, since PostgreSQL's own readers take more than Marketo sends: "yesterday",
"infinity", "0x1F", "on". They cost a regular expression a value, so each row is first tried the quick
way: read, written back, and compared with the text. Only rows that do not come back as they were are
measured by the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from syncd.core.fields import LeadField

_WHOLE = r"^[+-]?\d{1,19}$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_FORMS: dict[str, str] = {
    "bigint": _WHOLE,
    "numeric": _NUMBER,
    "double precision": _NUMBER,
    "boolean": r"^(?:[Tt]rue|[Ff]alse|TRUE|FALSE|0|1)$",
    "date": r"^\d{4}-\d\d-\d\d$",
    "timestamptz": r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$",
}
_COMES_BACK: dict[str, str] = {
    "bigint": "{v}::text = {t}",
    "numeric": "({v}::text = {t} AND {v} < 'Infinity' AND {v} > '-Infinity')",
    "double precision": "({v}::text = {t} AND abs({v}) < 'Infinity')",
    "boolean": "{v} IS NOT NULL",
    "date": "({v}::text = {t} AND length({t}) = 10)",
    "timestamptz": "({v}::text = translate({t}, 'TZ', ' ') || '+00' AND {t} LIKE '__________T________Z')",
}
"""When a value (v) is surely what its text (t) says, in terms of the rules above."""
_WIDEST = 1_600
"""Columns that a subquery may have; PostgreSQL's limit is 1,664."""


def typed(fields: Sequence[LeadField], source: sql.Composable, *, unique: bool = False) -> sql.Composable:
    """Return the source with one typed column a field, and what did not fit.

    unique: every id comes once. Otherwise one row of each id is chosen, which costs a sort.
    """
    others = [f for f in fields if f.name != "id"]
    texts = [sql.Identifier("f", f"c{n}") for n in range(len(others))]
    # Texts and tried values side by side: with very many fields there is no room for that.
    quick = 2 * len(others) + 2 <= _WIDEST
    columns = [
        sql.SQL("{} AS {}").format(_value(f, text, n if quick else None), sql.Identifier(f.column))
        for n, (f, text) in enumerate(zip(others, texts, strict=True))
    ]
    unparsed = _unparsed(others, texts, quick=quick)
    # OFFSET 0: each value is made once, however often the statement around it names it; otherwise the
    # planner writes the whole expression out at each place, and a thousand fields cost gigabytes.
    return sql.SQL("SELECT {one} {columns} FROM ({source}) f {order} OFFSET 0").format(
        one=sql.SQL("" if unique else "DISTINCT ON (f.number)"),
        columns=sql.SQL(", ").join([sql.SQL("f.number AS id"), *columns, unparsed]),
        source=_tried(others, source) if quick else _numbered(source),
        order=sql.SQL("" if unique else "ORDER BY f.number"),
    )


def _numbered(source: sql.Composable, *values: sql.Composable) -> sql.Composable:
    """Return the source with the id as a number, and further values."""
    return sql.SQL("SELECT s.*, {} FROM {} s WHERE s.id IS NOT NULL OFFSET 0").format(
        sql.SQL(", ").join([sql.SQL("s.id::bigint AS number"), *values]), source
    )


def _tried(fields: Sequence[LeadField], source: sql.Composable) -> sql.Composable:
    """Return the source with quickly read values beside their texts, and whether all of a row's come back."""
    reads: list[sql.Composable] = []
    checks: list[sql.Composable] = [sql.SQL("true")]
    for n, field in enumerate(fields):
        kind = field.column_type
        if kind == "text":
            continue
        text = sql.Identifier("q", f"c{n}")
        value = sql.Identifier("q", f"v{n}")
        reads.append(
            sql.SQL("{} AS {}").format(_read(kind, sql.Identifier("s", f"c{n}")), sql.Identifier(f"v{n}"))
        )
        back = sql.SQL(_COMES_BACK[kind]).format(v=value, t=text)
        checks.append(sql.SQL("({} IS NULL OR {})").format(text, back))
    return sql.SQL("SELECT q.*, ({checks}) IS TRUE AS fits FROM ({read}) q OFFSET 0").format(
        checks=sql.SQL(" AND ").join(checks), read=_numbered(source, *reads)
    )


def _read(kind: str, text: sql.Composable) -> sql.Composable:
    if kind == "boolean":
        return sql.SQL("CASE {} WHEN 'false' THEN false WHEN 'true' THEN true END").format(text)
    return sql.SQL("CASE WHEN pg_input_is_valid({t}, {name}) THEN {t}::{kind} END").format(
        t=text, name=sql.Literal(kind), kind=sql.SQL(kind)
    )


def _fits(field: LeadField, text: sql.Composable) -> sql.Composable:
    kind = field.column_type
    return sql.SQL("({t} ~ {form} AND pg_input_is_valid({t}, {kind}))").format(
        t=text, form=sql.Literal(_FORMS[kind]), kind=sql.Literal(kind)
    )


def _value(field: LeadField, text: sql.Composable, number: int | None) -> sql.Composable:
    """Return the value of a text. number: that of the column where it was tried before."""
    kind = field.column_type
    if kind == "text":
        return sql.SQL("nullif({}, '')").format(text)
    value = sql.SQL("CASE WHEN {} THEN {}::{} END").format(_fits(field, text), text, sql.SQL(kind))
    if number is not None:
        tried = sql.Identifier("f", f"v{number}")
        value = sql.SQL("CASE WHEN f.fits THEN {} ELSE {} END").format(tried, value)
    # Marketo's two ways of reading disagree about a boolean that was never set: null or false. It is false.
    return sql.SQL("coalesce({}, false)").format(value) if kind == "boolean" else value


def _unparsed(fields: Sequence[LeadField], texts: Sequence[sql.Composable], *, quick: bool) -> sql.Composable:
    """Return the texts that do not fit, by API name, or NULL."""
    measured = [(f, text) for f, text in zip(fields, texts, strict=True) if f.column_type != "text"]
    if not measured:
        return sql.SQL("NULL::jsonb AS _unparsed")
    wrong = [sql.SQL("({} <> '' AND NOT {})").format(text, _fits(f, text)) for f, text in measured]
    pairs = [
        sql.SQL("({}, CASE WHEN {} THEN {} END)").format(name_of(f), bad, text)
        for (f, text), bad in zip(measured, wrong, strict=True)
    ]
    return sql.SQL(
        "CASE WHEN {quick} THEN NULL WHEN {any} THEN (SELECT jsonb_object_agg(v.n, v.t) FROM (VALUES {pairs}) v (n, t) "
        "WHERE v.t IS NOT NULL) END AS _unparsed"
    ).format(
        quick=sql.SQL("f.fits" if quick else "false"),
        any=sql.SQL(" OR ").join(wrong),
        pairs=sql.SQL(", ").join(pairs),
    )


def name_of(field: LeadField) -> sql.Literal:
    """Return an API name as a literal of a statement with parameters, in which a percent sign is doubled."""
    return sql.Literal(field.name.replace("%", "%%"))


def names_of(fields: Iterable[LeadField]) -> sql.Literal:
    """Return API names as a literal array of a statement with parameters."""
    return sql.Literal([f.name.replace("%", "%%") for f in fields])
