"""A row's story, in words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.cli.shared import moment
from syncd.core.story import told
from syncd.errors import ConfigError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": 7,
    "operation": "update_only",
    "status": "pending",
    "payload": {"id": 42, "lastName": "Ørsted"},
    "options": {},
    "idempotency_key": None,
    "partition_name": None,
    "not_before": None,
    "expires_at": None,
    "on_unknown_outcome": "hold",
    "if_matches": None,
    "if_unchanged_since": None,
    "lead_id": None,
    "result": None,
    "error_code": None,
    "error_message": None,
    "next_attempt_at": None,
    "created_at": NOON,
    "created_by": "shop",
    "finished_at": None,
    "queue_state": "new",
    "import_batch": None,
    "due_at": None,
}
ATTEMPT: dict[str, Any] = {
    "number": 1,
    "started_at": NOON,
    "outcome": "retry",
    "error_code": "606",
    "error_message": "Max rate limit exceeded",
    "endpoint": "sync_leads",
    "duration_ms": 12,
    "request_id": "a#1",
    "replica": 3,
}


def text(
    *attempts: dict[str, Any], held: tuple[Any, ...] = (), sides: tuple[Any, ...] = (), **row: Any
) -> str:
    return "\n".join(
        told(
            {
                "row": ROW | row,
                "attempts": list(attempts),
                "conflicts": list(sides),
                "held_back_by": list(held),
            }
        )
    )


def test_it_tells_who_asked_for_what() -> None:
    story = text(idempotency_key="order-1", expires_at=NOON, options={"on_failure": "halt"})
    assert story.startswith("Row 7: update_only, pending.")
    assert "inserted at 2026-05-01 12:00:00.000 UTC by shop" in story
    for words in ("Ørsted", "order-1", "not to be sent after", "on_failure"):
        assert words in story


def test_it_tells_of_the_import_that_carries_it_and_of_a_warning() -> None:
    assert "in bulk import 1001" in text(status="sending", queue_state="sending", import_batch=1001)
    story = text(
        status="succeeded", finished_at=NOON, lead_id=42, result={"status": "imported", "warning": "cut off"}
    )
    assert "lead 42 was imported, with a warning: cut off" in story


def test_it_tells_each_attempt_with_its_call_and_what_is_due() -> None:
    story = text(ATTEMPT, status="retrying", queue_state="waiting", next_attempt_at=NOON, due_at=NOON)
    assert "Attempt 1" in story
    assert "nothing was executed (606 Max rate limit exceeded), by sync_leads in 12 ms" in story
    assert "request a#1, replica 3" in story
    assert "next attempt is due at 2026-05-01" in story


def test_it_tells_what_a_row_waits_for() -> None:
    assert "waits for row 3 (retrying)" in text(held=({"outbox_id": 3, "status": "retrying"},))
    assert "syncd run" in text()


@pytest.mark.parametrize("status", ["failed", "uncertain", "expired", "cancelled"])
def test_it_tells_how_it_ended_and_what_can_be_done(status: str) -> None:
    story = text(status=status, queue_state=None, finished_at=NOON, error_code="1003", error_message="no")
    assert "1003 no" in story
    assert story.count("2026-05-01") >= 2
    assert "syncd outbox" in story or "insert it anew" in story


def test_it_tells_both_sides_of_a_conflict() -> None:
    side = {
        "attempt": 1,
        "field": "phone",
        "believed": "1",
        "in_marketo": "2",
        "wanted": "3",
        "resolution": "failed",
    }
    story = text(status="conflict", if_matches={"phone": "1"}, sides=(side,), if_unchanged_since=NOON)
    assert 'phone "2" in Marketo where the row believed "1" and wanted "3": nothing was sent.' in story
    assert '{"phone": "1"}' in story
    assert "nobody else changed the lead after 2026-05-01 12:00:00.000 UTC" in story


def test_it_tells_what_proved_a_success() -> None:
    result = {"status": "created", "proven_by": "read back"}
    story = text(status="succeeded", queue_state=None, finished_at=NOON, lead_id=9, result=result)
    assert "It succeeded at 2026-05-01 12:00:00.000 UTC: lead 9 was created, proven: read back." in story


def test_times_are_read_as_people_type_them() -> None:
    assert moment(None, "--since") is None
    assert moment("2026-05-01", "--since") == datetime(2026, 5, 1, tzinfo=UTC)
    assert moment("2026-05-01T14:00+02:00", "--since") == NOON
    ago = moment("6h", "--since")
    assert ago is not None
    assert 6 * 3600 <= (datetime.now(UTC) - ago).total_seconds() < 6 * 3600 + 60
    with pytest.raises(ConfigError, match="--since yesterday"):
        moment("yesterday", "--since")
