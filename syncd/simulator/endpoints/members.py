"""Program members: by filter, status, data, delete, describe, and their custom fields."""

from collections.abc import Callable
from typing import Any

from syncd.simulator.assets import Member
from syncd.simulator.calls import Answer, ApiError, Call, number, skipped
from syncd.simulator.clock import SECONDS_A_DAY, stamp
from syncd.simulator.endpoints.programs import find_program, find_status
from syncd.simulator.endpoints.schema import FLAGS, bad_field
from syncd.simulator.endpoints.schema import update_field as change_field
from syncd.simulator.fields import Field
from syncd.simulator.leads import key_of
from syncd.simulator.member_fields import CUSTOM_LIMIT, member_value
from syncd.simulator.pages import lead_page, offset_page
from syncd.simulator.progress import leave, set_data, set_status
from syncd.simulator.routing import READ_LEAD, SCHEMA, WRITE_LEAD, route
from syncd.simulator.values import BadValue, fit

BASE = "/rest/v1/programs/{programId}/members"
MEMBER_LIMIT = 100_000
WINDOW_DAYS = 7
DEFAULT = ("reachedSuccess", "programId", "acquiredBy", "membershipDate")
Test = Callable[[int, Member], bool]


@route("GET", BASE + ".json", *READ_LEAD)
async def by_filter(call: Call) -> Answer:
    """Members that fit a filter."""
    program, world = find_program(call), call.world
    test = _test(call)
    fields = _fields(call)
    if call.one("filterType") != "leadId" and len(program.members) > MEMBER_LIMIT:
        total = f"Total membership size: {len(program.members):,}"
        raise ApiError(1003, f"{total} exceeds the limit allowed {MEMBER_LIMIT:,} for the filter")
    found = [lead for lead, member in program.members.items() if test(lead, member)]
    page, token = lead_page(call, found)
    result = []
    for seq, lead in enumerate(page):
        member, record = program.members[lead], world.leads.get(lead)
        item: dict[str, Any] = {"seq": seq, "leadId": lead}
        for field, of_lead in fields:
            if of_lead:
                item[field.name] = record[field.slot] if record is not None else None
            else:
                item[field.name] = member_value(field, program, lead, member)
        result.append(item)
    return call.ok(result, nextPageToken=token, moreResult=token is not None)


def _fields(call: Call) -> list[tuple[Field, bool]]:
    found = []
    for name in call.many("fields") or DEFAULT:
        field = call.world.member_schema.find(name)
        if field is not None:
            found.append((field, False))
        elif (lead_field := call.world.field(name)) is not None:
            found.append((lead_field, True))
        else:
            raise ApiError(1006, f"Field '{name}' not found")
    return [f for f in found if f[0].name != "leadId"]


def _test(call: Call) -> Test:  # noqa: C901 - one filter after the other
    kind = call.need("filterType")
    if kind == "updatedAt":
        start, end = call.moment("startAt"), call.moment("endAt")
        if start is None or end is None:
            raise ApiError(1002, "Missing value for required parameters 'startAt' and 'endAt'")
        if not 0 <= end - start <= WINDOW_DAYS * SECONDS_A_DAY:
            raise ApiError(1003, f"Date range exceeds the limit of {WINDOW_DAYS} days")
        return lambda _, member: start <= member.updated <= end
    values = {key_of(v) for v in call.many("filterValues")}
    if not values:
        raise ApiError(1002, "Missing value for required parameter 'filterValues'")
    if len(values) > call.most:
        raise ApiError(1003, f"The number of filter values {len(values)} exceeds the limit of {call.most}")
    if kind == "leadId":
        return lambda lead, _: str(lead) in values
    if kind == "statusName":
        return lambda _, member: member.status.lower() in values
    if kind == "reachedSuccess":
        return lambda _, member: key_of(member.reached) in values
    field = call.world.member_schema.find(kind)
    if field is None:
        raise ApiError(1006, f"Lookup field '{kind}' not found")
    if not field.custom or field.type not in {"string", "integer"}:
        raise ApiError(1011, f"Lookup field '{kind}' not supported")
    name = field.name
    return lambda _, member: key_of(member.data.get(name)) in values


def _lead(record: Any) -> int:
    return number("leadId", record.get("leadId") if isinstance(record, dict) else None)


@route("POST", BASE + "/status.json", *WRITE_LEAD)
async def status(call: Call) -> Answer:
    """Put leads into a status; those that are not in the program join it."""
    program = find_program(call)
    wanted, records = find_status(call, program, call.json().get("statusName")), call.input()
    leads = [_lead(record) for record in records]
    await call.pause()
    result: list[dict[str, Any]] = []
    for seq, lead in enumerate(leads):
        if not call.world.leads.exists(lead):
            result.append({"seq": seq, "leadId": lead, **skipped(1004, "Lead not found")})
            continue
        done = set_status(call.world, program, lead, wanted, call.origin)
        if done:
            result.append({"seq": seq, "status": done, "leadId": lead})
        else:
            text = "Lead skipped because it is already in or past this status"
            result.append({"seq": seq, **skipped(1037, text), "leadId": lead})
    return call.ok(result)


@route("POST", BASE + ".json", *WRITE_LEAD)
async def data(call: Call) -> Answer:
    """Change members' own fields."""
    program, records = find_program(call), call.input()
    leads = [_lead(record) for record in records]
    await call.pause()
    result: list[dict[str, Any]] = []
    for seq, (lead, record) in enumerate(zip(leads, records, strict=True)):
        item: dict[str, Any] = {"seq": seq, "leadId": lead}
        values, problem = _values(call, record)
        if problem is not None:
            result.append({**item, **problem})
        elif lead not in program.members:
            result.append({**item, **skipped(1013, "Membership not found")})
        else:
            set_data(call.world, program, lead, values, call.origin)
            result.append({**item, "status": "updated"})
    return call.ok(result)


def _values(call: Call, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    values: dict[str, Any] = {}
    for name, value in record.items():
        if name == "leadId":
            continue
        field = call.world.member_schema.find(name)
        if field is None:
            return {}, skipped(1006, f"Field '{name}' not found")
        if field.read_only:
            return {}, skipped(1003, f"Field '{name}' is read only")
        try:
            values[field.name] = fit(field, value, overlong=call.world.options.overlong)
        except BadValue:
            return {}, skipped(1003, f"Invalid value for field '{name}' and value '{value}'")
    return values, None


@route("POST", BASE + "/delete.json", *WRITE_LEAD)
async def delete(call: Call) -> Answer:
    """Take leads out of a program."""
    program = find_program(call)
    leads = [_lead(record) for record in call.input()]
    await call.pause()
    result: list[dict[str, Any]] = []
    for seq, lead in enumerate(leads):
        item: dict[str, Any] = {"seq": seq, "leadId": lead}
        if leave(call.world, program, lead, call.origin):
            result.append({**item, "status": "deleted"})
        else:
            result.append({**item, **skipped(1037, "Lead not in program")})
    return call.ok(result)


@route("GET", "/rest/v1/programs/members/describe.json", *READ_LEAD)
async def describe(call: Call) -> Answer:
    """The fields of program members, and which of them members can be looked up by."""
    fields = [f for f in call.world.member_schema.fields if not f.hidden]
    searchable = [["leadId"], ["reachedSuccess"], ["statusName"]]
    searchable += [[f.name] for f in fields if f.custom and f.type in {"string", "integer"}]
    item = {
        "name": "API Program Membership",
        "description": "Members of programs",
        "createdAt": stamp(call.world.seeder.base),
        "updatedAt": stamp(call.world.seeder.base),
        "dedupeFields": ["leadId", "programId"],
        "searchableFields": searchable,
        "fields": [f.describe2() for f in fields],
    }
    return call.ok([item])


@route("GET", "/rest/v1/program/members/describe.json", *READ_LEAD)
async def describe_old(call: Call) -> Answer:
    """The fields of program members, as the older path shows them."""
    fields = [f.describe2() for f in call.world.member_schema.fields if not f.hidden]
    return call.ok([{"name": "API Program Membership", "fields": fields}])


SCHEMA_BASE = "/rest/v1/programs/members/schema/fields"


@route("GET", SCHEMA_BASE + ".json", *SCHEMA)
async def browse_fields(call: Call) -> Answer:
    """All program member fields, by pages."""
    page, token = offset_page(call, call.world.member_schema.fields)
    return call.ok([f.schema() for f in page], nextPageToken=token, moreResult=token is not None)


def _find(call: Call) -> Field:
    field = call.world.member_schema.by_name.get(call.args["fieldApiName"].lower())
    if field is None:
        raise ApiError(1006, f"Field '{call.args['fieldApiName']}' not found")
    return field


@route("GET", SCHEMA_BASE + "/{fieldApiName}.json", *SCHEMA)
async def one_field(call: Call) -> Answer:
    """One program member field."""
    return call.ok([_find(call).schema()])


@route("POST", SCHEMA_BASE + ".json", SCHEMA[1])
async def create_fields(call: Call) -> Answer:
    """New custom program member fields, 20 at most."""
    schema, records = call.world.member_schema, call.input(limit=CUSTOM_LIMIT)
    await call.pause()
    result = []
    for record in records:
        if not isinstance(record, dict):
            raise ApiError(1003, "Invalid data: a field is an object")
        problem = bad_field(record, schema.by_name, {f.display.lower() for f in schema.fields})
        if problem is None and sum(f.custom for f in schema.fields) >= CUSTOM_LIMIT:
            problem = skipped(1028, f"Max number of fields {CUSTOM_LIMIT} reached")
        if problem is not None:
            result.append(problem)
            continue
        flags = {ours: record[name] for name, ours in FLAGS.items() if record.get(name) is not None}
        field = schema.create(
            record["name"],
            record["displayName"],
            record["dataType"],
            description=record.get("description"),
            **flags,
        )
        result.append({"name": field.name, "status": "created"})
    return call.ok(result)


@route("POST", SCHEMA_BASE + "/{fieldApiName}.json", *SCHEMA)
async def update_field(call: Call) -> Answer:
    """Change what may be changed of one program member field."""
    return await change_field(call, _find(call), call.world.member_schema.fields)
