"""When what waits will be done, and whether the day's calls last: plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from syncd.core.budget import LANES
from syncd.core.codes import RATE_WINDOW, next_reset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.core.budget import Lane, Limits

DAY = 86_400.0


@dataclass(frozen=True)
class Work:
    """Something that waits, and about how many calls it takes."""

    what: str
    lane: Lane
    items: int
    calls: int


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of the calls.

    done_at: for each kind of work, in the order in which it was given; None where it never is.
    """

    done_at: tuple[datetime | None, ...]
    spent_by_reset: int
    """Calls that will have been made when the day ends."""
    lasts: bool
    """Whether the day's calls are enough for what waits and for the present pace."""
    used_up_at: datetime | None
    """When they will be used up, where they do not last."""


def look_ahead(
    now: datetime,
    limits: Limits,
    *,
    spent: int,
    steady: float,
    paces: Mapping[Lane, float],
    work: Sequence[Work],
    resumes_at: datetime | None = None,
) -> Outlook:
    """Tell when each kind of work is done, one after the other by urgency.

    steady: calls a second that go on whatever waits. paces: calls a second of each lane lately; a lane
    without one goes as fast as the rate allows. resumes_at: nobody calls before this.
    """
    start = max(now, resumes_at or now)
    reset = next_reset(now)
    fastest = max(limits.rate / RATE_WINDOW - steady, 0.01)
    order = sorted(range(len(work)), key=lambda n: LANES.index(work[n].lane))
    done: list[datetime | None] = [None] * len(work)
    at: datetime | None = start
    calls = 0
    for n in order:
        one = work[n]
        pace = min(paces.get(one.lane) or fastest, fastest)
        at = _after(at, reset, one.calls, pace, spent + calls, steady, limits.day)
        done[n] = at
        calls += one.calls
    seconds = max(0.0, (reset - start).total_seconds())
    wanted = calls + int(steady * seconds)
    spent_then = min(limits.day, spent + wanted)
    lasts = spent + wanted <= limits.day and spent < limits.day
    return Outlook(
        tuple(done),
        max(spent, spent_then),
        lasts,
        None if lasts else _end(start, reset, limits.day - spent, wanted),
    )


def _after(
    at: datetime | None, reset: datetime, calls: int, pace: float, spent: int, steady: float, day: int
) -> datetime | None:
    """Return when so many calls are done, with a pause to the next midnight where a day's calls end."""
    if at is None:
        return None
    if at < reset:
        room = day - spent - int(steady * (reset - at).total_seconds())
        if calls <= room:
            return at + timedelta(seconds=calls / pace)
        calls, at = calls - max(0, room), reset
    a_day = min(day - int(steady * DAY), int(pace * DAY))
    if a_day <= 0:
        return None
    days, rest = divmod(calls, a_day)
    whole = at + timedelta(days=min(days, 36_500))
    return whole + timedelta(seconds=rest / pace)


def _end(start: datetime, reset: datetime, left: int, wanted: int) -> datetime:
    if left <= 0 or wanted <= 0:
        return start
    return min(reset, start + (reset - start) * (left / wanted))
