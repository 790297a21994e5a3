"""The changes that can happen to leads, whoever causes them; each leaves activities and effects."""

from collections.abc import Sequence
from typing import Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.assets import Program
from syncd.simulator.clock import stamp
from syncd.simulator.fields import HIDDEN_CHANGE, Field
from syncd.simulator.world import API, Origin, World, change_activity

Values = dict[int, Any]


def create(world: World, values: Values, origin: Origin, *, partition: int = 1, **attributes: str) -> int:
    """A new lead; values are by slot."""
    schema, now = world.schema, stamp(world.clock.now())
    record = schema.defaults.copy()
    slot = schema.slot
    for name, value in (
        ("personType", "contact"), ("isLead", True), ("originalSourceType", origin.source),
        ("originalSourceInfo", origin.source), ("registrationSourceType", origin.source),
        ("registrationSourceInfo", origin.source), ("leadPartitionId", partition),
        ("createdAt", now), ("updatedAt", now),
    ):  # fmt: skip
        record[slot(name)] = value
    for number, value in values.items():
        record[number] = value
    record[HIDDEN_CHANGE] = now
    record[slot("leadPerson")] = world.leads.next_id
    _derive(world, record)
    lead = world.leads.insert(record)
    shown = [("Created Date", now[:10]), ("Source Type", origin.created_by), *attributes.items()]
    if world.options.api_method_name and origin.source == API:
        shown.append(("API Method Name", world.options.api_method_name))
    world.write_log(
        kinds.NEW_LEAD,
        lead,
        origin,
        primary_id=lead,
        primary=record[slot("mktoName")],
        attributes=tuple(shown),
    )
    changes = {_name(world, number): (None, value) for number, value in values.items()}
    world.note("created", lead, origin, changes)
    return lead


def update(world: World, lead: int, values: Values, origin: Origin, *, logged: bool = True) -> bool:
    """Change slots of a lead; False where nothing is different from before."""
    record = world.leads.get(lead)
    if record is None:
        raise KeyError(lead)
    changed = {number: value for number, value in values.items() if not _same(record[number], value)}
    if not changed:
        return False
    now, date = stamp(world.clock.now()), int(world.clock.now())
    changes = {}
    standard = False
    for number, value in changed.items():
        field = world.schema.fields[number - 1]
        changes[field.name] = (record[number], value)
        standard = standard or not field.custom
        if not logged:
            continue
        world.log.add(
            change_activity(
                0, lead, date, field, record[number], value, origin, world.options.api_method_name
            )
        )
        if field.type == "score" or field.name == "leadScore":
            _score(world, lead, field, record[number], value, origin)
    changed[HIDDEN_CHANGE] = now
    if standard:
        changed[world.schema.slot("updatedAt")] = now
    copy = record.copy()
    for number, value in changed.items():
        copy[number] = value
    _derive(world, copy)
    for name in ("mktoName", "fullGreeting"):
        changed[world.schema.slot(name)] = copy[world.schema.slot(name)]
    world.leads.write(lead, changed)
    world.note("updated", lead, origin, changes)
    return True


def delete(world: World, lead: int, origin: Origin) -> None:
    """Delete a lead, and its memberships."""
    name = world.full_name(lead)
    world.leads.remove(lead)
    world.assets.forget(lead)
    world.write_log(kinds.DELETE, lead, origin, primary_id=lead, primary=name)
    world.note("deleted", lead, origin)


def merge(
    world: World, winner: int, losers: Sequence[int], origin: Origin, *, source: str = "leaddb"
) -> None:
    """Unite leads in the winner: its values stay, empty ones come from the losers; so do memberships."""
    filled: Values = {}
    skip = {
        "id", "leadPerson", "createdAt", "updatedAt", "mktoName", "fullGreeting", "contactCompany",
        "leadPartitionId", "isAnonymous", "cookies",
    }  # fmt: skip
    usable = [f for f in world.schema.fields if f.name not in skip]
    for loser in losers:
        record, old = world.leads.get(winner), world.leads.remove(loser)
        if record is None:
            raise KeyError(winner)
        for field in usable:
            if _empty(filled.get(field.slot, record[field.slot])) and not _empty(old[field.slot]):
                filled[field.slot] = old[field.slot]
        _unite(world, winner, loser)
        world.anonymous.discard(loser)
        world.merged[loser] = winner
        for cookie, known in world.cookies.items():
            if known == loser:
                world.cookies[cookie] = winner
        if world.options.merged_in_deleted:
            world.write_log(kinds.DELETE, loser, origin, primary_id=loser)
    attributes = (
        ("Merge IDs", list(losers)),
        ("Master Updated", bool(filled)),
        ("Merge Source", source),
        ("Merged in Sales", False),
    )
    world.write_log(
        kinds.MERGE, winner, origin, primary_id=winner, primary=world.full_name(winner),
        attributes=attributes if source == "leaddb" else attributes[:1],
    )  # fmt: skip
    world.note("merged", winner, origin, losers=list(losers))
    if filled:
        update(world, winner, filled, origin, logged=world.options.merge_logged)


def add_to_list(world: World, number: int, lead: int, origin: Origin) -> bool:
    """Put a lead on a static list; False where it is on it already."""
    members, now = world.assets.lists[number].members, int(world.clock.now())
    if lead in members:
        return False
    members[lead] = (now, now)
    _list_change(world, kinds.LIST_ADD, number, lead, origin)
    world.note("added_to_list", lead, origin, listId=number)
    return True


def remove_from_list(world: World, number: int, lead: int, origin: Origin) -> bool:
    """Take a lead off a static list; False where it is not on it."""
    if world.assets.lists[number].members.drop(lead) is None:
        return False
    _list_change(world, kinds.LIST_REMOVE, number, lead, origin)
    world.note("removed_from_list", lead, origin, listId=number)
    return True


def move(world: World, lead: int, partition: int, origin: Origin) -> None:
    """Move a lead to another partition."""
    slot = world.schema.slot("leadPartitionId")
    record = world.leads.get(lead)
    if record is None or record[slot] == partition:
        return
    now, old = stamp(world.clock.now()), record[slot]
    world.leads.write(lead, {slot: partition, HIDDEN_CHANGE: now, world.schema.slot("updatedAt"): now})
    world.write_log(
        kinds.PARTITION, lead, origin, primary_id=partition, primary=world.assets.partitions[partition],
        attributes=(("Old Partition ID", old), ("Reason", origin.reason)),
    )  # fmt: skip
    world.note("updated", lead, origin, {"leadPartitionId": (old, partition)})


def _list_change(world: World, kind: int, number: int, lead: int, origin: Origin) -> None:
    source = (("Source", origin.source),)
    world.write_log(kind, lead, origin, primary_id=number, primary=world.list_name(number), attributes=source)


def _unite(world: World, winner: int, loser: int) -> None:
    for asset in world.assets.holders():
        if isinstance(asset, Program):
            continue
        held = asset.members.drop(loser)
        if held is not None and winner not in asset.members:
            asset.members[winner] = held
    for program in world.assets.programs.values():
        member = program.members.drop(loser)
        if member is None:
            continue
        present = program.members.get(winner)
        if present is None:
            program.members[winner] = member
            continue
        channel = world.assets.channel_of(program)
        old, new = channel.find(present.status), channel.find(member.status)
        if old and new and new.step > old.step:
            program.members[winner] = member


def _score(world: World, lead: int, field: Field, old: Any, new: Any, origin: Origin) -> None:
    before, after = (v if isinstance(v, (int, float)) else 0 for v in (old, new))
    difference = int(after - before)
    attributes = [
        ("Change Value", f"{difference:+d}"),
        ("New Value", after),
        ("Old Value", before),
        ("Reason", origin.reason),
    ]
    world.write_log(
        kinds.SCORE, lead, origin, primary_id=field.id, primary=field.display, attributes=tuple(attributes)
    )


def _derive(world: World, record: list[Any]) -> None:
    slot = world.schema.slot
    first, middle, last = (record[slot(n)] for n in ("firstName", "middleName", "lastName"))
    record[slot("mktoName")] = " ".join(p for p in (first, middle, last) if p) or None
    record[slot("fullGreeting")] = f"Dear {first}" if first else None


def _empty(value: Any) -> bool:
    return value is None or value is False


def _same(old: Any, new: Any) -> bool:
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def _name(world: World, slot: int) -> str:
    return world.schema.fields[slot - 1].name
