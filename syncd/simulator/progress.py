"""Changes of program membership, of campaign membership, and of what belongs to them."""

from typing import Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.assets import STREAMS, Campaign, Member, Program, Status
from syncd.simulator.world import Origin, World

NOT_IN_PROGRAM = "Not in Program"


def set_status(world: World, program: Program, lead: int, status: Status, origin: Origin) -> str:
    """Put a lead into a status: "created", "updated", or "" where it is in or past it already."""
    channel, now = world.assets.channel_of(program), int(world.clock.now())
    member = program.members.get(lead)
    old = channel.find(member.status) if member else channel.statuses[0]
    if member is not None and old is not None and status.step <= old.step:
        return ""
    joined = member is None
    if member is None:
        member = program.members[lead] = world.assets.new_member(status.name, now)
        member.acquired = _acquires(world, program, lead)
        if program.type == "Engagement":
            member.stream, member.cadence = STREAMS[0], "norm"
    member.status, member.updated = status.name, now
    if status.success and not member.reached:
        member.reached, member.success_date = True, now
    _log_status(world, program, lead, member, old, status, origin)
    before = old.name if old else None
    world.note(
        "program_status",
        lead,
        origin,
        {"statusName": (before, status.name)},
        programId=program.id,
        joined=joined,
    )
    return "created" if joined else "updated"


def leave(world: World, program: Program, lead: int, origin: Origin) -> bool:
    """Take a lead out of a program; False where it is not in it."""
    member = program.members.pop(lead, None)
    if member is None:
        return False
    channel = world.assets.channel_of(program)
    old, new = channel.find(member.status), channel.statuses[0]
    _log_status(world, program, lead, member, old, new, origin)
    world.note(
        "program_status", lead, origin, {"statusName": (member.status, NOT_IN_PROGRAM)}, programId=program.id
    )
    return True


def set_data(world: World, program: Program, lead: int, values: dict[str, Any], origin: Origin) -> bool:
    """Change a member's own fields; False where nothing is different."""
    member = program.members[lead]
    changed = {n: (member.data.get(n), v) for n, v in values.items() if member.data.get(n) != v}
    if not changed:
        return False
    for name, (old, new) in changed.items():
        member.data[name] = new
        attributes = [
            ("Attribute Name", name),
            ("New Value", new),
            ("Old Value", old),
            ("Source", origin.source),
        ]
        world.write_log(
            kinds.MEMBER_DATA,
            lead,
            origin,
            primary_id=program.id,
            primary=program.name,
            attributes=tuple((n, str(v)) for n, v in attributes if v is not None),
        )
    member.updated = int(world.clock.now())
    world.note("program_member_updated", lead, origin, changed, programId=program.id)
    return True


def request_campaign(world: World, campaign: Campaign, lead: int, origin: Origin) -> None:
    """Send a lead through a campaign."""
    now = int(world.clock.now())
    first = campaign.members.get(lead, (now, now))[0]
    campaign.members[lead] = (first, now)
    world.write_log(
        kinds.REQUEST_CAMPAIGN,
        lead,
        origin,
        primary_id=campaign.id,
        primary=campaign.name,
        attributes=(("Source", origin.source),),
    )
    world.note("campaign_requested", lead, origin, campaignId=campaign.id)


def _acquires(world: World, program: Program, lead: int) -> bool:
    slot = world.schema.slot("acquisitionProgramId")
    record = world.leads.get(lead)
    if record is None or record[slot] is not None:
        return False
    world.leads.write(lead, {slot: program.id})
    return True


def _log_status(
    world: World, program: Program, lead: int, member: Member, old: Status | None, new: Status, origin: Origin
) -> None:
    attributes: list[tuple[str, Any]] = [
        ("Acquired By", member.acquired),
        ("New Status", new.name),
        ("New Status ID", _status_id(program, new)),
        ("Old Status", old.name if old else NOT_IN_PROGRAM),
        ("Old Status ID", _status_id(program, old)),
        ("Program Member ID", member.id),
        ("Reason", origin.reason),
        ("Success", new.success),
    ]
    world.write_log(
        kinds.STATUS,
        lead,
        origin,
        primary_id=program.id,
        primary=program.name,
        attributes=tuple(a for a in attributes if a[1] is not None),
    )


def _status_id(program: Program, status: Status | None) -> int | None:
    if status is None:
        return None
    return sum(program.channel.encode()) * 10 + status.step // 10
