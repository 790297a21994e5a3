"""Finds out, before a row in doubt goes out again, whether its earlier call took effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncd.core.effects import NOTHING, Effects, of_record
from syncd.core.outbox import ClaimedRow, Shape, Verdict, after_read_back, key_of, proven
from syncd.marketo import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncd.marketo.client import Client

    Rows = Sequence[ClaimedRow]


@dataclass(frozen=True)
class Finding:
    """What a read showed of a row in doubt: its verdict, or the row as it is to be sent."""

    row: ClaimedRow
    verdict: Verdict | None = None
    effects: Effects = NOTHING


def endpoint_of(shape: Shape) -> endpoints.Endpoint:
    """Return the endpoint that is read."""
    return endpoints.SCHEMA_FIELDS if shape.operation in {"create_field", "update_field"} else endpoints.LEADS


def look(client: Client, shape: Shape, rows: Rows) -> list[Finding]:
    """Look for the effects of rows in doubt, one read for all of them where that can be. Raises MarketoError."""
    looks: dict[str, Callable[[Client, Shape, Rows], list[Finding]]] = {
        "create_only": _creations,
        "merge": _merges,
        "create_field": _fields,
        "update_field": _fields,
    }
    return looks[shape.operation](client, shape, rows)


def _creations(client: Client, shape: Shape, rows: Rows) -> list[Finding]:
    keys = sorted({key_of(shape, row.payload) for row in rows})
    names = sorted({name for row in rows for name in row.payload} | {shape.lookup_field, "createdAt"})
    # Of several leads with one key the newest: a creation makes the highest id.
    found = sorted(client.leads(shape.lookup_field, keys, names), key=lambda record: int(record["id"]))
    leads = {str(record.get(shape.lookup_field, "")).strip().lower(): record for record in found}
    findings = []
    for row in rows:
        record = leads.get(key_of(shape, row.payload).strip().lower())
        if record is None:
            findings.append(Finding(row))
            continue
        verdict = after_read_back(row, int(record["id"]), _moment(record.get("createdAt")))
        findings.append(Finding(row, verdict, of_record(shape, row.payload, verdict.lead_id)))
    return findings


def _merges(client: Client, _shape: Shape, rows: Rows) -> list[Finding]:
    findings = []
    for row in rows:
        losers = [int(loser) for loser in row.payload["leadIds"]]
        there = set(client.leads("id", [row.lead_id or 0, *losers], ["id"]).ids)
        left = [loser for loser in losers if loser in there]
        if left or not there:
            # Those that are gone already can't be merged again; without any of them Marketo says so itself.
            payload = row.payload | {"leadIds": left or losers}
            gone = tuple(loser for loser in losers if there and loser not in there)
            findings.append(Finding(replace(row, payload=payload), effects=Effects(deleted=gone)))
        else:
            # They may have been deleted by somebody else: the log will tell into whom they were merged, if at all.
            effects = Effects(deleted=tuple(losers), touched=(row.lead_id,) if row.lead_id else ())
            findings.append(Finding(row, proven(row, row.lead_id, "merged"), effects))
    return findings


def _fields(client: Client, shape: Shape, rows: Rows) -> list[Finding]:
    known = {field.name.lower(): field for field in client.schema_fields()}
    findings = []
    for row in rows:
        there = known.get(str(row.payload["name"]).lower())
        shown: dict[str, Any] = {} if there is None else _shown(there)
        same = there is not None and all(
            shown[key] == value for key, value in row.payload.items() if key not in {"name", "dataType"}
        )
        if not same:
            findings.append(Finding(row))
            continue
        status = "created" if shape.operation == "create_field" else "updated"
        verdict = proven(row, None, status)
        findings.append(Finding(row, verdict, of_record(shape, row.payload, None)))
    return findings


def _shown(field: Any) -> dict[str, Any]:
    return {
        "displayName": field.display_name,
        "description": field.description,
        "isHidden": field.is_hidden,
        "isHtmlEncodingInEmail": field.is_html_encoding_in_email,
        "isSensitive": field.is_sensitive,
    }


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
