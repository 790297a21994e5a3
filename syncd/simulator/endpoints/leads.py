"""Leads by id and by filter, sync, delete, merge, associate, partitions."""

import re
from typing import Any
from urllib.parse import unquote

from syncd.simulator import changes
from syncd.simulator.calls import Answer, ApiError, Call, number, skipped
from syncd.simulator.pages import lead_page, read_leads, shape
from syncd.simulator.routing import READ_LEAD, WRITE_LEAD, route
from syncd.simulator.syncing import ACTIONS, Upsert, lookup_field, partition_id

COOKIE = re.compile(r"^id:[\w-]+&token:_mch-[\w.-]+$")


@route("GET", "/rest/v1/lead/{leadId}.json", *READ_LEAD)
async def by_id(call: Call) -> Answer:
    """One lead."""
    record = call.world.leads.get(call.arg("leadId"))
    shaped = shape(call.world, call.many("fields"))
    if record is None:
        if call.world.options.missing_lead == "1004":
            raise ApiError(1004, f"Lead '{call.args['leadId']}' not found")
        return call.ok([])
    return call.ok([shaped(record)])


@route("GET", "/rest/v1/leads.json", *READ_LEAD, time_out=60)
async def by_filter(call: Call) -> Answer:
    """Leads whose field has one of the values."""
    world, name = call.world, call.need("filterType")
    values = list(dict.fromkeys(call.many("filterValues")))
    if not values:
        raise ApiError(1002, "Missing value for required parameter 'filterValues'")
    if len(values) > call.most:
        raise ApiError(1003, f"The number of filter values {len(values)} exceeds the limit of {call.most}")
    field = world.field(name)
    if field is None:
        raise ApiError(1006, f"Lookup field '{name}' not found")
    if not field.searchable:
        raise ApiError(1011, f"Lookup field '{name}' not supported")
    shaped = shape(world, call.many("fields"))
    most = world.options.max_matches
    if field.name == "leadPartitionId" and 0 < most < world.seeder.count // 64:
        raise ApiError(1003, "Too many results match the filter")
    found: set[int] = set()
    for value in values:
        if field.name == "cookies":
            found.update(_by_cookie(call, value))
        else:
            found.update(world.leads.find(field, value))
    if most and len(found) > most:
        raise ApiError(1003, "Too many results match the filter")
    page, token = lead_page(call, found)
    return call.ok(read_leads(world, page, shaped), nextPageToken=token)


def _by_cookie(call: Call, value: str) -> set[int]:
    if not COOKIE.match(value):
        raise ApiError(1012, f"Invalid cookie value '{value}'")
    lead = call.world.cookies.get(value)
    return {lead} if lead and call.world.leads.exists(lead) else set()


@route("POST", "/rest/v1/leads.json", *WRITE_LEAD, time_out=90)
async def sync(call: Call) -> Answer:
    """Create and update leads."""
    world = call.world
    action = call.text("action") or "createOrUpdate"
    if action not in ACTIONS:
        raise ApiError(1003, f"Invalid value '{action}' for parameter 'action'")
    lookup = lookup_field(world, call.text("lookupField"))
    if lookup.name == "id" and action != "updateOnly":
        raise ApiError(1003, "Lookup field 'id' is allowed with action 'updateOnly' only")
    records = call.input()
    partition = partition_id(world, call.text("partitionName"))
    upsert = Upsert(
        world, call.origin, action, lookup, partition, company=world.options.company_fields == "write"
    )
    return call.ok(await upsert.run(call, records))


@route("POST", "/rest/v1/leads/delete.json", *WRITE_LEAD)
@route("DELETE", "/rest/v1/leads.json", *WRITE_LEAD)
async def delete(call: Call) -> Answer:
    """Delete leads by id."""
    ids = lead_ids(call)
    if not ids:
        raise ApiError(1003, "Lead ids not specified")
    await call.pause()
    result = []
    for lead in ids:
        if not call.world.leads.exists(lead):
            result.append(skipped(1004, "Lead not found", id=lead))
            continue
        changes.delete(call.world, lead, call.origin)
        result.append({"id": lead, "status": "deleted"})
    return call.ok(result)


def lead_ids(call: Call) -> list[int]:
    """The lead ids of a call: in its query, or as records with an id in its body."""
    ids = call.whole_list("id")
    if not ids and call.body:
        records = call.json().get("input")
        if not isinstance(records, list):
            records = []
        for record in records:
            given = record.get("id") if isinstance(record, dict) else record
            if given is None or isinstance(given, (bool, dict, list)):
                raise ApiError(1003, "Lead ids not specified")
            ids.append(number("id", given))
    if len(ids) > call.most:
        raise ApiError(1003, f"The number of leads {len(ids)} exceeds the limit of {call.most}")
    return ids


@route("POST", "/rest/v1/leads/{leadId}/merge.json", *WRITE_LEAD, time_out=180)
async def merge(call: Call) -> Answer:
    """Merge leads into the one in the path."""
    winner = call.arg("leadId")
    losers = list(dict.fromkeys([*call.whole_list("leadId"), *call.whole_list("leadIds")]))
    if not losers:
        raise ApiError(1002, "Missing value for required parameter 'leadId'")
    most = call.world.options.merge_limit
    if len(losers) > most:
        raise ApiError(1080, f"The number of leads to merge exceeds the limit of {most}")
    flag = (call.one("mergeInCRM") or "false").lower()
    if flag not in {"true", "false"}:
        raise ApiError(1001, f"Invalid value '{flag}' for parameter 'mergeInCRM'")
    if flag == "true":
        raise ApiError(1018, "Merge in CRM is not possible: no CRM is connected")
    _check_merge(call, winner, losers)
    await call.pause()
    _check_merge(call, winner, losers)
    changes.merge(call.world, winner, losers, call.origin)
    return call.ok()


def _check_merge(call: Call, winner: int, losers: list[int]) -> None:
    for lead in (winner, *losers):
        if not call.world.leads.exists(lead):
            raise ApiError(1004, f"Lead '{lead}' not found")
    if winner in losers:
        raise ApiError(1003, "A lead cannot be merged with itself")


@route("POST", "/rest/v1/leads/{leadId}/associate.json", *WRITE_LEAD, time_out=60)
async def associate(call: Call) -> Answer:
    """Tie a visitor's cookie to a lead."""
    lead, cookie = call.arg("leadId"), unquote(call.need("cookie"))
    if not COOKIE.match(cookie):
        raise ApiError(1012, f"Invalid cookie value '{cookie}'")
    if not call.world.leads.exists(lead):
        raise ApiError(1004, f"Lead '{lead}' not found")
    await call.pause()
    tie_cookie(call, lead, cookie)
    return call.ok()


def tie_cookie(call: Call, lead: int, cookie: str) -> None:
    """From now on, what this visitor does is the lead's; an anonymous visitor becomes part of it."""
    world = call.world
    known = world.cookies.get(cookie)
    if known is not None and known != lead and known in world.anonymous:
        changes.merge(world, lead, [known], call.origin, source="form")
    world.cookies[cookie] = lead
    if world.leads.exists(lead):
        world.leads.write(lead, {world.schema.slot("cookies"): cookie})
    world.note("associated", lead, call.origin, cookie=cookie)


@route("GET", "/rest/v1/leads/partitions.json", *READ_LEAD)
async def partitions(call: Call) -> Answer:
    """All lead partitions."""
    known = call.world.assets.partitions
    return call.ok([{"id": i, "name": n, "description": f"Partition {n}"} for i, n in sorted(known.items())])


@route("POST", "/rest/v1/leads/partitions.json", *WRITE_LEAD, time_out=60)
async def move(call: Call) -> Answer:
    """Move leads to other partitions."""
    records = call.input()
    await call.pause()
    return call.ok([_move(call, record) for record in records])


def _move(call: Call, record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or not isinstance(record.get("partitionName"), str):
        return skipped(1003, "Invalid data: id and partitionName are needed")
    lead = number("id", record.get("id"))
    if not call.world.leads.exists(lead):
        return skipped(1004, "Lead not found", id=lead)
    try:
        partition = partition_id(call.world, record["partitionName"])
    except ApiError as problem:
        return skipped(int(problem.code), problem.message, id=lead)
    changes.move(call.world, lead, partition or 1, call.origin)
    return {"id": lead, "status": "updated"}
