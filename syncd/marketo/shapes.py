"""From JSON objects to models. Pure; what isn't as described raises KeyError, TypeError or ValueError."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from syncd.core.numbers import HIGHEST
from syncd.marketo import models

Json = Mapping[str, Any]


def moment(text: str) -> datetime:
    """Read any of Marketo's spellings of a time ("…Z", "…+0000", "…Z+0000", with or without T) as UTC.

    Raises ValueError where it is none.
    """
    plain = text.strip().replace("Z+0000", "Z")
    read = datetime.fromisoformat(plain)
    try:
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time that is outside the calendar in UTC") from None


def timestamp(when: datetime) -> str:
    """Write a time as Marketo takes it everywhere: UTC, whole seconds, Z."""
    if when.tzinfo is None:
        raise ValueError("a time for Marketo needs its zone")
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def described_field(item: Json) -> models.DescribedField:
    """Read an element of describe."""
    rest = item.get("rest") or {}
    return models.DescribedField(
        id=_whole(item.get("id")),
        display_name=_text(item.get("displayName")) or rest.get("name") or "",
        data_type=_name(item["dataType"]),
        length=_whole(item.get("length")),
        rest_name=_text(rest.get("name")),
        read_only=bool(rest.get("readOnly", False)),
        extra=_rest(item, "id", "displayName", "dataType", "length", "rest"),
    )


def lead_description(item: Json) -> models.LeadDescription:
    """Read the only element of describe2."""
    return models.LeadDescription(
        name=str(item.get("name", "")),
        searchable_fields=[[str(name) for name in names] for names in item.get("searchableFields") or []],
        fields=[_describe2_field(each) for each in item.get("fields") or []],
    )


def _describe2_field(item: Json) -> models.Describe2Field:
    return models.Describe2Field(
        name=_name(item["name"]),
        display_name=_text(item.get("displayName")) or _name(item["name"]),
        data_type=_name(item["dataType"]),
        length=_whole(item.get("length")),
        updateable=bool(item.get("updateable", False)),
        crm_managed=bool(item.get("crmManaged", False)),
        extra=_rest(item, "name", "displayName", "dataType", "length", "updateable", "crmManaged"),
    )


def schema_field(item: Json) -> models.SchemaField:
    """Read an element of the schema call."""
    return models.SchemaField(
        name=_name(item["name"]),
        display_name=_text(item.get("displayName")) or _name(item["name"]),
        description=_text(item.get("description")),
        data_type=_name(item["dataType"]),
        length=_whole(item.get("length")),
        is_hidden=bool(item.get("isHidden")),
        is_html_encoding_in_email=bool(item.get("isHtmlEncodingInEmail", True)),
        is_sensitive=bool(item.get("isSensitive")),
        is_custom=bool(item.get("isCustom")),
        is_api_created=bool(item.get("isApiCreated")),
        extra=_rest(
            item,
            *("name", "displayName", "description", "dataType", "length", "isHidden"),
            *("isHtmlEncodingInEmail", "isSensitive", "isCustom", "isApiCreated"),
        ),
    )


def partition(item: Json) -> models.Partition:
    """Read a lead partition."""
    return models.Partition(
        id=int(item["id"]),
        name=_name(item["name"]),
        description=_text(item.get("description")),
        extra=_rest(item, "id", "name", "description"),
    )


def record_result(index: int, item: Json) -> models.RecordResult:
    """Read one record's result; custom activities say ``errors`` for reasons, pushes leave out the status."""
    reasons = tuple(
        models.Reason(code=str(each["code"]), message=str(each.get("message") or ""))
        for each in item.get("reasons") or item.get("errors") or []
    )
    status = _text(item.get("status")) or ("skipped" if reasons else "")
    if not status:
        raise ValueError("a result has neither status nor reasons")
    return models.RecordResult(
        index=index,
        status=status,
        id=_whole(item.get("id", item.get("leadId"))),
        reasons=reasons,
        extra=_rest(item, "id", "leadId", "seq", "status", "reasons", "errors"),
    )


def activity(item: Json) -> models.Activity:
    """Read an entry of the activity log; entries without a GUID fall back to their id.

    Only the lead, the type and the time are indispensable. Raises ValueError, TypeError or KeyError.
    """
    guid = item.get("marketoGUID")
    lead = _whole(item["leadId"])
    if lead is None:
        raise ValueError("an entry without a lead")
    return models.Activity(
        guid=str(item.get("id") if guid is None else guid),
        lead_id=lead,
        date=moment(item["activityDate"]),
        type_id=int(item["activityTypeId"]),
        primary_value_id=_whole_if_any(item.get("primaryAttributeValueId")),
        primary_value=_text(item.get("primaryAttributeValue")),
        attributes={str(each["name"]): each.get("value") for each in _named(item.get("attributes"))},
        fields=tuple(_change(each) for each in _named(item.get("fields"))),
        campaign_id=_whole_if_any(item.get("campaignId")),
        extra=_rest(
            item,
            *("id", "marketoGUID", "leadId", "activityDate", "activityTypeId", "attributes", "fields"),
            *("primaryAttributeValueId", "primaryAttributeValue", "campaignId"),
        ),
    )


def _change(item: Json) -> models.FieldChange:
    return models.FieldChange(
        name=str(item["name"]), old=_text(item.get("oldValue")), new=_text(item.get("newValue"))
    )


def activity_type(item: Json) -> models.ActivityType:
    """Read a kind of activity."""
    primary = item.get("primaryAttribute") or {}
    return models.ActivityType(
        id=int(item["id"]),
        name=_name(item["name"]),
        description=_text(item.get("description")),
        primary_attribute=_text(primary.get("name")),
        attributes={str(each["name"]): str(each.get("dataType")) for each in item.get("attributes") or []},
        extra=_rest(item, "id", "name", "description", "primaryAttribute", "attributes"),
    )


def export(item: Json) -> models.Export:
    """Read an export's state; "Canceled" and "Cancelled" are one."""
    status = str(item["status"])
    return models.Export(
        id=str(item["exportId"]),
        status="Cancelled" if status == "Canceled" else status,
        created_at=_when(item.get("createdAt")),
        queued_at=_when(item.get("queuedAt")),
        started_at=_when(item.get("startedAt")),
        finished_at=_when(item.get("finishedAt")),
        records=_whole(item.get("numberOfRecords")),
        size=_whole(item.get("fileSize")),
        checksum=_text(item.get("fileChecksum")),
        error=_text(item.get("errorMsg")),
        extra=_rest(
            item,
            *("exportId", "status", "createdAt", "queuedAt", "startedAt", "finishedAt"),
            *("numberOfRecords", "fileSize", "fileChecksum", "errorMsg"),
        ),
    )


def bulk_import(item: Json) -> models.Import:
    """Read an import's state; exports say "Completed" where imports say "Complete"."""
    status = _text(item["status"]) or ""
    number = _whole(item["batchId"])
    if number is None:
        raise ValueError("an import without a number")
    return models.Import(
        id=number,
        status="Complete" if status == "Completed" else status,
        processed=_whole_if_any(item.get("numOfLeadsProcessed")),
        failed=_whole_if_any(item.get("numOfRowsFailed")),
        warned=_whole_if_any(item.get("numOfRowsWithWarning")),
        message=_text(item.get("message")),
    )


def static_list(item: Json) -> models.StaticList:
    """Read a static list."""
    return models.StaticList(
        id=int(item["id"]),
        name=_name(item["name"]),
        description=_text(item.get("description")),
        program_name=_text(item.get("programName")),
        workspace_name=_text(item.get("workspaceName")),
        created_at=_when(item.get("createdAt")),
        updated_at=_when(item.get("updatedAt")),
        extra=_rest(
            item, "id", "name", "description", "programName", "workspaceName", "createdAt", "updatedAt"
        ),
    )


def program(item: Json) -> models.Program:
    """Read a program."""
    return models.Program(
        id=int(item["id"]),
        name=_name(item["name"]),
        description=_text(item.get("description")),
        type=_text(item.get("type")),
        channel=_text(item.get("channel")),
        status=_text(item.get("status")),
        workspace=_text(item.get("workspace")),
        created_at=_when(item.get("createdAt")),
        updated_at=_when(item.get("updatedAt")),
        extra=_rest(
            item,
            *("id", "name", "description", "type", "channel", "status", "workspace"),
            *("createdAt", "updatedAt"),
        ),
    )


def channel(item: Json) -> list[models.ChannelStatus]:
    """Read a channel: its statuses."""
    return [
        models.ChannelStatus(
            channel=_name(item["name"]),
            status=_name(each["name"]),
            step=_whole(each.get("step")),
            type=_text(each.get("type")),
            success=bool(each.get("success")),
            hidden=bool(each.get("hidden")),
            description=_text(each.get("description")),
            extra=_rest(each, "name", "step", "type", "success", "hidden", "description"),
        )
        for each in item.get("progressionStatuses") or []
    ]


def member_fields(item: Json) -> list[models.Describe2Field]:
    """Read the only element of the description of program members."""
    return [_describe2_field(each) for each in item.get("fields") or []]


def campaign_membership(item: Json) -> models.CampaignMembership:
    """Read a lead's membership in a smart campaign."""
    return models.CampaignMembership(
        smart_campaign_id=int(item["smartCampaignId"]),
        created_at=_when(item.get("createdAt")),
        updated_at=_when(item.get("updatedAt")),
        extra=_rest(item, "smartCampaignId", "createdAt", "updatedAt"),
    )


def smart_campaign(item: Json) -> models.SmartCampaign:
    """Read a smart campaign."""
    return models.SmartCampaign(
        id=int(item["id"]),
        name=_name(item["name"]),
        description=_text(item.get("description")),
        type=_text(item.get("type")),
        status=_text(item.get("status")),
        is_active=item.get("isActive"),
        is_requestable=item.get("isRequestable"),
        workspace=_text(item.get("workspace")),
        created_at=_when(item.get("createdAt")),
        updated_at=_when(item.get("updatedAt")),
        extra=_rest(
            item,
            *("id", "name", "description", "type", "status", "isActive", "isRequestable", "workspace"),
            *("createdAt", "updatedAt"),
        ),
    )


def lead(item: Json) -> models.Lead:
    """Check that an object is a lead: an object with a whole ``id``."""
    if not isinstance(item, dict) or type(item["id"]) is not int:
        raise TypeError("a lead is an object whose id is a whole number")
    return item


def member(item: Json) -> models.Lead:
    """Check that an object is a member of a program: an object with the whole ``leadId`` of one."""
    if not isinstance(item, dict) or type(item["leadId"]) is not int:
        raise TypeError("a member is an object whose leadId is a whole number")
    return item


def lead_of_program(item: Json) -> models.Lead:
    """Check that an object is a lead that comes with its membership."""
    if not isinstance(item["membership"], dict):
        raise TypeError("a membership is an object")
    return lead(item)


def _named(parts: Any) -> list[Json]:
    """Return those parts of an entry that have a name."""
    return [part for part in parts or [] if isinstance(part, dict) and part.get("name")]


def _when(value: Any) -> datetime | None:
    return moment(value) if value else None


def _whole(value: Any) -> int | None:
    """Read a whole number, of 64 bits as all of Marketo's are. Raises ValueError, TypeError or OverflowError."""
    if value is None or value == "":
        return None
    number = int(value)
    if not -HIGHEST <= number <= HIGHEST:
        raise ValueError("a number of more than 64 bits")
    return number


def _whole_if_any(value: Any) -> int | None:
    """Read a whole number; None where it is none."""
    try:
        return _whole(value)
    except (OverflowError, TypeError, ValueError):
        return None


def _name(value: Any) -> str:
    """Read the name without which nothing is of use. Raises TypeError where there is none."""
    if not isinstance(value, str):
        raise TypeError("a name is a text")
    return value.replace("\0", "")


def _text(value: Any) -> str | None:
    """Read a text, without the character that PostgreSQL can't hold."""
    return None if value is None else str(value).replace("\0", "")


def _rest(item: Json, *known: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in known}
