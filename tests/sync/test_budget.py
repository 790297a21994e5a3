"""The budget between real processes and a Marketo that enforces its limits and counts by itself."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.core.codes import next_reset
from syncd.errors import QuotaExhausted
from syncd.mirror import memberships, schema
from syncd.settings import Settings
from syncd.simulator.control import Simulator
from syncd.status import usage
from syncd.wiring import App
from tests.sync.inside import SYNC, Inside

RATE, CONCURRENCY = 24, 4
LOOK = 0.02
FLOORS = {"outbox_share": 0.2, "changes_share": 0.1, "memberships_share": 0.05, "backfill_share": 0.05}


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=50,
        limits=True,
        rate=RATE,
        concurrency=CONCURRENCY,
        latency_ms=60,
        export_seconds=0.2,
        race_ms=0,
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["budget"] |= {"calls_per_20_seconds": RATE, "concurrent_calls": CONCURRENCY, **FLOORS}
    return conf


@contextmanager
def callers(conf: Any, *each: tuple[str, int, int]) -> Iterator["list[subprocess.Popen[str]]"]:
    """Processes that make calls: lane, threads, calls."""
    arguments = [sys.executable, "-m", "tests.sync.caller", json.dumps(conf)]
    processes = [
        subprocess.Popen([*arguments, *map(str, one)], stdout=subprocess.PIPE, text=True) for one in each
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def let_pass(app: App, simulator: Simulator, seconds: float) -> None:
    """Let time pass on both sides: in the books first, so that Marketo is never behind them.

    What is under way when the books grow older does not grow older there: a call counts from its end.
    """
    with app.database.begin() as transaction:
        transaction.raw.execute(
            "UPDATE api_call SET started_at = started_at - make_interval(secs => %(by)s), "
            "finished_at = finished_at - make_interval(secs => %(by)s) WHERE finished_at IS NOT NULL",
            {"by": seconds},
        )
    simulator.advance(seconds)


def test_at_marketos_own_limits_no_call_of_any_process_is_ever_refused(
    conf: Any, app: App, simulator: Simulator
) -> None:
    """Three processes, twelve threads, two windows of the rate: Marketo itself counts."""
    each = ("outbox", 4, 16), ("changes", 4, 16), ("backfill", 4, 16)
    with callers(conf, *each) as processes:
        while any(process.poll() is None for process in processes):
            let_pass(app, simulator, 0.5)
            time.sleep(LOOK)
        for process in processes:
            assert process.stdout is not None
            assert len(json.loads(process.stdout.read())) == 16
    stats = simulator.stats()
    assert stats["errors"] == {}
    assert stats["peak"] <= CONCURRENCY
    assert stats["today"] == 48
    with app.database.begin() as transaction:
        assert sum(row.calls for row in transaction.rows("usage_today")) == 48


def test_the_outbox_does_not_wait_behind_other_processes_that_read(
    conf: Any, app: App, inside: Inside
) -> None:
    """They have taken all that is not kept for others, and take what is lent; the outbox's own is there at once."""
    unkept = int(RATE * (1 - sum(FLOORS.values())))
    with callers(conf, ("backfill", 6, 100), ("verify", 6, 100)):
        inside.until(lambda: inside.simulator.stats()["today"] >= unkept)
        before = inside.simulator.stats()["today"]
        app.client.on("outbox").leads("id", [1], ["id"])
        assert inside.simulator.stats()["today"] - before <= 2 * CONCURRENCY


def test_a_killed_process_does_not_keep_its_calls_nor_its_place_in_the_line(
    conf: Any, app: App, inside: Inside
) -> None:
    conf["budget"]["concurrent_calls"] = 2
    with callers(conf, ("outbox", 4, 1000)) as (process,):
        inside.until(lambda: inside.simulator.stats()["today"] > 2)
        process.kill()
        process.wait()
    inside.sql(
        "UPDATE api_call SET expires_at = clock_timestamp() + interval '1 second' WHERE finished_at IS NULL"
    )
    for _ in range(3):
        app.client.on("verify").leads("id", [1], ["id"])
    assert inside.value("SELECT calls FROM api_usage WHERE lane = 'verify'") == 3


def test_of_eight_callers_that_wait_one_looks_into_the_books_about_once_a_second(app: App) -> None:
    none = dict.fromkeys(FLOORS, 0.0)
    app.ledger._conf = app.settings.budget.model_copy(update=none)
    for _ in range(RATE):
        app.ledger.release(
            app.ledger.acquire(lane="outbox", endpoint="x", holds_for=5), charged=True, error=None
        )
    looks: list[float] = []
    tried = app.ledger._try

    def counted(*values: Any) -> Any:
        looks.append(time.monotonic())
        return tried(*values)

    app.ledger._try = counted  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        waiting = [
            pool.submit(app.ledger.acquire, lane="outbox", endpoint="x", holds_for=5) for _ in range(8)
        ]
        time.sleep(1.5)
        app.clock.stop()
        assert all(one.exception() is not None for one in waiting)
    assert len([at for at in looks if at <= began + 1.5]) <= 3


def test_what_others_use_is_seen_and_makes_our_share_smaller(conf: Any, inside: Inside) -> None:
    budget = {"calls_per_day": 30_000, "reserve_per_day": 5_000, "marketo_calls_per_day": 50_000}
    conf["budget"] |= budget
    app = inside.app
    object.__setattr__(app.settings, "budget", Settings(**conf).budget)
    app.ledger._conf = app.settings.budget
    schema.pull(inside.feeds)
    assert app.ledger.standing().limits.day == 30_000
    inside.simulator.use_quota(10_000)
    usage.pull(inside.feeds)
    assert (app.ledger.standing().others, app.ledger.standing().limits.day) == (10_000, 30_000)
    inside.simulator.use_quota(25_000)
    usage.pull(inside.feeds)
    assert (app.ledger.standing().others, app.ledger.standing().limits.day) == (35_000, 10_000)
    inside.simulator.use_quota(9_995)
    usage.pull(inside.feeds)
    with pytest.raises(QuotaExhausted, match="other integrations have made 44995") as caught:
        app.client.leads("id", [1], ["id"])
    assert caught.value.until == next_reset(app.clock.now())


def test_the_books_and_marketo_agree_to_the_call_whatever_fails(inside: Inside) -> None:
    schema.pull(inside.feeds)
    inside.simulator.fault("error", SYNC, code="608", count=2)
    inside.carry_all([("create_or_update", {"email": f"{n}@example.com"}) for n in range(3)])
    inside.carry_all([("update_only", {"id": 999_999, "lastName": "Nobody"})])
    ours = inside.value("SELECT sum(calls) FROM api_usage")
    assert ours == inside.simulator.stats()["today"]
    assert inside.value("SELECT sum(errors) FROM api_usage") == 2
    usage.pull(inside.feeds)
    assert inside.value("SELECT others FROM quota_seen") == 0
    assert inside.value("SELECT total - ours FROM quota_seen") in {0, -1}


def test_what_every_feed_spent_is_a_view_by_day_feed_and_endpoint(inside: Inside) -> None:
    schema.pull(inside.feeds)
    inside.carry_all([("create_or_update", {"email": "new@example.com"})])
    inside.app.client.on("outbox").leads("id", [1], ["id"])
    memberships.pull_lists(inside.feeds)
    inside.app.client.describe()
    rows = inside.sql("SELECT day, feed, endpoint, lane, calls FROM marketo.api_usage WHERE calls > 0")
    spent = {(r["feed"], r["endpoint"]): (r["lane"], r["calls"]) for r in rows}
    assert len({r["day"] for r in rows}) == 1
    assert spent["schema", "describe"] == ("changes", 1)
    assert spent["no feed", "describe"] == ("changes", 1)
    assert spent["outbox", "sync_leads"] == ("outbox", 1)
    assert spent["outbox", "leads"] == ("outbox", 1)
    assert spent["lists", "leads_by_list"][0] == "memberships"
    assert spent["lists", "static_lists"] == ("memberships", 1)
    assert {feed for feed, _ in spent} == {"no feed", "schema", "lists", "outbox"}


def test_after_607_nobody_calls_and_status_says_until_when(inside: Inside) -> None:
    inside.simulator.use_quota(50_000)
    with pytest.raises(QuotaExhausted):
        schema.pull(inside.feeds)
    before = inside.simulator.stats()["errors"]
    assert before == {"607": 1}
    with pytest.raises(QuotaExhausted) as caught:
        inside.app.client.on("outbox").leads("id", [1], ["id"])
    assert abs((caught.value.until - next_reset(inside.app.clock.now())).total_seconds()) < 2
    assert inside.simulator.stats()["errors"] == before
