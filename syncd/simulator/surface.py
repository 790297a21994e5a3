"""The control surface under /_simulator/: its paths, the counts of calls, and the effects."""

from collections.abc import Callable
from typing import Any

import orjson

from syncd.simulator.calls import Answer, Raw
from syncd.simulator.requests import Incoming
from syncd.simulator.service import Service

Body = dict[str, Any]
Action = Callable[[Service, Incoming, Body, list[str]], Any]
ACTIONS: dict[tuple[str, str, int], Action] = {}


class Refused(Exception):  # noqa: N818 - the caller asked for something that is not possible
    """HTTP 400 with a sentence."""


def action(method: str, name: str, parts: int = 0) -> Callable[[Action], Action]:
    """Make a function the answer to a path with so many parts after its name."""

    def keep(function: Action) -> Action:
        ACTIONS[method, name, parts] = function
        return function

    return keep


async def answer(service: Service, incoming: Incoming) -> Answer:
    """Answer a call of the control surface."""
    name, *parts = incoming.path.removeprefix("/_simulator/").strip("/").split("/")
    function = ACTIONS.get((incoming.method, name, len(parts)))
    if function is None:
        known = sorted({f"{m} /_simulator/{n}" for m, n, _ in ACTIONS})
        return _json(404, {"error": f"There is no {incoming.method} {incoming.path}.", "known": known})
    try:
        body = orjson.loads(incoming.body) if incoming.body else {}
        return _json(200, function(service, incoming, body, parts))
    except (Refused, orjson.JSONDecodeError, ValueError, TypeError) as problem:
        return _json(400, {"error": str(problem)})
    except KeyError as problem:
        return _json(404, {"error": f"There is no {problem.args[0] if problem.args else 'such thing'}."})


def _json(status: int, body: Any) -> Raw:
    return Raw(status, orjson.dumps(body, default=str), "application/json")


@action("GET", "calls")
def calls(service: Service, *_: Any) -> Body:
    """How often each endpoint was called since the last reset."""
    return dict(service.calls)


@action("DELETE", "calls")
def reset_calls(service: Service, *_: Any) -> Body:
    """Count the calls anew."""
    service.calls.clear()
    service.codes.clear()
    service.limits.peak = service.limits.running
    return {}


@action("GET", "effects")
def effects(service: Service, incoming: Incoming, *_: Any) -> Body:
    """Every change that was applied, in order."""
    since = int(incoming.params.get("since", ["0"])[0])
    most = int(incoming.params.get("limit", ["1000000"])[0])
    found = service.world.effects[max(0, since) : max(0, since) + most]
    return {"effects": [e.show() for e in found], "last": len(service.world.effects)}
