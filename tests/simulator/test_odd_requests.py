"""Requests that no sane client sends, to the API and to the control surface: refused, never answered with a 5xx."""

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.simulator.conftest import Api

NUMBERS = ("--5", "1e3", "٣", "0x10", "", " ", "9" * 30, "-9" * 12, "1.0", "null", "NaN")


@pytest.fixture(scope="module")
def odd(shared: Api) -> Api:
    return shared


@pytest.fixture(autouse=True)
def no_mistake(shared: Api) -> Any:
    """The simulator itself must not have stumbled, whatever it answered."""
    before = shared.simulator.stats()["mistakes"]
    yield
    shared.simulator.clear_faults()
    assert shared.simulator.stats()["mistakes"] == before


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_that_are_none(odd: Api, text: str) -> None:
    """Whatever stands where a number belongs is refused or left out."""
    for path, name, more in (
        ("/rest/v1/leads.json", "batchSize", {"filterType": "id", "filterValues": "1"}),
        ("/rest/v1/leads.json", "filterValues", {"filterType": "id"}),
        ("/rest/v1/lists.json", "id", {}),
        ("/rest/v1/lists/1001/leads.json", "batchSize", {}),
        ("/rest/v1/activities/leadchanges.json", "leadIds", {"nextPageToken": "x", "fields": "email"}),
        ("/rest/v1/programs/1001/members.json", "filterValues", {"filterType": "leadId"}),
        ("/rest/asset/v1/programs.json", "offset", {}),
        ("/rest/asset/v1/programs.json", "maxReturn", {}),
    ):
        assert odd.raw("GET", path, params={name: text, **more}).status_code == 200
    for path in ("/rest/v1/lead/{}.json", "/rest/v1/lists/{}/leads.json", "/bulk/v1/leads/batch/{}.json"):
        assert odd.raw("GET", path.format(text or "x")).status_code == 200
    assert odd.raw("DELETE", "/rest/v1/lists/1001/leads.json", params={"id": text}).status_code == 200


def test_dates_at_the_ends_of_time(odd: Api) -> None:
    """A date that cannot be told in UTC is no date."""
    for when in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        path = "/rest/v1/activities/pagingtoken.json"
        assert odd.code("GET", path, params={"sinceDatetime": when}) == "704"
        body = {"fields": ["id"], "filter": {"createdAt": {"startAt": when, "endAt": when}}}
        assert odd.code("POST", "/bulk/v1/leads/export/create.json", json=body) == "1003"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("program/members/export/create.json", {"programId": 1001, "nurtureCadence": ["x"]}, "1003"),
        ("program/members/export/create.json", {"programId": 1001, "statusNames": [{}]}, "1003"),
        ("program/members/export/create.json", {"programIds": [[1]]}, "1001"),
        ("leads/export/create.json", {"staticListName": {"a": 1}}, "1013"),
        ("leads/export/create.json", {"createdAt": ["x"]}, "1003"),
    ],
)
def test_odd_export_filters(odd: Api, path: str, body: dict[str, Any], code: str) -> None:
    """Filters of the wrong form are refused."""
    given = {"fields": ["leadId"] if "members" in path else ["id"], "filter": body}
    assert odd.code("POST", f"/bulk/v1/{path}", json=given) == code


def test_odd_import_files(odd: Api) -> None:
    """Files with huge values, NULs, open quotes and no text at all are taken or refused."""
    for content, fine in (
        (f"email,address\nhuge@example.com,{'x' * 200_000}\n".encode(), True),
        (b'email,firstName\n"open@example.com,x\n', True),
        (b"email,email\ntwo@example.com,b@example.com\n", True),
        (b'email,firstName\r\nnul@example.com,a\x00b\r\ncr@example.com,"a\rb"\r\n', True),
        (b"", False),
        (b"\xff\xfe\x00", False),
    ):
        answer = odd.call("POST", "/bulk/v1/leads.json?format=csv", files={"file": ("a.csv", content)})
        assert answer["success"] is fine


def test_no_part_of_a_refused_call_has_an_effect(odd: Api) -> None:
    """A record without a usable id is refused alone; the call is no half-done failure."""
    lead = odd.new("odd-batch@example.com")
    moved = [{"id": lead, "partitionName": "Europe"}, {"id": "x", "partitionName": "Europe"}]
    items = odd.post("/rest/v1/leads/partitions.json", input=moved)["result"]
    assert [i["status"] for i in items] == ["updated", "skipped"]
    odd.simulator.set_program_status(1001, "Visited", [lead])
    items = odd.post(
        "/rest/v1/leads/programs/1001/status.json", status="Influenced", input=[{"id": lead}, {"id": {}}, 7]
    )["result"]
    assert [i["status"] for i in items] == ["updated", "skipped", "skipped"]
    answer = odd.post(
        "/rest/v1/leads/push.json",
        programName="Spring Webinar",
        programStatus="Not in Program",
        input=[{"email": "odd-push@example.com"}],
    )
    assert answer["errors"][0]["code"] == "1025"


def test_odd_bodies(odd: Api) -> None:
    """Bodies of any type and form are answered with a code."""
    for body in ([], [1], "x", 5, None, {"input": {}}, {"input": [None, 5, "x", [], {}]}, {"input": "x"}):
        for path in (
            "/rest/v1/leads.json", "/rest/v1/leads/push.json", "/rest/v1/leads/submitForm.json",
            "/rest/v1/leads/partitions.json", "/rest/v1/lists/1001/leads.json", "/rest/v1/leads/delete.json",
            "/rest/v1/leads/schema/fields.json", "/rest/v1/programs/members/schema/fields.json",
            "/rest/v1/programs/1001/members.json", "/rest/v1/programs/1001/members/status.json",
            "/rest/v1/programs/1001/members/delete.json", "/rest/v1/leads/programs/1001/status.json",
            "/rest/v1/campaigns/3001/trigger.json", "/rest/v1/campaigns/3002/schedule.json",
            "/bulk/v1/leads/export/create.json", "/bulk/v1/activities/export/create.json",
        ):  # fmt: skip
            assert odd.raw("POST", path, json=body).status_code == 200, (path, body)
    for content, kind, code in (
        (b"{}", "text/plain", "612"),
        (b"{", "application/json", "609"),
        (b'{"input":' + b"[" * 3000 + b"]" * 3000 + b"}", "application/json", "609"),
        (b'{"input": [{"email": "\\ud800"}]}', "application/json", "609"),
        (b"\xff\xfe", "application/json", "609"),
        (b"", "application/json", "1002"),
    ):
        headers = {"content-type": kind}
        assert odd.code("POST", "/rest/v1/leads.json", content=content, headers=headers) == code


def test_connection_is_kept_after_refusals(odd: Api) -> None:
    """Chunked bodies, refusals and what is too large leave the connection in use for the next call."""
    parts = urlsplit(odd.simulator.base_url)
    head = f"Host: x\r\nAuthorization: Bearer {odd.token}\r\nContent-Type: application/json\r\n"
    body = b'{"input":[{"email":"chunk@example.com"}]}'
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:9], body[9:])) + b"0\r\n\r\n"
    large = b" " * 1_100_000
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as wire:
        for start, sent, status in (
            ("POST /rest/v1/leads.json", (f"{head}Transfer-Encoding: chunked\r\n\r\n", chunked), b"200"),
            ("PATCH /rest/v1/leads.json", (f"{head}Content-Length: 2\r\n\r\n", b"{}"), b"200"),
            ("POST /rest/v1/leads.json", (f"{head}Content-Length: {len(large)}\r\n\r\n", large), b"413"),
            (f"GET /rest/v1/lead/1.json?x={'y' * 9000}", (f"{head}\r\n", b""), b"414"),
            ("HEAD /rest/v1/lead/1.json", (f"{head}\r\n", b""), b"200"),
            ("GET /rest/v1/lead/1.json?fields=id", (f"{head}\r\n", b""), b"200"),
        ):
            wire.sendall(f"{start} HTTP/1.1\r\n{sent[0]}".encode() + sent[1])
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += wire.recv(65_536)
            headers, rest = answer.split(b"\r\n\r\n", 1)
            assert headers.split()[1] == status
            length = next(
                int(h[15:]) for h in headers.split(b"\r\n") if h.lower().startswith(b"content-length")
            )
            while not start.startswith("HEAD") and len(rest) < length:
                rest += wire.recv(65_536)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "leads", [1]), ("POST", "leads/1", [1]), ("POST", "leads/1", {"firstName": {}}),
        ("POST", "leads/x", {}), ("POST", "leads/1/merge", {}), ("POST", "leads/1/merge", {"losers": 5}),
        ("POST", "clock", {}), ("POST", "clock", {"advance": 1e18}), ("POST", "clock", {"advance": "x"}),
        ("POST", "clock", {"set": "9999-12-31"}), ("POST", "clock", {"set": 5}),
        ("POST", "options", {"rate": "abc"}), ("POST", "options", {"concurrency": []}),
        ("POST", "options", {"overlong": "x"}), ("POST", "options", {"limits": 1}), ("POST", "options", {"rate": -1}),
        ("POST", "options", {"leads": 5}), ("POST", "faults", {"kind": "error", "count": "x"}),
        ("POST", "faults", {"kind": []}), ("POST", "faults", "x"), ("POST", "faults", [5]),
        ("POST", "faults", {"kind": "http", "status": 9999}), ("POST", "faults", {"kind": "delay", "seconds": -1}),
        ("PUT", "state", {"version": 1}), ("PUT", "state", []), ("PUT", "state", {"version": 2}),
        ("POST", "fields/leadScore", {"length": "x"}), ("POST", "fields/leadScore", {"displayName": None}),
        ("POST", "fields/leadScore", {"dataType": 7}), ("POST", "fields/nothing", {"isHidden": True}),
        ("POST", "lists", {}), ("POST", "lists", {"name": "x", "leads": [10**9]}),
        ("POST", "lists/1001/leads", {"leads": 5}), ("POST", "lists/x/leads", {"leads": []}),
        ("POST", "programs/1001/members", {"status": "Nowhere", "leads": []}), ("POST", "tokens", {}),
        ("POST", "jobs", {"fail": "x"}), ("POST", "usage", {"calls": None}), ("POST", "visits", {}),
        ("GET", "effects?since=x", {}), ("GET", "nothing", {}), ("POST", "campaigns/3001", {"active": 1}),
    ],
)  # fmt: skip
def test_control_surface_refuses_in_a_sentence(odd: Api, method: str, path: str, body: Any) -> None:
    """What it cannot do is 400 or 404 with a sentence; nothing is changed and everything goes on."""
    before = odd.simulator.stats()
    response = odd.http.request(method, f"/_simulator/{path}", content=json.dumps(body))
    assert response.status_code in {400, 404}
    assert response.json()["error"]
    assert odd.simulator.stats() == {**before, "today": odd.simulator.stats()["today"]}
    assert odd.lead(1) is not None


def test_same_loser_twice(odd: Api) -> None:
    """A loser that is named twice is merged once."""
    winner, loser = odd.new("twice-a@example.com"), odd.new("twice-b@example.com")
    odd.simulator.merge_leads(winner, [loser, loser])
    assert odd.simulator.effects()[-1]["losers"] == [loser]


def test_score_of_a_field_whose_type_changed(start: Callable[..., Api]) -> None:
    """A text that became a score by a change of the field's type counts as nothing."""
    api = start(leads=10)
    api.simulator.add_field("madeUp")
    lead = api.new("made-up@example.com", madeUp="many")
    api.simulator.edit_field("madeUp", dataType="score")
    assert api.sync({"email": "made-up@example.com", "madeUp": 5})[0] == {"id": lead, "status": "updated"}
