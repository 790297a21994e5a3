"""Field metadata: describe, describe2, and the lead field endpoints."""

from collections.abc import Sequence
from typing import Any

from syncd.simulator.calls import Answer, ApiError, Call, skipped
from syncd.simulator.fields import API_TYPES, DISPLAY, NAME, Field
from syncd.simulator.pages import offset_page
from syncd.simulator.routing import READ_LEAD, SCHEMA, route

CREATE_LIMIT = 100
FLAGS = {"isHidden": "hidden", "isHtmlEncodingInEmail": "html", "isSensitive": "sensitive"}


@route("GET", "/rest/v1/leads/describe.json", *READ_LEAD)
async def describe(call: Call) -> Answer:
    """All visible fields."""
    return call.ok([f.describe() for f in call.world.schema.visible()])


@route("GET", "/rest/v1/leads/describe2.json", *READ_LEAD)
async def describe2(call: Call) -> Answer:
    """All visible fields, and which of them leads can be looked up by."""
    fields = list(call.world.schema.visible())
    searchable = [[f.name] for f in fields if f.searchable]
    return call.ok(
        [{"name": "API Lead", "searchableFields": searchable, "fields": [f.describe2() for f in fields]}]
    )


@route("GET", "/rest/v1/leads/schema/fields.json", *SCHEMA)
async def browse(call: Call) -> Answer:
    """All fields, hidden ones too, by pages; of the kinds that the user may see."""
    denied = call.world.denied
    fields = [f for f in call.world.schema.fields if SCHEMA[1 if f.custom else 0] not in denied]
    page, token = offset_page(call, fields)
    return call.ok([f.schema() for f in page], nextPageToken=token, moreResult=token is not None)


def _find(call: Call) -> Field:
    field = call.world.schema.by_name.get(call.args["fieldApiName"].lower())
    if field is None:
        raise ApiError(1006, f"Field '{call.args['fieldApiName']}' not found")
    if SCHEMA[1 if field.custom else 0] in call.world.denied:
        raise ApiError(603, "Access denied")
    return field


@route("GET", "/rest/v1/leads/schema/fields/{fieldApiName}.json", *SCHEMA)
async def one(call: Call) -> Answer:
    """One field."""
    return call.ok([_find(call).schema()])


@route("POST", "/rest/v1/leads/schema/fields.json", SCHEMA[1])
async def create(call: Call) -> Answer:
    """New custom fields."""
    records = call.input(limit=CREATE_LIMIT)
    await call.pause()
    return call.ok([_create(call, record) for record in records])


def _create(call: Call, record: Any) -> dict[str, Any]:
    schema = call.world.schema
    if not isinstance(record, dict):
        return skipped(1003, "Invalid data: a field is an object")
    problem = bad_field(record, schema.by_name, {f.display.lower() for f in schema.fields})
    if problem is not None:
        return problem
    most = call.world.options.max_custom_fields
    if most and sum(f.api_created for f in schema.fields) >= most:
        return skipped(1028, f"Max number of fields {most} reached")
    flags = {ours: record[name] for name, ours in FLAGS.items() if record.get(name) is not None}
    field = schema.create(
        record["name"], record["displayName"], record["dataType"], api_created=True,
        description=record.get("description"), **flags,
    )  # fmt: skip
    call.world.note("field_created", 0, call.origin, field=field.name)
    return {"name": field.name, "status": "created"}


def bad_field(  # noqa: PLR0911 - one rule after the other
    record: dict[str, Any], names: Any, displays: set[str]
) -> dict[str, Any] | None:
    """What is wrong with a new field, as a result item."""
    for attribute in ("displayName", "name", "dataType"):
        if not isinstance(record.get(attribute), str) or not record[attribute].strip():
            return skipped(1003, f"Missing value for required attribute '{attribute}'")
    if problem := _bad_attributes(record):
        return problem
    if not NAME.match(record["name"]):
        return skipped(1003, f"Invalid field name '{record['name']}'")
    if record["dataType"] not in API_TYPES:
        return skipped(1003, f"Invalid data type '{record['dataType']}'")
    if record["name"].lower() in names:
        return skipped(1017, f"Field with name '{record['name']}' already exists")
    if record["displayName"].lower() in displays:
        return skipped(1017, f"Field with display name '{record['displayName']}' already exists")
    return None


def _bad_attributes(record: dict[str, Any]) -> dict[str, Any] | None:
    for name in FLAGS:
        if not isinstance(record.get(name), (bool, type(None))):
            return skipped(1001, f"Invalid value for attribute '{name}'")
    if not isinstance(record.get("description"), (str, type(None))):
        return skipped(1001, "Invalid value for attribute 'description'")
    display = record.get("displayName")
    if display is not None and (not isinstance(display, str) or not DISPLAY.match(display)):
        return skipped(1003, f"Invalid display name '{display}'")
    return None


@route("POST", "/rest/v1/leads/schema/fields/{fieldApiName}.json", *SCHEMA)
async def update(call: Call) -> Answer:
    """Change what may be changed of one field."""
    return await update_field(call, _find(call), call.world.schema.fields)


async def update_field(call: Call, field: Field, others: Sequence[Field]) -> Answer:
    """Change a field of leads or of program members."""
    records = call.input()
    if len(records) != 1 or not isinstance(records[0], dict):
        raise ApiError(1003, "Exactly one field is needed in 'input'")
    record: dict[str, Any] = records[0]
    problem = _bad_update(field, record, others) or _bad_attributes(record)
    if problem is not None:
        return call.ok([problem])
    await call.pause()
    if record.get("displayName") is not None:
        field.display = record["displayName"]
    if "description" in record:
        field.description = record["description"]
    for name, ours in FLAGS.items():
        if record.get(name) is not None:
            setattr(field, ours, record[name])
    call.world.note("field_updated", 0, call.origin, field=field.name)
    return call.ok([{"name": field.name, "status": "updated"}])


def _bad_update(field: Field, record: dict[str, Any], others: Sequence[Field]) -> dict[str, Any] | None:
    allowed = {"description", "isHtmlEncodingInEmail", "isSensitive"}
    if field.custom:
        allowed.add("displayName")
    if field.api_created:
        allowed.add("isHidden")
    for name in record:
        if name not in allowed:
            return skipped(
                1003, f"Attribute '{name}' of field '{field.name}' cannot be updated", name=field.name
            )
    display = record.get("displayName")
    if isinstance(display, str) and any(
        f is not field and f.display.lower() == display.lower() for f in others
    ):
        return skipped(1017, f"Field with display name '{display}' already exists", name=field.name)
    return None
