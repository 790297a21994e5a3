"""The whole house in one process, each step taken by hand."""

from collections.abc import Iterator

import pytest

from syncd import simulator as marketo
from syncd.simulator.control import Simulator
from syncd.wiring import App
from tests.sync.inside import Inside


@pytest.fixture
def options() -> marketo.Options:
    # Two windows of bulk exports: each costs calls, and the rate of calls is limited as ever.
    return marketo.Options(leads=200, history_days=30, limits=False, export_seconds=0.1, race_ms=0)


@pytest.fixture
def inside(app: App, simulator: Simulator) -> Iterator[Inside]:
    """The house, wired and empty."""
    session = app.session(on_notify=lambda: None, lead=False)
    session.start()
    try:
        yield Inside(app, simulator, session)
    finally:
        app.clock.stop()
        session.stop()


@pytest.fixture
def filled(inside: Inside) -> Inside:
    """The house with its mirror filled."""
    inside.fill()
    return inside
