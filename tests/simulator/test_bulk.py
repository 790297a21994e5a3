"""Bulk extract and import: files, ranges, odd values, failed jobs, files that are late or break off."""

import csv
import hashlib
import io
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.simulator.conftest import Api

BASE = "/bulk/v1/leads/export"
FIELDS = [
    "id",
    "email",
    "firstName",
    "lastName",
    "address",
    "accountNotes",
    "newsletterOptIn",
    "loyaltyPoints",
]


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def run(api: Api, body: dict[str, Any], base: str = BASE) -> dict[str, Any]:
    made = api.post(f"{base}/create.json", **body)
    assert made["success"], made
    job = made["result"][0]["exportId"]
    api.post(f"{base}/{job}/enqueue.json")
    while True:
        state: dict[str, Any] = api.get(f"{base}/{job}/status.json")["result"][0]
        if state["status"] in {"Completed", "Failed"}:
            return state
        time.sleep(0.05)


def content(api: Api, job: str, base: str = BASE, **headers: str) -> httpx.Response:
    return api.raw("GET", f"{base}/{job}/file.json", headers=headers)


def download(api: Api, job: str) -> bytes:
    """What arrives of a file before the connection breaks off."""
    begun = b""
    headers = {"Authorization": f"Bearer {api.token}"}
    with (
        suppress(httpx.RemoteProtocolError),
        api.http.stream("GET", f"{BASE}/{job}/file.json", headers=headers) as response,
    ):
        for part in response.iter_raw():
            begun += part
    return begun


def rows(data: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


def test_nasty_values_survive(start: Callable[..., Api]) -> None:
    """What the file holds is what the leads hold: newlines, quotes, NULs, U+2028 and the word null."""
    api = start(profile="nasty", leads=300, file_delay=0.0, export_seconds=0.1, limits=False)
    end = datetime.now(UTC)
    seen: dict[str, dict[str, str]] = {}
    for month in range(7):
        span = {
            "startAt": iso(end - timedelta(days=30 * (month + 1))),
            "endAt": iso(end - timedelta(days=30 * month)),
        }
        state = run(api, {"fields": FIELDS, "filter": {"createdAt": span}})
        data = content(api, state["exportId"]).content
        assert state["fileChecksum"] == "sha256:" + hashlib.sha256(data).hexdigest()
        assert (state["fileSize"], state["numberOfRecords"]) == (len(data), len(rows(data)))
        seen |= {row["id"]: row for row in rows(data)}
    assert len(seen) == 300
    body = api.get(
        "/rest/v1/leads.json", filterType="id", filterValues=",".join(seen), fields=",".join(FIELDS)
    )
    texts = set()
    for lead in body["result"]:
        shown = {
            k: "null" if v is None else str(v).lower() if isinstance(v, bool) else str(v)
            for k, v in lead.items()
        }
        assert seen[str(lead["id"])] == shown
        texts |= {v for v in lead.values() if isinstance(v, str)}
    for odd in ("\n", "\r", '"', "\x00", "\u2028", "\ufeff"):
        assert any(odd in text for text in texts), repr(odd)
    assert "null" in texts


def test_ranges_and_a_download_that_breaks_off(api: Api) -> None:
    """A cut-off download goes on by byte range, and the parts make up the file."""
    state = run(api, {"fields": FIELDS, "filter": {"staticListId": 1001}})
    whole = content(api, state["exportId"]).content
    api.simulator.fault("truncate", "GET /bulk/v1/leads/export/{exportId}/file.json", phase="after")
    begun = download(api, state["exportId"])
    assert 0 < len(begun) < len(whole)
    rest = content(api, state["exportId"], Range=f"bytes={len(begun)}-")
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes {len(begun)}-{len(whole) - 1}/{len(whole)}"
    assert begun + rest.content == whole
    assert content(api, state["exportId"], Range="bytes=0-0").content == whole[:1]
    assert content(api, state["exportId"], Range="bytes=-5").content == whole[-5:]
    assert content(api, state["exportId"], Range=f"bytes={len(whole)}-").status_code == 416


def test_completed_but_not_there_yet(start: Callable[..., Api]) -> None:
    """A Completed job's file can be 404 for a while, and is gone after a week."""
    api = start(file_delay=60.0, export_seconds=0.1, limits=False)
    state = run(api, {"fields": ["id"], "filter": {"staticListId": 1001}})
    assert content(api, state["exportId"]).status_code == 404
    api.simulator.advance(61)
    assert content(api, state["exportId"]).status_code == 200
    api.simulator.advance(8 * 86_400)
    api.authenticate()
    assert content(api, state["exportId"]).status_code == 404


def test_failed_job(start: Callable[..., Api]) -> None:
    """A job can fail with a message, and has no file then."""
    api = start(export_seconds=0.1, limits=False)
    api.simulator.fail_jobs(1, "Out of luck")
    state = run(api, {"fields": ["id"], "filter": {"staticListId": 1001}})
    assert (state["status"], state["errorMsg"]) == ("Failed", "Out of luck")
    assert content(api, state["exportId"]).status_code == 404


def test_formats_and_column_names(api: Api) -> None:
    """TSV and SSV, and header names of the caller's own."""
    for form, delimiter in (("TSV", "\t"), ("SSV", ";")):
        body = {"fields": ["id", "email"], "format": form, "columnHeaderNames": {"email": "Mail"}}
        state = run(api, {**body, "filter": {"staticListName": "Newsletter Subscribers"}})
        found = rows(content(api, state["exportId"]).content, delimiter)
        assert list(found[0]) == ["id", "Mail"]


def test_updated_at_filter_goes_by_the_hidden_time(api: Api) -> None:
    """A custom field's change is found though the visible updatedAt is old; 1035 where the filter is off."""
    lead = int(api.get("/rest/v1/leads.json", filterType="id", filterValues="5")["result"][0]["id"])
    begun = datetime.now(UTC) - timedelta(seconds=1)
    api.simulator.edit_lead(lead, customerTier=f"Tier {time.time_ns()}")
    span = {"startAt": iso(begun), "endAt": iso(datetime.now(UTC) + timedelta(seconds=1))}
    state = run(api, {"fields": ["id", "updatedAt"], "filter": {"updatedAt": span}})
    found = {row["id"]: row["updatedAt"] for row in rows(content(api, state["exportId"]).content)}
    assert found[str(lead)] < span["startAt"]
    api.simulator.set_options(updated_at_filter=False)
    body = api.post(f"{BASE}/create.json", fields=["id"], filter={"updatedAt": span})
    api.simulator.set_options(updated_at_filter=True)
    assert body["errors"] == [
        {"code": "1035", "message": "Unsupported filter type for target subscription: updatedAt"}
    ]


def test_program_members_and_activities(api: Api) -> None:
    """The other two extracts, with their filters."""
    base = "/bulk/v1/program/members/export"
    fields = ["leadId", "email", "statusName", "reachedSuccess"]
    state = run(
        api, {"fields": fields, "filter": {"programIds": [1001, 1003], "statusNames": ["Visited"]}}, base
    )
    found = rows(content(api, state["exportId"], base).content)
    assert list(found[0]) == ["programId", *fields]
    assert {row["statusName"] for row in found} == {"Visited"}
    refused = api.post(
        f"{base}/create.json", fields=fields, filter={"programId": 1001, "statusNames": ["Nope"]}
    )
    assert refused["errors"][0]["code"] == "1003"
    base = "/bulk/v1/activities/export"
    span = {"startAt": iso(datetime.now(UTC) - timedelta(days=30)), "endAt": iso(datetime.now(UTC))}
    state = run(api, {"filter": {"createdAt": span, "activityTypeIds": [12]}}, base)
    found = rows(content(api, state["exportId"], base).content)
    assert found
    assert {row["activityTypeId"] for row in found} == {"12"}


def imported(api: Api, text: str, **query: Any) -> dict[str, Any]:
    body = api.call("POST", "/bulk/v1/leads.json", params=query, files={"file": ("leads.csv", text)})
    batch = body["result"][0]["batchId"]
    while True:
        state: dict[str, Any] = api.get(f"/bulk/v1/leads/batch/{batch}.json")["result"][0]
        if state["status"] == "Complete":
            return state
        time.sleep(0.02)


def test_import(api: Api) -> None:
    """Rows are upserted, put on the list, and told apart into good, failed and warned."""
    tag = time.time_ns()
    known = api.new(f"known-{tag}@example.com")
    target = api.simulator.create_list(f"Import {tag}")
    good = f'known-{tag}@example.com,"Kn, own"\nnew-{tag}@example.com,{"x" * 300}\n'
    text = f"email,firstName\n{good}bad,Bad\nshort\n"
    state = imported(api, text, format="csv", listId=target)
    assert (state["numOfLeadsProcessed"], state["numOfRowsFailed"], state["numOfRowsWithWarning"]) == (
        2,
        2,
        1,
    )
    assert (api.lead(known) or {})["firstName"] == "Kn, own"
    assert len(api.get(f"/rest/v1/lists/{target}/leads.json")["result"]) == 2
    failures = api.raw("GET", f"/bulk/v1/leads/batch/{state['batchId']}/failures.json").text
    assert failures.startswith("email,firstName,Import Failure Reason\nbad,Bad,")
    warnings = rows(api.raw("GET", f"/bulk/v1/leads/batch/{state['batchId']}/warnings.json").content)
    assert [w["Import Warning Reason"] for w in warnings] == ["Value truncated: firstName"]


def test_import_refusals(api: Api) -> None:
    """What is no multipart is 612, an unknown column 1006, an unknown list 1013."""
    path = "/bulk/v1/leads.json"
    assert api.code("POST", path, params={"format": "csv"}, json={}) == "612"
    assert (
        api.code("POST", path, params={"format": "csv"}, files={"file": ("a.csv", "email,nope\n")}) == "1006"
    )
    query = {"format": "csv", "listId": "99999"}
    assert api.code("POST", path, params=query, files={"file": ("a.csv", "email\na@example.com\n")}) == "1013"
    assert api.code("POST", path, params={"format": "csv"}, files={"other": ("a.csv", "email\n")}) == "613"
