"""The catalogue: every operation of the outbox, as data.

One table decides what an INSERT may say (the database holds a copy of it, see ``database/operations.py``), how
rows become calls (``marketo/writes.py``), and what an unknown outcome allows.

The rule for where a thing stands: the payload is the record, or names the lead; whatever else the call takes
is an option, under the API's own name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "id", "flag", "tokens", "on_failure"]
"""Text that is not blank, a whole number above 0, true or false, a list of {name, value}, or halt or continue."""

Payload = Literal["record", "lead", "merge", "form", "field", "field_change"]
"""record: a lead's fields; lead: what names a lead and nothing else; merge: the same and the losers; form: what
was filled in; field and field_change: a field of leads that is made or changed."""

Repeat = Literal["again", "look", "never"]
"""After an unknown outcome: send it again, look whether it was done first, or leave it to a person."""


@dataclass(frozen=True)
class Option:
    """Something that a call takes besides its records."""

    name: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True)
class Operation:
    """One thing that a row may ask for."""

    name: str
    endpoint: str
    """Name of the endpoint in ``syncd.marketo.endpoints``."""
    records: int
    """Records that one call takes."""
    payload: Payload
    repeat: Repeat
    action: str | None = None
    """Marketo's name of it, where an endpoint has several."""
    id_in_payload: bool = True
    """Whether the payload may name its lead by id."""
    by_id: bool = False
    """The call knows leads by id alone: a lead that is named otherwise is looked up first."""
    lookup: tuple[str, ...] | None = ()
    """What lookup_field may be: any searchable field and these; None where there is no lookup_field."""
    partition: Literal["no", "may", "must"] = "no"
    options: tuple[Option, ...] = ()
    loose: bool = False
    """Whether a payload that names a lead may say more, which is left aside."""
    whole: frozenset[str] = frozenset({"605", "610"})
    """Refusals that concern what all rows of a call have in common (its list, program or campaign): none of them is to blame."""
    already: frozenset[str] = field(default_factory=frozenset)
    """Codes of a skipped record that say that what was asked for is so already."""
    proven_by_skip: frozenset[str] = field(default_factory=frozenset)
    """Codes of a skipped record that show, after an unknown outcome, that the first call was carried out."""

    @property
    def names_lead(self) -> bool:
        """Whether the payload names a lead."""
        return self.payload in {"record", "lead", "merge"}


LEAD_BATCH = 300
CAMPAIGN_BATCH = 100
FIELD_BATCH = 100
MERGE_LOSERS = 25
LEAD_NOT_FOUND, LEAD_EXISTS, SEVERAL_LEADS = "1004", "1005", "1007"
NOT_IN_LIST, PAST_STATUS = "1015", "1037"

OF_ALL = (Option("on_failure", "on_failure"),)
"""Options of every operation, which are not Marketo's: halt keeps the later rows of the lead back when the row ends badly."""

_OF_THE_PLACE = frozenset({"605", "610", "1013", "1025"})
_LISTED = Option("listId", "id", required=True)
_PROGRAM = Option("programId", "id", required=True)

# …/rest/lead-database/leads, static-lists, program-members, and …/rest/assets/smart-campaigns
CATALOGUE: dict[str, Operation] = {
    o.name: o
    for o in (
        Operation(
            "create_or_update",
            "sync_leads",
            LEAD_BATCH,
            "record",
            "again",
            action="createOrUpdate",
            id_in_payload=False,
            partition="may",
        ),
        Operation(
            "create_only",
            "sync_leads",
            LEAD_BATCH,
            "record",
            "look",
            action="createOnly",
            id_in_payload=False,
            partition="may",
        ),
        Operation("update_only", "sync_leads", LEAD_BATCH, "record", "again", action="updateOnly"),
        Operation(
            "create_duplicate",
            "sync_leads",
            LEAD_BATCH,
            "record",
            "never",
            action="createDuplicate",
            id_in_payload=False,
        ),
        Operation(
            "delete",
            "delete_leads",
            LEAD_BATCH,
            "lead",
            "again",
            by_id=True,
            loose=True,
            proven_by_skip=frozenset({LEAD_NOT_FOUND}),
        ),
        Operation(
            "push",
            "push_leads",
            LEAD_BATCH,
            "record",
            "never",
            id_in_payload=False,
            lookup=("mktToken",),
            partition="may",
            options=(
                Option("programName", "text", required=True),
                Option("source", "text"),
                Option("reason", "text"),
                Option("programStatus", "text"),
            ),
            whole=_OF_THE_PLACE,
        ),
        Operation(
            "submit_form",
            "submit_form",
            1,
            "form",
            "never",
            lookup=None,
            options=(Option("formId", "id", required=True), Option("programId", "id")),
        ),
        Operation(
            "merge",
            "merge_leads",
            1,
            "merge",
            "look",
            by_id=True,
            options=(Option("mergeInCRM", "flag"),),
        ),
        Operation(
            "associate",
            "associate_lead",
            1,
            "lead",
            "again",
            by_id=True,
            options=(Option("cookie", "text", required=True),),
        ),
        Operation(
            "add_to_list",
            "add_to_list",
            LEAD_BATCH,
            "lead",
            "again",
            by_id=True,
            options=(_LISTED,),
            whole=_OF_THE_PLACE,
        ),
        Operation(
            "remove_from_list",
            "remove_from_list",
            LEAD_BATCH,
            "lead",
            "again",
            by_id=True,
            options=(_LISTED,),
            whole=_OF_THE_PLACE,
            already=frozenset({NOT_IN_LIST}),
        ),
        Operation(
            "set_program_status",
            "set_program_status",
            LEAD_BATCH,
            "lead",
            "again",
            by_id=True,
            options=(_PROGRAM, Option("statusName", "text", required=True)),
            whole=_OF_THE_PLACE,
            proven_by_skip=frozenset({PAST_STATUS}),
        ),
        Operation(
            "remove_from_program",
            "remove_from_program",
            LEAD_BATCH,
            "lead",
            "again",
            by_id=True,
            options=(_PROGRAM,),
            whole=_OF_THE_PLACE,
            already=frozenset({PAST_STATUS}),
        ),
        Operation(
            "update_partition", "update_partition", LEAD_BATCH, "lead", "again", by_id=True, partition="must"
        ),
        Operation(
            "trigger_campaign",
            "trigger_campaign",
            CAMPAIGN_BATCH,
            "lead",
            "never",
            by_id=True,
            options=(Option("campaignId", "id", required=True), Option("tokens", "tokens")),
            whole=_OF_THE_PLACE | {"1003"},
        ),
        Operation(
            "create_field",
            "create_fields",
            FIELD_BATCH,
            "field",
            "look",
            lookup=None,
        ),
        Operation("update_field", "update_field", 1, "field_change", "look", lookup=None),
    )
}
"""Every operation by its name, in the order in which pages list them."""

FIELD_TYPES = (
    *("boolean", "currency", "date", "datetime", "email", "float", "integer", "percent", "phone", "score"),
    *("string", "url"),
)
"""What a field may be made as (…/rest/lead-database/leads#create-lead-fields)."""
FIELD_FLAGS = ("isHidden", "isHtmlEncodingInEmail", "isSensitive")
