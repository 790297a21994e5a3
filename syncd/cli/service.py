"""check, migrate, run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from syncd import wiring
from syncd.cli.shared import built, context_of
from syncd.clock import SystemClock
from syncd.core.policy import FieldPolicy
from syncd.daemon import Daemon
from syncd.database import migrate as migrations
from syncd.database.engine import Database
from syncd.errors import ConfigError
from syncd.status import check as checks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.status.check import Line


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(check)
    app.command()(migrate)
    app.command()(run)


def check(context: typer.Context) -> None:
    """Say line by line whether all that syncd needs is in order, and how to mend what is not."""
    good = True
    for line in _lines(context):
        typer.echo(f"{'ok  ' if line.ok else 'FAIL'}  {line.what}: {line.says}")
        good = good and line.ok
    if not good:
        raise typer.Exit(1)


def _lines(context: typer.Context) -> Iterator[Line]:
    settings = context_of(context).settings()
    yield checks.Line(ok=True, what="settings", says="read, every key is known")
    clock = SystemClock()
    try:
        database = Database(settings.database, policy=FieldPolicy.of(settings.fields))
    except ConfigError as problem:
        yield checks.Line(ok=False, what="database", says=str(problem))
    else:
        yield from checks.database(database)
        database.close()
    try:
        client = wiring.make_client(settings, clock, retries=1)
    except ConfigError as problem:
        yield checks.Line(ok=False, what="credentials", says=str(problem))
    else:
        with client:
            yield from checks.marketo(client, clock)


def migrate(context: typer.Context) -> None:
    """Bring the database to the newest migration."""
    database = Database(context_of(context).settings().database)
    try:
        before, after = migrations.migrate(database)
    finally:
        database.close()
    if before == after:
        typer.echo(f"{database.place} is at {after} already")
    else:
        typer.echo(f"{database.place}: from {before or 'nothing'} to {after}")


def run(context: typer.Context) -> None:
    """Run the service: feeds on schedule, the outbox at once; SIGTERM ends it softly."""
    with built(context, service=True) as app:
        app.database.version()
        migrations.require_newest(app.database)
        Daemon(app).run()
