"""Bulk extract of program members and of activities."""

from collections.abc import Iterator
from typing import Any

import orjson

from syncd.simulator.activities import Activity
from syncd.simulator.assets import Member, Program
from syncd.simulator.calls import ApiError, number
from syncd.simulator.clock import stamp
from syncd.simulator.endpoints.bulk_extract import (
    Kind,
    Rows,
    date_range,
    field_names,
    header,
    register,
    text_of,
)
from syncd.simulator.member_fields import member_value
from syncd.simulator.routing import READ_ACTIVITY, READ_LEAD
from syncd.simulator.world import World

PROGRAMS_LIMIT = 10
CADENCES = {"pause": "paus", "paused": "paus", "norm": "norm", "normal": "norm"}
MEMBER_FILTERS = frozenset(
    ("programId", "programIds", "isExhausted", "nurtureCadence", "statusNames", "updatedAt")
)
ACTIVITY_FILTERS = frozenset(
    ("createdAt", "activityTypeIds", "primaryAttributeValueIds", "primaryAttributeValues")
)
ACTIVITY_FIELDS = (
    "marketoGUID",
    "leadId",
    "activityDate",
    "activityTypeId",
    "campaignId",
    "primaryAttributeValueId",
    "primaryAttributeValue",
    "attributes",
)


def _filter(body: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    given = body.get("filter")
    if not isinstance(given, dict) or not given:
        raise ApiError(1003, "A filter is needed")
    for name in given:
        if name not in known:
            raise ApiError(1003, f"Invalid filter '{name}'")
    return given


def _programs(world: World, given: dict[str, Any]) -> list[Program]:
    wanted = given.get("programIds", [given["programId"]] if "programId" in given else None)
    if not isinstance(wanted, list) or not wanted:
        raise ApiError(1003, "Filter programId or programIds is needed")
    if len(wanted) > PROGRAMS_LIMIT:
        raise ApiError(1003, f"The number of programs exceeds the limit of {PROGRAMS_LIMIT}")
    found = [world.assets.programs.get(number("programId", i)) for i in wanted]
    if None in found:
        raise ApiError(1013, "Program not found")
    return [p for p in found if p is not None]


def member_rows(world: World, body: dict[str, Any]) -> tuple[list[str], Rows]:  # noqa: C901 - many filters
    """The rows of a program member export."""
    names, given = field_names(body), _filter(body, MEMBER_FILTERS)
    programs = _programs(world, given)
    statuses = given.get("statusNames")
    if statuses is not None:
        known = {s.name for p in programs for s in world.assets.channel_of(p).statuses}
        if not isinstance(statuses, list) or not set(map(str, statuses)) <= known:
            raise ApiError(1003, f"Invalid statusNames '{statuses}'")
    cadence = given.get("nurtureCadence")
    if cadence is not None and cadence not in CADENCES:
        raise ApiError(1003, f"Invalid nurtureCadence '{cadence}'")
    span = None
    if "updatedAt" in given:
        if not world.options.updated_at_filter:
            raise ApiError(1035, "Unsupported filter type for target subscription: updatedAt")
        span = date_range(world, given["updatedAt"])
    columns = []
    for name in names:
        member_field, lead_field = world.member_schema.find(name), world.field(name)
        if member_field is None and (lead_field is None or lead_field.type == "formula"):
            raise ApiError(1003, f"Invalid field '{name}'")
        columns.append((member_field, lead_field))
    several = "programIds" in given

    def fits(member: Member) -> bool:
        return (
            (statuses is None or member.status in statuses)
            and (cadence is None or member.cadence == CADENCES[cadence])
            and ("isExhausted" not in given or member.exhausted == given["isExhausted"])
            and (span is None or span[0] <= member.updated <= span[1])
        )

    def rows() -> Rows:
        for program in programs:
            for lead, member in sorted(program.members.items()):
                record = world.leads.get(lead)
                if record is None or not fits(member):
                    continue
                row = [str(program.id)] if several else []
                for member_field, lead_field in columns:
                    if member_field is not None:
                        row.append(text_of(member_value(member_field, program, lead, member)))
                    elif lead_field is not None:
                        row.append(text_of(record[lead_field.slot]))
                yield row

    return (["programId"] if several else []) + header(body, names), rows()


def _wanted(given: dict[str, Any], name: str) -> set[str] | None:
    values = given.get(name)
    if values is None:
        return None
    if not isinstance(values, list):
        raise ApiError(1003, f"Invalid value '{values}' for filter '{name}'")
    return {str(v) for v in values}


def activity_rows(world: World, body: dict[str, Any]) -> tuple[list[str], Rows]:
    """The rows of an activity export."""
    given = _filter(body, ACTIVITY_FILTERS)
    if "createdAt" not in given:
        raise ApiError(1003, "Filter createdAt is needed")
    start, end = date_range(world, given["createdAt"])
    kinds, ids = _wanted(given, "activityTypeIds"), _wanted(given, "primaryAttributeValueIds")
    values = _wanted(given, "primaryAttributeValues")
    names = field_names(body) if body.get("fields") else list(ACTIVITY_FIELDS)
    for name in names:
        if name not in ACTIVITY_FIELDS:
            raise ApiError(1003, f"Invalid field '{name}'")

    def rows() -> Iterator[list[str]]:
        for activity in world.log.between(start, end, lambda k: kinds is None or str(k) in kinds):
            if ids is not None and str(activity.primary_id) not in ids:
                continue
            if world.survivor(activity.lead) in world.anonymous:
                continue
            if values is None or activity.primary in values:
                yield _row(world, activity, names)

    return header(body, names), rows()


def _row(world: World, activity: Activity, names: list[str]) -> list[str]:
    attributes = {name: value for name, value in activity.attributes if value is not None}
    shown = {
        "marketoGUID": str(activity.guid),
        "leadId": str(world.survivor(activity.lead)),
        "activityDate": stamp(activity.date),
        "activityTypeId": str(activity.type),
        "campaignId": text_of(activity.campaign),
        "primaryAttributeValueId": text_of(activity.primary_id),
        "primaryAttributeValue": text_of(activity.primary),
        "attributes": orjson.dumps(attributes).decode(),
    }
    return [shown[name] for name in names]


register(Kind("program/members", member_rows, READ_LEAD))
register(Kind("activities", activity_rows, READ_ACTIVITY))
