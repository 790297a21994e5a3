"""The pre-flight check: each thing that syncd needs, and how to mend what is not in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from syncd.database import migrate
from syncd.errors import ConfigError, Retryable, SyncdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncd.clock import Clock
    from syncd.database.engine import Database
    from syncd.marketo.client import Client


OPTIONAL = {"field schema"}


@dataclass(frozen=True)
class Line:
    """One line of the check."""

    ok: bool
    what: str
    says: str


def database(database: Database) -> Iterator[Line]:
    """Check that PostgreSQL is reached, new enough and migrated."""
    line = _tried("database", lambda: f"PostgreSQL {database.version()} at {database.place}")
    yield line
    if line.ok:
        yield _tried("migrations", lambda: _migrations(database))
        yield _tried("outbox", lambda: _outbox(database))
        yield from fields(database)


def fields(database: Database) -> Iterator[Line]:
    """Check that the settings of fields name fields that there are, and that the mirror follows them."""
    yield _tried("fields", lambda: _fields(database))


def _fields(database: Database) -> str:
    policy = database.policy
    with database.begin() as transaction:
        rows = transaction.rows("fields_outdated")
    kept = Counter(policy.kept_as(r.name) for r in rows)
    if strange := policy.unmatched([r.name for r in rows]) if rows else []:
        raise ConfigError(f"no field of Marketo has the name {strange[0]}; mend or remove it under [fields]")
    waiting = sum(r.kept_as != policy.kept_as(r.name) for r in rows)
    told = f"{kept['plain']} plain, {kept['hashed']} hashed, {kept['excluded']} left out"
    if not rows:
        return "the field schema was not pulled yet"
    return f"{told}; {waiting} change with the next pull of the schema" if waiting else told


def _migrations(database: Database) -> str:
    migrate.require_newest(database)
    return f"at {migrate.newest(database)}, the newest"


def _outbox(database: Database) -> str:
    with database.begin() as transaction:
        row = transaction.row("outbox_counts")
    return f"{row.waiting if row else 0} rows wait"


def marketo(client: Client, clock: Clock) -> Iterator[Line]:
    """Check the credentials, then each permission by the cheapest call that needs it: seven calls."""
    line = _tried("credentials", lambda: f"accepted, API user {client.authenticate() or 'not named'}")
    yield line
    if not line.ok:
        return
    since = clock.now() - timedelta(minutes=1)
    for what, need, call in (
        (
            "leads",
            "Read-Only Lead or Read-Write Lead",
            lambda: f"{len(client.describe())} fields can be read",
        ),
        (
            "field schema",
            "Read-Write Schema Standard Field and Custom Field",
            lambda: _first(client.schema_fields()),
        ),
        (
            "activities",
            "Read-Only Activity",
            lambda: bool(client.paging_token(since)) and "paging token given",
        ),
        ("bulk extract", "Read-Only Lead", lambda: f"{len(client.exports(()))} jobs of the last days"),
        ("static lists", "Read-Only Lead", lambda: _first(client.static_lists())),
        ("assets", "Read-Only Assets", lambda: _first(client.programs())),
    ):
        line = _tried(what, call)
        says = line.says if line.ok else f"{line.says}; the API user's role needs {need}"
        if not line.ok and what in OPTIONAL:
            line, says = (
                Line(ok=True, what=what, says=""),
                f"done without: {says}, to tell custom and hidden fields",
            )
        yield Line(ok=line.ok, what=what, says=says)


def _first(items: Iterator[object]) -> str:
    return "readable" if next(items, None) is not None else "readable, there are none"


def _tried(what: str, call: Callable[[], object]) -> Line:
    try:
        return Line(ok=True, what=what, says=str(call()))
    except Retryable as problem:
        return Line(ok=False, what=what, says=f"{problem}; check marketo.base_url, and the way there")
    except SyncdError as problem:
        return Line(ok=False, what=what, says=str(problem))
