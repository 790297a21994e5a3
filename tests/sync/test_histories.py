"""Random histories converge, whatever fails and dies on the way."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from syncd import simulator as marketo
from syncd.simulator.control import Simulator
from tests.support import postgres
from tests.sync.histories import LEADS, Histories, World

HISTORIES = int(os.environ.get("SYNCD_HISTORIES", "15"))
EACH_AT_LEAST = {"edit in Marketo": 2, "fault": 0.3, "death": 0.2, "history": 0.5}
"""How often a history reaches each of these, on average: a history in which nothing happens proves nothing."""


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=LEADS,
        limits=False,
        export_seconds=0.01,
        race_ms=0,
        history_days=20,
        lists=2,
        programs=2,
        campaigns=2,
    )


def test_after_any_history_the_mirror_equals_marketo(
    simulator: Simulator, newest_postgres: postgres.Server
) -> None:
    """Edits, outbox rows, single feeds, faults and deaths in any order; then quiet, and no difference."""
    world = World(simulator, newest_postgres)

    class Machine(Histories):
        pass

    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=25,
            deadline=None,
            derandomize=HISTORIES <= 50,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for what, often in EACH_AT_LEAST.items():
        assert world.reached[what] >= often * HISTORIES, world.reached
