"""PostgreSQL to Marketo: what becomes of each operation when calls go wrong in each way."""

from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.database import operators
from syncd.simulator.control import Simulator
from tests.sync.inside import DELETE, READ, SYNC, Inside

BEFORE_OR_AFTER = [
    ("reset", "before"),
    ("reset", "after"),
    ("timeout", "before"),
    ("timeout", "after"),
    ("http", "before"),
    ("http", "after"),
    ("malformed", "after"),
    ("truncate", "after"),
]
"""Ways in which a call's outcome stays unknown, and whether it took effect."""

SMALL = marketo.Options(leads=60, history_days=20, limits=False, export_seconds=0.05, race_ms=0)


@pytest.fixture
def options() -> marketo.Options:
    return SMALL


def fault(simulator: Simulator, kind: str, phase: str, endpoint: str = SYNC, **more: Any) -> None:
    if kind == "timeout":
        more["seconds"] = 0.05
    simulator.fault(kind, endpoint, phase=phase, **more)


@pytest.fixture
def quiet(filled: Inside) -> Inside:
    filled.catch_up()
    return filled


def created(inside: Inside, email: str) -> int:
    """How many leads Marketo made with an address."""
    return sum(
        effect["kind"] == "created" and effect["fields"].get("email", {}).get("new") == email
        for effect in inside.simulator.effects()
    )


def test_whatever_goes_wrong_each_operation_ends_as_the_catalogue_says(quiet: Inside) -> None:
    for turn, (kind, phase) in enumerate(BEFORE_OR_AFTER):
        _upserts(quiet, turn, kind, phase)
        _creations(quiet, turn, kind, phase)
        _duplicates(quiet, turn, kind, phase)
        _deletions(quiet, turn, kind, phase)
    quiet.proven()


def _upserts(quiet: Inside, turn: int, kind: str, phase: str) -> None:
    email, name = f"upsert-{turn}@example.com", f"{kind} {phase}"
    for operation, payload, lead in (
        ("create_or_update", {"email": email, "lastName": name}, None),
        ("update_only", {"id": 1, "lastName": name}, 1),
    ):
        fault(quiet.simulator, kind, phase)
        since = len(quiet.simulator.effects())
        (row,) = quiet.carry_all([(operation, payload)])
        assert (row["status"], row["attempts"]) == ("succeeded", 2)
        assert quiet.attempts(row["id"])[0].startswith("unknown")
        assert quiet.attempts(row["id"])[1] == "succeeded"
        assert len(quiet.simulator.effects(since)) == 1
        mirrored = quiet.lead(lead or row["lead_id"])
        assert mirrored is not None
        assert mirrored["last_name"] == name


def _creations(quiet: Inside, turn: int, kind: str, phase: str) -> None:
    email = f"only-{turn}@example.com"
    fault(quiet.simulator, kind, phase)
    (row,) = quiet.carry_all([("create_only", {"email": email, "lastName": "Only"})])
    assert row["status"] == "succeeded"
    assert created(quiet, email) == 1
    assert ("proven_by" in row["result"]) == (phase == "after")
    assert quiet.value("SELECT last_name FROM lead WHERE id = %s", row["lead_id"]) == "Only"


def _duplicates(quiet: Inside, turn: int, kind: str, phase: str) -> None:
    held, sent = f"held-{turn}@example.com", f"resent-{turn}@example.com"
    fault(quiet.simulator, kind, phase)
    (row,) = quiet.carry_all([("create_duplicate", {"email": held, "lastName": "Held"})])
    assert (row["status"], row["attempts"]) == ("uncertain", 1)
    assert created(quiet, held) == (phase == "after")
    fault(quiet.simulator, kind, phase)
    (row,) = quiet.carry_all([("create_duplicate", {"email": sent})], on_unknown_outcome="resend")
    assert (row["status"], row["attempts"]) == ("succeeded", 2)
    assert created(quiet, sent) == 1 + (phase == "after")


def _deletions(quiet: Inside, turn: int, kind: str, phase: str) -> None:
    lead = 20 + turn
    fault(quiet.simulator, kind, phase, DELETE)
    (row,) = quiet.carry_all([("delete", {"id": lead})])
    assert (row["status"], row["lead_id"]) == ("succeeded", lead)
    assert ("proven_by" in row["result"]) == (phase == "after")
    assert quiet.value("SELECT _deleted_at IS NOT NULL FROM lead WHERE id = %s", lead)


def test_what_was_not_executed_is_sent_again_even_where_repeating_hurts(quiet: Inside) -> None:
    for number, code in enumerate(("606", "615", "608", "601", "602", "614", "713")):
        email = f"again-{number}@example.com"
        quiet.simulator.fault("error", SYNC, code=code)
        identity = quiet.insert("create_duplicate", {"email": email})
        assert quiet.step()
        if code not in {"601", "602"}:
            assert quiet.row(identity)["status"] == "retrying"
            assert quiet.row(identity)["error_code"] == code
            operators.retry(quiet.app.database, ids=[identity], error_code=None)
        quiet.carry()
        assert quiet.row(identity)["status"] == "succeeded", code
        assert created(quiet, email) == 1


def test_a_storm_of_refused_calls_loses_nothing_and_fails_no_row(quiet: Inside) -> None:
    quiet.simulator.fault("error", SYNC, code="606", count=30)
    number = quiet.insert("create_or_update", {"email": "storm@example.com", "lastName": "Storm"})
    for _ in range(40):
        quiet.sql("DELETE FROM quota_pause; UPDATE outbox_queue SET due_at = now()")
        quiet.step()
    row = quiet.row(number)
    assert row["status"] == "succeeded", row["error_message"]


def test_a_row_whose_marketo_is_away_for_hours_is_not_given_up(quiet: Inside) -> None:
    quiet.simulator.fault("error", SYNC, code="608", count=40)
    number = quiet.insert("create_or_update", {"email": "away@example.com", "lastName": "Away"})
    for _ in range(50):
        quiet.sql("UPDATE outbox_queue SET due_at = now()")
        quiet.step()
    row = quiet.row(number)
    assert row["status"] == "succeeded", row["error_message"]


def test_a_doubt_after_a_long_absence_is_not_the_last_straw(quiet: Inside) -> None:
    quiet.simulator.fault("error", SYNC, code="608", count=25)
    quiet.simulator.fault("reset", SYNC, phase="after")
    number = quiet.insert("create_or_update", {"email": "straw@example.com", "lastName": "Straw"})
    for _ in range(30):
        quiet.sql("UPDATE outbox_queue SET due_at = now()")
        quiet.step()
    quiet.carry()
    assert quiet.row(number)["status"] == "succeeded"
    assert quiet.attempts(number)[25:] == ["unknown transport", "succeeded"]


def test_a_skipped_record_fails_its_own_row_alone_and_results_go_by_position(quiet: Inside) -> None:
    rows: list[tuple[str, Any]] = []
    for number in range(30):
        email = f"no address {number}" if number % 7 == 3 else f"place-{number}@example.com"
        rows.append(("create_or_update", {"email": email, "lastName": f"Place {number}"}))
    quiet.simulator.reset_calls()
    ended = quiet.carry_all(rows)
    assert quiet.calls(SYNC) == 1
    for number, row in enumerate(ended):
        if number % 7 == 3:
            assert (row["status"], row["error_code"], row["lead_id"]) == ("failed", "1003", None)
            assert "email" in row["error_message"]
        else:
            assert row["status"] == "succeeded"
            assert quiet.simulator.lead(row["lead_id"])["lastName"] == f"Place {number}"
    quiet.proven()


def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_culprit_stands_alone(
    quiet: Inside, simulator: Simulator
) -> None:
    simulator.set_options(max_body=20_000)
    rows = [
        ("create_or_update", {"email": f"size-{n}@example.com", "lastName": "S" * 100}) for n in range(16)
    ]
    rows[5] = ("create_or_update", {"email": "large@example.com", "address": "L" * 25_000})
    ended = quiet.carry_all(rows)
    states = [row["status"] for row in ended]
    assert states == ["succeeded"] * 5 + ["failed"] + ["succeeded"] * 10
    assert ended[5]["error_code"] == "HTTP 413"
    assert {row["attempts"] for row in ended} == {1}
    assert quiet.calls(SYNC) == 9


def test_a_whole_batch_in_doubt_is_settled_row_by_row(quiet: Inside) -> None:
    fault(quiet.simulator, "reset", "after")
    rows: list[tuple[str, Any]] = [
        ("create_or_update", {"email": f"many-{n}@example.com", "lastName": f"N{n}"}) for n in range(50)
    ]
    rows[10] = ("create_or_update", {"email": "no address"})
    ended = quiet.carry_all(rows)
    assert [row["status"] for row in ended].count("succeeded") == 49
    assert (ended[10]["status"], ended[10]["attempts"]) == ("failed", 2)
    for number in (0, 9, 11, 49):
        assert created(quiet, f"many-{number}@example.com") == 1
    quiet.proven()


def test_a_read_back_that_fails_leaves_the_doubt_and_is_tried_again(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet.app.clock, "random", lambda: 0.01)
    fault(quiet.simulator, "reset", "after")
    quiet.simulator.fault("error", READ, code="608", count=9)
    (row,) = quiet.carry_all([("create_only", {"email": "back@example.com", "lastName": "Back"})])
    assert row["status"] == "succeeded"
    assert "proven_by" in row["result"]
    assert created(quiet, "back@example.com") == 1
    outcomes = quiet.attempts(row["id"])
    assert outcomes[0] == "unknown transport"
    assert outcomes[1] == "retry 608"
    assert outcomes[-1] == "succeeded"


def test_rows_of_one_lead_keep_their_order_whatever_they_call_it(quiet: Inside) -> None:
    email = quiet.value("SELECT email FROM lead WHERE id = 15")
    rows = [
        ("update_only", {"id": 15, "lastName": "One"}),
        ("create_or_update", {"email": email.upper(), "lastName": "Two"}),
        ("update_only", {"email": email, "lastName": "Three"}),
        ("update_only", {"id": 15, "email": "moved@example.com"}),
        ("create_or_update", {"email": "moved@example.com", "lastName": "Four"}),
        ("update_only", {"id": 15, "lastName": "Five"}),
        ("delete", {"email": "moved@example.com"}),
        ("create_or_update", {"email": "moved@example.com", "lastName": "Six"}),
    ]
    since = len(quiet.simulator.effects())
    quiet.simulator.fault("reset", SYNC, phase="after", skip=1)
    quiet.simulator.fault("reset", SYNC, phase="before", skip=3)
    quiet.insert_all(rows)
    quiet.drain.start()
    quiet.until(lambda: quiet.value("SELECT count(*) FROM outbox_queue") == 0)
    quiet.drain.stop(timeout=5)
    told = [
        next(
            iter(
                effect["fields"].get(name, {}).get("new")
                for name in ("lastName", "email")
                if name in effect["fields"]
            ),
            None,
        )
        for effect in quiet.simulator.effects(since)
    ]
    assert told == ["One", "Two", "Three", "moved@example.com", "Four", "Five", None, "Six"]
    quiet.proven()


def test_the_mirror_shows_the_effect_in_the_transaction_that_ends_the_row(quiet: Inside) -> None:
    quiet.sql(
        "CREATE TABLE seen (id bigint, last_name text, living boolean); "
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO seen SELECT NEW.id, l.last_name, l._deleted_at IS NULL FROM lead l WHERE l.id = NEW.lead_id; "
        "RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER look AFTER UPDATE ON outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "WHEN (NEW.status = 'succeeded') EXECUTE FUNCTION look()"
    )
    fault(quiet.simulator, "reset", "after", skip=2)
    ended = quiet.carry_all(
        [
            ("create_or_update", {"email": "shown@example.com", "lastName": "Shown"}),
            ("update_only", {"id": 3, "lastName": "Three"}),
            ("create_only", {"email": "back@example.com", "lastName": "Back"}),
            ("create_duplicate", {"email": "twin@example.com", "lastName": "Twin"}),
            ("delete", {"id": 4}),
        ]
    )
    assert {row["status"] for row in ended} <= {"succeeded", "uncertain"}
    seen = {row["id"]: (row["last_name"], row["living"]) for row in quiet.sql("SELECT * FROM seen")}
    for row in ended:
        if row["operation"] == "delete":
            assert seen[row["id"]][1] is False
        elif row["status"] == "succeeded":
            assert seen[row["id"]] == (row["payload"]["lastName"], True)


def test_a_quota_that_is_used_up_parks_rows_until_the_reset_and_counts_against_none(quiet: Inside) -> None:
    quiet.simulator.fault("error", SYNC, code="607", count=None)
    number = quiet.insert("create_or_update", {"email": "parked@example.com"})
    assert quiet.step()
    row = quiet.row(number)
    assert (row["status"], row["error_code"]) == ("retrying", "607")
    assert quiet.value(
        "SELECT next_attempt_at > now() + interval '1 minute' FROM outbox WHERE id = %s", number
    )
    assert quiet.value("SELECT until > now() FROM quota_pause WHERE what = 'calls'")


def test_a_permission_that_is_missing_keeps_rows_waiting_until_it_is_given(quiet: Inside) -> None:
    quiet.simulator.set_options(denied=["read-write-lead"])
    number = quiet.insert("create_or_update", {"email": "denied@example.com"})
    assert quiet.step()
    row = quiet.row(number)
    assert (row["status"], row["error_code"]) == ("retrying", "603")
    assert "permission" in row["error_message"]
    quiet.simulator.set_options(denied=[])
    quiet.carry()
    assert quiet.row(number)["status"] == "succeeded"


def test_a_row_that_shared_its_record_with_one_that_expired_in_doubt_does_not_undo_it(filled: Inside) -> None:
    fault(filled.simulator, "reset", "after")
    rows = [("update_only", {"id": 5, "lastName": name}) for name in ("First", "Second")]
    first, second = filled.insert_all(rows)
    filled.step()
    assert filled.attempts(first) == filled.attempts(second) == ["unknown transport"]
    filled.sql("UPDATE outbox_queue SET expires_at = now() WHERE outbox_id = %s", second)
    filled.carry()
    assert [filled.row(number)["status"] for number in (first, second)] == ["uncertain", "uncertain"]
    assert filled.simulator.lead(5)["lastName"] == "Second"
    assert filled.calls(SYNC) == 1


def test_a_row_that_is_given_up_in_doubt_takes_the_earlier_rows_of_its_record_with_it(quiet: Inside) -> None:
    most = quiet.drain._conf.retry_at_most
    with quiet.app.database.begin() as late:
        made = late.raw.execute(
            """INSERT INTO outbox (operation, payload) VALUES ('update_only', '{"id": 5, "lastName": "Zero"}') RETURNING id"""
        ).fetchone()
        assert made is not None
        earlier, later = made[0], quiet.insert("update_only", {"id": 5, "lastName": "One"})
        fault(quiet.simulator, "reset", "before", count=most - 1)
        for _ in range(most - 1):
            assert quiet.drain.step()
            quiet.sql("UPDATE outbox_queue SET due_at = now()")
    fault(quiet.simulator, "reset", "after")
    quiet.carry()
    assert [quiet.row(n)["status"] for n in (earlier, later)] == ["uncertain", "uncertain"]
    assert quiet.simulator.lead(5)["lastName"] == "One"
