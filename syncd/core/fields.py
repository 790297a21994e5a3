"""How a field of a lead becomes a column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

ColumnType = Literal["text", "bigint", "numeric", "double precision", "boolean", "date", "timestamptz"]

COLUMN_TYPES: dict[str, ColumnType] = {
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
"""Marketo's type and PostgreSQL's; every other type of Marketo is text."""

LONGEST_NAME = 59
BASE_COLUMNS = {"id": "id", "email": "email", "createdAt": "created_at", "updatedAt": "updated_at"}
"""Fields whose columns are there from the first migration on."""
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Names that PostgreSQL keeps for itself in every table."""


def column_type(data_type: str) -> ColumnType:
    """Return the type of a new column for a field of that Marketo type."""
    return COLUMN_TYPES.get(data_type, "text")


@dataclass(frozen=True)
class LeadField:
    """A field that is mirrored."""

    name: str
    column: str
    column_type: ColumnType
    """The type that its column has: a field that is retyped in Marketo keeps its column."""
    exportable: bool = True
    """Formula fields are computed by Marketo and can't be exported in bulk; pages of leads have them."""
    data_type: str = "string"
    """Marketo's type."""
    hashed: bool = False
    """Only a hash of its values is kept."""


@dataclass(frozen=True)
class FieldFacts:
    """All that Marketo's description calls say of one field."""

    name: str
    display_name: str
    data_type: str
    description: str | None = None
    length: int | None = None
    marketo_id: int | None = None
    read_only: bool = False
    updateable: bool = True
    searchable: bool = False
    hidden: bool = False
    sensitive: bool = False
    custom: bool = False
    crm_managed: bool = False
    api_created: bool = False
    html_encoded_in_email: bool = True


def column_name(api_name: str, taken: Collection[str]) -> str:
    """Return the snake_case column of a field, numbered where another field folds to the same.

    >>> column_name("mktoIsPartner", ()), column_name("anonymousIP", ()), column_name("SFDCType", ("sfdc_type",))
    ('mkto_is_partner', 'anonymous_ip', 'sfdc_type_2')
    """
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", api_name)
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words)
    folded = re.sub(r"[^a-z0-9_]", "_", words.lower())
    # A leading underscore marks syncd's own columns, and a leading digit would need quotes in SQL.
    folded = folded.lstrip("_") or "field"
    folded = ("field_" + folded if folded[0].isdigit() else folded)[:LONGEST_NAME]
    name, number = folded, 1
    while name in taken or name in SYSTEM_COLUMNS:
        number += 1
        name = f"{folded[: LONGEST_NAME - len(str(number))]}_{number}"
    return name
