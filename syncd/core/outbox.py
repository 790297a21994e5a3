"""What an outbox row asks for, how rows share a call, and what an answer means for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from syncd.core.effects import NOTHING, Effects
from syncd.core.operations import CATALOGUE, LEAD_EXISTS

if TYPE_CHECKING:
    from syncd.core.locks import Conflict, Lock

Outcome = Literal["succeeded", "failed", "retry", "unknown", "not_sent", "conflict"]
Status = Literal["pending", "retrying", "succeeded", "failed", "conflict", "uncertain"]

STATUSES = (
    *("pending", "sending", "retrying"),
    *("succeeded", "failed", "conflict", "uncertain", "cancelled", "expired"),
)
"""Where a row can stand: those that are not finished, and what it can end as."""

FINAL = frozenset({"succeeded", "failed", "conflict"})
"""What a row whose outcome is known can end as."""

CLOCKS_APART = timedelta(minutes=5)
"""How far Marketo's clock and the database's may differ."""


@dataclass(frozen=True)
class Shape:
    """What rows must have in common to share a call."""

    operation: str
    lookup_field: str
    partition_name: str | None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimedRow:
    """A row that one worker, and nobody else, is about to send."""

    id: int
    payload: dict[str, Any]
    attempts: int
    unknown: bool
    on_unknown_outcome: str
    first_sent_at: datetime | None = None
    turned_away: int = 0
    """Earlier attempts of which nothing was executed."""
    follows: int | None = None
    """The earlier row with which it shares a record."""
    lock: Lock | None = None
    """What the lead must still be like."""
    lead_id: int | None = None
    """The lead, where the call names it by id and that was found out."""


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
    effects: Effects = NOTHING
    """What the mirror must show with it."""
    conflicts: tuple[Conflict, ...] = ()


def key_of(shape: Shape, payload: dict[str, Any]) -> str:
    """Return the value by which the payload names its lead."""
    value = payload.get(shape.lookup_field)
    return "" if value is None else str(value)


def not_sent(row: ClaimedRow) -> Verdict:
    """Put a row back in line whose call was not made; what was in doubt still is."""
    return Verdict(row.id, "not_sent", "pending", unknown=row.unknown)


def after_unknown_outcome(
    shape: Shape, row: ClaimedRow, *, code: str, reason: str, wait: float, attempts_at_most: int
) -> Verdict:
    """Decide about a row whose call may have taken effect.

    wait: seconds for which Marketo may still be working at that call; nothing that touches the same
    lead may go out before.
    """
    repeatable = CATALOGUE[shape.operation].repeat != "never" or row.on_unknown_outcome == "resend"
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
    operation = CATALOGUE[shape.operation]
    if row.unknown and shape.operation == "delete" and code in operation.proven_by_skip:
        return deleted_unseen(row, row.lead_id)
    if code in operation.already or (row.unknown and code in operation.proven_by_skip):
        result = {"id": row.lead_id, "status": "skipped", "code": code, "message": reason}
        doubted = {"proven_by": "refused as done already, after an attempt whose outcome was unknown"}
        result |= doubted if row.unknown else {}
        return Verdict(row.id, "succeeded", "succeeded", lead_id=row.lead_id, result=result)
    return Verdict(row.id, "failed", "failed", lead_id=row.lead_id, error_code=code, error_message=reason)


def deleted_unseen(row: ClaimedRow, lead: int | None) -> Verdict:
    """Decide about a deletion in doubt whose lead turns out to be gone."""
    result = {"status": "deleted", "proven_by": "not found after an attempt whose outcome was unknown"}
    return Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=result)


def after_read_back(row: ClaimedRow, lead: int, created_at: datetime | None) -> Verdict:
    """Decide about a creation in doubt whose lead was found: one that is older than the first attempt is not ours."""
    if created_at and row.first_sent_at and created_at < row.first_sent_at - CLOCKS_APART:
        reason = "Lead already exists"
        return Verdict(row.id, "failed", "failed", error_code=LEAD_EXISTS, error_message=reason)
    return proven(row, lead, "created")


def proven(row: ClaimedRow, lead: int | None, status: str) -> Verdict:
    """Decide about a row in doubt of which a read showed that it was carried out."""
    result = {"status": status, "proven_by": "read back after an unknown outcome"}
    named = {} if lead is None else {"id": lead}
    return Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=named | result)
