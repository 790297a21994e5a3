"""Smart campaigns as the Lead Database sees them: browse, trigger, schedule."""

from typing import Any

from syncd.simulator.assets import Campaign
from syncd.simulator.calls import Answer, ApiError, Call, number
from syncd.simulator.clock import SECONDS_A_DAY, parse_time, stamp
from syncd.simulator.pages import offset_page
from syncd.simulator.progress import request_campaign
from syncd.simulator.routing import EXECUTE_CAMPAIGN, READ_CAMPAIGN, route

LEADS_LIMIT, CLONES_A_DAY = 100, 20
SOONEST, LATEST = 300, 2 * 366 * SECONDS_A_DAY


def _show(call: Call, campaign: Campaign) -> dict[str, Any]:
    item: dict[str, Any] = {"id": campaign.id, "name": campaign.name, "type": campaign.type}
    if campaign.description:
        item["description"] = campaign.description
    program = call.world.assets.programs.get(campaign.program or 0)
    if program is not None:
        item |= {"programName": program.name, "programId": program.id}
    return item | {
        "workspaceName": "Default",
        "createdAt": stamp(campaign.created),
        "updatedAt": stamp(campaign.updated),
        "active": campaign.active,
    }


@route("GET", "/rest/v1/campaigns.json", *READ_CAMPAIGN)
async def browse(call: Call) -> Answer:
    """Campaigns by id, name, program, workspace and whether they can be triggered."""
    ids, names = set(call.whole_list("id")), set(call.many("name"))
    programs, workspaces = set(call.many("programName")), set(call.many("workspaceName"))
    triggerable = (call.one("isTriggerable") or "").lower()
    found = []
    for _, campaign in sorted(call.world.assets.campaigns.items()):
        item = _show(call, campaign)
        if (
            (not ids or campaign.id in ids)
            and (not names or campaign.name in names)
            and (not programs or item.get("programName") in programs)
            and (not workspaces or "Default" in workspaces)
            and (triggerable not in {"true", "1"} or campaign.requestable)
        ):
            found.append(item)
    page, token = offset_page(call, found)
    return call.ok(page, nextPageToken=token)


def _find(call: Call) -> Campaign:
    found = call.world.assets.campaigns.get(call.arg("campaignId"))
    if found is None:
        raise ApiError(1013, "Campaign not found")
    return found


@route("GET", "/rest/v1/campaigns/{campaignId}.json", *READ_CAMPAIGN)
async def one(call: Call) -> Answer:
    """One campaign."""
    return call.ok([_show(call, _find(call))])


def _input(call: Call) -> dict[str, Any]:
    given = call.json().get("input")
    if not isinstance(given, dict):
        raise ApiError(1002, "Missing value for required parameter 'input'")
    tokens = given.get("tokens") or []
    if not isinstance(tokens, list) or not all(
        isinstance(t, dict) and isinstance(t.get("name"), str) for t in tokens
    ):
        raise ApiError(1001, "Invalid value for parameter 'tokens'")
    return given


@route("POST", "/rest/v1/campaigns/{campaignId}/trigger.json", *EXECUTE_CAMPAIGN)
async def trigger(call: Call) -> Answer:
    """Send leads through an active trigger campaign."""
    campaign, given = _find(call), _input(call)
    records = given.get("leads")
    if not isinstance(records, list) or not records:
        raise ApiError(1003, "Lead ids not specified")
    if len(records) > LEADS_LIMIT:
        raise ApiError(1003, f"The number of leads {len(records)} exceeds the limit of {LEADS_LIMIT}")
    if not campaign.requestable or not campaign.active:
        raise ApiError(1003, f"Campaign {campaign.id} is not an active campaign with a web service trigger")
    leads = [number("id", r.get("id") if isinstance(r, dict) else None) for r in records]
    for lead in leads:
        if not call.world.leads.exists(lead):
            raise ApiError(1004, f"Lead '{lead}' not found")
    await call.pause()
    for lead in leads:
        if call.world.leads.exists(lead):
            request_campaign(call.world, campaign, lead, call.origin)
    return call.ok([{"id": campaign.id}])


@route("POST", "/rest/v1/campaigns/{campaignId}/schedule.json", *EXECUTE_CAMPAIGN)
async def schedule(call: Call) -> Answer:
    """Schedule a batch campaign."""
    campaign, given, now = _find(call), _input(call), call.world.clock.now()
    if campaign.type != "batch":
        raise ApiError(1003, f"Campaign {campaign.id} is not a batch campaign")
    text = given.get("runAt")
    moment = now + SOONEST
    if text is not None:
        parsed = parse_time(text) if isinstance(text, str) else None
        if parsed is None or not now + SOONEST - 1 <= parsed <= now + LATEST:
            raise ApiError(1042, f"Invalid runAt '{text}'")
        moment = parsed
    name = given.get("cloneToProgramName")
    if name is not None:
        if not isinstance(name, str) or not name:
            raise ApiError(1001, "Invalid value for parameter 'cloneToProgramName'")
        if call.world.clones >= CLONES_A_DAY:
            raise ApiError(1020, "Too many clones today")
        if any(p.name == name for p in call.world.assets.programs.values()):
            raise ApiError(709, f"Program '{name}' already exists")
    await call.pause()
    if name is not None:
        call.world.clones += 1
    call.world.note("campaign_scheduled", 0, call.origin, campaignId=campaign.id, runAt=stamp(moment))
    return call.ok([{"id": campaign.id}])
