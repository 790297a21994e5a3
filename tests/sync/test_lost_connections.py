"""A connection to PostgreSQL is lost in the middle of the work: what was claimed goes out once, and is called what it is."""

import threading
from typing import Any

import psycopg
import pytest

from syncd import simulator as marketo
from syncd.database import outbox
from syncd.errors import DatabaseProblem
from tests.sync.inside import DELETE, SYNC, Inside


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=60, history_days=20, limits=False, export_seconds=0.05, race_ms=0)


@pytest.fixture
def quiet(filled: Inside) -> Inside:
    filled.catch_up()
    return filled


def created(inside: Inside, email: str) -> int:
    """How many leads Marketo made with an address."""
    made = [e for e in inside.simulator.effects() if e["kind"] == "created"]
    return sum(e["fields"].get("email", {}).get("new") == email for e in made)


def test_a_claim_whose_commit_was_never_confirmed_is_found_and_goes_out_once(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = quiet.insert("create_duplicate", {"email": "twin@example.com"})
    with monkeypatch.context() as patch:
        commit = psycopg.Connection.commit

        def lost(connection: psycopg.Connection[Any]) -> None:
            commit(connection)
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        patch.setattr(psycopg.Connection, "commit", lost)
        with pytest.raises(DatabaseProblem):
            quiet.drain.step()
    assert quiet.row(row)["status"] == "sending"
    assert quiet.drain.rescue() == 0, "a worker may be on its way to it"
    quiet.drain._stray_seconds = 0.0
    assert quiet.drain.rescue() == 1
    assert quiet.drain.step()
    assert (quiet.row(row)["status"], quiet.attempts(row)) == ("succeeded", ["succeeded"])
    assert created(quiet, "twin@example.com") == 1


def test_a_call_whose_end_its_worker_could_not_write_down_is_in_doubt(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = quiet.insert("create_duplicate", {"email": "twin@example.com"})
    with monkeypatch.context() as patch:
        patch.setattr(quiet.drain, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            quiet.drain.step()
    assert created(quiet, "twin@example.com") == 1
    quiet.drain._stray_seconds = 0.0
    assert quiet.drain.rescue() == 1
    assert (quiet.row(row)["status"], quiet.attempts(row)) == ("uncertain", ["unknown internal"])
    assert quiet.drain.rescue() == 0


def test_a_row_whose_lead_could_not_be_looked_up_in_the_mirror_was_not_sent(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = quiet.value("SELECT email FROM lead WHERE email IS NOT NULL ORDER BY id LIMIT 1")
    row = quiet.insert("delete", {"email": email}, lookup_field="email")

    def lost(*_: Any) -> Any:
        raise DatabaseProblem("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(quiet.drain._sender._names, "_leads_by_email", lost)
        assert quiet.drain.step()
    assert quiet.calls(DELETE) == 0
    assert (quiet.row(row)["status"], quiet.attempts(row)) == ("retrying", ["retry database"])
    assert quiet.row(row)["next_attempt_at"] is not None, "it waits, and nobody asks in a circle"
    quiet.carry()
    assert (quiet.row(row)["status"], quiet.attempts(row)) == ("succeeded", ["retry database", "succeeded"])


def test_a_worker_that_hears_of_its_claim_too_late_sends_nothing(quiet: Inside) -> None:
    row = quiet.insert("create_duplicate", {"email": "twin@example.com"})
    assert quiet.session.replica is not None
    claim = outbox.claim(quiet.app.database, replica=quiet.session.replica, most=300, coalesce=True)
    assert claim is not None
    quiet.drain._stray_seconds = 0.0
    assert quiet.drain.rescue() == 1
    quiet.drain._carry(claim)
    assert (quiet.row(row)["status"], quiet.calls(SYNC)) == ("pending", 0)
    quiet.carry()
    assert (quiet.row(row)["status"], created(quiet, "twin@example.com")) == ("succeeded", 1)


def test_a_worker_that_wakes_while_its_claim_is_found_keeps_it(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = quiet.insert("create_duplicate", {"email": "twin@example.com"})
    assert quiet.session.replica is not None
    claim = outbox.claim(quiet.app.database, replica=quiet.session.replica, most=300, coalesce=True)
    assert claim is not None
    look, write = outbox.strays, quiet.drain._write
    sent, rescued = threading.Event(), threading.Event()

    def written(*settled: Any) -> Any:
        sent.set()
        rescued.wait(30)
        return write(*settled)

    worker = threading.Thread(target=quiet.drain._carry, args=(claim,))

    def looked(*asked: Any, **more: Any) -> Any:
        found = look(*asked, **more)
        worker.start()
        sent.wait(30)
        return found

    monkeypatch.setattr(outbox, "strays", looked)
    monkeypatch.setattr(quiet.drain, "_write", written)
    quiet.drain._stray_seconds = 0.0
    assert quiet.drain.rescue() == 0
    rescued.set()
    worker.join()
    assert (quiet.row(row)["status"], quiet.attempts(row)) == ("succeeded", ["succeeded"])
    assert created(quiet, "twin@example.com") == 1


def test_an_answer_that_a_stopping_service_could_not_write_down_is_in_doubt(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = quiet.insert("create_duplicate", {"email": "twin@example.com"})

    def lost(*_: Any) -> Any:
        quiet.drain._stop.set()
        raise DatabaseProblem("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(quiet.drain, "_write", lost)
        assert quiet.drain.step()
    quiet.drain._stray_seconds = 0.0
    assert quiet.drain.rescue() == 0, "a service that stops leaves it to others"
    quiet.drain._stop.clear()
    assert quiet.drain.rescue() == 1
    assert (quiet.row(row)["status"], created(quiet, "twin@example.com")) == ("uncertain", 1)
