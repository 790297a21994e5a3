"""What Marketo's answers are, typed. Keys that no field is named after are kept in ``extra``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Self, overload

Lead = dict[str, Any]
"""A lead as Marketo sent it: API name to JSON value, ``id`` first."""

Extra = Mapping[str, Any]


class Leads(Sequence[Lead]):
    """Leads as one question found them."""

    def __init__(self, records: Sequence[Lead] = (), *, answer: bytes | None = None) -> None:
        self.ids: Sequence[int] = [int(record["id"]) for record in records]
        self.answer = answer
        """The answer as Marketo wrote it, where there was but one and nothing in it had to be mended."""
        self._read: Callable[[], Sequence[Lead]] = lambda: records

    @classmethod
    def unread(cls, ids: Sequence[int], answer: bytes, read: Callable[[], Sequence[Lead]]) -> Self:
        """Return leads of which only the ids were looked at: their values are read when somebody asks for one."""
        found = cls(answer=answer)
        found.ids, found._read = ids, read
        return found

    @cached_property
    def _records(self) -> Sequence[Lead]:
        return self._read()

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Lead]:
        return iter(self._records)

    @overload
    def __getitem__(self, place: int) -> Lead: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Lead]: ...
    def __getitem__(self, place: int | slice) -> Lead | Sequence[Lead]:
        return self._records[place]


@dataclass(frozen=True)
class DescribedField:
    """A lead field by the older describe call, the only one that tells ids and ``read_only``."""

    id: int | None
    display_name: str
    data_type: str
    length: int | None
    rest_name: str | None
    read_only: bool
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Describe2Field:
    """A lead field by the newer describe call."""

    name: str
    display_name: str
    data_type: str
    length: int | None
    updateable: bool
    crm_managed: bool
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class LeadDescription:
    """The lead object: which fields may be searched by, and all fields."""

    name: str
    searchable_fields: list[list[str]]
    fields: list[Describe2Field]


@dataclass(frozen=True)
class SchemaField:
    """A lead field by the schema call, hidden ones included."""

    name: str
    display_name: str
    description: str | None
    data_type: str
    length: int | None
    is_hidden: bool
    is_html_encoding_in_email: bool
    is_sensitive: bool
    is_custom: bool
    is_api_created: bool
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Partition:
    """A lead partition."""

    id: int
    name: str
    description: str | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """Why a record was skipped, in Marketo's own words: these may quote the refused value."""

    code: str
    message: str


@dataclass(frozen=True)
class RecordResult:
    """What became of the record at position ``index`` of the call."""

    index: int
    status: str
    id: int | None
    reasons: tuple[Reason, ...]
    extra: Extra = field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        """Tell whether Marketo left the record alone: it says so, or why."""
        return self.status.strip().lower() == "skipped" or bool(self.reasons)


@dataclass(frozen=True)
class WriteAnswer:
    """One result for each record that was sent, in the same order."""

    items: list[RecordResult]
    request_id: str | None
    server_time: datetime | None


@dataclass(frozen=True)
class FieldChange:
    """A field's value before and after, as text; None is empty."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Activity:
    """One entry of Marketo's activity log; ``guid`` is its only dependable key."""

    guid: str
    lead_id: int
    date: datetime
    type_id: int
    primary_value_id: int | None
    primary_value: str | None
    attributes: dict[str, Any]
    fields: tuple[FieldChange, ...]
    campaign_id: int | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class ActivityPage:
    """A page of the log. Go on while ``more``, even when ``items`` is empty; keep ``next_token``."""

    items: list[Activity]
    next_token: str
    more: bool
    server_time: datetime | None


@dataclass(frozen=True)
class ActivityType:
    """A kind of activity and the names and data types of its attributes."""

    id: int
    name: str
    description: str | None
    primary_attribute: str | None
    attributes: dict[str, str]
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """A bulk lead extract; times, counts and checksum are None before they apply.

    status: Created, Queued, Processing, Cancelled, Completed or Failed.
    size: bytes of the file. checksum: as Marketo spells it, "sha256:<hex>".
    """

    id: str
    status: str
    created_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    records: int | None
    size: int | None
    checksum: str | None
    error: str | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Import:
    """A bulk import of leads; counts are None before they apply.

    status: Queued, Importing, Complete or Failed. processed: rows that were imported, with a warning or without.
    """

    id: int
    status: str
    processed: int | None
    failed: int | None
    warned: int | None
    message: str | None
    request_id: str | None = None


@dataclass(frozen=True)
class StaticList:
    """A static list."""

    id: int
    name: str
    description: str | None
    program_name: str | None
    workspace_name: str | None
    created_at: datetime | None
    updated_at: datetime | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A program."""

    id: int
    name: str
    description: str | None
    type: str | None
    channel: str | None
    status: str | None
    workspace: str | None
    created_at: datetime | None
    updated_at: datetime | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelStatus:
    """A status that members may have in the programs of a channel."""

    channel: str
    status: str
    step: int | None
    type: str | None
    success: bool
    hidden: bool
    description: str | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class CampaignMembership:
    """A smart campaign that a lead went through: first, and last."""

    smart_campaign_id: int
    created_at: datetime | None
    updated_at: datetime | None
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class SmartCampaign:
    """A smart campaign."""

    id: int
    name: str
    description: str | None
    type: str | None
    status: str | None
    is_active: bool | None
    is_requestable: bool | None
    workspace: str | None
    created_at: datetime | None
    updated_at: datetime | None
    extra: Extra = field(default_factory=dict)
