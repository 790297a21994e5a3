"""The subscription's limits on calls, and the day's counts of them."""

from collections import Counter, deque
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from syncd.simulator.calls import ApiError
from syncd.simulator.clock import Clock
from syncd.simulator.options import Options

CENTRAL = ZoneInfo("America/Chicago")


def central_day(seconds: float) -> str:
    """The date in US Central time, where Marketo's days begin and end."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(CENTRAL).date().isoformat()


class Limits:
    """Lets calls in or refuses them with 606, 607 or 615, and counts them."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options, self._clock = options, clock
        self.running = 0
        self.peak = 0
        self.usage: dict[str, Counter[str]] = {}
        self.errors: dict[str, Counter[str]] = {}
        self._recent: deque[float] = deque()

    def enter(self, user: str) -> float:
        """Let a call in; what comes back goes to `leave`."""
        options, now = self.options, self._clock.monotonic()
        while self._recent and self._recent[0] <= now - options.rate_seconds:
            self._recent.popleft()
        if options.limits:
            day = self.usage.get(central_day(self._clock.now()))
            if options.daily_quota and day and day.total() >= options.daily_quota:
                raise ApiError(607, "Daily quota reached")
            if options.rate and len(self._recent) >= options.rate:
                raise ApiError(
                    606, f"Max rate limit '{options.rate}' exceeded with in '{options.rate_seconds:g}' secs"
                )
            if options.concurrency and self.running >= options.concurrency:
                raise ApiError(615, f"Concurrent access limit '{options.concurrency}' reached")
        self.running += 1
        self.peak = max(self.peak, self.running)
        self._recent.append(now)
        self.count(user)
        return now

    def leave(self, entered: float, user: str, error: str | None) -> None:
        """A call has ended; one that was refused as a whole is not charged."""
        self.running -= 1
        if error is not None:
            if entered in self._recent:
                self._recent.remove(entered)
            self.count(user, -1)

    def count(self, user: str, calls: int = 1) -> None:
        """Charge calls to a user's day."""
        day = central_day(self._clock.now())
        self.usage.setdefault(day, Counter())[user] += calls

    def today(self) -> int:
        """The calls of the present day."""
        counts = self.usage.get(central_day(self._clock.now()))
        return counts.total() if counts else 0

    def failed(self, code: str) -> None:
        """Count an error of the day."""
        self.errors.setdefault(central_day(self._clock.now()), Counter())[code] += 1
