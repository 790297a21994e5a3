"""An outbox row's whole story, in sentences for a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

_OUTCOMES = {
    "succeeded": "was carried out",
    "failed": "was refused",
    "retry": "was put off: nothing was executed",
    "conflict": "found the lead changed, and sent nothing",
    "unknown": "got no answer that can be trusted: whether it took effect is not known",
}

_ENDS = {
    "succeeded": "It succeeded",
    "failed": "It failed",
    "conflict": "It ended in conflict",
    "uncertain": "It ended as uncertain",
    "expired": "It expired",
    "cancelled": "It was cancelled",
}

_QUEUE = {
    "new": "It waits to be looked at by the drain, which `syncd run` or `syncd drain` must be doing.",
    "blocked": "It waits until no earlier row touches the same lead.",
    "ready": "It may go at any moment.",
    "halted": "It holds back the later rows of its lead (options.on_failure): `syncd outbox release {id}` lets them go.",
}

_NEXT = {
    "failed": "Mend the reason, then `syncd outbox retry {id}`; or insert a better row.",
    "conflict": "Look at both sides; then insert a row that fits, or `syncd outbox retry {id}` to check again.",
    "uncertain": "Look for it in Marketo, then: syncd outbox resolve {id} --as succeeded|failed|resend",
    "expired": "If it is still wanted, insert it anew with a later expires_at.",
    "cancelled": "If it is wanted after all: `syncd outbox retry {id}`.",
}


def told(story: dict[str, Any]) -> list[str]:
    """Return the story as lines: what was asked, what was tried, how it stands, what can be done.

    story: ``row``, ``attempts``, ``conflicts`` and ``held_back_by``, as the database has them.
    """
    row = story["row"]
    return [
        f"Row {row['id']}: {row['operation']}, {row['status']}.",
        *(
            f"  {line}"
            for line in [*_asked(row), *map(_tried, story["attempts"]), *_sides(story), *_stands(row, story)]
        ),
    ]


def _asked(row: dict[str, Any]) -> list[str]:
    lines = [f"It was inserted {_at(row['created_at'])} by {row['created_by']}."]
    if row["idempotency_key"]:
        lines.append(f"Its idempotency key is {row['idempotency_key']}.")
    lines.append(f"payload {_json(row['payload'])}")
    if row["options"]:
        lines.append(f"options {_json(row['options'])}")
    if row["partition_name"]:
        lines.append(f"A new lead goes into the partition {row['partition_name']}.")
    if row["not_before"]:
        lines.append(f"It was not to be sent before {_at(row['not_before'])}.")
    if row["expires_at"]:
        lines.append(f"It was not to be sent after {_at(row['expires_at'])}.")
    if row["if_matches"]:
        lines.append(f"It may go only where the lead has {_json(row['if_matches'])}.")
    if row["if_unchanged_since"]:
        lines.append(
            f"It may go only where nobody else changed the lead after {_time(row['if_unchanged_since'])}."
        )
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


def _sides(story: dict[str, Any]) -> list[str]:
    lines = []
    for side in story["conflicts"]:
        believed = (
            f" where the row believed {_json(side['believed'])}" if side["believed"] is not None else ""
        )
        wanted = f" and wanted {_json(side['wanted'])}" if side["wanted"] is not None else ""
        how = {"local_won": "the row's value was sent", "marketo_won": "Marketo's value stayed"}
        lines.append(
            f"Attempt {side['attempt']} found {side['field']} {_json(side['in_marketo'])} in Marketo{believed}{wanted}: "
            f"{how.get(side['resolution'], 'nothing was sent')}."
        )
    return lines


def _stands(row: dict[str, Any], story: dict[str, Any]) -> list[str]:
    lines = []
    if row["status"] == "sending" and row["import_batch"]:
        lines.append(
            f"It is in bulk import {row['import_batch']}: Marketo works at it when it can, mostly within minutes."
        )
    elif row["status"] == "sending":
        lines.append("A call that carries it is under way.")
    lines += [
        f"It waits for row {blocker['outbox_id']} ({blocker['status']}), which touches the same lead."
        for blocker in story["held_back_by"]
    ]
    if row["queue_state"] in _QUEUE and not story["held_back_by"]:
        lines.append(_QUEUE[row["queue_state"]].format(id=row["id"]))
    if row["queue_state"] == "closing" and row["due_at"]:
        lines.append(
            f"Until {_time(row['due_at'])} no other row touches its lead: Marketo may still be at it."
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
    if result.get("warning"):
        words += f", with a warning: {result['warning']}"
    if result.get("proven_by"):
        words += f", proven: {result['proven_by']}"
    if result.get("resolved_by"):
        words += f", as {result['resolved_by']} decided"
    if row["status"] != "succeeded" and row["error_message"]:
        words += f": {' '.join(filter(None, (row['error_code'], row['error_message'])))}"
    return words + "."


def _at(moment: datetime) -> str:
    return f"at {_time(moment)}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
