"""Backlogs that go by bulk import, and what can befall who carries them."""

from collections.abc import Callable, Iterator
from typing import Any

from syncd.wiring import App
from tests.sync.inside import Inside, Row

IMPORT = "POST /bulk/v1/leads.json"
STATUS = "GET /bulk/v1/leads/batch/{batchId}.json"
FAILURES = "GET /bulk/v1/leads/batch/{batchId}/failures.json"
WARNINGS = "GET /bulk/v1/leads/batch/{batchId}/warnings.json"


def people(count: int, name: str = "Many") -> list[tuple[str, Row]]:
    return [
        ("create_or_update", {"email": f"{name}-{n}@example.com".lower(), "lastName": f"{name} {n}"})
        for n in range(count)
    ]


def imports_of(inside: Inside) -> list[Row]:
    return inside.sql("SELECT * FROM outbox_import ORDER BY claim")


def carried(inside: Inside) -> None:
    """Let imports alone do what they can."""
    inside.until(
        lambda: (
            not inside.drain.imports.step()
            and not inside.value("SELECT count(*) FROM outbox_import WHERE finished_at IS NULL")
        )
    )


def statuses(inside: Inside, ids: list[int]) -> list[str]:
    return [inside.row(number)["status"] for number in ids]


def values(inside: Inside, email: str, field: str = "lastName") -> list[Any]:
    """What a field of the lead with that address was set to, in order."""
    effects = inside.simulator.effects()
    lead = next(e["leadId"] for e in effects if e["fields"].get("email", {}).get("new") == email)
    return [e["fields"][field]["new"] for e in effects if e["leadId"] == lead and field in e["fields"]]


class Died(BaseException):
    """The process ended here."""


def died() -> None:
    raise Died


def at_call(place: int, work: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """Return the work, before whose call of that place something happens."""
    calls: list[int] = []

    def call(*args: Any, **more: Any) -> Any:
        calls.append(place)
        if len(calls) == place:
            then()
        return work(*args, **more)

    return call


def house_of(app: App, quiet: Inside) -> Iterator[Inside]:
    """Another process on the same database."""
    session = app.session(on_notify=lambda: None, lead=False)
    session.start()
    try:
        yield Inside(app, quiet.simulator, session)
    finally:
        session.stop()


def times_pass(inside: Inside) -> None:
    """Let the time of a call be over, and each import be due."""
    inside.sql("UPDATE outbox_import SET posted_at = posted_at - interval '1 hour' WHERE state = 'posting'")
    inside.sql("UPDATE outbox_import SET look_at = now() WHERE state = 'running'")
