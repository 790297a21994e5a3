"""Upserts: values are checked, leads looked up, time passes, then the effect comes, record by record."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from syncd.simulator import changes
from syncd.simulator.calls import ApiError, Call, skipped
from syncd.simulator.fields import Field
from syncd.simulator.leads import key_of
from syncd.simulator.values import BadValue, fit
from syncd.simulator.world import Origin, World

ACTIONS = frozenset(("createOnly", "updateOnly", "createOrUpdate", "createDuplicate"))
Item = dict[str, Any]


@dataclass(slots=True)
class Plan:
    """What shall become of one record."""

    values: changes.Values = field(default_factory=dict)
    key: Any = None
    found: list[int] = field(default_factory=list)
    problem: Item | None = None


@dataclass(slots=True)
class Upsert:
    """How the records of one call are matched and written."""

    world: World
    origin: Origin
    action: str = "createOrUpdate"
    lookup: Field | None = None
    partition: int | None = None
    company: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    latest_wins: bool = False

    async def run(self, call: Call, records: list[Any]) -> list[Item]:
        """Results in the order of the records."""
        plans = [self.plan(record) for record in records]
        await pause(call)
        return self.apply(plans)

    def apply(self, plans: list[Plan]) -> list[Item]:
        """The effects of planned records, one after the other."""
        made: dict[str, int] = {}
        return [plan.problem or self._apply(plan, made) for plan in plans]

    def plan(self, record: Any) -> Plan:
        """Check one record and look its lead up."""
        plan = Plan()
        if not isinstance(record, dict):
            plan.problem = skipped(1003, "Invalid data: a record is an object")
            return plan
        plan.problem = self._values(record, plan.values)
        if plan.problem is None and self.lookup is not None and self.action != "createDuplicate":
            plan.problem = self._key(record, plan)
        return plan

    def _values(self, record: dict[str, Any], values: changes.Values) -> Item | None:
        by_name, overlong = self.world.schema.by_name, self.world.options.overlong
        for name, value in record.items():
            found = by_name.get(name.lower())
            if found is None or found.hidden:
                return skipped(1006, f"Field '{name}' not found")
            if found.name == "id":
                if self.action != "updateOnly":
                    return skipped(1003, "Value for field 'id' is not allowed with this action")
                continue
            if found.read_only and found is not self.lookup:
                return skipped(1003, f"Field '{name}' is read only")
            if found.company and not self.company:
                return skipped(1021, "Company update not allowed")
            try:
                values[found.slot] = fit(found, value, overlong=overlong)
            except BadValue:
                return skipped(1003, f"Invalid value for field '{name}' and value '{value}'")
        return None

    def _key(self, record: dict[str, Any], plan: Plan) -> Item | None:
        lookup = self.lookup
        if lookup is None:
            return None
        plan.key = next((v for k, v in record.items() if k.lower() == lookup.name.lower()), None)
        if plan.key is None or plan.key == "":
            named = any(k.lower() == lookup.name.lower() for k in record)
            if named and self.action == "createOnly":
                return None
            return skipped(1003, f"Missing value for lookup field '{lookup.name}'")
        plan.found = self.look_up(lookup, plan.key)
        return None

    def look_up(self, lookup: Field, key: Any) -> list[int]:
        """The leads that a key names."""
        if lookup.name != "cookies":
            return self.world.leads.find(lookup, key)
        known = self.world.cookies.get(str(key))
        return [known] if known is not None and self.world.leads.exists(known) else []

    def _apply(self, plan: Plan, made: dict[str, int]) -> Item:
        key = None if plan.key is None else key_of(plan.key)
        found = [lead for lead in plan.found if self.world.leads.exists(lead)]
        if self.action == "createOnly" and plan.key is not None and self.lookup is not None:
            found = self.look_up(
                self.lookup, plan.key
            )  # it alone looks once more, and so makes no duplicates
        if not found and key is not None and key in made and self.world.leads.exists(made[key]):
            found = [made[key]]
        if self.action == "createDuplicate" or (self.action != "updateOnly" and not found):
            lead = self._create(plan)
            if key is not None:
                made[key] = lead
            return {"id": lead, "status": "created"}
        if not found:
            return skipped(1004, "Lead not found")
        if self.action == "createOnly":
            return skipped(1005, "Lead already exists")
        if len(found) > 1 and not self.latest_wins:
            return skipped(1007, "Multiple lead match lookup criteria")
        lead = max(found, key=self.world.leads.changed_since) if self.latest_wins else found[0]
        return self._update(lead, plan.values)

    def _create(self, plan: Plan) -> int:
        values, slot = plan.values, self.world.schema.slot("leadPartitionId")
        partition = values.pop(slot, None) or self.partition or 1
        cookie = values.get(self.world.schema.slot("cookies"))
        lead = changes.create(self.world, values, self.origin, partition=partition, **self.attributes)
        if cookie:
            self.world.cookies[str(cookie)] = lead
        return lead

    def _update(self, lead: int, values: changes.Values) -> Item:
        record, slot = self.world.leads.get(lead), self.world.schema.slot("leadPartitionId")
        wanted = values.pop(slot, None) or self.partition
        if record is not None and wanted is not None and record[slot] != wanted:
            return skipped(1010, "Partition update not allowed")
        for name in self.world.blocked:
            values.pop(self.world.schema.slot(name), None)
        changes.update(self.world, lead, values, self.origin)
        return {"id": lead, "status": "updated"}


async def pause(call: Call) -> None:
    """The time between the look-up and the effect, in which overlapping calls cannot see each other."""
    options = call.world.options
    if options.race_ms > options.latency_ms:
        call.paused = True
        await asyncio.sleep(options.race_ms / 1000)
    await call.pause()


def lookup_field(world: World, name: str | None) -> Field:
    """The field that a call matches leads by; e-mail where it names none."""
    found = world.field(name or "email")
    if found is None:
        raise ApiError(1006, f"Lookup field '{name}' not found")
    if not found.searchable or found.name == "leadPartitionId":
        raise ApiError(1011, f"Lookup field '{name}' not supported")
    return found


def partition_id(world: World, name: str | None) -> int | None:
    """The partition of that name, or None where none is named."""
    if name is None:
        return None
    for number, known in world.assets.partitions.items():
        if known.lower() == name.lower():
            return number
    raise ApiError(1008, f"Access denied to partition '{name}'")
