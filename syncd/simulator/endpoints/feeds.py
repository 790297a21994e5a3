"""Paging token, activities, lead changes, deleted leads, activity types."""

from collections.abc import Callable
from typing import Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.activities import Activity, Position
from syncd.simulator.calls import PAGE, Answer, ApiError, Call
from syncd.simulator.clock import stamp
from syncd.simulator.pages import decode_token, encode_token
from syncd.simulator.routing import READ_ACTIVITY, route

TYPES_LIMIT, LEADS_LIMIT, POSITION_PARTS = 10, 30, 3
Test = Callable[[Activity], bool]


@route("GET", "/rest/v1/activities/pagingtoken.json", *READ_ACTIVITY, time_out=300)
async def paging_token(call: Call) -> Answer:
    """A token that stands after a date."""
    call.need("sinceDatetime")
    moment = call.moment("sinceDatetime")
    return call.ok(nextPageToken=_token(call.world.log.since(moment or 0)))


@route("GET", "/rest/v1/activities/types.json", *READ_ACTIVITY)
async def types(call: Call) -> Answer:
    """All activity types."""
    return call.ok(kinds.describe_types())


@route("GET", "/rest/v1/activities.json", *READ_ACTIVITY)
async def activities(call: Call) -> Answer:
    """Activities of some types."""
    wanted = call.whole_list("activityTypeIds")
    if not wanted:
        raise ApiError(1002, "Missing value for required parameter 'activityTypeIds'")
    if len(wanted) > TYPES_LIMIT:
        raise ApiError(1003, f"The number of activity types exceeds the limit of {TYPES_LIMIT}")
    assets = set(call.whole_list("assetIds"))
    if assets and len(set(wanted)) > 1:
        raise ApiError(1003, "assetIds needs a single activity type")
    tests = _leads_test(call)
    if assets:
        tests.append(lambda a: a.primary_id in assets)
    return _feed(call, set(wanted), tests, lambda a: _show(call, a))


@route("GET", "/rest/v1/activities/leadchanges.json", *READ_ACTIVITY)
async def lead_changes(call: Call) -> Answer:
    """New leads, and changed values of the fields asked for."""
    names = {n.lower() for n in call.many("fields")}
    if not names:
        raise ApiError(1002, "Missing value for required parameter 'fields'")
    for name in names:
        if call.world.field(name) is None:
            raise ApiError(1006, f"Field '{name}' not found")
    tests = _leads_test(call)
    if call.world.options.strict_change_fields:
        tests.append(lambda a: a.fields is None or any(f[1].lower() in names for f in a.fields))
    return _feed(call, {kinds.NEW_LEAD, kinds.CHANGE}, tests, lambda a: _show_change(call, a))


@route("GET", "/rest/v1/activities/deletedleads.json", *READ_ACTIVITY)
async def deleted_leads(call: Call) -> Answer:
    """Deletions of the last two weeks."""
    return _feed(call, {kinds.DELETE}, [], lambda a: _show(call, a))


def _leads_test(call: Call) -> list[Test]:
    world = call.world
    tests: list[Test] = [lambda a: world.survivor(a.lead) not in world.anonymous]
    leads = set(call.whole_list("leadIds"))
    if len(leads) > LEADS_LIMIT:
        raise ApiError(1003, f"The number of lead ids exceeds the limit of {LEADS_LIMIT}")
    if leads:
        tests.append(lambda a: world.survivor(a.lead) in leads)
    if call.one("listId"):
        number = call.whole("listId", 0, high=2**62)
        found = world.assets.lists.get(number)
        if found is None:
            raise ApiError(1013, "Object not found")
        members, most = found.members, world.options.list_filter_limit
        if most and len(members) >= most:
            raise ApiError(1003, f"The list has {len(members)} members; listId allows fewer than {most}")
        tests.append(lambda a: world.survivor(a.lead) in members)
    return tests


def _feed(
    call: Call, wanted: set[int], tests: list[Test], show: Callable[[Activity], dict[str, Any]]
) -> Answer:
    world, log = call.world, call.world.log
    position = _position(call.need("nextPageToken"))
    size = call.whole("batchSize", PAGE)
    if world.options.sparse_pages and position.index < len(log) and position.index % 3 == 1:
        moved = Position(position.index + 1, position.since, position.settled)
        kept = [a for _, a in log.scan(position, wanted.__contains__, 1) if all(t(a) for t in tests)]
        if not kept:
            return call.ok(nextPageToken=_token(moved), moreResult=True)
    result: list[dict[str, Any]] = []
    end = min(position.index + world.options.scan_block, len(log))
    for index, activity in log.scan(position, wanted.__contains__, world.options.scan_block):
        if all(test(activity) for test in tests):
            result.append(show(activity))
            if len(result) == size:
                end = index
                break
    end = max(end, position.index)
    token = _token(Position(end, position.since, position.settled))
    return call.ok(result or None, nextPageToken=token, moreResult=end < len(log))


def _token(position: Position) -> str:
    return encode_token(position.index, position.since, position.settled)


def _position(text: str) -> Position:
    values = decode_token(text)
    if len(values) != POSITION_PARTS or not all(isinstance(v, int) and v >= -(2**40) for v in values):
        raise ApiError(1003, "Invalid nextPageToken")
    return Position(max(0, values[0]), values[1], values[2])


def _show(call: Call, activity: Activity) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": activity.guid,
        "marketoGUID": str(activity.guid),
        "leadId": call.world.survivor(activity.lead),
        "activityDate": stamp(activity.date),
        "activityTypeId": activity.type,
    }
    if activity.campaign is not None:
        item["campaignId"] = activity.campaign
    if activity.primary_id is not None:
        item["primaryAttributeValueId"] = activity.primary_id
    if activity.primary is not None:
        item["primaryAttributeValue"] = activity.primary
    item["attributes"] = [{"name": name, "value": value} for name, value in activity.attributes]
    return item


def _show_change(call: Call, activity: Activity) -> dict[str, Any]:
    item = _show(call, activity)
    if activity.type != kinds.CHANGE:
        return item
    for name in ("primaryAttributeValueId", "primaryAttributeValue"):
        item.pop(name, None)
    fields = activity.fields or ()
    item["fields"] = [{"id": i, "name": n, "newValue": new, "oldValue": old} for i, n, old, new in fields]
    attributes = [a for a in item.pop("attributes") if a["name"] in {"Reason", "Source"}]
    item["attributes"] = [*attributes, {"name": "Lead ID", "value": item["leadId"]}]
    return item
