"""What every room's tests stand on: PostgreSQL, a simulated Marketo, and syncd wired to both."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from syncd import simulator as marketo
from syncd.database.engine import Database
from syncd.settings import Settings
from syncd.simulator.control import Simulator
from syncd.wiring import App, built
from tests.support import postgres
from tests.support.clock import FakeClock

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the person who runs it."""
    for name in list(os.environ):
        if name.upper().startswith("SYNCD_") and name != "SYNCD_TEST_DATABASE":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def newest_postgres() -> Iterator[postgres.Server]:
    """The server that SYNCD_TEST_DATABASE asks for; PostgreSQL 18 out of a wheel where it is unset."""
    with postgres.newest() as server:
        yield server


@pytest.fixture(scope="session")
def lowest_postgres() -> Iterator[postgres.Server]:
    """PostgreSQL 16.2, started when the first test asks for it."""
    with postgres.lowest() as server:
        yield server


@pytest.fixture(scope="session", params=["newest", "lowest"])
def every_postgres(request: pytest.FixtureRequest) -> postgres.Server:
    """Each version in turn."""
    server: postgres.Server = request.getfixturevalue(f"{request.param}_postgres")
    return server


@pytest.fixture
def database_url(newest_postgres: postgres.Server) -> Iterator[str]:
    """The URL of a migrated database of the test's own, on the newest version."""
    with newest_postgres.migrated() as name:
        yield newest_postgres.url_of(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool of connections to ``database_url``."""
    with postgres.connected(database_url) as database:
        yield database


@pytest.fixture
def every_database(every_postgres: postgres.Server) -> Iterator[Database]:
    """A migrated database of the test's own, on each version in turn."""
    with every_postgres.migrated() as name, postgres.connected(every_postgres.url_of(name)) as database:
        yield database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def options() -> marketo.Options:
    """How the simulator of this test is; a test file or class may have its own fixture of this name."""
    return marketo.Options(leads=200, limits=False, export_seconds=0.2, race_ms=0)


@pytest.fixture
def simulator(options: marketo.Options) -> Iterator[Simulator]:
    """A Marketo of the test's own, in a process of its own."""
    with marketo.running(options) as running:
        yield running


@pytest.fixture
def conf(database_url: str, simulator: Simulator) -> dict[str, dict[str, object]]:
    """The settings of ``app``, section by section; a test may change them before it asks for ``app``."""
    return {
        "marketo": {
            "base_url": simulator.base_url,
            "client_id": "simulator",
            "client_secret": "simulator-secret",
        },
        "database": {"url": database_url},
        "budget": {
            "calls_per_20_seconds": 1000,
            "concurrent_calls": 10,
            "calls_per_day": 1_000_000,
            "outbox_share": 0,
            "changes_share": 0,
            "memberships_share": 0,
            "backfill_share": 0,
            "verify_share": 0,
        },
        "mirror": {"export_poll_seconds": 0.3},
        "outbox": {
            "retry_base_seconds": 0.05,
            "retry_cap_seconds": 0.5,
            "unknown_outcome_wait_seconds": 0.2,
        },
    }


@pytest.fixture
def app(conf: dict[str, dict[str, object]]) -> Iterator[App]:
    """The whole house, wired to ``database`` and ``simulator`` and in a hurry."""
    with built(Settings(**conf)) as made:
        yield made
