"""Programs as the Lead Database sees them: leads of a program, programs of a lead, status of members."""

from typing import Any

from syncd.simulator.assets import Program, Status
from syncd.simulator.calls import Answer, ApiError, Call, number, skipped
from syncd.simulator.clock import stamp
from syncd.simulator.endpoints.lists import known_lead
from syncd.simulator.member_fields import membership
from syncd.simulator.pages import lead_page, offset_page, shape
from syncd.simulator.progress import set_status
from syncd.simulator.routing import READ_ASSET, READ_LEAD, WRITE_LEAD, route


def find_program(call: Call) -> Program:
    """The program in the path."""
    found = call.world.assets.programs.get(call.arg("programId"))
    if found is None:
        raise ApiError(1013, "Object not found")
    return found


def find_status(call: Call, program: Program, name: Any) -> Status:
    """A status of the program's channel."""
    status = call.world.assets.channel_of(program).find(name) if isinstance(name, str) else None
    if status is None or status.step == 0:
        raise ApiError(1025, f"Program status '{name}' not found")
    return status


@route("GET", "/rest/v1/leads/programs/{programId}.json", *READ_LEAD)
async def leads(call: Call) -> Answer:
    """The leads of a program, each with its membership."""
    program = find_program(call)
    shaped = shape(call.world, [f for f in call.many("fields") if f != "membership"])
    page, token = lead_page(call, program.members)
    result = []
    for lead in page:
        record, member = call.world.leads.get(lead), program.members[lead]
        if record is None:
            continue
        item = shaped(record)
        item["membership"] = {
            "id": program.id,
            "progressionStatusType": member.status,
            **membership(program, member),
        }
        result.append(item)
    return call.ok(result, nextPageToken=token)


@route("GET", "/rest/v1/leads/{leadId}/programMembership.json", *READ_ASSET)
async def of_lead(call: Call) -> Answer:
    """The programs that a lead is in."""
    lead, wanted = known_lead(call), set[int]()
    if call.one("filterType"):
        if call.need("filterType") != "programId":
            raise ApiError(1003, f"Invalid filterType '{call.one('filterType')}'")
        wanted = set(call.whole_list("filterValues"))
        if not wanted:
            raise ApiError(1002, "Missing value for required parameter 'filterValues'")
    found = []
    earliest, latest = bounds(call)
    for _, program in sorted(call.world.assets.programs.items()):
        member = program.members.get(lead)
        if member and (not wanted or program.id in wanted) and earliest <= member.updated <= latest:
            found.append({"id": program.id, **membership(program, member)})
    page, token = offset_page(call, found)
    return call.ok(page, nextPageToken=token, moreResult=token is not None)


@route("GET", "/rest/v1/leads/{leadId}/smartCampaignMembership.json", *READ_ASSET)
async def campaigns_of_lead(call: Call) -> Answer:
    """The smart campaigns that a lead went through."""
    lead, (earliest, latest) = known_lead(call), bounds(call)
    found = []
    for _, campaign in sorted(call.world.assets.campaigns.items()):
        held = campaign.members.get(lead)
        if held and earliest <= held[1] <= latest:
            times = {"createdAt": stamp(held[0]), "updatedAt": stamp(held[1])}
            found.append({"smartCampaignId": campaign.id, **times})
    page, token = offset_page(call, found)
    return call.ok(page, nextPageToken=token, moreResult=token is not None)


def bounds(call: Call) -> tuple[float, float]:
    """The dates between which something was updated."""
    earliest, latest = call.moment("earliestUpdatedAt"), call.moment("latestUpdatedAt")
    return (float("-inf") if earliest is None else earliest), (float("inf") if latest is None else latest)


@route("POST", "/rest/v1/leads/programs/{programId}/status.json", *WRITE_LEAD)
async def change_status(call: Call) -> Answer:
    """Change the status of members; leads that are not in the program are refused."""
    program = find_program(call)
    status, records = find_status(call, program, call.json().get("status")), call.input()
    await call.pause()
    result: list[dict[str, Any]] = []
    for record in records:
        lead = number("id", record.get("id") if isinstance(record, dict) else None)
        if not call.world.leads.exists(lead):
            result.append(skipped(1004, "Lead not found", id=lead))
        elif lead not in program.members:
            result.append(skipped(1013, "Membership not found", id=lead))
        elif set_status(call.world, program, lead, status, call.origin):
            result.append({"id": lead, "status": "updated"})
        else:
            text = "Lead skipped because it is already in or past this status"
            result.append(skipped(1037, text, id=lead))
    return call.ok(result)
