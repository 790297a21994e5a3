"""The two ways by which leads come in: a page of the API, and a bulk file in a staging table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from syncd.core.csv import RecordCutter
from syncd.core.fields import FieldFacts
from syncd.database import leads, staging
from tests.database.desk import STANDARD, Desk

TYPES = {
    "string": "text",
    "text": "text",
    "email": "text",
    "phone": "text",
    "url": "text",
    "formula": "text",
    "lead_function": "text",
    "array": "text",
    "integer": "bigint",
    "score": "bigint",
    "reference": "bigint",
    "percent": "numeric",
    "currency": "numeric",
    "float": "double precision",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamptz",
}
ONE_OF_EACH = (*STANDARD[:4], *(FieldFacts(f"{kind}Field", kind, kind) for kind in TYPES))
TABLE = "staging_test"
LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def as_csv(values: Sequence[Any]) -> str:
    """Write a line as Marketo's files do: an empty value is the word null, text in quotes where it has to be."""

    def cell(value: Any) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return str(value).lower()
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if text == "null" or set(text) & set('",\r\n') else text

    return ",".join(cell(value) for value in values) + "\n"


def stage(desk: Desk, records: Sequence[dict[str, Any]]) -> list[Any]:
    """Bring leads into a staging table as a bulk file would; return the fields."""
    with desk.database.begin() as transaction:
        fields = leads.mirrored_fields(transaction)
    cutter = RecordCutter()
    cutter.feed((",".join(f.name for f in fields) + "\n").encode())
    cutter.feed("".join(as_csv([record.get(f.name) for f in fields]) for record in records).encode())
    staging.create(desk.database, TABLE, len(fields) - 1)
    staging.copy(desk.database, TABLE, cutter.finish())
    return fields


def load(
    desk: Desk, records: Sequence[dict[str, Any]], *, exported_at: datetime = FAR_AHEAD
) -> leads.Written:
    """Bring leads into the mirror as a bulk file would."""
    fields = stage(desk, records)
    with desk.database.begin() as transaction:
        return leads.upsert_staged(transaction, fields, TABLE, exported_at=exported_at)


def by_page(desk: Desk, records: Sequence[dict[str, Any]]) -> leads.Written:
    return desk.page(records)


def column(kind: str) -> str:
    return f"{kind}_field"
