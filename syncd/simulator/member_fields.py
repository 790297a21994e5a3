"""The fields of a program member: standard ones, and custom ones that can be created."""

from typing import Any

from syncd.simulator.assets import Member, Program
from syncd.simulator.clock import stamp
from syncd.simulator.field_table import MEMBER, MEMBER_STANDARD
from syncd.simulator.fields import LENGTHS, Field

CUSTOM_LIMIT = 20


class MemberSchema:
    """All program member fields by API name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Field] = {}
        for line in filter(None, MEMBER_STANDARD.split("\n")):
            name, display, kind, length, flags = line.split("|")
            size = int(length) if length else None
            self._keep(Field(0, name, display, kind, size, 0, read_only="r" in flags))
        for line in filter(None, MEMBER.split("\n")):
            _, name, display, kind, length, _ = line.split("|")
            self._keep(Field(0, name, display, kind, int(length) if length else None, 0, custom=True))

    @property
    def fields(self) -> list[Field]:
        """Every field."""
        return list(self.by_name.values())

    def find(self, name: str) -> Field | None:
        """The visible field of that name."""
        field = self.by_name.get(name.lower())
        return field if field and not field.hidden else None

    def create(self, name: str, display: str, kind: str, **flags: Any) -> Field:
        """A new custom field."""
        field = Field(0, name, display, kind, LENGTHS.get(kind), 0, custom=True, api_created=True, **flags)
        self._keep(field)
        return field

    def _keep(self, field: Field) -> None:
        self.by_name[field.name.lower()] = field


def member_value(field: Field, program: Program, lead: int, member: Member) -> Any:
    """The value of a member's field."""
    standard: dict[str, Any] = {
        "acquiredBy": member.acquired,
        "createdAt": stamp(member.joined),
        "isExhausted": member.exhausted,
        "leadId": lead,
        "membershipDate": stamp(member.joined),
        "nurtureCadence": member.cadence,
        "program": program.name,
        "programId": program.id,
        "reachedSuccess": member.reached,
        "reachedSuccessDate": stamp(member.success_date) if member.success_date else None,
        "statusName": member.status,
        "trackName": member.stream,
        "updatedAt": stamp(member.updated),
    }
    if field.name in standard:
        return standard[field.name]
    return member.data.get(field.name, field.default)


def membership(program: Program, member: Member) -> dict[str, Any]:
    """A membership as the lead endpoints show it."""
    item: dict[str, Any] = {
        "progressionStatus": member.status,
        "isExhausted": member.exhausted,
        "acquiredBy": member.acquired,
        "reachedSuccess": member.reached,
        "membershipDate": stamp(member.joined),
        "updatedAt": stamp(member.updated),
    }
    if program.type == "Engagement":
        item["stream"], item["nurtureCadence"] = member.stream, member.cadence
    return item
