"""What no document settles has a default and a switch."""

import time
from collections.abc import Callable, Iterator

import pytest

from syncd.simulator import Options, running
from tests.simulator.conftest import Api

EXPORT = "/bulk/v1/leads/export"
ALL = {"fields": ["id", "email"], "filter": {"staticListId": 1001}}


@pytest.fixture(scope="module")
def own() -> Iterator[Api]:
    """A simulator whose options these tests may change."""
    with running(Options(limits=False, export_seconds=0.1)) as simulator:
        api = Api(simulator)
        yield api
        api.http.close()


def done(api: Api, job: str, path: str = EXPORT) -> str:
    api.post(f"{path}/{job}/enqueue.json")
    while (status := api.get(f"{path}/{job}/status.json")["result"][0]["status"]) in {"Queued", "Processing"}:
        time.sleep(0.02)
    return str(status)


def reason(item: dict[str, object]) -> tuple[str, str]:
    reasons = item["reasons"]
    assert isinstance(reasons, list)
    return reasons[0]["code"], reasons[0]["message"]


def test_wording_and_case_of_look_ups(own: Api) -> None:
    """1007 has two texts; letter case can count."""
    own.new("Switch@Example.com")
    own.new("switch@example.com")
    set_ = own.simulator.set_options
    assert reason(own.sync({"email": "SWITCH@example.com"})[0]) == (
        "1007",
        "Multiple lead match lookup criteria",
    )
    set_(duplicate_text="documented")
    assert reason(own.sync({"email": "SWITCH@example.com"})[0])[1].startswith(
        "Multiple leads match the lookup"
    )
    set_(match_case=True)
    assert own.sync({"email": "switch@example.com"})[0]["status"] == "updated"
    assert [i["status"] for i in own.sync({"email": "SWITCH@example.com"}, {"email": "sWITCH@example.com"})] == [
        "created", "created",
    ]  # fmt: skip
    set_(match_case=False, duplicate_text="recorded")
    query = {"filterType": "email", "filterValues": "switch@example.com"}
    assert len(own.get("/rest/v1/leads.json", **query)["result"]) == 4


def test_values(own: Api) -> None:
    """Percents may have decimals or not."""
    lead = own.new("percent@example.com", discountRate=12.5)
    own.simulator.set_options(percent="whole")
    assert reason(own.sync({"email": "percent@example.com", "discountRate": 7.5})[0])[0] == "1003"
    assert own.sync({"email": "percent@example.com", "discountRate": 8})[0]["id"] == lead
    own.simulator.set_options(percent="decimal")


def test_missing_things(own: Api) -> None:
    """An unknown lead, list or loser is empty, refused or ignored."""
    set_ = own.simulator.set_options
    lead = own.new("missing@example.com")
    merge = f"/rest/v1/leads/{lead}/merge.json"
    assert own.lead(10**9) is None
    assert own.code("GET", "/rest/v1/list/99/leads.json") == "1013"
    assert own.code("POST", merge, params={"leadIds": f"{10**9},5"}) == "1004"
    assert own.lead(5) is not None
    set_(missing_lead="1004", missing_list="empty", missing_loser="ignore")
    assert own.code("GET", f"/rest/v1/lead/{10**9}.json") == "1004"
    assert own.get("/rest/v1/list/99/leads.json")["result"] == []
    assert own.call("POST", merge, params={"leadIds": f"{10**9}"})["success"] is True
    assert own.call("POST", merge, params={"leadIds": f"{10**9},5"})["success"] is True
    assert own.simulator.effects()[-2]["losers"] == [5]
    set_(missing_lead="empty", missing_list="1013", missing_loser="1004")


def test_exports(own: Api) -> None:
    """Spelling of a cancelled job, the separator of SSV, and names of cadences."""
    set_ = own.simulator.set_options
    job = own.post(f"{EXPORT}/create.json", **ALL, format="SSV")["result"][0]["exportId"]
    set_(ssv="space")
    assert done(own, job) == "Completed"
    assert own.raw("GET", f"{EXPORT}/{job}/file.json").text.startswith("id email\n")
    job = own.post(f"{EXPORT}/create.json", **ALL)["result"][0]["exportId"]
    set_(cancelled="Canceled", ssv="semicolon", cadences="short")
    assert own.post(f"{EXPORT}/{job}/cancel.json")["result"][0]["status"] == "Canceled"
    for spelling in ("Canceled", "Cancelled"):
        found = own.get(f"{EXPORT}.json", status=spelling)["result"]
        assert [x["exportId"] for x in found] == [job]
    members = "/bulk/v1/program/members/export/create.json"
    for cadence, short, long in (("norm", True, False), ("paused", False, True)):
        body = {"fields": ["leadId"], "filter": {"programId": 1003, "nurtureCadence": cadence}}
        set_(cadences="short")
        assert own.post(members, **body)["success"] is short
        set_(cadences="long")
        assert own.post(members, **body)["success"] is long
    set_(cancelled="Cancelled", cadences="all")


def test_new_fields(own: Api) -> None:
    """A wrong field is refused alone, or the call is as a whole."""
    good = {"name": "switchField", "displayName": "Switch Field", "dataType": "string"}
    own.simulator.set_options(field_errors="call")
    for path in ("/rest/v1/leads/schema/fields.json", "/rest/v1/programs/members/schema/fields.json"):
        assert own.code("POST", path, json={"input": [good, {"name": "x y"}]}) == "1003"
        assert own.code("POST", path, json={"input": [good, 5]}) == "1003"
        assert own.code("GET", path.replace(".json", "/switchField.json")) == "1006"
    own.simulator.set_options(field_errors="record")
    items = own.post("/rest/v1/leads/schema/fields.json", input=[good, {"name": "x y"}, good])["result"]
    assert [i["status"] for i in items] == ["created", "skipped", "skipped"]


def test_paging_tokens_and_method_names(own: Api) -> None:
    """Feed tokens may expire; activities of API writes may name the method; the async answer may be bare."""
    token = own.since("2026-01-01T00:00:00Z")
    own.simulator.set_options(paging_token_days=1.0, api_method_name="Sync Leads", async_result="none")
    own.new("method@example.com")
    body = own.post(
        "/rest/v1/leads.json", input=[{"email": "method@example.com", "title": "X"}], asyncProcessing=True
    )
    assert body["success"] is True and "result" not in body  # noqa: PT018
    own.simulator.set_options(async_result="full", api_method_name="")
    own.sync({"email": "method@example.com", "title": "Y"})
    found, token = own.feed("", token, activityTypeIds="12,13")
    named = [{a["name"]: a["value"] for a in x["attributes"]}.get("API Method Name") for x in found[-3:]]
    assert named == ["Sync Leads", "Sync Leads", None]
    own.simulator.advance(90_000)
    own.authenticate()
    path = "/rest/v1/activities/deletedleads.json"
    assert own.code("GET", path, params={"nextPageToken": token}) == "1003"
    own.simulator.set_options(paging_token_days=0.0)
    assert own.get(path, nextPageToken=token)["success"] is True


def test_what_a_merge_fills_in_shows_among_the_changes_or_not(start: Callable[..., Api]) -> None:
    """The winner takes what it lacks from the loser either way, and the merge itself is always logged."""
    for logged in (True, False):
        api = start(leads=20, merge_logged=logged)
        token = api.since("2020-01-01T00:00:00Z")
        api.simulator.edit_lead(1, title=None)
        api.simulator.edit_lead(2, title="Boss")
        api.simulator.merge_leads(1, [2])
        assert api.simulator.lead(1)["title"] == "Boss"
        found, _ = api.feed("", token, activityTypeIds="13,32")
        filled = [
            x for x in found if x["leadId"] == 1 and {"name": "New Value", "value": "Boss"} in x["attributes"]
        ]
        # What was logged of the loser is now told of the winner.
        assert len(filled) == 1 + logged
        assert [x["leadId"] for x in found if x["activityTypeId"] == 32] == [1]


def test_loser_of_a_merge_among_the_deleted(start: Callable[..., Api]) -> None:
    """Where losers show as deleted, they show under their own id; never the winner."""
    api = start(leads=20, merged_in_deleted=True, merge_limit=0, max_members=3)
    token = api.since("2020-01-01T00:00:00Z")
    losers = ",".join(map(str, range(2, 18)))
    assert api.call("POST", "/rest/v1/leads/1/merge.json", params={"leadIds": losers})["success"] is True
    found, _ = api.feed("/deletedleads", token)
    assert [x["leadId"] for x in found] == list(range(2, 18))
    program = "/rest/v1/programs/1001/members.json"
    api.simulator.set_program_status(1001, "Visited", [1, 18, 19, 20])
    filters = {"filterType": "reachedSuccess", "filterValues": "false"}
    refused = api.call("GET", program, params=filters)["errors"][0]
    assert refused["code"] == "1003"
    assert refused["message"].startswith("Total membership size: ")
    assert refused["message"].endswith("exceeds the limit allowed 3 for the filter")
    api.simulator.set_options(max_members=0)
    assert api.call("GET", program, params=filters)["success"] is True
