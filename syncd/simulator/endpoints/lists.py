"""Static lists of the Lead Database: browse, members, and the lists of a lead."""

from typing import Any

from syncd.simulator import changes
from syncd.simulator.assets import StaticList
from syncd.simulator.calls import Answer, ApiError, Call, skipped
from syncd.simulator.clock import stamp
from syncd.simulator.endpoints.leads import lead_ids
from syncd.simulator.pages import lead_page, offset_page, read_leads, shape
from syncd.simulator.routing import READ_ASSET, READ_LEAD, WRITE_LEAD, route


def _find(call: Call) -> StaticList:
    found = call.world.assets.lists.get(call.arg("listId"))
    if found is None:
        raise ApiError(1013, "Object not found")
    return found


def _show(call: Call, asset: StaticList) -> dict[str, Any]:
    item: dict[str, Any] = {"id": asset.id, "name": asset.name}
    if asset.description is not None:
        item["description"] = asset.description
    program = call.world.assets.programs.get(asset.program or 0)
    if program is not None:
        item["programName"] = program.name
    return item | {
        "workspaceId": 1,
        "workspaceName": "Default",
        "createdAt": stamp(asset.created),
        "updatedAt": stamp(asset.updated),
    }


@route("GET", "/rest/v1/lists.json", *READ_ASSET)
async def browse(call: Call) -> Answer:
    """Lists by id, name, program and workspace."""
    ids, names = set(call.whole_list("id")), set(call.many("name"))
    programs, workspaces = set(call.many("programName")), set(call.many("workspaceName"))
    shown = [_show(call, asset) for _, asset in sorted(call.world.assets.lists.items())]
    found = [
        item for item in shown
        if (not ids or item["id"] in ids) and (not names or item["name"] in names)
        and (not programs or item.get("programName") in programs)
        and (not workspaces or item["workspaceName"] in workspaces)
    ]  # fmt: skip
    page, token = offset_page(call, found)
    return call.ok(page, nextPageToken=token)


@route("GET", "/rest/v1/lists/{listId}.json", *READ_ASSET)
async def one(call: Call) -> Answer:
    """One list."""
    return call.ok([_show(call, _find(call))])


@route("GET", "/rest/v1/list/{listId}/leads.json", *READ_LEAD, time_out=60)
@route("GET", "/rest/v1/lists/{listId}/leads.json", *READ_LEAD, time_out=60)
async def leads(call: Call) -> Answer:
    """The leads of a list."""
    shaped = shape(call.world, call.many("fields"))
    page, token = lead_page(call, _find(call).members)
    return call.ok(read_leads(call.world, page, shaped), nextPageToken=token)


def _members(call: Call) -> list[int]:
    ids = lead_ids(call)
    if not ids:
        raise ApiError(1003, "Lead ids not specified")
    return ids


@route("POST", "/rest/v1/lists/{listId}/leads.json", *WRITE_LEAD)
async def add(call: Call) -> Answer:
    """Put leads on a list; one that is on it already is added too."""
    target = _find(call).id
    ids = _members(call)
    await call.pause()
    _find(call)
    result = []
    for lead in ids:
        if not call.world.leads.exists(lead):
            result.append(skipped(1004, "Lead not found", id=lead))
            continue
        changes.add_to_list(call.world, target, lead, call.origin)
        result.append({"id": lead, "status": "added"})
    return call.ok(result)


@route("DELETE", "/rest/v1/lists/{listId}/leads.json", *WRITE_LEAD)
async def remove(call: Call) -> Answer:
    """Take leads off a list."""
    target = _find(call).id
    ids = _members(call)
    await call.pause()
    _find(call)
    result = []
    for lead in ids:
        if not call.world.leads.exists(lead):
            result.append(skipped(1004, "Lead not found", id=lead))
        elif changes.remove_from_list(call.world, target, lead, call.origin):
            result.append({"id": lead, "status": "removed"})
        else:
            result.append(skipped(1015, "Lead not in list", id=lead))
    return call.ok(result)


@route("GET", "/rest/v1/lists/{listId}/leads/ismember.json", *READ_LEAD)
async def is_member(call: Call) -> Answer:
    """Whether leads are on a list."""
    members = _find(call).members
    result = []
    for lead in _members(call):
        if not call.world.leads.exists(lead):
            result.append(skipped(1004, "Lead not found", id=lead))
        else:
            result.append({"id": lead, "status": "memberof" if lead in members else "notmemberof"})
    return call.ok(result)


@route("GET", "/rest/v1/leads/{leadId}/listMembership.json", *READ_ASSET)
async def of_lead(call: Call) -> Answer:
    """The lists that a lead is on."""
    lead = known_lead(call)
    found = [
        {"listId": asset.id, "createdAt": stamp(held[0]), "updatedAt": stamp(held[1])}
        for _, asset in sorted(call.world.assets.lists.items())
        if (held := asset.members.get(lead)) is not None
    ]
    page, token = offset_page(call, found)
    return call.ok(page, nextPageToken=token, moreResult=token is not None)


def known_lead(call: Call) -> int:
    """The lead in the path, which must be there."""
    lead = call.arg("leadId")
    if not call.world.leads.exists(lead):
        raise ApiError(1004, f"Lead '{lead}' not found")
    return lead
