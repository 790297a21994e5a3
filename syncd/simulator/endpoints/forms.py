"""Push lead and submit form: upserts that leave an activity to trigger on."""

from typing import Any

from syncd.simulator import activity_types as kinds
from syncd.simulator.assets import Program
from syncd.simulator.calls import Answer, ApiError, Call, number, skipped
from syncd.simulator.endpoints.leads import COOKIE, tie_cookie
from syncd.simulator.progress import set_data, set_status
from syncd.simulator.routing import WRITE_LEAD, route
from syncd.simulator.syncing import Plan, Upsert, lookup_field, partition_id, pause
from syncd.simulator.values import BadValue, fit
from syncd.simulator.world import Origin

Item = dict[str, Any]


@route("POST", "/rest/v1/leads/push.json", *WRITE_LEAD, time_out=90)
async def push(call: Call) -> Answer:
    """Upsert leads, tie them to a program, and leave one activity each."""
    world, name, records = call.world, call.text("programName"), call.input()
    if name is None:
        raise ApiError(1002, "Missing value for required parameter 'programName'")
    program = next((p for p in world.assets.programs.values() if p.name == name), None)
    if program is None:
        raise ApiError(1013, f"Program '{name}' not found")
    status = None
    if (wanted := call.text("programStatus")) is not None:
        status = world.assets.channel_of(program).find(wanted)
        if status is None:
            raise ApiError(1025, f"Program status '{wanted}' not found")
    by_token = call.text("lookupField") == "mktToken"
    lookup = lookup_field(world, None if by_token else call.text("lookupField"))
    partition = partition_id(world, call.text("partitionName"))
    upsert = Upsert(world, call.origin, "createOrUpdate", lookup, partition, company=True)
    plans = [_by_token(upsert, r) if by_token else upsert.plan(r) for r in records]
    await pause(call)
    result = upsert.apply(plans)
    source = [("Reason", call.text("reason")), ("Source", call.text("source"))]
    attributes = tuple((n, v) for n, v in source if v is not None)
    for item in result:
        if "id" not in item:
            continue
        if status is not None:
            set_status(world, program, item["id"], status, call.origin)
        more = {"primary_id": program.id, "primary": program.name, "attributes": attributes}
        world.write_log(kinds.PUSH, item["id"], call.origin, **more)
        world.note("pushed", item["id"], call.origin, programId=program.id)
    return call.ok(result, warnings=[])


def _by_token(upsert: Upsert, record: Any) -> Plan:
    if not isinstance(record, dict) or not isinstance(record.get("mktToken"), str):
        return Plan(problem=skipped(1003, "Missing value for lookup field 'mktToken'"))
    lead = upsert.world.mkt_tokens.get(record["mktToken"])
    if lead is None or not upsert.world.leads.exists(lead):
        return Plan(problem=skipped(1004, "Lead not found"))
    matcher = Upsert(upsert.world, upsert.origin, "updateOnly", None, upsert.partition, company=True)
    plan = matcher.plan({k: v for k, v in record.items() if k != "mktToken"})
    plan.found = [lead]
    return plan


@route("POST", "/rest/v1/leads/submitForm.json", *WRITE_LEAD)
async def submit(call: Call) -> Answer:
    """One filled-out form."""
    world, body, records = call.world, call.json(), call.input()
    form = number("formId", body["formId"]) if body.get("formId") is not None else None
    if form is None:
        raise ApiError(1002, "Missing value for required parameter 'formId'")
    if form not in world.assets.forms:
        raise ApiError(1013, f"Form '{form}' not found")
    if len(records) != 1:
        raise ApiError(1003, "Exactly one record is needed in 'input'")
    program = _program(call, body.get("programId"))
    record = records[0]
    fields = record.get("leadFormFields") if isinstance(record, dict) else None
    if not isinstance(fields, dict) or not fields.get("email"):
        raise ApiError(1003, "Form validation failed: leadFormFields with an email are needed")
    if any(value is None for value in fields.values()):
        raise ApiError(1003, "Form validation failed")
    cookie = record.get("cookie")
    if cookie is not None and (not isinstance(cookie, str) or (cookie and not COOKIE.match(cookie))):
        raise ApiError(1012, f"Invalid cookie value '{cookie}'")
    visit = record.get("visitorData") or {}
    if not isinstance(visit, dict):
        raise ApiError(1003, "Form validation failed: visitorData is an object")
    item = await _fill_out(call, form, program, fields, visit, cookie)
    return call.ok([item])


def _program(call: Call, given: Any) -> Program | None:
    if given is None:
        return None
    found = call.world.assets.programs.get(number("programId", given))
    if found is None:
        raise ApiError(1013, f"Program '{given}' not found")
    return found


async def _fill_out(
    call: Call, form: int, program: Program | None, fields: Item, visit: Item, cookie: str | None
) -> Item:
    world = call.world
    url = visit.get("pageURL") or ""
    origin = Origin(
        call.endpoint, call.request_id, "Web form fillout", f"Form fill-out, URL: {url}", "Web form fillout"
    )
    own: Item = {}
    member: Item = {}
    for name, value in fields.items():
        if name not in world.assets.form_fields[form]:
            return skipped(1006, f"Field '{name}' is not on the form")
        target = own if world.field(name) else member
        target[name] = value
    for name, value in member.items():
        field = world.member_schema.find(name)
        try:
            member[name] = fit(field, value) if field else value
        except BadValue:
            return skipped(1003, f"Invalid value for field '{name}' and value '{value}'")
    upsert = Upsert(
        world,
        origin,
        "createOrUpdate",
        lookup_field(world, None),
        company=True,
        latest_wins=True,
        attributes={"Form Name": world.assets.forms[form]},
    )
    plan = upsert.plan(own)
    await pause(call)
    item = upsert.apply([plan])[0]
    if "id" in item:
        _after(call, item["id"], form, program, member, visit, cookie, origin)
    return item


def _after(
    call: Call,
    lead: int,
    form: int,
    program: Program | None,
    member: Item,
    visit: Item,
    cookie: str | None,
    origin: Origin,
) -> None:
    world = call.world
    if cookie:
        tie_cookie(call, lead, cookie)
    if member and program is None and world.assets.programs:
        program = world.assets.programs[min(world.assets.programs)]
    if program is not None:
        status = world.assets.channel_of(program).statuses[1]
        if lead not in program.members:
            set_status(world, program, lead, status, origin)
        set_data(world, program, lead, member, origin)
    shown = (
        ("Client IP Address", visit.get("leadClientIpAddress")),
        ("Query Parameters", visit.get("queryString")),
        ("User Agent", visit.get("userAgentString")),
    )
    attributes = tuple((n, str(v)) for n, v in shown if v)
    world.write_log(
        kinds.FORM, lead, origin, primary_id=form, primary=world.assets.forms[form], attributes=attributes
    )
    world.note("form_filled_out", lead, origin, formId=form)
