"""Runs in an environment that holds marketorestpython: uses it unchanged but for the host given."""

import sys
import tempfile
import time

from marketorestpython.client import MarketoClient

client = MarketoClient("123-ABC-456", "simulator", "simulator-secret")
client.host = sys.argv[1]
run = client.execute

tag = str(time.time_ns())
assert len(run(method="describe")) > 60
assert run(method="describe2")[0]["name"] == "API Lead"
assert run(method="get_lead_by_id", id=1)[0]["id"] == 1
emails = [f"mrp-{n}-{tag}@example.com" for n in range(350)]
made = []
for part in (emails[:300], emails[300:]):
    made += run(method="create_update_leads", leads=[{"email": e, "firstName": "Mrp"} for e in part])
assert {m["status"] for m in made} == {"created"}
ids = [m["id"] for m in made]
found = run(
    method="get_multiple_leads_by_filter_type", filterType="email", filterValues=emails[:40], fields=["email"]
)
assert sorted(x["id"] for x in found) == sorted(ids[:40])
lists = run(method="get_multiple_lists")
target = run(
    method="create_list",
    name=f"Mrp {tag}",
    folderId=12,
    folderType="Folder",
    description="from a public client",
)[0]["id"]
assert {x["status"] for x in run(method="add_leads_to_list", listId=target, id=ids[:300])} == {"added"}
assert run(method="member_of_list", listId=target, id=ids[:1])[0]["status"] == "memberof"
assert len(run(method="get_multiple_leads_by_list_id", listId=target, fields=["email"])) == 300
pages = run(method="get_multiple_leads_by_list_id_yield", listId=lists[0]["id"], fields=["email"])
assert sum(len(page) for page in pages) > 300
assert {x["status"] for x in run(method="remove_leads_from_list", listId=target, id=ids[:2])} == {"removed"}
assert run(method="get_list_by_id", id=target)[0]["name"] == f"Mrp {tag}"
assert run(method="get_list_by_name", name=f"Mrp {tag}")[0]["id"] == target
assert len(run(method="browse_lists")) >= 6
programs = run(method="browse_programs")
program = programs[0]
assert run(method="get_program_by_id", id=program["id"])[0]["name"] == program["name"]
assert run(method="get_program_by_name", name=program["name"])[0]["id"] == program["id"]
assert len(run(method="get_multiple_leads_by_program_id", programId=program["id"], fields=["email"])) > 20
pushed = run(
    method="push_lead",
    leads=[{"email": emails[0]}],
    lookupField="email",
    programName=program["name"],
    programStatus="Visited",
    source="a",
    reason="b",
)
assert pushed[0]["status"] == "updated"
run(method="change_lead_program_status", id=program["id"], leadIds=[ids[0]], status="Engaged")
run(method="merge_lead", id=ids[10], leadIds=ids[11:13])
run(method="associate_lead", id=ids[0], cookie="id:287-GTJ-838%26token:_mch-marketo.com-1396310362214-46169")
assert run(method="get_smart_campaigns_by_lead_id", lead_id=1) is not None
assert run(method="get_lead_partitions")
campaigns = run(method="get_multiple_campaigns")
trigger = next(c["id"] for c in campaigns if c["type"] == "trigger")
run(method="request_campaign", id=trigger, leads=ids[:2], tokens={"{{my.message}}": "hello"})
assert run(method="get_smart_campaigns")
assert run(method="get_channels")
assert run(method="get_activity_types")
since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
changes = run(method="get_lead_changes", fields=["firstName"], sinceDatetime=since)
assert len(changes) >= 350
types = ["1", "12", "13", "24", "25", "32"]
activities = run(method="get_lead_activities", activityTypeIds=types, sinceDatetime=since)
assert {a["activityTypeId"] for a in activities} >= {12, 24, 25, 32}
assert {x["status"] for x in run(method="delete_lead", id=ids[20:22])} == {"deleted"}
assert {d["leadId"] for d in run(method="get_deleted_leads", sinceDatetime=since)} >= set(ids[20:22])
assert run(method="get_daily_usage")[0]["total"] > 0
assert run(method="get_last_7_days_usage")
assert run(method="get_daily_errors") is not None

with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as file:
    file.write(f"email,firstName\nimport-{tag}@example.com,Imported\nbad,Bad\n")
batch = run(method="import_lead", file=file.name, format="csv", listId=target)[0]["batchId"]
for _ in range(50):
    status = run(method="get_import_lead_status", id=batch)[0]
    if status["status"] == "Complete":
        break
    time.sleep(0.1)
assert (status["numOfLeadsProcessed"], status["numOfRowsFailed"]) == (1, 1), status
assert "bad" in run(method="get_import_failure_file", id=batch)

window = {
    "startAt": f"{since}T00:00:00Z",
    "endAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)),
}
job = run(method="create_leads_export_job", fields=["id", "email"], filters={"createdAt": window})[0][
    "exportId"
]
run(method="enqueue_leads_export_job", job_id=job)
for _ in range(50):
    if run(method="get_leads_export_job_status", job_id=job)[0]["status"] == "Completed":
        break
    time.sleep(0.1)
content = run(method="get_leads_export_job_file", job_id=job)
text = content.decode() if isinstance(content, bytes) else str(content)
assert f"mrp-30-{tag}@example.com" in text
sys.stdout.write("marketorestpython is content\n")
