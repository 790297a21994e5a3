"""A clock that the test moves: sleeping takes no time and moves it on."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class FakeClock:
    """Stands still unless somebody sleeps; every sleep is remembered.

    on_sleep: called with the seconds of each sleep, so that a test can let the world move too, or stop.
    chance: what ``random`` returns.
    """

    def __init__(
        self, start: datetime = NOON, *, chance: float = 0.5, on_sleep: Callable[[float], None] | None = None
    ) -> None:
        self.start = start
        self.chance = chance
        self.on_sleep = on_sleep
        self.slept: list[float] = []
        self._passed = 0.0
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        with self._guard:
            self.slept.append(seconds)
            self._passed += max(0.0, seconds)
        if self.on_sleep is not None:
            self.on_sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody sleeping."""
        with self._guard:
            self._passed += seconds

    def random(self) -> float:
        return self.chance

    def stop(self) -> None:
        self._stopped.set()

    def stopping(self) -> bool:
        return self._stopped.is_set()
