"""Clock, log, merges, deletions, dump and load."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.simulator.conftest import Api


def test_same_seed_same_people(start: Callable[..., Api]) -> None:
    """Two simulators of one seed and start hold the same; another seed does not."""
    options: dict[str, Any] = {"start": "2026-01-01T00:00:00Z", "leads": 50, "limits": False}
    a, b, c = start(**options), start(**options), start(**{**options, "seed": 2})
    first = [[x.get(f"/rest/v1/leads/programs/{p}.json")["result"] for p in (1001, 1002)] for x in (a, b, c)]
    assert first[0] == first[1] != first[2]


def test_clock(start: Callable[..., Api]) -> None:
    """A frozen clock stands, an advanced one jumps; a job waits for simulated time."""
    api = start(start="2026-03-01T00:00:00Z", export_seconds=3600, limits=False)
    api.simulator.freeze()
    lead = api.new("clock@example.com")
    api.simulator.advance(90)
    api.sync({"email": "clock@example.com", "firstName": "Later"})
    found = api.lead(lead) or {}
    assert found["updatedAt"] > found["createdAt"]
    body = {"fields": ["id"], "filter": {"staticListId": 1001}}
    job = api.post("/bulk/v1/leads/export/create.json", **body)["result"][0]["exportId"]
    api.post(f"/bulk/v1/leads/export/{job}/enqueue.json")
    time.sleep(0.2)
    assert api.get(f"/bulk/v1/leads/export/{job}/status.json")["result"][0]["status"] == "Processing"
    api.simulator.advance(3500)
    assert api.get(f"/bulk/v1/leads/export/{job}/status.json")["result"][0]["status"] == "Processing"
    api.simulator.advance(200)
    time.sleep(0.2)
    api.authenticate()
    state = api.get(f"/bulk/v1/leads/export/{job}/status.json")["result"][0]
    assert state["status"] == "Completed"
    assert state["finishedAt"] > state["startedAt"]


def test_deletions_are_pruned_after_two_weeks(start: Callable[..., Api]) -> None:
    """A deletion shows for 14 days; changes show for 90."""
    api = start(limits=False, leads=20)
    token = api.since("2020-01-01T00:00:00Z")
    api.simulator.edit_lead(8, firstName="Changed")
    api.simulator.delete_lead(7)
    assert [i["leadId"] for i in api.feed("/deletedleads", token)[0]] == [7]
    api.simulator.advance(15 * 86_400)
    api.authenticate()
    assert api.feed("/deletedleads", token)[0] == []
    assert api.lead(7) is None
    assert [
        i["leadId"] for i in api.feed("/leadchanges", token, fields="firstName")[0] if i.get("fields")
    ] == [8]
    api.simulator.advance(80 * 86_400)
    api.authenticate()
    assert [i for i in api.feed("/leadchanges", token, fields="firstName")[0] if i.get("fields")] == []


def test_late_activities_are_lost_by_a_date_but_not_by_a_token(start: Callable[..., Api]) -> None:
    """An activity that shows after its date is behind a new date token, and before the kept one."""
    api = start(limits=False, commit_lag=1000.0, seed=3)
    api.simulator.freeze()
    kept = api.since("2026-01-01T00:00:00Z")
    _, kept = api.feed("/leadchanges", kept, fields="firstName")
    for n in range(30):
        api.simulator.edit_lead(n + 1, firstName=f"Late {n}")
        api.simulator.advance(1)
    early, kept = api.feed("/leadchanges", kept, fields="firstName")
    assert 0 < len(early) < 30
    newest = max(i["activityDate"] for i in early)
    api.simulator.advance(2000)
    again, _ = api.feed("/leadchanges", api.since(newest), fields="firstName")
    late, _ = api.feed("/leadchanges", kept, fields="firstName")
    assert len(early) + len(late) == 30
    seen = {i["marketoGUID"] for i in early + again}
    assert any(i["marketoGUID"] not in seen for i in late)
    dates = [i["activityDate"] for i in early + late]
    assert dates != sorted(dates)


def test_chained_merges(api: Api) -> None:
    """A winner that loses later takes everything along; activities show the last survivor."""
    token = api.since("2030-01-01T00:00:00Z")
    a, b, c = (api.new(f"chain-{n}@example.com", firstName=n) for n in "abc")
    listed = api.simulator.create_list(f"Chain {a}", [a])
    api.call("POST", f"/rest/v1/leads/{b}/merge.json", params={"leadId": a})
    api.simulator.merge_leads(c, [b], source="form")
    assert api.lead(a) is None
    assert api.lead(b) is None
    assert [x["id"] for x in api.get(f"/rest/v1/lists/{listed}/leads.json")["result"]] == [c]
    merges = [i for i in api.feed("", token, activityTypeIds="32")[0] if i["leadId"] == c]
    assert [i["primaryAttributeValueId"] for i in merges] == [b, c]
    ids = [{x["name"]: x["value"] for x in i["attributes"]}["Merge IDs"] for i in merges]
    assert ids == [[a], [b]]
    assert [len(i["attributes"]) for i in merges] == [4, 1]
    assert (
        api.sync({"id": a, "firstName": "Ghost"}, action="updateOnly", lookupField="id")[0]["reasons"][0][
            "code"
        ]
        == "1004"
    )


def test_anonymous_visitor_becomes_known_by_a_form(api: Api) -> None:
    """A visitor's cookie makes a lead that feeds do not show; a form with the cookie merges it."""
    cookie = f"id:063-GJP-217&token:_mch-example.com-{time.time_ns()}"
    token = api.since("2030-01-01T00:00:00Z")
    visitor = api.simulator.visit(cookie)
    assert [i for i in api.feed("", token, activityTypeIds="1")[0] if i["leadId"] == visitor] == []
    email = f"visitor-{visitor}@example.com"
    record = {"leadFormFields": {"email": email, "firstName": "Known"}, "cookie": cookie}
    lead = api.post("/rest/v1/leads/submitForm.json", formId=1029, input=[record])["result"][0]["id"]
    assert api.lead(visitor) is None
    assert [i["leadId"] for i in api.feed("", token, activityTypeIds="1")[0] if i["leadId"] == lead] == [lead]


def test_company_changes_for_all_its_leads(api: Api) -> None:
    """Leads of one company share its fields."""
    company = (api.lead(10, "contactCompany") or {})["contactCompany"]
    leads = api.simulator.edit_company(company, industry="Beekeeping")
    assert 10 in leads
    assert {(api.lead(i, "industry") or {})["industry"] for i in leads} == {"Beekeeping"}


def test_hidden_field_leaves_describe(api: Api) -> None:
    """A field hidden in the interface is gone from describe, and listed by the schema endpoint."""
    api.simulator.add_field("toHide", "string", "To Hide")
    lead = api.new("hide@example.com", toHide="x")
    api.simulator.edit_field("toHide", isHidden=True)
    assert "toHide" not in [f["rest"]["name"] for f in api.get("/rest/v1/leads/describe.json")["result"]]
    assert api.code("GET", f"/rest/v1/lead/{lead}.json", params={"fields": "toHide"}) == "1006"
    assert api.get("/rest/v1/leads/schema/fields/toHide.json")["result"][0]["isHidden"] is True
    api.simulator.edit_field("toHide", isHidden=False)
    assert (api.lead(lead, "toHide") or {})["toHide"] == "x"


def test_blocked_field_stays(api: Api) -> None:
    """An update of a blocked field answers updated and changes nothing."""
    api.simulator.edit_field("rating", blocked=True)
    lead = api.new("blocked@example.com", rating="Hot")
    assert api.sync({"email": "blocked@example.com", "rating": "Cold"})[0]["status"] == "updated"
    assert (api.lead(lead, "rating") or {})["rating"] == "Hot"
    api.simulator.edit_field("rating", blocked=False)


def test_dump_and_load(start: Callable[..., Api]) -> None:
    """A loaded state is the dumped one, in another simulator too."""
    a = start(limits=False, leads=100)
    a.simulator.merge_leads(1, [2, 3])
    a.simulator.set_program_status(1001, "Visited", [4])
    a.post(
        "/rest/v1/leads/schema/fields.json",
        input=[{"name": "dumped", "displayName": "Dumped", "dataType": "date"}],
    )
    lead = a.new("dump@example.com", dumped="2026-01-02", firstName="Dump")
    body = {"fields": ["id", "email", "dumped"], "filter": {"staticListId": 1001}}
    job = a.post("/bulk/v1/leads/export/create.json", **body)["result"][0]["exportId"]
    a.post(f"/bulk/v1/leads/export/{job}/enqueue.json")
    while a.get(f"/bulk/v1/leads/export/{job}/status.json")["result"][0]["status"] != "Completed":
        time.sleep(0.1)
    file = a.raw("GET", f"/bulk/v1/leads/export/{job}/file.json").content
    a.simulator.freeze()
    state = a.simulator.dump()
    b = start(limits=False, leads=7, seed=9)
    b.simulator.freeze()
    b.simulator.load(state)
    assert b.lead(lead, "email", "dumped") == a.lead(lead, "email", "dumped")
    assert b.simulator.effects() == a.simulator.effects()
    assert b.raw("GET", f"/bulk/v1/leads/export/{job}/file.json").content == file
    token = a.since("2020-01-01T00:00:00Z")
    assert b.feed("", token, activityTypeIds="12,13,32,104") == a.feed(
        "", token, activityTypeIds="12,13,32,104"
    )
    same = {"now": 0, "usage": 0}
    assert {**b.simulator.dump(), **same} == {**state, **same}


def test_overlapping_writes_of_a_new_key(api: Api) -> None:
    """Overlapping upserts of one new key make duplicates; overlapping createOnly calls make one lead."""
    made: dict[str, int] = {}
    api.simulator.set_options(race_ms=50.0)
    with ThreadPoolExecutor(4) as pool:
        for action in ("createOrUpdate", "createOnly"):
            record = {"email": f"race-{action}-{time.time_ns()}@example.com"}
            items = list(pool.map(lambda _, r=record, a=action: api.sync(r, action=a)[0], range(4)))
            made[action] = sum(item["status"] == "created" for item in items)
    api.simulator.set_options(race_ms=5.0)
    assert made["createOrUpdate"] > 1
    assert made["createOnly"] == 1


def test_calls_and_effects(api: Api) -> None:
    """Calls are counted by endpoint, effects are kept in order with what changed."""
    api.simulator.reset_calls()
    lead = api.new("effects@example.com", firstName="A")
    last = api.simulator.stats()["effects"]
    api.sync({"email": "effects@example.com", "firstName": "B"})
    api.simulator.edit_lead(lead, firstName="C")
    api.get(f"/rest/v1/lead/{lead}.json")
    assert api.simulator.calls() == {"POST /rest/v1/leads.json": 2, "GET /rest/v1/lead/{leadId}.json": 1}
    effects = api.simulator.effects(last)
    assert [(e["kind"], e["leadId"], e["endpoint"]) for e in effects] == [
        ("updated", lead, "POST /rest/v1/leads.json"),
        ("updated", lead, "ui"),
    ]
    assert [e["fields"]["firstName"] for e in effects] == [{"old": "A", "new": "B"}, {"old": "B", "new": "C"}]
