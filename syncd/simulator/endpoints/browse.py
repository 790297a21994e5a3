"""Assets: programs, smart campaigns, channels, folders, and the asset side of static lists."""

from collections.abc import Sequence
from typing import Any

import orjson

from syncd.simulator.assets import GROUP_LISTS, Campaign, Channel, Program, StaticList
from syncd.simulator.calls import Answer, ApiError, Call, number
from syncd.simulator.clock import asset_stamp
from syncd.simulator.endpoints.programs import bounds
from syncd.simulator.routing import ASSET_TIME_OUT, READ_ASSET, WRITE_ASSET, route

POD = "https://app-ab39.marketo.com"
PAGE, MOST = 20, 200
FOLDERS = {
    GROUP_LISTS: ("Group Lists", "/Lead Database/Default/Group Lists"),
    15: ("Marketing Programs", "/Marketing Activities/Default/Marketing Programs"),
}
READ: dict[str, Any] = {"time_out": ASSET_TIME_OUT}


def _page(call: Call, items: Sequence[Any]) -> Answer:
    start, size = call.whole("offset", 0, low=0, high=2**31), call.whole("maxReturn", PAGE, high=MOST)
    return call.found(list(items[start : start + size]))


def _folder(number_: int, kind: str = "Folder") -> dict[str, Any]:
    return {"id": number_, "type": kind}


def _program(call: Call, program: Program, *, tags: bool = False, costs: bool = False) -> dict[str, Any]:
    del call
    item: dict[str, Any] = {
        "id": program.id,
        "name": program.name,
        "description": program.description,
        "createdAt": asset_stamp(program.created),
        "updatedAt": asset_stamp(program.updated),
        "url": f"{POD}/#PG{program.id}A1",
        "type": program.type,
        "channel": program.channel,
        "folder": {"type": "Folder", "value": program.folder, "folderName": FOLDERS[15][0]},
        "status": program.status,
        "workspace": program.workspace,
        "headStart": False,
    }
    if tags:
        item["tags"] = [{"tagType": kind, "tagValue": value} for kind, value in program.tags]
    if costs:
        item["costs"] = [{"startDate": date, "cost": cost} for date, cost in program.costs]
    return item


@route("GET", "/rest/asset/v1/programs.json", *READ_ASSET, **READ)
async def programs(call: Call) -> Answer:
    """Programs by id, folder, workspace and date of change."""
    kind, values = call.one("filterType"), call.many("filterValues")
    if kind and kind not in {"id", "programId", "folderId", "workspace"}:
        raise ApiError(701, f"filterType cannot be '{kind}'")
    earliest, latest = bounds(call)
    status = call.one("status")
    found = []
    for _, program in sorted(call.world.assets.programs.items()):
        shown = {"folderId": str(program.folder), "workspace": program.workspace}.get(
            kind or "", str(program.id)
        )
        if kind and shown not in values:
            continue
        if earliest <= program.updated <= latest and (not status or program.status == status):
            found.append(_program(call, program))
    return _page(call, found)


@route("GET", "/rest/asset/v1/program/byName.json", *READ_ASSET, **READ)
async def program_by_name(call: Call) -> Answer:
    """The program of exactly that name."""
    name = call.need("name")
    tags, costs = (call.one(f) == "true" for f in ("includeTags", "includeCosts"))
    found = [p for p in call.world.assets.programs.values() if p.name == name]
    return call.found([_program(call, p, tags=tags, costs=costs) for p in found])


@route("GET", "/rest/asset/v1/program/byTag.json", *READ_ASSET, **READ)
async def program_by_tag(call: Call) -> Answer:
    """The programs with a tag."""
    tag = (call.need("tagType"), call.need("tagValue"))
    return _page(call, [_program(call, p) for p in call.world.assets.programs.values() if tag in p.tags])


@route("GET", "/rest/asset/v1/program/{id}.json", *READ_ASSET, **READ)
async def program(call: Call) -> Answer:
    """One program."""
    found = call.world.assets.programs.get(call.arg("id"))
    return call.found([_program(call, found, tags=True, costs=True)] if found else [])


def _campaign(campaign: Campaign) -> dict[str, Any]:
    inside = campaign.program is not None
    item: dict[str, Any] = {
        "id": campaign.id,
        "name": campaign.name,
        "description": campaign.description,
        "createdAt": asset_stamp(campaign.created),
        "updatedAt": asset_stamp(campaign.updated),
        "folder": _folder(campaign.program or 15, "Program" if inside else "Folder"),
        "status": "Active" if campaign.active else "Inactive",
        "type": campaign.type,
        "isSystem": False,
        "isActive": campaign.active,
        "isRequestable": campaign.requestable,
        "isCommunicationLimitEnabled": campaign.type == "batch",
        "recurrence": {"weekdayOnly": False},
        "qualificationRuleType": "any" if campaign.type == "trigger" else "once",
        "workspace": "Default",
        "smartListId": campaign.id + 4000,
        "flowId": campaign.id + 5000,
        "computedUrl": f"{POD}/#SC{campaign.id}A1",
    }
    if inside:
        item["parentProgramId"] = campaign.program
    return item


@route("GET", "/rest/asset/v1/smartCampaigns.json", *READ_ASSET, **READ)
async def campaigns(call: Call) -> Answer:
    """Smart campaigns by folder, activity and date of change."""
    earliest, latest = bounds(call)
    folder, active = _asked_folder(call), (call.one("isActive") or "").lower()
    found = []
    for _, campaign in sorted(call.world.assets.campaigns.items()):
        item = _campaign(campaign)
        if folder and item["folder"] != folder:
            continue
        if active in {"true", "false"} and campaign.active != (active == "true"):
            continue
        if earliest <= campaign.updated <= latest:
            found.append(item)
    return _page(call, found)


@route("GET", "/rest/asset/v1/smartCampaign/byName.json", *READ_ASSET, **READ)
async def campaign_by_name(call: Call) -> Answer:
    """The smart campaign of exactly that name."""
    name = call.need("name")
    return call.found([_campaign(c) for c in call.world.assets.campaigns.values() if c.name == name])


@route("GET", "/rest/asset/v1/smartCampaign/{id}.json", *READ_ASSET, **READ)
async def campaign(call: Call) -> Answer:
    """One smart campaign."""
    found = call.world.assets.campaigns.get(call.arg("id"))
    return call.found([_campaign(found)] if found else [])


def _channel(call: Call, channel: Channel) -> dict[str, Any]:
    statuses = [
        {
            "name": s.name,
            "description": s.name,
            "hidden": s.hidden,
            "type": s.name,
            "step": s.step,
            "success": s.success,
        }
        for s in channel.statuses
    ]
    when = asset_stamp(call.world.seeder.base)
    return {
        "id": channel.id,
        "name": channel.name,
        "applicableProgramType": channel.type,
        "createdAt": when,
        "updatedAt": when,
        "progressionStatuses": statuses,
    }


@route("GET", "/rest/asset/v1/channels.json", *READ_ASSET, **READ)
async def channels(call: Call) -> Answer:
    """All channels."""
    return _page(call, [_channel(call, c) for c in call.world.assets.channels.values()])


@route("GET", "/rest/asset/v1/channel/byName.json", *READ_ASSET, **READ)
async def channel_by_name(call: Call) -> Answer:
    """The channel of exactly that name."""
    name = call.one("name") or call.need("Name")
    return call.found([_channel(call, c) for c in call.world.assets.channels.values() if c.name == name])


def _list(asset: StaticList) -> dict[str, Any]:
    item: dict[str, Any] = {"id": asset.id, "name": asset.name}
    if asset.description is not None:
        item["description"] = asset.description
    return item | {
        "createdAt": asset_stamp(asset.created),
        "updatedAt": asset_stamp(asset.updated),
        "folder": _folder(asset.folder, asset.folder_type),
        "computedUrl": f"{POD}/#ST{asset.id}A1",
        "workspace": "Default",
    }


def _asked_folder(call: Call) -> dict[str, Any] | None:
    text = call.one("folder")
    if text is None:
        return None
    try:
        folder = orjson.loads(text)
    except orjson.JSONDecodeError:
        folder = None
    if not isinstance(folder, dict) or folder.get("type") not in {"Folder", "Program"}:
        raise ApiError(1001, f"Invalid value '{text}' for parameter 'folder'")
    return _folder(number("folder", folder.get("id")), folder["type"])


@route("GET", "/rest/asset/v1/staticLists.json", *READ_ASSET, **READ)
async def lists(call: Call) -> Answer:
    """Static lists by folder and date of change."""
    (earliest, latest), folder = bounds(call), _asked_folder(call)
    found = [
        _list(asset)
        for _, asset in sorted(call.world.assets.lists.items())
        if earliest <= asset.updated <= latest
    ]
    return _page(call, [item for item in found if not folder or item["folder"] == folder])


@route("GET", "/rest/asset/v1/staticList/byName.json", *READ_ASSET, **READ)
async def list_by_name(call: Call) -> Answer:
    """The static list of exactly that name."""
    name = call.need("name")
    return call.found([_list(asset) for asset in call.world.assets.lists.values() if asset.name == name])


@route("GET", "/rest/asset/v1/staticList/{id}.json", *READ_ASSET, **READ)
async def one_list(call: Call) -> Answer:
    """One static list."""
    found = call.world.assets.lists.get(call.arg("id"))
    return call.found([_list(found)] if found else [])


@route("POST", "/rest/asset/v1/staticLists.json", *WRITE_ASSET, **READ)
async def create_list(call: Call) -> Answer:
    """A new static list."""
    name, folder = call.need("name"), None
    call.need("folder")
    folder = _asked_folder(call)
    if folder is None or (folder["type"] == "Program" and folder["id"] not in call.world.assets.programs):
        raise ApiError(710, "Parent folder not found")
    if folder["type"] == "Folder" and folder["id"] not in FOLDERS:
        raise ApiError(710, "Parent folder not found")
    _free_name(call, name)
    await call.pause()
    made = call.world.assets.new_list(
        name,
        int(call.world.clock.now()),
        description=call.one("description"),
        folder=folder["id"],
        folder_type=folder["type"],
        program=folder["id"] if folder["type"] == "Program" else None,
    )
    call.world.note("list_created", 0, call.origin, listId=made.id)
    return call.found([_list(made)])


def _free_name(call: Call, name: str) -> None:
    if any(asset.name == name for asset in call.world.assets.lists.values()):
        raise ApiError(709, f"Static list with name '{name}' already exists")


def _wanted_list(call: Call) -> StaticList:
    found = call.world.assets.lists.get(call.arg("id"))
    if found is None:
        raise ApiError(702, "Static list not found")
    return found


@route("POST", "/rest/asset/v1/staticList/{id}.json", *WRITE_ASSET, **READ)
async def update_list(call: Call) -> Answer:
    """A new name or description for a static list."""
    asset, name = _wanted_list(call), call.one("name")
    if name is not None and name != asset.name:
        _free_name(call, name)
        asset.name = name
    if "description" in call.params:
        asset.description = call.one("description")
    asset.updated = int(call.world.clock.now())
    call.world.note("list_updated", 0, call.origin, listId=asset.id)
    return call.found([_list(asset)])


@route("POST", "/rest/asset/v1/staticList/{id}/delete.json", *WRITE_ASSET, **READ)
async def delete_list(call: Call) -> Answer:
    """Delete a static list."""
    asset = _wanted_list(call)
    await call.pause()
    call.world.assets.lists.pop(asset.id, None)
    call.world.note("list_deleted", 0, call.origin, listId=asset.id)
    return call.found([{"id": asset.id}])


@route("GET", "/rest/asset/v1/folder/byName.json", *READ_ASSET, **READ)
async def folder_by_name(call: Call) -> Answer:
    """The folder of exactly that name."""
    name, kind = call.need("name"), call.one("type") or "Folder"
    when = asset_stamp(call.world.seeder.base)
    found = [
        {
            "name": known,
            "description": None,
            "createdAt": when,
            "updatedAt": when,
            "url": f"{POD}/#{'ML' if i == GROUP_LISTS else 'MF'}0A1",
            "folderId": _folder(i),
            "folderType": "List" if i == GROUP_LISTS else "Marketing Folder",
            "parent": _folder(5 if i == GROUP_LISTS else 7),
            "path": path,
            "isArchive": False,
            "isSystem": True,
            "accessZoneId": 1,
            "workspace": "Default",
            "id": i,
        }
        for i, (known, path) in FOLDERS.items()
        if known == name and kind == "Folder"
    ]
    return call.found(found)
