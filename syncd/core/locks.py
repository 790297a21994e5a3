"""Optimistic locks: whether a lead is still as a row's writer believed, and what becomes of the row if not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.core.outbox import ClaimedRow, Shape

Policy = Literal["local_wins", "marketo_wins", "fail"]
Resolution = Literal["failed", "local_won", "marketo_won"]

UPDATED_AT = "updatedAt"


@dataclass(frozen=True)
class Lock:
    """What a row's writer believed of the lead."""

    matches: Mapping[str, Any]
    """Values by field; empty where there is no such lock."""
    unchanged_since: datetime | None


@dataclass(frozen=True)
class Policies:
    """Whose value stands, field by field, where a locked row meets a change."""

    default: Policy
    fields: Mapping[str, Policy]

    def of(self, field: str) -> Policy:
        """Return the policy of a field."""
        return self.fields.get(field, self.default)


@dataclass(frozen=True)
class Conflict:
    """A field in which a lead was not as a row believed, with both sides."""

    outbox_id: int
    attempt: int
    field: str
    lead_id: int | None
    believed: Any
    in_marketo: Any
    wanted: Any
    resolution: Resolution


@dataclass(frozen=True)
class Judgement:
    """What a check of the lock says: the row as it may be sent, or None, and the conflicts that were found."""

    row: ClaimedRow | None
    conflicts: tuple[Conflict, ...] = ()


def fields_to_read(shape: Shape, row: ClaimedRow) -> set[str]:
    """Return the fields of its lead that a row's check needs."""
    lock = row.lock
    names = {"id", shape.lookup_field} | (set(row.payload) if shape.operation != "delete" else set())
    if lock is not None:
        names |= set(lock.matches) | ({UPDATED_AT} if lock.unchanged_since else set())
    return names


def judge(
    shape: Shape,
    row: ClaimedRow,
    found: Sequence[Mapping[str, Any]],
    *,
    changed: bool,
    policies: Policies,
) -> Judgement:
    """Decide about a row with a lock, now that its lead was read.

    found: the leads that bear the row's key. changed: somebody else changed the lead since the row's time.
    """
    lock = row.lock
    if lock is None or len(found) > 1:
        return Judgement(row)  # Which of several leads is meant, Marketo itself refuses to say.
    if not found:
        if row.unknown and shape.operation == "delete":
            return Judgement(row)
        missing = Conflict(row.id, row.attempts, "id", None, None, None, None, "failed")
        return Judgement(None, (missing,))
    lead = found[0]
    conflicts = _mismatches(shape, row, lock, lead)
    if changed:
        told = {conflict.field for conflict in conflicts}
        conflicts += [c for c in _overwrites(shape, row, lead) if c.field not in told]
    return _resolved(shape, row, conflicts, policies)


def _mismatches(shape: Shape, row: ClaimedRow, lock: Lock, lead: Mapping[str, Any]) -> list[Conflict]:
    found = []
    for name, believed in sorted(lock.matches.items()):
        actual, wanted = lead.get(name), _wanted(shape, row, name)
        # After an attempt of unknown outcome, the row's own value is no foreign one.
        ours = row.unknown and name in row.payload and same(row.payload[name], actual)
        if not same(believed, actual) and not ours:
            found.append(_conflict(row, name, lead, believed, wanted))
    return found


def _overwrites(shape: Shape, row: ClaimedRow, lead: Mapping[str, Any]) -> list[Conflict]:
    """Return the fields in which a row would overwrite what somebody else may have written."""
    if shape.operation == "delete":
        return [_conflict(row, UPDATED_AT, lead, None, None)]
    names = sorted(name for name in row.payload if name not in {"id", shape.lookup_field})
    return [
        _conflict(row, name, lead, None, row.payload[name])
        for name in names
        if not same(row.payload[name], lead.get(name))
    ]


def _resolved(shape: Shape, row: ClaimedRow, conflicts: Sequence[Conflict], policies: Policies) -> Judgement:
    if not conflicts:
        return Judgement(row)
    policy = {conflict.field: policies.of(conflict.field) for conflict in conflicts}
    stays = {name for name, rule in policy.items() if rule == "marketo_wins"}
    if "fail" in policy.values() or (stays and shape.operation == "delete"):
        return Judgement(None, tuple(replace(c, resolution="failed") for c in conflicts))
    told = tuple(replace(c, resolution="marketo_won" if c.field in stays else "local_won") for c in conflicts)
    keys = {"id", shape.lookup_field}
    left = {name: value for name, value in row.payload.items() if name not in stays - keys}
    if shape.operation != "delete" and set(row.payload) - keys and not set(left) - keys:
        return Judgement(None, told)
    return Judgement(replace(row, payload=left), told)


def _wanted(shape: Shape, row: ClaimedRow, name: str) -> Any:
    return None if shape.operation == "delete" else row.payload.get(name)


def _conflict(row: ClaimedRow, name: str, lead: Mapping[str, Any], believed: Any, wanted: Any) -> Conflict:
    return Conflict(row.id, row.attempts, name, int(lead["id"]), believed, lead.get(name), wanted, "failed")


def same(one: Any, other: Any) -> bool:
    """Tell whether two values of a field are the same to Marketo, however they are written.

    Nothing, an empty text and an unset boolean are one; so are 5, 5.0 and "5", true and "true", and two
    ways of writing one moment.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return _truth(one) == _truth(other)
    one, other = (None if value == "" else value for value in (one, other))
    if one == other:
        return True
    numbers, moments = (_number(one), _number(other)), (_moment(one), _moment(other))
    if None not in numbers and not (isinstance(one, str) and isinstance(other, str)):
        return numbers[0] == numbers[1]
    return None not in moments and moments[0] == moments[1]


def _truth(value: Any) -> str:
    """Return a boolean as text; what was never set is false."""
    return "false" if value is None or value == "" else str(value).lower()


def _number(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
