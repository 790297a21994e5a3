"""Shapes as recorded on the wire: which keys, in which order, and which are left out."""

import json
import re

from tests.simulator.conftest import Api


def test_lead_database_envelope(api: Api) -> None:
    """requestId, result, success; nothing empty is sent along."""
    body = api.get("/rest/v1/leads.json", filterType="id", filterValues="1")
    assert list(body) == ["requestId", "result", "success"]
    assert re.fullmatch(r"[0-9a-f]+#[0-9a-f]{11}", body["requestId"])
    assert list(body["result"][0]) == ["id", "firstName", "lastName", "email", "updatedAt", "createdAt"]
    paged = api.get("/rest/v1/leads/schema/fields.json", batchSize=1)
    assert list(paged) == ["requestId", "result", "success", "nextPageToken", "moreResult"]
    assert list(api.get("/rest/v1/nothing.json")) == ["requestId", "success", "errors"]


def test_skipped_items(api: Api) -> None:
    """A skipped record of a sync has no id; one of a list has."""
    assert api.sync({"email": "nobody@example.com"}, action="updateOnly") == [
        {"status": "skipped", "reasons": [{"code": "1004", "message": "Lead not found"}]}
    ]
    body = api.post("/rest/v1/lists/1001/leads.json", input=[{"id": 99_999_999}])
    assert body["result"] == [
        {"id": 99_999_999, "status": "skipped", "reasons": [{"code": "1004", "message": "Lead not found"}]}
    ]


def test_bad_value_text(api: Api) -> None:
    """A bad value is told with its field and itself."""
    item = api.sync({"email": "value@example.com", "loyaltyPoints": 14.1})[0]
    text = "Invalid value for field 'loyaltyPoints' and value '14.1'"
    assert item["reasons"] == [{"code": "1003", "message": text}]


def test_asset_envelope(api: Api) -> None:
    """Assets always carry errors and warnings, and no result where nothing was found."""
    body = api.get("/rest/asset/v1/staticList/byName.json", name="Newsletter Subscribers")
    assert set(body) == {"success", "errors", "requestId", "warnings", "result"}
    assert list(body["result"][0]) == [
        "id",
        "name",
        "createdAt",
        "updatedAt",
        "folder",
        "computedUrl",
        "workspace",
    ]
    body = api.get("/rest/asset/v1/staticList/byName.json", name="Nobody's list")
    assert body["warnings"] == ["No assets found for the given search criteria."]
    assert "result" not in body


def test_static_list_life(api: Api) -> None:
    """A list is made in a folder under a free name, renamed, and deleted."""
    folder = api.get("/rest/asset/v1/folder/byName.json", name="Group Lists")["result"][0]["folderId"]
    form = {"name": "Life of a list", "folder": json.dumps(folder)}
    made = api.call("POST", "/rest/asset/v1/staticLists.json", data=form)["result"][0]
    assert made["folder"] == folder
    assert api.code("POST", "/rest/asset/v1/staticLists.json", data=form) == "709"
    path = f"/rest/asset/v1/staticList/{made['id']}"
    renamed = api.call("POST", f"{path}.json", data={"name": "Another life", "description": "d"})["result"][0]
    assert (renamed["name"], renamed["description"]) == ("Another life", "d")
    assert api.call("POST", f"{path}/delete.json")["result"] == [{"id": made["id"]}]
    assert "result" not in api.get(f"{path}.json")
    bad = {**form, "folder": '{"id": 999, "type": "Folder"}'}
    assert api.code("POST", "/rest/asset/v1/staticLists.json", data=bad) == "710"


def test_job_keys_appear_when_they_apply(api: Api) -> None:
    """A new job has no times but its creation; a cancelled one keeps what it had."""
    body = {"fields": ["id"], "filter": {"staticListId": 1001}}
    job = api.post("/bulk/v1/leads/export/create.json", **body)["result"][0]
    assert list(job) == ["exportId", "format", "status", "createdAt"]
    path = f"/bulk/v1/leads/export/{job['exportId']}"
    queued = api.post(f"{path}/enqueue.json")["result"][0]
    assert list(queued) == ["exportId", "format", "status", "createdAt", "queuedAt"]
    assert api.post(f"{path}/cancel.json")["result"][0]["status"] == "Cancelled"
    assert api.code("POST", f"{path}/cancel.json") == "1029"


def test_token_headers(api: Api) -> None:
    """The identity endpoint forbids caching, and a wrong secret is 401."""
    query = {
        "grant_type": "client_credentials",
        "client_id": "simulator",
        "client_secret": "simulator-secret",
    }
    response = api.http.get("/identity/oauth/token", params=query)
    assert response.headers["cache-control"] == "no-store"
    assert list(response.json()) == ["access_token", "token_type", "expires_in", "scope"]
    refused = api.http.get("/identity/oauth/token", params={**query, "client_secret": "wrong"})
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized")
    refused = api.http.get("/identity/oauth/token", params={**query, "client_id": "wrong"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
