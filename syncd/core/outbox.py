"""What an outbox row asks for, how rows share a call, and what an answer means for each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from syncd.core.locks import Conflict, Lock

Operation = Literal["create_or_update", "create_only", "update_only", "create_duplicate", "delete"]
Outcome = Literal["succeeded", "failed", "retry", "unknown", "not_sent", "conflict"]
Status = Literal["pending", "retrying", "succeeded", "failed", "conflict", "uncertain"]

FINAL = frozenset({"succeeded", "failed", "conflict"})
"""What a row whose outcome is known can end as."""

Action = Literal["createOrUpdate", "createOnly", "updateOnly", "createDuplicate"]

ACTIONS: dict[str, Action] = {
    "create_or_update": "createOrUpdate",
    "create_only": "createOnly",
    "update_only": "updateOnly",
    "create_duplicate": "createDuplicate",
}
"""The outbox's name of each operation of Sync Leads, and Marketo's."""

NEVER_TWICE = frozenset({"create_duplicate"})
"""Not repeated after an unknown outcome, unless the row says so."""

LEAD_NOT_FOUND, LEAD_EXISTS = "1004", "1005"

CLOCKS_APART = timedelta(minutes=5)
"""How far Marketo's clock and the database's may differ."""


@dataclass(frozen=True)
class Shape:
    """What rows must have in common to share a call."""

    operation: str
    lookup_field: str
    partition_name: str | None

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read the form that the queue keeps it in."""
        return cls(*json.loads(text))


@dataclass(frozen=True)
class ClaimedRow:
    """A row that one worker, and nobody else, is about to send."""

    id: int
    payload: dict[str, Any]
    attempts: int
    unknown: bool
    on_unknown_outcome: str
    age: float = 0.0
    """Seconds since it was claimed."""
    first_sent_at: datetime | None = None
    turned_away: int = 0
    """Earlier attempts of which nothing was executed."""
    follows: int | None = None
    """The earlier row with which it shares a record."""
    lock: Lock | None = None
    """What the lead must still be like."""


@dataclass(frozen=True)
class Claim:
    """Rows of one shape that go out in one call."""

    number: int
    shape: Shape
    rows: tuple[ClaimedRow, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of one row."""

    outbox_id: int
    outcome: Outcome
    status: Status
    lead_id: int | None = None
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    due_in: float = 0.0
    """Seconds: until the next attempt of a retrying row, or for which an uncertain row's keys stay closed."""
    unknown: bool = False


@dataclass(frozen=True)
class Settlement:
    """The verdicts of one call, and what the call was."""

    verdicts: tuple[Verdict, ...]
    endpoint: str | None = None
    request_id: str | None = None
    duration_ms: int | None = None
    changes: tuple[tuple[int, dict[str, Any]], ...] = field(default=())
    """Leads that Marketo says it wrote, with the fields that were sent."""
    deleted: tuple[int, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def key_of(shape: Shape, payload: dict[str, Any]) -> str:
    """Return the value by which the payload names its lead."""
    value = payload.get(shape.lookup_field)
    return "" if value is None else str(value)


def after_unknown_outcome(
    shape: Shape, row: ClaimedRow, *, code: str, reason: str, wait: float, attempts_at_most: int
) -> Verdict:
    """Decide about a row whose call may have taken effect.

    wait: seconds for which Marketo may still be working at that call; nothing that touches the same
    lead may go out before.
    """
    repeatable = shape.operation not in NEVER_TWICE or row.on_unknown_outcome == "resend"
    if repeatable and row.attempts - row.turned_away < attempts_at_most:
        return Verdict(
            row.id, "unknown", "retrying", error_code=code, error_message=reason, due_in=wait, unknown=True
        )
    return Verdict(
        row.id,
        "unknown",
        "uncertain",
        error_code=code,
        error_message=f"{reason}; whether Marketo carried it out is not known; look there, then `syncd outbox resolve`",
        due_in=wait,
        unknown=True,
    )


def after_refusal_to_work(
    row: ClaimedRow, *, code: str, reason: str, due_in: float, attempts_at_most: int
) -> Verdict:
    """Decide about a row whose call was turned away before anything was executed."""
    if row.attempts >= attempts_at_most:
        message = f"{reason}; given up after {row.attempts} attempts"
        return Verdict(row.id, "failed", "failed", error_code=code, error_message=message)
    return Verdict(row.id, "retry", "retrying", error_code=code, error_message=reason, due_in=due_in)


def after_skip(shape: Shape, row: ClaimedRow, *, code: str, reason: str) -> Verdict:
    """Decide about a record that Marketo refused while it took the rest of the call."""
    if shape.operation == "delete" and code == LEAD_NOT_FOUND and row.unknown:
        lead = row.payload.get("id")
        return deleted_unseen(row, int(lead) if lead else None)
    return Verdict(row.id, "failed", "failed", error_code=code, error_message=reason)


def deleted_unseen(row: ClaimedRow, lead: int | None) -> Verdict:
    """Decide about a deletion in doubt whose lead turns out to be gone."""
    result = {"status": "deleted", "proven_by": "not found after an attempt whose outcome was unknown"}
    return Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=result)


def after_read_back(row: ClaimedRow, lead: int, created_at: datetime | None) -> Verdict:
    """Decide about a creation in doubt whose lead was found: one that is older than the first attempt is not ours."""
    if created_at and row.first_sent_at and created_at < row.first_sent_at - CLOCKS_APART:
        reason = "Lead already exists"
        return Verdict(row.id, "failed", "failed", error_code=LEAD_EXISTS, error_message=reason)
    result = {"id": lead, "status": "created", "proven_by": "read back after an unknown outcome"}
    return Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=result)


def describe_call(
    operation: str, lookup_field: str, partition_name: str | None, payload: dict[str, Any]
) -> dict[str, Any]:
    """Return the call that would carry one row alone, for a person to read."""
    if operation == "delete":
        named = (
            {"id": payload["id"]}
            if lookup_field == "id"
            else {"id": f"(found in the mirror by {lookup_field})"}
        )
        return {"method": "POST", "path": "/rest/v1/leads/delete.json", "body": {"input": [named]}}
    body: dict[str, Any] = {"action": ACTIONS[operation], "lookupField": lookup_field}
    if partition_name is not None:
        body["partitionName"] = partition_name
    return {"method": "POST", "path": "/rest/v1/leads.json", "body": body | {"input": [payload]}}
