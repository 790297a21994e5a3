"""Connections, named statements, locks and sessions."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

from syncd.clock import SystemClock
from syncd.database import queries, staging, state, walks
from syncd.database.engine import IDLE_IN_TRANSACTION, QUEUE_LOCK
from syncd.database.session import ReplicaSession
from syncd.errors import ConfigError, DatabaseProblem, ValueRefused, WorkFailed
from tests.database.desk import Desk
from tests.support.postgres import connected


def test_every_named_statement_can_be_prepared(desk):
    """A statement that names a column which is not there fails here rather than at night."""
    desk.fields()
    staging.create(desk.database, walks.TABLE, 0)
    wrong = {}
    for name in queries.names():
        if queries.query(name).startswith(("SET", "LOCK")):
            continue
        try:
            with desk.database.begin() as transaction:
                parameters = dict.fromkeys(queries.values_of(name))
                transaction.raw.execute(b"EXPLAIN " + queries.for_driver(name), parameters)
        except (DatabaseProblem, ValueRefused, psycopg.Error) as problem:
            wrong[name] = str(problem.__cause__ or problem).split("\n", 1)[0]
    assert wrong == {}


def test_every_column_of_a_named_statement_has_a_name_of_its_own(desk):
    """Rows are named tuples."""
    desk.fields()
    staging.create(desk.database, walks.TABLE, 0)
    twice = {}
    with desk.database.begin() as transaction:
        for name in queries.names():
            numbers = {value: f"${n}" for n, value in enumerate(sorted(queries.values_of(name)), 1)}
            statement = queries.for_driver(name).decode().replace("%%", "%")
            for value, number in numbers.items():
                statement = statement.replace(f"%({value})s", number)
            connection = transaction.raw.pgconn
            connection.prepare(name.encode(), statement.encode())
            told = connection.describe_prepared(name.encode())
            columns = [told.fname(place) for place in range(told.nfields)]
            if len(set(columns)) < len(columns):
                twice[name] = columns
    assert twice == {}


def test_every_connection_reads_what_is_committed_in_utc_and_finds_both_schemas(desk):
    assert desk.run("SHOW transaction_isolation; ") == [("read committed",)]
    assert desk.run("SHOW timezone") == [("UTC",)]
    assert desk.run("SELECT current_schemas(false)") == [(["marketo", "syncd"],)]


PLACE = state.Cursor("t", datetime(2026, 1, 2, tzinfo=UTC))


def move_and_fail(desk: Desk, failure: Callable[[], object]) -> None:
    with desk.database.begin() as transaction:
        state.move_cursor(transaction, "x", PLACE)
        failure()
        state.move_cursor(transaction, "y", PLACE)


def test_a_transaction_is_all_or_nothing(desk):
    with pytest.raises(ZeroDivisionError):
        move_and_fail(desk, lambda: 1 / 0)
    assert desk.run("SELECT FROM cursor") == []


def test_each_statement_can_be_a_transaction_of_its_own_and_the_next_block_is_one_again(desk):
    def write_and_fail() -> None:
        with desk.database.each() as each:
            state.move_cursor(each, "x", PLACE)
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            write_and_fail()
    assert desk.run("SELECT feed FROM cursor") == [("x",)]
    with pytest.raises(ZeroDivisionError):
        move_and_fail(desk, lambda: 1 / 0)
    assert desk.run("SELECT feed FROM cursor") == [("x",)]


def test_a_block_that_leaves_a_transaction_open_does_not_hand_its_connection_on(desk):
    with desk.database.each() as each:
        each.raw.execute("BEGIN")
    with desk.database.begin() as transaction:
        assert not transaction.raw.autocommit


def test_a_connection_that_was_cut_is_told_plainly_and_the_next_works(desk):
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    with pytest.raises(DatabaseProblem, match=r"can't be used: .*; check database\.url and the server"):
        move_and_fail(desk, lambda: desk.run(cut))
    assert desk.run("SELECT FROM cursor") == []


def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced_unseen(desk):
    def both() -> set[int]:
        with desk.database.begin() as one, desk.database.begin() as other:
            assert one.scalar("database_now") < other.scalar("database_now")
            return {one.raw.info.backend_pid, other.raw.info.backend_pid}

    before = both()
    # Its own connection is that of the one who ends the other.
    ended = desk.value(
        "WITH others AS MATERIALIZED (SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()) "
        "SELECT array_agg(pid) FROM others WHERE pg_terminate_backend(pid, 10_000)"
    )
    assert before & set(ended)
    assert not both() & set(ended)


def test_a_server_that_ends_each_connection_at_once_is_told_in_a_sentence(desk):
    def ended(*_: object) -> None:
        raise DisconnectionError

    event.listen(desk.database.engine, "checkout", ended)
    try:
        with pytest.raises(DatabaseProblem, match="ends connections at once"), desk.database.begin():
            pass
    finally:
        event.remove(desk.database.engine, "checkout", ended)
    assert desk.value("SELECT 1") == 1


def test_who_falls_asleep_with_a_lock_that_all_need_loses_it(desk):
    """A paused process must not hold up the others until somebody wakes it."""
    with desk.database.begin() as transaction:
        assert transaction.raw.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (
            IDLE_IN_TRANSACTION,
        )
    taken: list[bool] = []

    def need_it() -> None:
        with desk.database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            taken.append(True)

    def fall_asleep() -> None:
        with desk.database.begin() as transaction:
            transaction.raw.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
            transaction.lock(QUEUE_LOCK)
            other = threading.Thread(target=need_it)
            other.start()
            other.join(30)
            transaction.scalar("database_now")

    with pytest.raises(DatabaseProblem):
        fall_asleep()
    assert taken == [True]


@pytest.mark.parametrize("url", ["mysql://a@b/c", "not a url", "http://x", "postgresql://h:port/x"])
def test_an_url_that_is_none_is_refused_without_being_shown(url):
    with pytest.raises(ConfigError, match=r"database\.url") as problem, connected(url):
        pass
    assert url not in str(problem.value)


def test_the_place_of_a_database_is_told_without_its_password():
    with connected("postgresql://me:hush@db.example:5433/warehouse") as database:
        assert database.place == "db.example:5433/warehouse"
        assert "hush" not in repr(database.engine.url)


def test_a_feed_runs_once_at_a_time_and_feeds_do_not_wait_for_each_other(desk):
    with desk.database.exclusive("changes"):
        with (
            pytest.raises(WorkFailed, match="another process is at the feed changes"),
            desk.database.exclusive("changes"),
        ):
            pass
        with desk.database.exclusive("schema"):
            pass
    with desk.database.exclusive("changes"):
        pass


def test_staging_tables_are_made_filled_moved_and_dropped(desk):
    database = desk.database
    for name in ("staging_a", "staging_b"):
        staging.create(database, name, 2)
        assert staging.copy(database, name, b'1,"a\nb",null\n2,"null",\n') == 2
    assert desk.run("SELECT * FROM staging_a") == [("1", "a\nb", None), ("2", "null", "")]
    staging.create(database, "staging_a", 2)
    assert desk.run("SELECT * FROM staging_a") == []
    staging.move(database, "staging_b", "staging_a")
    assert desk.value("SELECT count(*) FROM staging_a") == 2
    assert desk.value("SELECT to_regclass('staging_b')") is None
    assert desk.value("SELECT relpersistence::text FROM pg_class WHERE relname = 'staging_a'") == "u"


# --- sessions -------------------------------------------------------------------------------------


def until(what, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline


def test_one_replica_leads_and_another_takes_over_when_it_ends(desk):
    sessions = [
        ReplicaSession(desk.database, SystemClock(), on_notify=lambda: None, lead=True) for _ in range(2)
    ]
    for session in sessions:
        session.start()
    try:
        until(lambda: any(s.leading for s in sessions))
        first, second = sorted(sessions, key=lambda s: not s.leading)
        assert not second.leading
        first.stop()
        assert first.replica is None
        until(lambda: second.leading)
    finally:
        for session in sessions:
            session.stop()


def test_a_replica_hears_of_new_rows(desk):
    heard = threading.Event()
    session = ReplicaSession(desk.database, SystemClock(), on_notify=heard.set, lead=False)
    session.start()
    try:
        desk.email("a@b.com")
        assert heard.wait(10)
    finally:
        session.stop()


def test_replicas_are_listed_while_they_live_and_forgotten_a_day_after(desk: Desk):
    kind = desk.database.names.lock_class(0) & 0xFFFFFFFF
    session = ReplicaSession(desk.database, SystemClock(), on_notify=lambda: None, lead=False)
    session.start()

    def alive() -> list[int]:
        with desk.database.begin() as transaction:
            return [row.id for row in transaction.rows("replicas_alive", kind=kind)]

    try:
        number = session.replica
        assert alive() == [number]
        desk.run("UPDATE replica SET started_at = now() - interval '2 days'")
        with desk.database.begin() as transaction:
            assert transaction.run("replica_prune", kind=kind) == 0
    finally:
        session.stop()
    until(lambda: alive() == [])
    with desk.database.begin() as transaction:
        assert transaction.run("replica_prune", kind=kind) == 1
