"""The lead field schema: what fields there are, and where a record keeps each of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from syncd.simulator.field_table import CUSTOM, STANDARD

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
DISPLAY = re.compile(r"^[\w .,'()/:-]+$")
API_TYPES = frozenset(
    "boolean currency date datetime email float integer percent phone score string url".split()  # noqa: SIM905
)
SEARCHABLE_STANDARD = frozenset(
    "id email cookies leadPartitionId facebookId linkedInId twitterId sfdcAccountId sfdcContactId sfdcLeadId "  # noqa: SIM905
    "sfdcLeadOwnerId sfdcOpptyId".split()
)
LENGTHS = {"string": 255, "email": 255, "phone": 255, "url": 255}
TEXT_BYTES = 30_000
DEFAULT_READ = ("firstName", "lastName", "email", "updatedAt", "createdAt")


@dataclass(slots=True)
class Field:
    """One lead field, and the slot of a record that holds its value."""

    id: int
    name: str
    display: str
    type: str
    length: int | None
    slot: int
    read_only: bool = False
    company: bool = False
    custom: bool = False
    hidden: bool = False
    api_created: bool = False
    html: bool = True
    sensitive: bool = False
    description: str | None = None

    @property
    def reported_type(self) -> str:
        """The type as describe shows it: a score is an integer there."""
        return "integer" if self.type == "score" else self.type

    @property
    def default(self) -> Any:
        """What a record holds before anyone sets the field."""
        return False if self.type == "boolean" else None

    @property
    def searchable(self) -> bool:
        """Whether leads may be looked up by it."""
        return self.name in SEARCHABLE_STANDARD or (
            self.custom and not self.hidden and self.reported_type in {"string", "email", "integer"}
        )

    def describe(self) -> dict[str, Any]:
        """The field as describe.json shows it."""
        item: dict[str, Any] = {"id": self.id, "displayName": self.display, "dataType": self.reported_type}
        if self.length:
            item["length"] = self.length
        item["rest"] = {"name": self.name, "readOnly": self.read_only}
        return item

    def describe2(self) -> dict[str, Any]:
        """The field as describe2.json shows it."""
        item: dict[str, Any] = {
            "name": self.name,
            "displayName": self.display,
            "dataType": self.reported_type,
        }
        if self.length:
            item["length"] = self.length
        item |= {
            "updateable": not self.read_only and self.name != "id",
            "crmManaged": self.name.startswith("sfdc"),
        }
        return item

    def schema(self) -> dict[str, Any]:
        """The field as the schema endpoints show it."""
        item: dict[str, Any] = {
            "displayName": self.display,
            "name": self.name,
            "description": self.description,
            "dataType": self.type,
        }
        if self.length:
            item["length"] = self.length
        return item | {
            "isHidden": self.hidden,
            "isHtmlEncodingInEmail": self.html,
            "isSensitive": self.sensitive,
            "isCustom": self.custom,
            "isApiCreated": self.api_created,
        }


HIDDEN_CHANGE = 0
"""The slot of the change time that no field shows (the bulk filter's updatedAt)."""


class Schema:
    """All lead fields, by API name (letter case does not matter) and by slot."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.by_name: dict[str, Field] = {}
        self.defaults: list[Any] = [None]
        for line in STANDARD.split("\n"):
            self._add_line(line, custom=False)
        for line in CUSTOM.split("\n"):
            self._add_line(line, custom=True)

    def _add_line(self, line: str, *, custom: bool) -> None:
        if not line:
            return
        number, name, display, kind, length, flags = line.split("|")
        self.add(
            Field(
                int(number), name, display, kind, int(length) if length else None, len(self.defaults),
                read_only="r" in flags, company="c" in flags, hidden="h" in flags, custom=custom,
                html=kind not in {"boolean", "date", "datetime", "integer", "float"},
            )
        )  # fmt: skip

    def add(self, field: Field) -> None:
        """Take in a field; its slot is the next one."""
        self.fields.append(field)
        self.by_name[field.name.lower()] = field
        self.defaults.append(field.default)

    def create(self, name: str, display: str, kind: str, **flags: Any) -> Field:
        """A new custom field, made by the API or in the user interface."""
        number = max(1100, max(f.id for f in self.fields) + 1)
        field = Field(
            number, name, display, kind, LENGTHS.get(kind), len(self.defaults), custom=True, **flags
        )
        self.add(field)
        return field

    def find(self, name: str) -> Field | None:
        """The visible field of that API name."""
        field = self.by_name.get(name.lower())
        return field if field and not field.hidden else None

    def visible(self) -> Iterable[Field]:
        """The fields that describe shows."""
        return (f for f in self.fields if not f.hidden)

    def slot(self, name: str) -> int:
        """The slot of a field that exists."""
        return self.by_name[name.lower()].slot
