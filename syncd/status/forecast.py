"""What the calls were spent on, what is left, and when what waits will be done."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd.core.budget import LANES
from syncd.core.codes import next_reset
from syncd.core.forecast import DAY, Work, look_ahead
from syncd.database import budget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd import settings
    from syncd.database.engine import Transaction

LEAST_SECONDS = 600.0
"""A pace is told from no shorter time than this."""
CAMPAIGNS = "campaigns"


def spending(transaction: Transaction, conf: settings.Budget) -> dict[str, Any]:
    """Return the day's calls by lane, what each lane has left, and until when it is parked."""
    standing = budget.standing(transaction, conf)
    seen = transaction.row("usage_seen_today")
    return {
        "calls_allowed": standing.limits.day,
        "calls_left": max(0, standing.limits.day - standing.spent) if standing.paused_for is None else 0,
        "resets_at": _time(next_reset(standing.now)),
        "others": None
        if seen is None
        else {"calls": seen.others, "total": seen.total, "seen_at": _time(seen.seen_at)},
        "by_lane": [
            {
                "lane": lane,
                "share": round(standing.limits.shares[lane], 4),
                "calls": standing.books.lanes[lane].today,
                "left": standing.left(lane),
                "under_way": standing.books.lanes[lane].under_way,
                "waiting": standing.books.lanes[lane].waiting,
                "parked_until": _time(standing.parked_until(lane)),
            }
            for lane in LANES
        ],
    }


def forecast(transaction: Transaction, conf: settings.Budget, mirror: settings.Mirror) -> dict[str, Any]:
    """Return what waits, when it will be done at the present pace, and whether the day's calls last."""
    standing = budget.standing(transaction, conf)
    waits = transaction.rows("backlog", sweep_seconds=mirror.sweep_hours * 3600)
    paces = {r.lane: r.calls / max(float(r.seconds), LEAST_SECONDS) for r in transaction.rows("pace_lately")}
    work = [Work(w.what, w.lane, int(w.items), int(w.calls)) for w in waits if w.what != CAMPAIGNS]
    # What changes goes on whether anything waits or not; other lanes are busy only with what waits.
    outlook = look_ahead(
        standing.now,
        standing.limits,
        spent=standing.spent,
        steady=paces.get("changes", 0.0) + _campaign_pace(waits, mirror.campaign_calls_per_day),
        paces={lane: pace for lane, pace in paces.items() if lane != "changes"},
        work=work,
        resumes_at=standing.parked_until("outbox"),
    )
    told = [_told(one, at) for one, at in zip(work, outlook.done_at, strict=True)]
    told += [_campaigns(w, mirror.campaign_calls_per_day, standing.now) for w in waits if w.what == CAMPAIGNS]
    return {
        "calls_an_hour": {lane: round(3600 * paces.get(lane, 0.0)) for lane in LANES},
        "backlog": told,
        "calls_by_reset": outlook.spent_by_reset,
        "lasts": outlook.lasts,
        "used_up_at": _time(outlook.used_up_at),
    }


def _campaign_pace(waits: Sequence[Any], calls_a_day: int) -> float:
    waiting = any(w.what == CAMPAIGNS and w.items for w in waits)
    return calls_a_day / DAY if waiting else 0.0


def _told(one: Work, at: datetime | None) -> dict[str, Any]:
    return {
        "what": one.what,
        "lane": one.lane,
        "items": one.items,
        "calls": one.calls,
        "done_at": _time(at) if one.items else None,
    }


def _campaigns(row: Any, calls_a_day: int, now: datetime) -> dict[str, Any]:
    """Campaigns are read within their own number of calls a day."""
    days = row.calls / calls_a_day if calls_a_day else None
    at = None if days is None or not row.items else now + timedelta(days=min(days, 36_500))
    return {"what": CAMPAIGNS, "lane": row.lane, "items": row.items, "calls": row.calls, "done_at": _time(at)}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
