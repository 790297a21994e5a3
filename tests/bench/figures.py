"""The figures. Each part takes a fresh database and gives ratios, so that the machine's speed cancels out."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

import httpx
import psycopg

from syncd import log, settings
from syncd.database import outbox
from syncd.mirror import schema
from syncd.simulator import Options, running
from tests.bench import bulk, calls, plans
from tests.bench.figure import Figure
from tests.bench.house import app_of, database_of, server_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 20_000
BATCH = 300


def measure(only: list[str]) -> Iterator[Figure]:
    """Measure all parts, or those whose name, or its first word, is given."""
    parts: dict[str, Callable[[str], Iterator[Figure]]] = {
        "mirror-bulk": bulk.speed,
        "mirror-memory": bulk.memory,
        "mirror-pages": bulk.pages,
        "mirror-calls": calls.calls,
        "mirror-plans": plans.large,
        "drain": drain,
        "claim": claim,
        "insert": insert,
    }
    log.set_up(level="warning")
    with server_of() as server:
        for name, part in parts.items():
            if not only or {name, name.partition("-")[0]} & set(only):
                database = "bench_" + name.replace("-", "_")
                server.psql(f"CREATE DATABASE {database};")
                yield from part(server.get_uri(database))
                server.psql(f"DROP DATABASE {database} WITH (FORCE);")


def drain(url: str) -> Iterator[Figure]:
    """20,000 upserts of as many leads: calls beside the least, time beside the same calls by a bare client."""
    with running(Options(leads=100, limits=False)) as simulator, app_of(url, simulator.base_url) as app:
        schema.pull(app.feeds())
        bare = _bare_calls(simulator.base_url)
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO marketo.outbox (operation, payload) SELECT 'create_or_update', jsonb_build_object("
                "'email', 'row' || n || '@example.com', 'firstName', 'N' || n % 97, 'leadScore', n % 50) "
                f"FROM generate_series(1, {ROWS}) n"
            )
        simulator.reset_calls()
        session = app.session(on_notify=lambda: None, lead=False)
        session.start()
        drainer = app.drain(lambda: session.replica)
        began = time.perf_counter()
        drainer.start()
        while outbox.unfinished(app.database):
            time.sleep(0.02)
        took = time.perf_counter() - began
        drainer.stop(timeout=10)
        session.stop()
        calls = simulator.calls()["POST /rest/v1/leads.json"]
        least = math.ceil(ROWS / BATCH)
        assert value_of(url, "SELECT count(*) FROM marketo.outbox WHERE status = 'succeeded'") == ROWS
        yield Figure("drain: sync calls over the least possible", calls / least, 1.1)
        yield Figure("drain: seconds over the bare calls", took / bare, 12)
        yield Figure("drain: rows a second", ROWS / took, 3000, at_least=True)


def claim(url: str) -> Iterator[Figure]:
    """Median of a claim and its settlement, with 1,000,000 rows waiting over 1,000."""
    database = database_of(url)
    session_id = 1
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
        for _round in range(15):
            began = time.perf_counter()
            claimed = outbox.claim(database, replica=session_id, most=50)
            times.append(time.perf_counter() - began)
            assert claimed is not None
            assert len(claimed.rows) == 50
        costs.append(median(times))
    database.close()
    yield Figure("claim: 1,000,000 waiting over 1,000", costs[1] / costs[0], 2)


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
        took = {}
        for table in ("bare", "marketo.outbox", "bare", "marketo.outbox"):
            began = time.perf_counter()
            connection.execute(f"INSERT INTO {table} {rows}")
            took[table] = min(time.perf_counter() - began, took.get(table, 99))
    yield Figure("insert: with checks over without", took["marketo.outbox"] / took["bare"], 4)


def _bare_calls(base_url: str) -> float:
    """Seconds for as many upserts of 300 records by a bare client with as many threads."""
    client = httpx.Client(base_url=base_url, timeout=60)
    options = Options()
    query = {
        "grant_type": "client_credentials",
        "client_id": options.client_id,
        "client_secret": options.client_secret,
    }
    token = client.get("/identity/oauth/token", params=query).json()["access_token"]

    def send(number: int) -> None:
        records = [
            {"email": f"bare{number}-{n}@example.com", "firstName": f"N{n % 97}", "leadScore": n % 50}
            for n in range(BATCH)
        ]
        answer = client.post(
            "/rest/v1/leads.json", json={"input": records}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.json()["success"], answer.text

    began = time.perf_counter()
    with ThreadPoolExecutor(settings.Outbox().workers) as pool:
        list(pool.map(send, range(math.ceil(ROWS / BATCH))))
    return time.perf_counter() - began


__all__ = ["Figure", "measure"]
