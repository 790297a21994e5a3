"""The machine itself, for the control surface: clock, faults, permissions, tokens, state."""

from dataclasses import asdict, fields, replace
from typing import Any

from syncd.simulator.clock import parse_time, stamp
from syncd.simulator.endpoints.bulk_extract import jobs
from syncd.simulator.endpoints.bulk_import import imports
from syncd.simulator.options import Options, checked
from syncd.simulator.requests import Incoming
from syncd.simulator.service import Service
from syncd.simulator.state import dump, load
from syncd.simulator.surface import Body, Refused, action

LATEST = 221_845_392_000
FIXED = frozenset(
    (
        "port",
        "host",
        "profile",
        "leads",
        "seed",
        "start",
        "frozen",
        "load",
        "history_days",
        "lists",
        "programs",
        "campaigns",
        "dirt",
        "nasty",
    )
)
"""Options that hold from the start to the end."""


def _clock(service: Service) -> Body:
    clock = service.world.clock
    return {"now": stamp(clock.now()), "epoch": clock.now(), "frozen": clock.frozen}


@action("GET", "clock")
def clock(service: Service, *_: Any) -> Body:
    """The simulated time."""
    return _clock(service)


@action("POST", "clock")
def set_clock(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Freeze, let run, set forward by seconds, or set to an instant."""
    unknown = set(body) - {"freeze", "advance", "set"}
    if unknown or not body:
        raise Refused("A clock takes freeze (true or false), advance (seconds) and set (an ISO 8601 time).")
    held, moment, seconds = service.world.clock, service.world.clock.now(), float(body.get("advance", 0))
    if "set" in body:
        parsed = parse_time(str(body["set"]))
        if parsed is None:
            raise Refused(f"{body['set']!r} is no ISO 8601 time.")
        moment = parsed
    if not 0 <= moment + seconds <= LATEST:
        raise Refused("The clock goes from 1970 to 9000.")
    if body.get("freeze") is True:
        held.freeze()
    if "set" in body:
        held.set(moment)
    held.advance(seconds)
    if body.get("freeze") is False:
        held.run()
    service.world.log.commit()
    return _clock(service)


@action("GET", "faults")
def faults(service: Service, *_: Any) -> list[Body]:
    """All fault rules, with how often each struck."""
    return [rule.show() for rule in service.faults.rules]


@action("POST", "faults")
def add_faults(service: Service, _: Incoming, body: Any, __: list[str]) -> list[Body]:
    """New fault rules: one, or a list."""
    given, now = body if isinstance(body, list) else [body], service.world.clock.now()
    return [service.faults.add(rule, now).show() for rule in given]


@action("DELETE", "faults")
def clear_faults(service: Service, *_: Any) -> Body:
    """Drop all fault rules."""
    service.faults.remove()
    return {}


@action("DELETE", "faults", 1)
def remove_fault(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """Drop one fault rule."""
    service.faults.remove(int(parts[0]))
    return {}


@action("GET", "options")
def options(service: Service, *_: Any) -> Body:
    """The options in force."""
    return asdict(service.options)


@action("POST", "options")
def set_options(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Change options while the simulator runs."""
    known = {f.name for f in fields(Options)} - FIXED
    unknown = set(body) - known
    if unknown:
        raise Refused(
            f"{', '.join(sorted(unknown))} cannot be changed; these can: {', '.join(sorted(known))}."
        )
    service.use(replace(service.options, **{name: checked(name, value) for name, value in body.items()}))
    return asdict(service.options)


@action("POST", "tokens")
def end_tokens(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """End every access token: expire (602, then 601) or revoke (601)."""
    if body.get("do") not in {"expire", "revoke"}:
        raise Refused("Tokens can be told to do: expire or revoke.")
    (service.tokens.expire if body["do"] == "expire" else service.tokens.revoke)()
    return {}


@action("POST", "usage")
def set_usage(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Count calls that another integration of the subscription made today."""
    service.limits.count(str(body.get("user", "other@example.com")), int(body["calls"]))
    return {"today": service.limits.today()}


@action("GET", "stats")
def stats(service: Service, *_: Any) -> Body:
    """Calls under way, the most at once, calls today, error codes, and the number of leads."""
    return {
        "running": service.limits.running,
        "peak": service.limits.peak,
        "today": service.limits.today(),
        "errors": dict(service.codes),
        "mistakes": service.mistakes,
        "leads": len(service.world.leads),
        "effects": len(service.world.effects),
        "activities": len(service.world.log),
        "jobs": {job.id: job.status for job in jobs(service).jobs.values()},
    }


@action("POST", "jobs")
def fail_jobs(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Let the next bulk extract jobs fail, or with `{"kind": "import"}` the next imports."""
    kind = body.get("kind", "export")
    if kind not in {"export", "import"}:
        raise Refused("The kind of a job is export or import.")
    failing = jobs(service).fail_next if kind == "export" else imports(service).fail_next
    failing += [str(body.get("message", f"{kind.capitalize()} failed"))] * min(1000, int(body.get("fail", 1)))
    return {"failing": len(failing)}


@action("GET", "state")
def state(service: Service, *_: Any) -> Body:
    """The whole state."""
    return dump(service)


@action("PUT", "state")
def set_state(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Put a state in the place of the present one."""
    load(service, body)
    return {"leads": len(service.world.leads)}
