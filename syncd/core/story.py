"""An outbox row's whole story, in sentences for a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

_OUTCOMES = {
    "succeeded": "was carried out",
    "failed": "was refused",
    "retry": "was put off: nothing was executed",
    "unknown": "got no answer that can be trusted: whether it took effect is not known",
}

_ENDS = {
    "succeeded": "It succeeded",
    "failed": "It failed",
    "uncertain": "It ended as uncertain",
    "expired": "It expired",
    "cancelled": "It was cancelled",
}

_QUEUE = {
    "new": "It waits to be looked at by the drain, which `syncd run` or `syncd drain` must be doing.",
    "blocked": "It waits until no earlier row touches the same lead.",
    "ready": "It may go at any moment.",
}

_NEXT = {
    "failed": "Mend the reason, then `syncd outbox retry {id}`; or insert a better row.",
    "uncertain": "Look for it in Marketo, then: syncd outbox resolve {id} --as succeeded|failed|resend",
    "expired": "If it is still wanted, insert it anew with a later expires_at.",
    "cancelled": "If it is wanted after all: `syncd outbox retry {id}`.",
}


def told(story: dict[str, Any]) -> list[str]:
    """Return the story as lines: what was asked, what was tried, how it stands, what can be done.

    story: ``row``, ``attempts`` and ``held_back_by``, as the database has them.
    """
    row = story["row"]
    return [
        f"Row {row['id']}: {row['operation']}, {row['status']}.",
        *(f"  {line}" for line in [*_asked(row), *map(_tried, story["attempts"]), *_stands(row, story)]),
    ]


def _asked(row: dict[str, Any]) -> list[str]:
    lines = [f"It was inserted {_at(row['created_at'])} by {row['created_by']}."]
    if row["idempotency_key"]:
        lines.append(f"Its idempotency key is {row['idempotency_key']}.")
    lines.append(f"payload {json.dumps(row['payload'], ensure_ascii=False)}")
    if row["options"]:
        lines.append(f"options {json.dumps(row['options'], ensure_ascii=False)}")
    if row["partition_name"]:
        lines.append(f"A new lead goes into the partition {row['partition_name']}.")
    if row["not_before"]:
        lines.append(f"It was not to be sent before {_at(row['not_before'])}.")
    if row["expires_at"]:
        lines.append(f"It was not to be sent after {_at(row['expires_at'])}.")
    if row["on_unknown_outcome"] == "resend":
        lines.append("It may be sent again after an unknown outcome, even where that could do it twice.")
    return lines


def _tried(attempt: dict[str, Any]) -> str:
    words = f"Attempt {attempt['number']} {_at(attempt['started_at'])} "
    words += _OUTCOMES.get(attempt["outcome"], f"ended as {attempt['outcome']}")
    if attempt["error_code"] or attempt["error_message"]:
        words += f" ({' '.join(filter(None, (attempt['error_code'], attempt['error_message'])))})"
    if attempt["endpoint"]:
        words += f", by {attempt['endpoint']}"
    if attempt["duration_ms"] is not None:
        words += f" in {attempt['duration_ms']} ms"
    if attempt["request_id"]:
        words += f", Marketo's request {attempt['request_id']}"
    return words + f", replica {attempt['replica']}."


def _stands(row: dict[str, Any], story: dict[str, Any]) -> list[str]:
    lines = []
    if row["status"] == "sending":
        lines.append("A call that carries it is under way.")
    lines += [
        f"It waits for row {blocker['outbox_id']} ({blocker['status']}), which touches the same lead."
        for blocker in story["held_back_by"]
    ]
    if row["queue_state"] in _QUEUE and not story["held_back_by"]:
        lines.append(_QUEUE[row["queue_state"]])
    if row["queue_state"] == "closing" and row["due_at"]:
        lines.append(
            f"Until {_at(row['due_at'])[3:]} no other row touches its lead: Marketo may still be at it."
        )
    if row["next_attempt_at"]:
        lines.append(f"Its next attempt is due {_at(row['next_attempt_at'])}.")
    elif row["queue_state"] == "waiting" and row["due_at"]:
        lines.append(f"It is due {_at(row['due_at'])}.")
    if row["finished_at"]:
        lines.append(_ended(row))
    if row["status"] in _NEXT:
        lines.append(_NEXT[row["status"]].format(id=row["id"]))
    return lines


def _ended(row: dict[str, Any]) -> str:
    words = f"{_ENDS.get(row['status'], 'It ended as ' + row['status'])} {_at(row['finished_at'])}"
    result = row["result"] or {}
    if row["lead_id"]:
        words += f": lead {row['lead_id']}"
        if result.get("status"):
            words += f" was {result['status']}"
    if result.get("proven_by"):
        words += f", proven: {result['proven_by']}"
    if result.get("resolved_by"):
        words += f", as {result['resolved_by']} decided"
    if row["status"] != "succeeded" and row["error_message"]:
        words += f": {' '.join(filter(None, (row['error_code'], row['error_message'])))}"
    return words + "."


def _at(moment: datetime) -> str:
    return f"at {moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
