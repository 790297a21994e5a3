"""The simulator's own time: it runs, can be set forward, and can be frozen."""

import asyncio
import time
from datetime import UTC, datetime

SECONDS_A_DAY = 86_400


def stamp(seconds: float) -> str:
    """Epoch seconds as Marketo writes them: UTC, whole seconds, Z."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def asset_stamp(seconds: float) -> str:
    """Epoch seconds as the asset endpoints write them: Z and +0000."""
    return stamp(seconds) + "+0000"


def parse_time(text: str) -> float | None:
    """Epoch seconds of an ISO 8601 date or time (UTC where no zone is named), or None."""
    text = text.strip().removesuffix("+0000") if text.strip().endswith("Z+0000") else text.strip()
    if " " in text and text.count(":") >= 2 and "T" in text:  # noqa: PLR2004 - a plus that became a space
        text = text.replace(" ", "+")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None


class Clock:
    """Simulated time; waiting on it ends early when the clock is set forward."""

    def __init__(self, start: str = "") -> None:
        moment = parse_time(start) if start else None
        self._offset = 0.0 if moment is None else moment - time.time()
        self._frozen: float | None = None
        self._advanced = 0.0
        self._changed = asyncio.Event()

    def now(self) -> float:
        """Simulated epoch seconds."""
        return self._frozen if self._frozen is not None else time.time() + self._offset

    def monotonic(self) -> float:
        """Seconds that only grow, by real time and by advances; they pass in a freeze too."""
        return time.monotonic() + self._advanced

    @property
    def frozen(self) -> bool:
        """Whether time stands still."""
        return self._frozen is not None

    def advance(self, seconds: float) -> None:
        """Set the clock forward."""
        self._advanced += max(0.0, seconds)
        if self._frozen is not None:
            self._frozen += seconds
        else:
            self._offset += seconds
        self._wake()

    def set(self, moment: float) -> None:
        """Set the clock to an instant, frozen or not."""
        self.advance(moment - self.now())

    def freeze(self) -> None:
        """Stop the clock where it stands."""
        self._frozen = self.now()
        self._wake()

    def run(self) -> None:
        """Let a frozen clock run on from where it stands."""
        if self._frozen is not None:
            self._offset, self._frozen = self._frozen - time.time(), None
        self._wake()

    async def until(self, moment: float) -> None:
        """Wait till simulated time has come to the moment."""
        while (left := moment - self.now()) > 0:
            changed = self._changed
            try:
                async with asyncio.timeout(None if self.frozen else left):
                    await changed.wait()
            except TimeoutError:
                continue

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
