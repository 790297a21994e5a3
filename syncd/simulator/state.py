"""The whole state of a subscription as JSON, and back."""

import base64
from collections import Counter
from dataclasses import asdict, fields, replace
from typing import Any

from syncd.simulator.assets import Campaign, Member, Program, StaticList
from syncd.simulator.endpoints.bulk_extract import KINDS, jobs
from syncd.simulator.fields import Field
from syncd.simulator.jobs import Job
from syncd.simulator.service import Service
from syncd.simulator.world import Effect, Origin, World

VERSION = 1
Json = dict[str, Any]
KEPT = (
    "leads", "seed", "history_days", "lists", "programs", "campaigns", "dirt", "nasty", "profile",
)  # fmt: skip
"""Options that decide what the seeded part of a state looks like."""


def dump(service: Service) -> Json:
    """Everything but tokens, fault rules and calls that are under way."""
    world, assets = service.world, service.world.assets
    world.log.commit()
    return {
        "version": VERSION,
        "options": {name: getattr(world.options, name) for name in KEPT},
        "started": world.started,
        "now": world.clock.now(),
        "fields": [asdict(f) for f in world.schema.fields],
        "memberFields": [asdict(f) for f in world.member_schema.fields],
        "leads": list(world.leads.changed.items()),
        "nextLead": world.leads.next_id,
        "merged": list(world.merged.items()),
        "cookies": world.cookies,
        "anonymous": list(world.anonymous),
        "mktTokens": world.mkt_tokens,
        "clones": world.clones,
        "partitions": list(assets.partitions.items()),
        "nextList": assets.next_list,
        "nextMember": assets.next_member,
        "lists": [_asset(a) for a in assets.lists.values()],
        "programs": [_asset(a) for a in assets.programs.values()],
        "campaigns": [_asset(a) for a in assets.campaigns.values()],
        "joins": assets.joins,
        "log": world.log.dump(),
        "effects": [asdict(e) for e in world.effects],
        "usage": service.limits.usage,
        "errors": service.limits.errors,
        "jobs": [_job(j) for j in jobs(service).jobs.values()],
    }


def load(service: Service, state: Json) -> None:
    """Put a state in the place of the present one; the clock goes to where it stood."""
    if state.get("version") != VERSION:
        raise ValueError(f"This is no state of version {VERSION}.")
    options = replace(service.options, **{name: state["options"][name] for name in KEPT})
    old_clock = service.world.clock
    world = World(options, clock=old_clock, started=state["started"])
    _load_world(world, state)
    old_clock.set(state["now"])
    service.options, service.world, service.jobs, service.imports = options, world, None, None
    service.limits.usage = {day: Counter(counts) for day, counts in state["usage"].items()}
    service.limits.errors = {day: Counter(counts) for day, counts in state["errors"].items()}
    for given in state["jobs"]:
        _load_job(service, given)


def _load_world(world: World, state: Json) -> None:
    known = {f.name: f for f in world.schema.fields}
    for given in state["fields"]:
        if given["name"] in known:
            for name in ("display", "hidden", "html", "sensitive", "description", "type", "length"):
                setattr(known[given["name"]], name, given[name])
        else:
            world.schema.add(Field(**given))
    world.member_schema.by_name = {f["name"].lower(): Field(**f) for f in state["memberFields"]}
    assets = world.assets
    assets.partitions = {int(k): v for k, v in state["partitions"]}
    assets.next_list, assets.next_member = state["nextList"], state["nextMember"]
    assets.lists = {a["id"]: StaticList(**{**a, "members": _pairs(a["members"])}) for a in state["lists"]}
    assets.campaigns = {
        a["id"]: Campaign(**{**a, "members": _pairs(a["members"])}) for a in state["campaigns"]
    }
    assets.programs = {a["id"]: _program(a) for a in state["programs"]}
    assets.joins = [tuple(j) for j in state["joins"]]
    world.leads.load({int(k): v for k, v in state["leads"]}, state["nextLead"])
    world.anonymous = set(state["anonymous"])
    world.merged = {int(k): v for k, v in state["merged"]}
    world.cookies, world.mkt_tokens, world.clones = state["cookies"], state["mktTokens"], state["clones"]
    world.log.load(state["log"])
    world.effects = [
        Effect(
            **{
                **e,
                "origin": Origin(**e["origin"]),
                "changes": {k: tuple(v) for k, v in e["changes"].items()},
            }
        )
        for e in state["effects"]
    ]


def _asset(asset: StaticList | Program | Campaign) -> Json:
    shown = {f.name: getattr(asset, f.name) for f in fields(asset)}
    shown["members"] = [[k, asdict(m) if isinstance(m, Member) else m] for k, m in asset.members.items()]
    return shown


def _pairs(members: list[Any]) -> dict[int, tuple[int, int]]:
    return {int(lead): (held[0], held[1]) for lead, held in members}


def _program(given: Json) -> Program:
    members = {int(lead): Member(**held) for lead, held in given["members"]}
    tags, costs = (tuple(tuple(x) for x in given[n]) for n in ("tags", "costs"))
    return Program(**{**given, "members": members, "tags": tags, "costs": costs})


def _job(job: Job) -> Json:
    shown = {f.name: getattr(job, f.name) for f in fields(job) if f.name not in {"file", "rows"}}
    job.file.seek(0)
    shown["file"] = base64.b64encode(job.file.read()).decode() if job.status == "Completed" else ""
    return shown


def _load_job(service: Service, given: Json) -> None:
    held = jobs(service)
    _, rows = KINDS[given["kind"]].prepare(service.world, given["request"])
    job = Job(rows=rows, **{k: v for k, v in given.items() if k != "file"})
    held.jobs[job.id] = job
    if job.status == "Completed":
        job.file.write(base64.b64decode(given["file"]))
    elif job.status in {"Queued", "Processing"}:
        job.status, job.size, job.records = "Created", 0, 0
        service.spawn(held.enqueue(job))
