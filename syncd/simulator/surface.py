"""The control surface under /_simulator/: what happened, and what a person does in Marketo's own interface."""

from collections.abc import Callable
from typing import Any

import orjson

from syncd.simulator import changes
from syncd.simulator.calls import Answer, Raw
from syncd.simulator.requests import Incoming
from syncd.simulator.service import Service
from syncd.simulator.values import BadValue, fit
from syncd.simulator.world import UI, World

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


def lead_of(service: Service, text: str) -> int:
    """The lead in a path, or KeyError."""
    if not text.isdecimal() or not service.world.leads.exists(int(text)):
        raise KeyError(f"lead {text}")
    return int(text)


def values_of(world: World, body: Body) -> changes.Values:
    """Field values as a person types them; every field may be written but the system's own."""
    values: changes.Values = {}
    for name, value in body.items():
        field = world.schema.by_name.get(name.lower())
        if field is None or field.name in {"id", "createdAt", "updatedAt"}:
            raise Refused(f"A lead has no field {name!r} that can be changed.")
        try:
            values[field.slot] = fit(field, value)
        except BadValue:
            raise Refused(f"{value!r} does not fit the field {name}.") from None
    return values


def show(world: World, lead: int) -> Body:
    """A whole lead, with every field."""
    record = world.leads.get(lead)
    if record is None:
        raise KeyError(f"lead {lead}")
    return {f.name: record[f.slot] for f in world.schema.fields} | {"_changedAt": record[0]}


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


@action("POST", "leads")
def create(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Create a lead as a person would."""
    partition = int(body.pop("leadPartitionId", 1) or 1)
    lead = changes.create(service.world, values_of(service.world, body), UI, partition=partition)
    return show(service.world, lead)


@action("GET", "leads", 1)
def read(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """A whole lead."""
    return show(service.world, lead_of(service, parts[0]))


@action("POST", "leads", 1)
def edit(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Change a lead as a person would."""
    lead = lead_of(service, parts[0])
    changes.update(service.world, lead, values_of(service.world, body), UI)
    return show(service.world, lead)


@action("DELETE", "leads", 1)
def delete(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """Delete a lead as a person would."""
    lead = lead_of(service, parts[0])
    changes.delete(service.world, lead, UI)
    return {"id": lead}


@action("POST", "leads", 2)
def lead_verb(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Merge other leads into one."""
    lead, verb = lead_of(service, parts[0]), parts[1]
    if verb == "merge":
        losers = [lead_of(service, str(loser)) for loser in body["losers"]]
        if lead in losers or not losers:
            raise Refused("A merge needs losers other than the winner.")
        changes.merge(service.world, lead, losers, UI, source=str(body.get("source", "leaddb")))
        return show(service.world, lead)
    raise KeyError(f"verb {verb}")


@action("POST", "lists", 2)
def add_to_list(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Put leads on a list."""
    return _membership(service, body, parts, changes.add_to_list)


@action("DELETE", "lists", 2)
def remove_from_list(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Take leads off a list."""
    return _membership(service, body, parts, changes.remove_from_list)


def _membership(service: Service, body: Body, parts: list[str], change: Callable[..., bool]) -> Body:
    number = int(parts[0])
    if number not in service.world.assets.lists or parts[1] != "leads":
        raise KeyError(f"list {parts[0]}")
    done = [lead for lead in body["leads"] if change(service.world, number, lead_of(service, str(lead)), UI)]
    return {"changed": done, "members": len(service.world.assets.lists[number].members)}
