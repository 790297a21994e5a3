"""Every limit, with its code and text, and each switched off."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.simulator.conftest import Api

ONE = "/rest/v1/lead/1.json"


def message(body: dict[str, Any]) -> tuple[str, str]:
    return body["errors"][0]["code"], body["errors"][0]["message"]


def test_rate_of_calls(start: Callable[..., Api]) -> None:
    """The 101st call in 20 seconds is 606; refused calls don't count, and later there is room again."""
    api = start()
    answers = [api.get(ONE) for _ in range(103)]
    assert [a["success"] for a in answers] == [True] * 100 + [False] * 3
    assert message(answers[-1]) == ("606", "Max rate limit '100' exceeded with in '20' secs")
    api.simulator.advance(20)
    assert api.get(ONE)["success"] is True
    api.simulator.set_options(limits=False)
    assert all(api.get(ONE)["success"] for _ in range(120))


def test_concurrency(start: Callable[..., Api]) -> None:
    """The eleventh call at once is 615."""
    api = start(latency_ms=400)
    with ThreadPoolExecutor(11) as pool:
        answers = list(pool.map(lambda _: api.get(ONE), range(11)))
    refused = [a for a in answers if not a["success"]]
    assert [message(a) for a in refused] == [("615", "Concurrent access limit '10' reached")]
    assert api.simulator.stats()["peak"] == 10


def test_daily_quota_ends_at_midnight_us_central(start: Callable[..., Api]) -> None:
    """Calls of others count too; 607 lasts to midnight in Chicago, not in London."""
    api = start(start="2026-01-15T12:00:00Z")
    api.simulator.freeze()
    api.simulator.use_quota(49_998)
    assert [api.get(ONE)["success"] for _ in range(3)] == [True, True, False]
    assert message(api.get(ONE)) == ("607", "Daily quota reached")
    api.simulator.set_clock("2026-01-16T05:59:59Z")
    api.authenticate()
    assert message(api.get(ONE))[0] == "607"
    api.simulator.set_clock("2026-01-16T06:00:00Z")
    assert api.get(ONE)["success"] is True
    usage = api.get("/rest/v1/stats/usage/last7days.json")["result"]
    assert [(d["date"], d["total"]) for d in usage[:2]] == [("2026-01-16", 2), ("2026-01-15", 50_000)]
    errors = api.get("/rest/v1/stats/errors/last7days.json")["result"]
    assert errors[1]["errors"] == [{"errorCode": "607", "count": 2}] or errors[1]["total"] >= 2


def test_server_time_out_may_come_after_the_effect(start: Callable[..., Api]) -> None:
    """A call that runs past its endpoint's time-out ends as 604, and its effect may still come."""
    api = start(latency_ms=300, time_out_scale=0.002, limits=False)
    assert api.code("POST", "/rest/v1/leads.json", json={"input": [{"email": "late@example.com"}]}) == "604"
    deadline = time.monotonic() + 5
    while not api.simulator.effects() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [e["kind"] for e in api.simulator.effects()] == ["created"]


def test_export_queue_and_volume(start: Callable[..., Api]) -> None:
    """Two jobs run, ten wait or run; queue full, queued twice and the day's volume are 1029 in 3 texts."""
    api = start(export_seconds=2.0, export_mb=0.01)
    path = "/bulk/v1/leads/export"
    body = {"fields": ["id", "email"], "filter": {"staticListId": 1001}}
    jobs = [api.post(f"{path}/create.json", **body)["result"][0]["exportId"] for _ in range(11)]
    for job in jobs[:10]:
        assert api.post(f"{path}/{job}/enqueue.json")["success"] is True
    assert message(api.post(f"{path}/{jobs[10]}/enqueue.json")) == ("1029", "Too many jobs (10) in queue")
    code, text = message(api.post(f"{path}/{jobs[0]}/enqueue.json"))
    assert code == "1029"
    assert "already queued" in text
    statuses = [api.get(f"{path}/{job}/status.json")["result"][0]["status"] for job in jobs]
    assert statuses.count("Processing") == 2
    assert api.get(f"{path}.json", status="Queued")["result"][0]["status"] == "Queued"
    assert api.post(f"{path}/{jobs[9]}/cancel.json")["result"][0]["status"] == "Cancelled"
    api.simulator.advance(3)
    time.sleep(0.3)
    assert message(api.post(f"{path}/create.json", **body)) == ("1029", "Export daily quota 0.01MB exceeded.")


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/rest/v1/leads.json", {"filterType": "firstName", "filterValues": "A"}, "1011"),
        ("/rest/v1/leads.json", {"filterType": "cookies", "filterValues": "nonsense"}, "1012"),
        ("/rest/v1/leads.json", {"filterType": "leadPartitionId", "filterValues": "1"}, ""),
        ("/rest/v1/lead/1.json", {"fields": "email,nope"}, "1006"),
        ("/rest/v1/activities.json", {"nextPageToken": "nonsense", "activityTypeIds": "1"}, "1003"),
        ("/rest/v1/activities.json", {"activityTypeIds": "1"}, "1002"),
        ("/rest/v1/activities/pagingtoken.json", {"sinceDatetime": "yesterday"}, "704"),
        ("/rest/v1/lists/1.json", {}, "1013"),
        ("/rest/v1/companies.json", {"filterType": "id", "filterValues": "1"}, "703"),
        ("/rest/v1/customobjects.json", {}, "1026"),
        ("/rest/asset/v1/program/byName.json", {}, "701"),
    ],
)
def test_codes(api: Api, path: str, params: dict[str, str], code: str) -> None:
    """Each mistake has its own code; what is right has none."""
    if code:
        assert api.code("GET", path, params=params) == code
    else:
        assert api.get(path, **params)["success"] is True


def test_ways_to_say_a_path_and_a_method(api: Api) -> None:
    """Doubled slashes and dot segments pass; _method counts in a query and a form, not for assets."""
    assert api.get("/rest//v1/lead/1.json")["result"][0]["id"] == 1
    assert api.get("/bulk/v1/leads/export.json")["success"] is True
    raw = api.http.build_request("GET", "/x", headers={"Authorization": f"Bearer {api.token}"})
    raw.url = raw.url.copy_with(raw_path=b"/rest/../bulk/v1/leads/export.json")
    assert api.http.send(raw).json()["success"] is True
    query = {"filterType": "id", "filterValues": "1"}
    for path, form in (
        ("/rest/v1/leads.json?_method=GET", query),
        ("/rest/v1/leads.json", {**query, "_method": "GET"}),
    ):
        assert [x["id"] for x in api.call("POST", path, data=form)["result"]] == [1]
    assert api.code("POST", "/rest/asset/v1/channels.json", data={"_method": "GET"}) == "605"


def test_permissions(start: Callable[..., Api]) -> None:
    """What the API user may not do is 603, endpoint by endpoint."""
    api = start(denied=("read-asset", "read-write-asset"))
    assert api.code("GET", "/rest/v1/leads/1/listMembership.json") == "603"
    assert api.code("GET", "/rest/asset/v1/programs.json") == "603"
    assert api.get(ONE)["success"] is True
    api.simulator.set_options(denied=["read-lead", "read-write-lead"])
    assert api.code("GET", ONE) == "603"
    assert api.get("/rest/v1/stats/usage.json")["success"] is True


def test_company_fields(start: Callable[..., Api]) -> None:
    """Sync Leads refuses company fields with 1021 unless told to write them."""
    api = start()
    record = {"email": "co@example.com", "company": "Acme"}
    assert api.sync(record)[0]["reasons"][0]["code"] == "1021"
    api.simulator.set_options(company_fields="write")
    assert api.sync(record)[0]["status"] == "created"


def test_records_in_a_call(start: Callable[..., Api]) -> None:
    """300 records, ids and values are the most, unless it is set otherwise or switched off."""
    api = start(limits=False)
    values = {"filterType": "id", "filterValues": ",".join(map(str, range(1, 302)))}
    records = {
        "input": [{"id": n, "firstName": "A"} for n in range(1, 302)],
        "action": "updateOnly",
        "lookupField": "id",
    }
    for limit, refused in ((300, True), (301, False), (0, False)):
        api.simulator.set_options(max_records=limit)
        assert api.get("/rest/v1/leads.json", **values)["success"] is not refused
        assert api.post("/rest/v1/leads.json", **records)["success"] is not refused


def test_too_long_text(start: Callable[..., Api]) -> None:
    """Text beyond a field's length is 1003, or cut off."""
    api = start()
    record = {"email": "long@example.com", "firstName": "x" * 300}
    assert api.sync(record)[0]["reasons"][0]["code"] == "1003"
    api.simulator.set_options(overlong="truncate")
    lead = api.sync(record)[0]["id"]
    assert (api.lead(lead) or {})["firstName"] == "x" * 255
