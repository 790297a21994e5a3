"""The outbox: how fast rows drain, how soon one arrives, what a claim costs, and how many calls it takes."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import httpx
import procrastinate
import psycopg

from syncd import settings
from syncd.database import outbox
from syncd.mirror import schema
from syncd.simulator import Options, running
from tests.bench.figure import Figure
from tests.bench.house import app_of, database_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.wiring import App

ROWS = 20_000
BATCH = 300
JOBS = 600
TURNS = 3
"""Ours and the ready-made alternative take turns; the median of each counts."""
CALL_MS = 100
"""How long a call takes at least; Marketo's own take longer."""
SAMPLES = 120
MIXED = 10_000
FILED = 60_000
PATIENCE = 60.0


def speed(url: str) -> Iterator[Figure]:
    """20,000 upserts of as many leads, of one lead, and by procrastinate with a lock for each lead and one call each."""
    with running(Options(leads=100, limits=False)) as simulator, app_of(url, simulator.base_url) as app:
        schema.pull(app.feeds())
        token = _token(simulator.base_url)
        bare = _bare_calls(simulator.base_url, token)
        drained, by_jobs = [], []
        for turn in range(TURNS):
            simulator.reset_calls()
            drained.append(_drained(app, url, f"'row{turn}-' || n || '@example.com'"))
            calls = simulator.calls()["POST /rest/v1/leads.json"]
            by_jobs.append(asyncio.run(_procrastinate(url, simulator.base_url, token, turn)))
        distinct, ready_made = median(drained), median(by_jobs)
        one = _drained(app, url, "'one@example.com'")
        simulator.set_options(latency_ms=CALL_MS)
        far = _drained(app, url, "'far' || n || '@example.com'")
        ready_made_far = asyncio.run(_procrastinate(url, simulator.base_url, token, TURNS))
        yield Figure("drain: sync calls over the least possible", calls / math.ceil(ROWS / BATCH), 1.1)
        yield Figure("drain: seconds over the bare calls", (ROWS / distinct) / bare, 12)
        yield Figure("drain: rows a second, distinct leads", distinct, 3000, at_least=True)
        yield Figure("drain: one lead over distinct leads", one / distinct, 0.5, at_least=True)
        print(
            f"  rows a second, of procrastinate: {ready_made:.0f}; {CALL_MS} ms away: {far:.0f} and {ready_made_far:.0f}"
        )
        yield Figure("drain: times procrastinate, no way at all", distinct / ready_made, 20, at_least=True)
        yield Figure("drain: times procrastinate, 100 ms away", far / ready_made_far, 20, at_least=True)


def latency(url: str) -> Iterator[Figure]:
    """From COMMIT of a row to its `succeeded` on an idle daemon, in milliseconds beyond one bare HTTP call."""
    with running(Options(leads=100, limits=False)) as simulator:
        with app_of(url, simulator.base_url) as app:
            schema.pull(app.feeds())
        bare = _bare_latency(simulator.base_url, _token(simulator.base_url))
        with _daemon(url, simulator.base_url), psycopg.connect(url, autocommit=True) as connection:
            _idle(connection)
            _arrival(connection, 0)
            took = []
            for number in range(1, SAMPLES + 1):
                took.append(_arrival(connection, number))
                time.sleep(0.3)
        beyond = [(seconds - bare) * 1000 for seconds in took]
        cuts = quantiles(beyond, n=100, method="inclusive")
        yield Figure("latency: p50 ms beyond a bare call", cuts[49], 30)
        yield Figure("latency: p99 ms beyond a bare call", cuts[98], 150)


def claim(url: str) -> Iterator[Figure]:
    """Median of a claim, with 1,000,000 rows waiting over 1,000."""
    database = database_of(url)
    costs = []
    for waiting in (1_000, 1_000_000):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE marketo.outbox CASCADE")
            connection.execute(
                "INSERT INTO marketo.outbox (operation, payload) SELECT 'create_or_update', "
                f"jsonb_build_object('email', 'w' || n || '@example.com') FROM generate_series(1, {waiting + 3000}) n"
            )
            connection.execute("VACUUM ANALYZE")
        times = []
        for _ in range(15):
            began = time.perf_counter()
            claimed = outbox.claim(database, replica=1, most=50, coalesce=True)
            times.append(time.perf_counter() - began)
            assert claimed is not None
            assert len(claimed.rows) == 50
        costs.append(median(times))
    database.close()
    yield Figure("claim: 1,000,000 waiting over 1,000", costs[1] / costs[0], 2)


def calls(url: str) -> Iterator[Figure]:
    """10,000 rows of several operations in a random order, some of one lead: calls over the least possible."""
    with running(Options(leads=4_000, limits=False)) as simulator, app_of(url, simulator.base_url) as app:
        schema.pull(app.feeds())
        rows, least = _mixed()
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO marketo.outbox (operation, payload) VALUES (%s, %s)", rows)
        simulator.reset_calls()
        _drain(app, url)
        made = sum(count for call, count in simulator.calls().items() if "identity" not in call)
        done = value_of(url, "SELECT count(*) FROM marketo.outbox WHERE status = 'succeeded'")
        assert done == len(rows), f"{len(rows) - done} rows did not succeed"
        yield Figure("calls: 10,000 mixed rows over the least", made / least, 1.1)


def imports(url: str) -> Iterator[Figure]:
    """60,000 upserts that wait, carried by files: calls over what writing and reading back 300 at a time would take."""
    with (
        running(Options(leads=100, limits=False, import_seconds=1.0)) as simulator,
        app_of(url, simulator.base_url) as app,
    ):
        schema.pull(app.feeds())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO marketo.outbox (operation, payload) SELECT 'create_or_update', jsonb_build_object("
                f"'email', 'file' || n || '@example.com', 'firstName', 'N' || n % 97) FROM generate_series(1, {FILED}) n"
            )
        session = app.session(on_notify=lambda: None, lead=False)
        session.start()
        drainer = app.drain(lambda: session.replica)
        simulator.reset_calls()
        began = time.perf_counter()
        while value_of(url, "SELECT EXISTS (SELECT FROM syncd.outbox_queue)"):
            if not drainer.imports.step():
                time.sleep(min(drainer.imports.nap(), 0.5))
        took = time.perf_counter() - began
        session.stop()
        made = sum(count for call, count in simulator.calls().items() if "identity" not in call)
        done = value_of(url, "SELECT count(*) FROM marketo.outbox WHERE status = 'succeeded'")
        yield Figure("import: calls over writes and reads of 300", made / (2 * math.ceil(FILED / BATCH)), 0.6)
        yield Figure("import: rows that succeeded, of all", done / FILED, 1, at_least=True)
        yield Figure("import: rows a second", FILED / took, 1000, at_least=True)


def insert(url: str) -> Iterator[Figure]:
    """100,000 rows in one INSERT, over the same INSERT into the same table without triggers."""
    database = database_of(url)
    database.close()
    rows = (
        "(operation, payload) SELECT 'create_or_update', jsonb_build_object('email', 'i' || n || '@example.com', "
        "'firstName', 'A') FROM generate_series(1, 100000) n"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (LIKE marketo.outbox INCLUDING ALL)")
        took: dict[str, float] = {}
        for table in ("bare", "marketo.outbox", "bare", "marketo.outbox"):
            began = time.perf_counter()
            connection.execute(f"INSERT INTO {table} {rows}")
            took[table] = min(time.perf_counter() - began, took.get(table, 99))
    yield Figure("insert: with checks over without", took["marketo.outbox"] / took["bare"], 4)


def _mixed() -> tuple[list[tuple[str, str]], int]:
    """Return rows, and the fewest calls that can carry them: one record a lead and operation, 300 records a call."""
    chance = Random(10_000)
    rows = [
        ("create_or_update", f'{{"email": "m{n % 3000}@example.com", "leadScore": {n}}}') for n in range(4000)
    ]
    rows += [("update_only", f'{{"id": {1 + n % 2000}, "leadScore": {n}}}') for n in range(3000)]
    rows += [("create_only", f'{{"email": "c{n}@example.com"}}') for n in range(1500)]
    rows += [("delete", f'{{"id": {2001 + n}}}') for n in range(1500)]
    chance.shuffle(rows)
    assert len(rows) == MIXED
    return rows, sum(math.ceil(leads / BATCH) for leads in (3000, 2000, 1500, 1500))


def _drained(app: App, url: str, email: str) -> float:
    """Rows a second that are drained of 20,000 with this SQL expression as their address."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE marketo.outbox CASCADE")
        connection.execute(
            "INSERT INTO marketo.outbox (operation, payload) SELECT 'create_or_update', jsonb_build_object("
            f"'email', {email}, 'firstName', 'N' || n % 97, 'leadScore', n % 50) FROM generate_series(1, {ROWS}) n"
        )
    took = _drain(app, url)
    assert value_of(url, "SELECT count(*) FROM marketo.outbox WHERE status = 'succeeded'") == ROWS
    return ROWS / took


def _drain(app: App, url: str) -> float:
    """Seconds until the outbox is empty."""
    session = app.session(on_notify=lambda: None, lead=False)
    session.start()
    drainer = app.drain(lambda: session.replica)
    with psycopg.connect(url, autocommit=True) as looking:  # a connection a look would be a load of its own
        began = time.perf_counter()
        drainer.start()
        while looking.execute("SELECT FROM syncd.outbox_queue LIMIT 1").fetchone() is not None:
            time.sleep(0.02)
        took = time.perf_counter() - began
    drainer.stop(timeout=10)
    session.stop()
    return took


async def _procrastinate(url: str, base_url: str, token: str, turn: int) -> float:
    """Jobs a second: an upsert each, with a lock for its lead, by one worker with ten at once."""
    jobs = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    async with jobs.open_async(), httpx.AsyncClient(base_url=base_url, timeout=60) as client:
        if value_of(url, "SELECT to_regclass('procrastinate_jobs') IS NULL"):
            await jobs.schema_manager.apply_schema_async()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")

        @jobs.task(name="upsert")
        async def upsert(record: dict[str, Any]) -> None:
            body = {"action": "createOrUpdate", "lookupField": "email", "input": [record]}
            answer = await client.post("/rest/v1/leads.json", json=body, headers=_bearer(token))
            assert answer.json()["success"], answer.text

        for n in range(JOBS):
            record = {"email": f"job{turn}-{n}@example.com", "firstName": f"N{n % 97}", "leadScore": n % 50}
            await upsert.configure(lock=record["email"]).defer_async(record=record)
        began = time.perf_counter()
        await jobs.run_worker_async(concurrency=10, wait=False, install_signal_handlers=False)
        took = time.perf_counter() - began
        left = value_of(url, "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'")
        assert not left, f"{left} jobs did not succeed"
    return JOBS / took


def _idle(connection: psycopg.Connection[Any]) -> None:
    """Wait until the service has loaded what it loads at first."""
    deadline, quiet = time.perf_counter() + PATIENCE, 0
    while quiet < 20:
        row = connection.execute(
            "SELECT count(DISTINCT feed) >= 6 AND bool_and(outcome <> 'running') FROM syncd.run"
        ).fetchone()
        quiet = quiet + 1 if row is not None and row[0] else 0
        assert time.perf_counter() < deadline, "the service does not come to rest"
        time.sleep(0.1)


def _arrival(connection: psycopg.Connection[Any], number: int) -> float:
    """Seconds from the COMMIT of a row until others see it as succeeded."""
    row = connection.execute(
        "INSERT INTO marketo.outbox (operation, payload) VALUES ('create_or_update', "
        f'\'{{"email": "late{number}@example.com", "leadScore": {number}}}\') RETURNING id'
    ).fetchone()
    began = time.perf_counter()
    assert row is not None
    while time.perf_counter() < began + PATIENCE:
        status = connection.execute("SELECT status FROM marketo.outbox WHERE id = %s", row).fetchone()
        if status == ("succeeded",):
            return time.perf_counter() - began
        time.sleep(0.001)
    raise AssertionError("the row does not arrive")


@contextmanager
def _daemon(url: str, base_url: str) -> Iterator[None]:
    """Run the service as its own process."""
    clean = {key: value for key, value in os.environ.items() if not key.upper().startswith("SYNCD_")}
    environ = clean | {
        "SYNCD_DATABASE__URL": url,
        "SYNCD_MARKETO__BASE_URL": base_url,
        "SYNCD_MARKETO__CLIENT_ID": Options().client_id,
        "SYNCD_MARKETO__CLIENT_SECRET": Options().client_secret,
        # What is measured is no waiting for Marketo's rate, which the first load's calls would still fill.
        "SYNCD_BUDGET__CALLS_PER_20_SECONDS": "1000",
        "SYNCD_BUDGET__CONCURRENT_CALLS": "10",
        "SYNCD_MIRROR__EXPORT_POLL_SECONDS": "1",
        "SYNCD_LOG__LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "syncd", "run"], env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _token(base_url: str) -> str:
    options = Options()
    query = {
        "grant_type": "client_credentials",
        "client_id": options.client_id,
        "client_secret": options.client_secret,
    }
    answer = httpx.get(base_url + "/identity/oauth/token", params=query)
    return str(answer.json()["access_token"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _bare_latency(base_url: str, token: str) -> float:
    """Median seconds of an upsert of one lead by a bare client."""
    times = []
    with httpx.Client(base_url=base_url, timeout=60, headers=_bearer(token)) as client:
        for number in range(50):
            body = {"input": [{"email": f"bare{number}@example.com", "leadScore": number}]}
            began = time.perf_counter()
            assert client.post("/rest/v1/leads.json", json=body).json()["success"]
            times.append(time.perf_counter() - began)
    return median(times)


def _bare_calls(base_url: str, token: str) -> float:
    """Seconds for as many upserts of 300 records by a bare client with as many threads."""
    client = httpx.Client(base_url=base_url, timeout=60, headers=_bearer(token))

    def send(number: int) -> None:
        records = [
            {"email": f"bare{number}-{n}@example.com", "firstName": f"N{n % 97}", "leadScore": n % 50}
            for n in range(BATCH)
        ]
        answer = client.post("/rest/v1/leads.json", json={"input": records})
        assert answer.json()["success"], answer.text

    began = time.perf_counter()
    with ThreadPoolExecutor(settings.Outbox().workers) as pool:
        list(pool.map(send, range(math.ceil(ROWS / BATCH))))
    return time.perf_counter() - began
