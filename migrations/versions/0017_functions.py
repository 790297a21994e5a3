"""A function for each operation of the outbox, by which a row is inserted and its id returned.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from dataclasses import dataclass

from alembic import context, op

revision = "0017"
down_revision = "0016"

FIELDS, PARTITION = ("fields", "jsonb"), ("partition_name", "text")
LEAD_ID = ("lead_id", "bigint")
NAMED = (("email", "text"), ("lookup_field", "text"), ("lookup_value", "text"))
LOCK = (("if_matches", "jsonb"), ("if_unchanged_since", "timestamptz"))
LOOKUP, UNKNOWN = ("lookup_field", "text"), ("on_unknown_outcome", "text")
LAST = (
    ("idempotency_key", "text"),
    ("not_before", "timestamptz"),
    ("expires_at", "timestamptz"),
    ("on_failure", "text"),
)
FLAGS = {
    "isHidden": "is_hidden",
    "isHtmlEncodingInEmail": "is_html_encoding_in_email",
    "isSensitive": "is_sensitive",
}
OF_A_FIELD = {
    "name": "name",
    "displayName": "display_name",
    "dataType": "data_type",
    "description": "description",
    **FLAGS,
}
FIELD_ARGUMENTS = (
    *((argument, "text") for argument in ("name", "display_name", "data_type", "description")),
    *((argument, "boolean") for argument in FLAGS.values()),
)


@dataclass(frozen=True)
class Function:
    """How the arguments of a function become a row; payload and options name the argument behind each key."""

    name: str
    operation: str
    arguments: tuple[tuple[str, str], ...]
    comment: str
    payload: dict[str, str] | None = None
    """None: the payload is the argument ``fields``."""
    options: dict[str, str] | None = None

    @property
    def takes(self) -> tuple[tuple[str, str], ...]:
        return (*self.arguments, *LAST)

    def sql(self) -> str:
        """Return the statements that make the function; each argument may be left out."""
        names = [name for name, _ in self.takes]
        columns = {
            "operation": f"'{self.operation}'",
            "payload": self._payload(),
            "options": _object({**(self.options or {}), "on_failure": "on_failure"}),
        }
        columns |= {
            name: name
            for name in (
                "lookup_field",
                "partition_name",
                "if_matches",
                "if_unchanged_since",
                "idempotency_key",
                "not_before",
                "expires_at",
            )
            if name in names
        }
        if "on_unknown_outcome" in names:
            columns["on_unknown_outcome"] = "coalesce(on_unknown_outcome, 'hold')"
        signature = f"{{mirror}}.{self.name}({', '.join(kind for _, kind in self.takes)})"
        takes = ", ".join(f"{name} {kind} DEFAULT NULL" for name, kind in self.takes)
        return f"""
CREATE FUNCTION {{mirror}}.{self.name}({takes}) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    INSERT INTO {{mirror}}.outbox ({", ".join(columns)})
    VALUES ({", ".join(columns.values())})
    RETURNING id
$$;
COMMENT ON FUNCTION {signature} IS '{self.comment} Returns the id of the new row of outbox ({self.operation}).';
REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {signature} TO {{writer}};
"""

    def _payload(self) -> str:
        if self.payload is None:
            return "fields"
        built = _object(self.payload)
        if "lookup_value" not in dict(self.arguments):
            return built
        return f"{built} || CASE WHEN lookup_field IS NULL THEN '{{{{}}}}' ELSE jsonb_build_object(lookup_field, lookup_value) END"


def _object(keys: dict[str, str]) -> str:
    """Return an expression for an object without the keys whose argument was left out; what is inside a value stays."""
    pairs = ", ".join(f"('{key}', to_jsonb({argument}))" for key, argument in keys.items())
    return f"(SELECT coalesce(jsonb_object_agg(k, v), '{{{{}}}}') FROM (VALUES {pairs}) AS t (k, v) WHERE v IS NOT NULL)"


def _of_a_lead(
    name: str,
    operation: str,
    comment: str,
    *arguments: tuple[str, str],
    payload: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    more: tuple[tuple[str, str], ...] = (),
) -> Function:
    """Return a function whose lead is named by lead_id, by email, or by lookup_field and lookup_value."""
    named = {"id": "lead_id", "email": "email", **(payload or {})}
    return Function(name, operation, (LEAD_ID, *arguments, *NAMED, *more), comment, named, options)


LIST_ID, PROGRAM_ID = ("list_id", "bigint"), ("program_id", "bigint")

FUNCTIONS = (
    Function(
        "upsert_lead",
        "create_or_update",
        (FIELDS, LOOKUP, PARTITION, *LOCK),
        "Creates the lead, or changes it: fields holds Marketo''s API names and their values, and what finds the lead.",
    ),
    Function(
        "create_lead",
        "create_only",
        (FIELDS, LOOKUP, PARTITION),
        "Creates a lead; fails where there is one already.",
    ),
    Function(
        "update_lead",
        "update_only",
        (FIELDS, LOOKUP, *LOCK),
        "Changes a lead that exists: fields holds what changes, and what finds the lead, such as its id.",
    ),
    Function(
        "create_duplicate_lead",
        "create_duplicate",
        (FIELDS, LOOKUP, UNKNOWN),
        "Creates a lead even where there is one already.",
    ),
    _of_a_lead("delete_lead", "delete", "Deletes a lead.", more=LOCK),
    Function(
        "push_lead",
        "push",
        (
            FIELDS,
            ("program_name", "text"),
            ("program_status", "text"),
            ("source", "text"),
            ("reason", "text"),
            LOOKUP,
            PARTITION,
            UNKNOWN,
        ),
        "Creates the lead, or changes it, and makes it a member of a program.",
        options={
            "programName": "program_name",
            "programStatus": "program_status",
            "source": "source",
            "reason": "reason",
        },
    ),
    Function(
        "submit_form",
        "submit_form",
        (
            ("form_id", "bigint"),
            FIELDS,
            ("visitor_data", "jsonb"),
            ("cookie", "text"),
            PROGRAM_ID,
            UNKNOWN,
        ),
        "Fills in a form: fields holds its fields, email among them.",
        payload={"leadFormFields": "fields", "visitorData": "visitor_data", "cookie": "cookie"},
        options={"formId": "form_id", "programId": "program_id"},
    ),
    _of_a_lead(
        "merge_leads",
        "merge",
        "Merges up to 25 leads into the one that is named first.",
        ("loser_ids", "bigint[]"),
        ("merge_in_crm", "boolean"),
        payload={"leadIds": "loser_ids"},
        options={"mergeInCRM": "merge_in_crm"},
    ),
    _of_a_lead(
        "associate_lead",
        "associate",
        "Gives a lead the web activity of a Munchkin cookie.",
        ("cookie", "text"),
        options={"cookie": "cookie"},
    ),
    _of_a_lead(
        "add_to_list",
        "add_to_list",
        "Puts a lead on a static list.",
        LIST_ID,
        options={"listId": "list_id"},
    ),
    _of_a_lead(
        "remove_from_list",
        "remove_from_list",
        "Takes a lead off a static list.",
        LIST_ID,
        options={"listId": "list_id"},
    ),
    _of_a_lead(
        "set_program_status",
        "set_program_status",
        "Sets the status of a lead in a program, and makes it a member where it is none.",
        PROGRAM_ID,
        ("status_name", "text"),
        options={"programId": "program_id", "statusName": "status_name"},
    ),
    _of_a_lead(
        "remove_from_program",
        "remove_from_program",
        "Takes a lead out of a program.",
        PROGRAM_ID,
        options={"programId": "program_id"},
    ),
    _of_a_lead("update_partition", "update_partition", "Moves a lead to a partition.", PARTITION),
    _of_a_lead(
        "trigger_campaign",
        "trigger_campaign",
        "Sends a lead through a smart campaign that can be requested; tokens is a list of name and value.",
        ("campaign_id", "bigint"),
        ("tokens", "jsonb"),
        options={"campaignId": "campaign_id", "tokens": "tokens"},
        more=(UNKNOWN,),
    ),
    Function("create_field", "create_field", FIELD_ARGUMENTS, "Makes a field of leads.", payload=OF_A_FIELD),
    Function(
        "update_field",
        "update_field",
        tuple(argument for argument in FIELD_ARGUMENTS if argument[0] != "data_type"),
        "Changes a field of leads: what is left out stays.",
        payload={key: argument for key, argument in OF_A_FIELD.items() if key != "dataType"},
    ),
)


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function.sql().format(**context.config.attributes["names"]))


def downgrade() -> None:
    raise RuntimeError("there is no way back from this migration; restore a backup")
