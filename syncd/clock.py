"""Time, sleep and randomness, handed in so that tests decide them."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of syncd may know of time and chance."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, for measuring durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds, or less when the service is told to stop."""
        ...

    def random(self) -> float:
        """Return a number in [0, 1), for jitter."""
        ...

    def stopping(self) -> bool:
        """Tell whether the service has been told to stop."""
        ...


class SystemClock:
    """The machine's clock. ``stop`` ends every present and later ``sleep`` at once."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds, or until ``stop``."""
        if seconds > 0:
            self._stopped.wait(seconds)

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311 - jitter, not a secret

    def stop(self) -> None:
        """End every ``sleep``, for good."""
        self._stopped.set()

    def stopping(self) -> bool:
        """Tell whether ``stop`` was called."""
        return self._stopped.is_set()
