"""Every endpoint that is used: its path and how long Marketo itself works on it before it gives up.

Time-outs by page (all under https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/):
lead-database/leads (30 s, with exceptions), lead-database/activities (30 s, paging token 300 s),
assets/assets (300 s). Where a page names none, the leads page's 30 s are taken.
"""

from dataclasses import dataclass

LONG_QUERY = 1_000
"""Bytes of a query beyond which it travels as a form. Marketo answers 414 to a URI of over 8 KB (page error-codes); long
before that, a URI is what gateways write to their logs, and what httpx looks at character by character."""

BODY_LIMIT = 1_048_576
"""Bytes of a JSON body; Marketo answers 413 beyond it (page error-codes)."""

FILE_LIMIT = 10_000_000
"""Bytes of a file for bulk import with its envelope; Marketo answers 413 beyond it (page error-codes)."""

BATCH = 300
"""Records a lead database call takes or returns (page lead-database/lead-database)."""

ASSET_BATCH = 200
"""Assets a browsing call returns (page assets/assets)."""

ACTIVITY_TYPES = 10
"""Activity types one call may ask for (page lead-database/activities)."""


@dataclass(frozen=True)
class Endpoint:
    """One thing Marketo can be asked.

    timeout: seconds after which Marketo itself answers 604.
    writes: True where a repeated call could change a lead twice; such calls never repeat themselves.
    long_form: whether the parameters may travel in the body of a POST with ``_method=GET``.
    skimmed: of the leads that it returns only the ids are read at first; most pages go on as Marketo wrote them.
    """

    name: str
    method: str
    path: str
    timeout: float = 30.0
    writes: bool = False
    long_form: bool = True
    skimmed: bool = False


# …/rest/authentication
IDENTITY = Endpoint("identity", "POST", "/identity/oauth/token", long_form=False)

# …/rest/lead-database/leads#describe
DESCRIBE = Endpoint("describe", "GET", "/rest/v1/leads/describe.json")
DESCRIBE2 = Endpoint("describe2", "GET", "/rest/v1/leads/describe2.json")

# …/rest/lead-database/leads#get-lead-fields
SCHEMA_FIELDS = Endpoint("schema_fields", "GET", "/rest/v1/leads/schema/fields.json")

CREATE_FIELDS = Endpoint("create_fields", "POST", "/rest/v1/leads/schema/fields.json", writes=True)
UPDATE_FIELD = Endpoint("update_field", "POST", "/rest/v1/leads/schema/fields/{name}.json", writes=True)

# …/rest/lead-database/leads#query
LEAD = Endpoint("lead", "GET", "/rest/v1/lead/{lead_id}.json")
LEADS = Endpoint("leads", "GET", "/rest/v1/leads.json", timeout=60.0, skimmed=True)

# …/rest/lead-database/leads#create-and-update
SYNC_LEADS = Endpoint("sync_leads", "POST", "/rest/v1/leads.json", timeout=90.0, writes=True)

# …/rest/lead-database/leads#delete
DELETE_LEADS = Endpoint("delete_leads", "POST", "/rest/v1/leads/delete.json", writes=True)

# …/rest/lead-database/leads#push-lead, #submit-form, #merge, #associate
PUSH_LEADS = Endpoint("push_leads", "POST", "/rest/v1/leads/push.json", timeout=90.0, writes=True)
SUBMIT_FORM = Endpoint("submit_form", "POST", "/rest/v1/leads/submitForm.json", writes=True)
MERGE_LEADS = Endpoint(
    "merge_leads",
    "POST",
    "/rest/v1/leads/{lead_id}/merge.json",
    timeout=180.0,
    writes=True,
    long_form=False,
)
ASSOCIATE_LEAD = Endpoint(
    "associate_lead",
    "POST",
    "/rest/v1/leads/{lead_id}/associate.json",
    timeout=60.0,
    writes=True,
    long_form=False,
)

# …/rest/lead-database/leads#lead-partitions
UPDATE_PARTITION = Endpoint(
    "update_partition", "POST", "/rest/v1/leads/partitions.json", timeout=60.0, writes=True
)
PARTITIONS = Endpoint("partitions", "GET", "/rest/v1/leads/partitions.json")

# …/rest/lead-database/leads#by-static-list
LEADS_BY_LIST = Endpoint("leads_by_list", "GET", "/rest/v1/lists/{list_id}/leads.json", timeout=60.0)

# …/rest/lead-database/list-membership
ARE_ON_LIST = Endpoint("are_on_list", "GET", "/rest/v1/lists/{list_id}/leads/ismember.json")

# …/rest/lead-database/leads#by-program
LEADS_BY_PROGRAM = Endpoint(
    "leads_by_program", "GET", "/rest/v1/leads/programs/{program_id}.json", timeout=60.0
)

# …/rest/lead-database/program-members
PROGRAM_MEMBERS = Endpoint("program_members", "GET", "/rest/v1/programs/{program_id}/members.json")
MEMBER_DESCRIBE = Endpoint("member_describe", "GET", "/rest/v1/programs/members/describe.json")

SET_PROGRAM_STATUS = Endpoint(
    "set_program_status", "POST", "/rest/v1/programs/{program_id}/members/status.json", writes=True
)
REMOVE_FROM_PROGRAM = Endpoint(
    "remove_from_program", "POST", "/rest/v1/programs/{program_id}/members/delete.json", writes=True
)

# …/rest/lead-database/leads#membership
CAMPAIGNS_OF_LEAD = Endpoint(
    "campaigns_of_lead", "GET", "/rest/v1/leads/{lead_id}/smartCampaignMembership.json"
)

# …/rest/lead-database/static-lists
STATIC_LISTS = Endpoint("static_lists", "GET", "/rest/v1/lists.json")
ADD_TO_LIST = Endpoint("add_to_list", "POST", "/rest/v1/lists/{list_id}/leads.json", writes=True)
REMOVE_FROM_LIST = Endpoint("remove_from_list", "DELETE", "/rest/v1/lists/{list_id}/leads.json", writes=True)

# …/rest/paging-tokens
PAGING_TOKEN = Endpoint("paging_token", "GET", "/rest/v1/activities/pagingtoken.json", timeout=300.0)

# …/rest/lead-database/activities
ACTIVITY_TYPE_LIST = Endpoint("activity_types", "GET", "/rest/v1/activities/types.json")
ACTIVITIES = Endpoint("activities", "GET", "/rest/v1/activities.json")
LEAD_CHANGES = Endpoint("lead_changes", "GET", "/rest/v1/activities/leadchanges.json")
DELETED_LEADS = Endpoint("deleted_leads", "GET", "/rest/v1/activities/deletedleads.json")

# …/rest/bulk-extract/bulk-lead-extract. Creating, queueing and cancelling an export changes no lead,
# and an export that was created twice and queued once costs nothing: these calls may repeat themselves.
CREATE_EXPORT = Endpoint("create_export", "POST", "/bulk/v1/leads/export/create.json")
ENQUEUE_EXPORT = Endpoint("enqueue_export", "POST", "/bulk/v1/leads/export/{export_id}/enqueue.json")
CANCEL_EXPORT = Endpoint("cancel_export", "POST", "/bulk/v1/leads/export/{export_id}/cancel.json")
EXPORT_STATUS = Endpoint(
    "export_status", "GET", "/bulk/v1/leads/export/{export_id}/status.json", long_form=False
)
EXPORTS = Endpoint("exports", "GET", "/bulk/v1/leads/export.json", long_form=False)
EXPORT_FILE = Endpoint(
    "export_file", "GET", "/bulk/v1/leads/export/{export_id}/file.json", timeout=300.0, long_form=False
)

# …/rest/bulk-import/bulk-lead-import. No time-out is documented; a file may take as long as one that is fetched.
IMPORT_LEADS = Endpoint(
    "import_leads", "POST", "/bulk/v1/leads.json", timeout=300.0, writes=True, long_form=False
)
IMPORT_STATUS = Endpoint("import_status", "GET", "/bulk/v1/leads/batch/{batch_id}.json", long_form=False)
IMPORT_FAILURES = Endpoint(
    "import_failures", "GET", "/bulk/v1/leads/batch/{batch_id}/failures.json", timeout=300.0, long_form=False
)
IMPORT_WARNINGS = Endpoint(
    "import_warnings", "GET", "/bulk/v1/leads/batch/{batch_id}/warnings.json", timeout=300.0, long_form=False
)

# …/rest/assets/channels
CHANNELS = Endpoint("channels", "GET", "/rest/asset/v1/channels.json", timeout=300.0, long_form=False)

# …/rest/assets/programs and …/rest/assets/smart-campaigns
PROGRAMS = Endpoint("programs", "GET", "/rest/asset/v1/programs.json", timeout=300.0, long_form=False)
SMART_CAMPAIGNS = Endpoint(
    "smart_campaigns", "GET", "/rest/asset/v1/smartCampaigns.json", timeout=300.0, long_form=False
)

# …/rest/usage
USAGE = Endpoint("usage", "GET", "/rest/v1/stats/usage.json")

# …/rest/assets/smart-campaigns#trigger
TRIGGER_CAMPAIGN = Endpoint(
    "trigger_campaign", "POST", "/rest/v1/campaigns/{campaign_id}/trigger.json", writes=True
)

WRITES = {
    endpoint.name: endpoint
    for endpoint in (
        *(SYNC_LEADS, DELETE_LEADS, PUSH_LEADS, SUBMIT_FORM, MERGE_LEADS, ASSOCIATE_LEAD, UPDATE_PARTITION),
        *(ADD_TO_LIST, REMOVE_FROM_LIST, SET_PROGRAM_STATUS, REMOVE_FROM_PROGRAM, TRIGGER_CAMPAIGN),
        *(CREATE_FIELDS, UPDATE_FIELD),
    )
}
"""The endpoints of the outbox, by name."""
