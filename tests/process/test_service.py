"""The service beside its like, when it is told to stop, and when PostgreSQL drops it."""

import json
import os
import signal
import time

import pytest

from syncd import simulator as marketo
from tests.process.house import PATIENCE, House, until

SYNC = "POST /rest/v1/leads.json"
CHANGES = "GET /rest/v1/activities/leadchanges.json"
LEADING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4 AND objsubid = 2 AND granted"
)


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=300, history_days=60, export_seconds=0.2, limits=False, latency_ms=40, race_ms=0
    )


def updates(house: House, rows: int, leads: int, mark: str) -> list[int]:
    """Insert rows for few leads, each with a value of its own."""
    return house.insert(
        ("update_only", {"id": 1 + number % leads, "lastName": f"{mark} {number}"}) for number in range(rows)
    )


def each_took_effect_once_and_in_order(house: House, ids: list[int], leads: int, mark: str) -> None:
    states = {row["id"]: row["status"] for row in house.rows()}
    assert {states[number] for number in ids} == {"succeeded"}
    names = [
        (effect["leadId"], effect["fields"]["lastName"]["new"])
        for effect in house.simulator.effects()
        if str(effect["fields"].get("lastName", {}).get("new", "")).startswith(mark)
    ]
    for lead in range(1, leads + 1):
        wanted = [f"{mark} {number}" for number in range(len(ids)) if 1 + number % leads == lead]
        assert [name for number, name in names if number == lead] == wanted


def test_told_to_stop_it_ends_softly_in_a_backfill_and_in_a_drain_and_goes_on_after_a_new_start(
    house: House,
) -> None:
    assert house.run("pull", "schema").returncode == 0
    daemon = house.daemon(SYNCD_MIRROR__WINDOW_DAYS="6")
    house.until("SELECT count(*) > 0 FROM backfill_window WHERE state IN ('created', 'queued')", True)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 5
    assert house.value("SELECT count(*) FROM backfill_window WHERE state <> 'done'") > 0
    assert house.value("SELECT count(*) FROM run WHERE outcome = 'running'") == 0
    daemon = house.daemon()
    house.quiet()

    ids = updates(house, 40, 4, "Soft")
    house.until("SELECT count(*) > 4 FROM outbox WHERE status = 'succeeded'", True)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 5
    assert house.value("SELECT count(*) FROM outbox WHERE status = 'sending'") == 0
    assert house.value("SELECT count(*) FROM outbox_attempt WHERE outcome <> 'succeeded'") == 0
    assert house.value("SELECT count(*) FROM outbox WHERE status = 'pending'") > 0
    daemon = house.daemon()
    house.settled()
    assert daemon.stop() == 0
    each_took_effect_once_and_in_order(house, ids, 4, "Soft")
    house.proven()


def test_a_call_that_outlasts_the_stop_is_written_down_as_unknown_and_settled_by_the_next_start(
    house: House,
) -> None:
    assert house.run("pull", "schema").returncode == 0
    daemon = house.daemon(SYNCD_DAEMON__STOP_TIMEOUT_SECONDS="1")
    house.quiet()
    house.simulator.fault("delay", SYNC, phase="after", seconds=12)
    number, _ = house.insert(
        [
            ("create_or_update", {"email": "slow@example.com", "lastName": "Slow"}),
            ("create_or_update", {"email": "slow@example.com", "lastName": "Slower"}),
        ]
    )
    until(lambda: house.simulator.faults()[0]["hits"] == 1, "the call is under way")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 6
    assert house.sql("SELECT status, error_code FROM outbox WHERE id = %s", number) == [
        {"status": "retrying", "error_code": "stopped"}
    ]
    daemon = house.daemon()
    house.settled()
    assert daemon.stop() == 0
    assert [row["status"] for row in house.rows()] == ["succeeded"] * 2
    made = [
        e for e in house.simulator.effects() if e["fields"].get("email", {}).get("new") == "slow@example.com"
    ]
    assert len(made) == 1
    house.proven()


def test_a_feed_that_is_in_the_middle_of_a_long_call_does_not_hold_the_stop_up(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    daemon = house.daemon(SYNCD_DAEMON__STOP_TIMEOUT_SECONDS="1")
    house.quiet()
    house.simulator.fault("delay", CHANGES, seconds=15)
    until(lambda: house.simulator.faults()[0]["hits"] == 1, "the call is under way")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 6


def test_it_recovers_by_itself_when_postgresql_drops_all_its_sessions(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    daemon = house.daemon(SYNCD_MIRROR__WINDOW_DAYS="10")
    ids = updates(house, 60, 4, "Dropped")
    dropped = 0
    for _ in range(5):
        time.sleep(0.4)
        dropped += house.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'syncd'"
        )
    assert dropped > 10
    house.settled()
    house.quiet()
    assert daemon.alive
    house.simulator.edit_lead(200, lastName="After")
    house.until("SELECT last_name FROM lead WHERE id = 200", "After")
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    each_took_effect_once_and_in_order(house, ids, 4, "Dropped")
    house.proven()


def test_of_two_services_one_runs_the_feeds_both_drain_and_the_other_takes_over_in_seconds(
    house: House,
) -> None:
    assert house.run("pull", "schema").returncode == 0
    first, second = (house.daemon(SYNCD_OUTBOX__BATCH_SIZE="2") for _ in range(2))
    house.quiet()
    assert house.value(LEADING) == 1
    ids = updates(house, 60, 12, "Shared")
    house.settled()
    each_took_effect_once_and_in_order(house, ids, 12, "Shared")
    house.twenty_seconds_pass()
    assert house.value("SELECT count(DISTINCT replica) FROM outbox_attempt") == 2
    replicas = json.loads(house.run("status", "--json").stdout)["replicas"]
    assert {replica["pid"] for replica in replicas} == {first.pid, second.pid}

    leader = house.value(
        "SELECT r.pid FROM replica r JOIN pg_locks mine ON mine.objid = r.id::oid AND mine.objsubid = 2 "
        "JOIN pg_locks lead ON lead.pid = mine.pid AND lead.objid = 4 AND lead.locktype = 'advisory' AND lead.granted "
        "AND lead.classid <> mine.classid ORDER BY r.id DESC LIMIT 1"
    )
    killed, other = (first, second) if leader == first.pid else (second, first)
    assert leader == killed.pid
    more = updates(house, 40, 4, "Left")
    killed.kill()
    began = time.monotonic()
    house.simulator.edit_lead(250, lastName="Taken over")
    house.until("SELECT last_name FROM lead WHERE id = 250", "Taken over")
    assert time.monotonic() - began < 10
    house.settled()
    each_took_effect_once_and_in_order(house, more, 4, "Left")
    assert other.stop() == 0
    house.proven()


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_paused_service_holds_up_its_own_leads_alone_and_nothing_is_sent_twice_when_it_wakes_up(
    house: House, cut_off: bool
) -> None:
    """Paused in the middle of a call; cut_off: PostgreSQL ends its session meanwhile, and the other takes over."""
    assert house.run("pull", "schema").returncode == 0
    sleeper = house.daemon()
    house.quiet()
    house.simulator.fault("delay", SYNC, phase="after", seconds=0.5)
    (held,) = updates(house, 1, 1, "Held")
    until(lambda: house.simulator.faults()[0]["hits"] == 1, "the call is under way")
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        other = house.daemon()
        behind = updates(house, 1, 1, "Behind")[0]
        (free,) = house.insert([("update_only", {"id": 2, "lastName": "Free"})])
        house.until(f"SELECT status FROM outbox WHERE id = {free}", "succeeded")
        if cut_off:
            house.sql(
                "SELECT pg_terminate_backend(a.pid) FROM replica r JOIN pg_locks l ON l.objid = r.id::oid AND l.objsubid = 2 "
                "JOIN pg_stat_activity a ON a.pid = l.pid WHERE r.pid = %s",
                sleeper.pid,
            )
            house.until(f"SELECT status FROM outbox WHERE id = {behind}", "succeeded")
        else:
            replicas = json.loads(house.run("status", "--json").stdout)["replicas"]
            assert {r["pid"]: r["rows_sending"] for r in replicas} == {sleeper.pid: 1, other.pid: 0}
            states = house.sql("SELECT status FROM outbox WHERE id IN (%s, %s) ORDER BY id", held, behind)
            assert [row["status"] for row in states] == ["sending", "pending"]
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    house.settled()
    assert [row["status"] for row in house.rows()] == ["succeeded"] * 3
    names = [
        effect["fields"]["lastName"]["new"]
        for effect in house.simulator.effects()
        if effect["leadId"] == 1 and "lastName" in effect["fields"]
    ]
    assert names == ["Held 0", "Behind 0"]
    assert [sleeper.stop(), other.stop()] == [0, 0]


def test_a_pull_and_a_drain_in_the_foreground_that_are_told_to_stop_say_so_and_go_on_later(
    house: House,
) -> None:
    assert house.run("pull", "schema").returncode == 0
    pull = house.start("pull", "leads", SYNCD_MIRROR__WINDOW_DAYS="12")
    house.until("SELECT count(*) > 0 FROM backfill_window WHERE state = 'done'", True)
    assert pull.stop() == 1
    assert "goes on from there" in pull.log
    done = house.value("SELECT count(*) FROM backfill_window WHERE state = 'done'")
    created = house.simulator.calls()["POST /bulk/v1/leads/export/create.json"]
    assert house.run("pull", "leads").returncode == 0
    windows = house.value("SELECT count(*) FROM backfill_window")
    assert house.simulator.calls()["POST /bulk/v1/leads/export/create.json"] <= windows + 2
    assert created >= done > 0

    ids = updates(house, 40, 2, "Foreground")
    drain = house.start("drain", "--until-empty")
    house.until("SELECT count(*) > 2 FROM outbox WHERE status = 'succeeded'", True)
    drain.process.send_signal(signal.SIGINT)
    assert drain.process.wait(PATIENCE) == 1
    assert house.value("SELECT count(*) FROM outbox WHERE status = 'sending'") == 0
    finished = house.run("drain", "--until-empty")
    assert (finished.returncode, finished.stdout) == (0, "the outbox is empty\n")
    each_took_effect_once_and_in_order(house, ids, 2, "Foreground")


def test_the_calls_of_a_service_that_was_killed_do_not_use_the_budget_up(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    few = {"SYNCD_BUDGET__CONCURRENT_CALLS": "2", "SYNCD_OUTBOX__BATCH_SIZE": "1"}
    daemon = house.daemon(**few)
    house.quiet()
    house.simulator.fault("delay", SYNC, seconds=2, count=2)
    updates(house, 6, 6, "Budget")
    until(lambda: house.simulator.faults()[0]["hits"] == 2, "two calls are under way")
    daemon.kill()
    house.daemon(**few)
    house.settled(patience=15)
