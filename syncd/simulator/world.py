"""A whole subscription: its leads, assets, log and clock, and the record of every effect."""

import random
from array import array
from dataclasses import dataclass
from typing import Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.activities import Activity, ActivityLog, code
from syncd.simulator.assets import SEEDED_LIST, SEEDED_STATUS, Assets
from syncd.simulator.clock import Clock, stamp
from syncd.simulator.fields import Field, Schema
from syncd.simulator.leads import Leads
from syncd.simulator.member_fields import MemberSchema
from syncd.simulator.options import Options
from syncd.simulator.seeding import CUSTOM_CHANGE, STANDARD_CHANGE, TIER_TURN, TITLE_TURN, Seeder

API = "Web service API"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who causes a change: the endpoint (or "ui"), its request, and what the activity shall say."""

    endpoint: str
    request_id: str = ""
    source: str = API
    reason: str = API
    created_by: str = API
    campaign: int | None = None


UI = Origin("ui", source="Lead update", reason="Manual person edit", created_by="New lead")


@dataclass(slots=True)
class Effect:
    """One change that was applied."""

    seq: int
    kind: str
    lead: int
    origin: Origin
    when: float
    changes: dict[str, tuple[Any, Any]]
    more: dict[str, Any]

    def show(self) -> dict[str, Any]:
        """As the control surface shows it."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "leadId": self.lead,
            "endpoint": self.origin.endpoint,
            "requestId": self.origin.request_id,
            "time": stamp(self.when),
            "fields": {name: {"old": old, "new": new} for name, (old, new) in self.changes.items()},
            **self.more,
        }


class World:
    """The state that all endpoints share."""

    def __init__(self, options: Options, *, clock: Clock | None = None, started: float | None = None) -> None:
        self.options = options
        self.clock = clock or Clock(options.start)
        self.started = self.clock.now() if started is None else started
        self.random = random.Random(options.seed)  # noqa: S311 - a simulation
        self.schema = Schema()
        self.schema.by_name["fullgreeting"].hidden = not options.nasty
        self.member_schema = MemberSchema()
        self.seeder = Seeder(self.schema, options, self.started)
        self.leads = Leads(self.schema, self.seeder)
        self.assets = Assets(options, self.seeder)
        self.effects: list[Effect] = []
        self.merged: dict[int, int] = {}
        self.cookies: dict[str, int] = {}
        self.anonymous: set[int] = set()
        self.companies: dict[str, int] = {}
        self.next_company = self.seeder.companies + 1
        self.clones = 0
        self.mkt_tokens: dict[str, int] = {}
        self.blocked = {name.lower() for name in options.blocked_fields}
        self.denied = set(options.denied)
        self.log = ActivityLog(
            self.seeder.base, self._seeded_codes(), self._render_seeded, lag=options.commit_lag,
            seed=options.seed, delete_days=options.delete_days, now=self.clock.now,
        )  # fmt: skip
        self.leads.index(self.schema.by_name["email"])

    def survivor(self, lead: int) -> int:
        """The lead that a merged one lives on in; any other lead itself."""
        while lead in self.merged:
            lead = self.merged[lead]
        return lead

    def note(
        self,
        kind: str,
        lead: int,
        origin: Origin,
        changes: dict[str, tuple[Any, Any]] | None = None,
        **more: Any,
    ) -> None:
        """Write an effect down."""
        self.effects.append(
            Effect(len(self.effects) + 1, kind, lead, origin, self.clock.now(), changes or {}, more)
        )

    def write_log(self, kind: int, lead: int, origin: Origin, **more: Any) -> None:
        """Write an activity into the log."""
        self.log.add(Activity(0, lead, int(self.clock.now()), kind, campaign=origin.campaign, **more))

    def full_name(self, lead: int) -> str | None:
        """A lead's name as activities show it."""
        record = self.leads.get(lead)
        return None if record is None else record[self.schema.slot("mktoName")]

    def field(self, name: str) -> Field | None:
        """The visible field of that name."""
        return self.schema.find(name)

    def list_name(self, number: int) -> str:
        """A list's name, after its program's where it is inside one."""
        asset = self.assets.lists[number]
        program = self.assets.programs.get(asset.program or 0)
        return f"{program.name}.{asset.name}" if program else asset.name

    def _seeded_codes(self) -> "array[int]":
        seeder = self.seeder
        codes = [code(seeder.base, seeder.created(i), 0, i) for i in range(1, seeder.count + 1)]
        for lead in range(1, seeder.count + 1):
            if lead % TITLE_TURN[0] == TITLE_TURN[1] and (when := seeder.standard_change(lead)):
                codes.append(code(seeder.base, when, STANDARD_CHANGE, lead))
            if lead % TIER_TURN[0] == TIER_TURN[1]:
                codes.append(code(seeder.base, seeder.custom_change(lead), CUSTOM_CHANGE, lead))
        codes += self.assets.codes(seeder)
        codes.sort()
        return array("q", codes)

    def _render_seeded(self, guid: int, kind: int, date: int, rest: int) -> Activity:
        if kind == 0:
            return Activity(
                guid, rest, date, kinds.NEW_LEAD, rest, self._seeded_name(rest),
                (("Created Date", stamp(date)[:10]), ("Source Type", "List import"),
                 ("List Name", "First Import")),
            )  # fmt: skip
        if kind in {STANDARD_CHANGE, CUSTOM_CHANGE}:
            field = self.schema.by_name["title" if kind == STANDARD_CHANGE else "customertier"]
            old = (self.seeder.old_title if kind == STANDARD_CHANGE else self.seeder.old_tier)(rest)
            new = self.seeder.make(rest)[field.slot]
            return change_activity(guid, rest, date, field, old, new, UI)
        asset, lead = self.assets.joins[rest]
        if kind == SEEDED_LIST:
            name = self.list_name(asset) if asset in self.assets.lists else None
            return Activity(guid, lead, date, kinds.LIST_ADD, asset, name, (("Source", "List import"),))
        if kind == SEEDED_STATUS:
            program = self.assets.programs.get(asset)
            return Activity(
                guid,
                lead,
                date,
                kinds.STATUS,
                asset,
                program.name if program else None,
                (("Old Status", "Not in Program"),),
            )
        raise ValueError(kind)

    def _seeded_name(self, lead: int) -> str:
        return str(self.seeder.make(lead)[self.schema.slot("mktoName")])


def change_activity(
    guid: int, lead: int, date: int, field: Field, old: Any, new: Any, origin: Origin
) -> Activity:
    """The Change Data Value entry of one field."""
    before, after = (None if v is None else str(v) for v in (old, new))
    attributes = (
        ("New Value", after),
        ("Old Value", before),
        ("Reason", origin.reason),
        ("Source", origin.source),
    )
    return Activity(
        guid, lead, date, kinds.CHANGE, field.id, field.display,
        tuple(a for a in attributes if a[1] is not None), ((field.id, field.name, before, after),),
        origin.campaign,
    )  # fmt: skip
