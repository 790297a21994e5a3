"""Calls and errors, today and in the last seven days."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from syncd.simulator.calls import Answer, Call
from syncd.simulator.limits import central_day
from syncd.simulator.routing import route

WEEK = 7


def _days(call: Call, count: int) -> list[str]:
    today = date.fromisoformat(central_day(call.world.clock.now()))
    return [(today - timedelta(days=n)).isoformat() for n in range(count)]


def _usage(call: Call, day: str) -> dict[str, Any]:
    counts = call.service.limits.usage.get(day, Counter[str]())
    users = [{"userId": user, "count": count} for user, count in counts.items()]
    return {"date": day, "total": sum(counts.values()), "users": users}


def _errors(call: Call, day: str) -> dict[str, Any]:
    counts = call.service.limits.errors.get(day, Counter[str]())
    errors = [{"errorCode": code, "count": count} for code, count in counts.items()]
    return {"date": day, "total": sum(counts.values()), "errors": errors}


@route("GET", "/rest/v1/stats/usage.json")
async def usage(call: Call) -> Answer:
    """Today's calls by user."""
    return call.ok([_usage(call, day) for day in _days(call, 1)])


@route("GET", "/rest/v1/stats/usage/last7days.json")
async def usage_week(call: Call) -> Answer:
    """The week's calls by user."""
    return call.ok([_usage(call, day) for day in _days(call, WEEK)])


@route("GET", "/rest/v1/stats/errors.json")
async def errors(call: Call) -> Answer:
    """Today's errors by code."""
    return call.ok([_errors(call, day) for day in _days(call, 1)])


@route("GET", "/rest/v1/stats/errors/last7days.json")
async def errors_week(call: Call) -> Answer:
    """The week's errors by code."""
    return call.ok([_errors(call, day) for day in _days(call, WEEK)])
