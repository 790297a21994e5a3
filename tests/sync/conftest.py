"""The whole house in one process, each step taken by hand."""

from collections.abc import Iterator

import pytest

from syncd.simulator.control import Simulator
from syncd.wiring import App
from tests.sync.inside import Inside


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
