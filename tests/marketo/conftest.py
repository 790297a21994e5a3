"""Clients for the tests: in a hurry, watched, and against bare sockets or the simulator."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from syncd.core.budget import Lane
from syncd.marketo import Client
from tests.marketo.wire import Wire, wire

SECRET = "s3cr3t-of-the-service"  # noqa: S105 - a made-up one
CLIENT_ID = "id-of-the-service"


class HurriedClock:
    """Sleeps take no time; what was slept is remembered and counts on the monotonic clock."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.skipped = 0.0
        self.stopped = False
        self.stop_after: int | None = None
        self.today: datetime | None = None

    def now(self) -> datetime:
        return self.today or datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.skipped += seconds
        if self.stop_after is not None and len(self.slept) >= self.stop_after:
            self.stopped = True

    def random(self) -> float:
        return 0.5

    def stopping(self) -> bool:
        return self.stopped


class WatchedBudget:
    """Permits everything and remembers it; knows how many leases were out at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acquired: list[tuple[str, str, float]] = []
        self.released: list[tuple[bool, str | None]] = []
        self.out: set[int] = set()

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:
        with self.lock:
            self.acquired.append((lane, endpoint, holds_for))
            self.out.add(len(self.acquired))
            return len(self.acquired)

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        with self.lock:
            self.out.remove(lease)
            self.released.append((charged, error))

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:
        return 0

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Forget it."""

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Forget it."""

    def export_room(self) -> tuple[int, int]:
        return 1, 1


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def budget() -> WatchedBudget:
    return WatchedBudget()


@pytest.fixture
def server() -> Iterator[Wire]:
    with wire() as state:
        yield state


Connect = Callable[..., Client]


@pytest.fixture
def connect(clock: HurriedClock, budget: WatchedBudget) -> Iterator[Connect]:
    """Make clients that are closed when the test ends."""
    made: list[Client] = []

    def make(base_url: str, **options: object) -> Client:
        given = {"client_id": CLIENT_ID, "client_secret": SECRET, "clock": clock, "budget": budget}
        made.append(Client(base_url=base_url, **{**given, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect: Connect, server: Wire) -> Client:
    return connect(server.url)
