"""Fault rules do what they say, before or after the effect, and only to the calls they fit."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from syncd.simulator.control import ControlError
from tests.simulator.conftest import Api

SYNC = "POST /rest/v1/leads.json"
ONE = "/rest/v1/lead/1.json"


def create(api: Api, email: str) -> Any:
    return api.raw("POST", "/rest/v1/leads.json", json={"input": [{"email": email}]})


def exists(api: Api, email: str) -> bool:
    return bool(api.get("/rest/v1/leads.json", filterType="email", filterValues=email)["result"])


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("error", {"code": 608}),
        ("http", {"status": 502}),
        ("timeout", {"seconds": 0.05}),
        ("reset", {}),
        ("truncate", {}),
        ("malformed", {}),
    ],
)
def test_phase_decides_whether_the_effect_happens(
    api: Api, kind: str, more: dict[str, Any], phase: str
) -> None:
    """A fault before the effect leaves nothing; one after it leaves the lead, and the caller in doubt."""
    email = f"{kind}-{phase}-{time.time_ns()}@example.com"
    api.simulator.fault(kind, SYNC, phase=phase, **more)
    try:
        response = create(api, email)
        unclear = response.status_code != 200 or kind == "malformed" or not response.json()["success"]
    except httpx.TransportError:
        unclear = True
    assert unclear
    assert exists(api, email) is (phase == "after")
    assert create(api, email).json()["success"] is True


def test_truncated_answer_breaks_off(api: Api) -> None:
    """A truncated answer announces more than it delivers."""
    api.simulator.fault("truncate", "GET " + "/rest/v1/leads/describe.json", phase="after")
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/rest/v1/leads/describe.json")


def test_count_skip_and_endpoint(api: Api) -> None:
    """A rule waits for its turn, strikes so often, and leaves other endpoints alone."""
    api.simulator.fault("error", "GET /rest/v1/lead/*", code=611, skip=2, count=2)
    answers = [api.get(ONE)["success"] for _ in range(6)]
    assert answers == [True, True, False, False, True, True]
    assert api.get("/rest/v1/lists.json")["success"] is True
    assert [r["hits"] for r in api.simulator.faults()] == [2]


def test_probability_is_seeded(api: Api) -> None:
    """A rule with a probability strikes about that often."""
    api.simulator.fault("error", "GET /rest/v1/lead/*", code=611, probability=0.3, count=None)
    counts = Counter(api.get(ONE)["success"] for _ in range(200))
    assert 30 < counts[False] < 90


def test_storm_ends_by_itself(api: Api) -> None:
    """A storm of rate-limit errors lasts as long as it is told to."""
    api.simulator.fault("error", code=606, for_seconds=60)
    assert [api.code("GET", ONE) for _ in range(5)] == ["606"] * 5
    api.simulator.advance(61)
    assert api.get(ONE)["success"] is True


def test_token_ends_in_mid_run(api: Api) -> None:
    """An expired token is 602 once, then 601; a new one is good; no token is 603."""
    api.simulator.expire_tokens()
    assert [api.code("GET", ONE) for _ in range(3)] == ["602", "601", "601"]
    api.authenticate()
    assert api.get(ONE)["success"] is True
    api.simulator.revoke_tokens()
    assert api.code("GET", ONE) == "601"
    api.authenticate()
    assert api.http.get(ONE).json()["errors"][0]["code"] == "603"
    api.simulator.fault("expire_token", "GET /rest/v1/lead/*")
    assert api.code("GET", ONE) == "602"
    api.authenticate()


def test_delay(api: Api) -> None:
    """A delay slows a call, and another fault may come on top."""
    api.simulator.fault("delay", seconds=0.2)
    api.simulator.fault("error", code=713)
    begun = time.monotonic()
    assert api.code("GET", ONE) == "713"
    assert time.monotonic() - begun >= 0.2


def test_wrong_rules_are_refused(api: Api) -> None:
    """The control surface says what a rule may have."""
    with pytest.raises(ControlError, match="kind is one of"):
        api.simulator.fault("explode")
    with pytest.raises(ControlError, match="may have"):
        api.simulator.fault("error", colour="red")


def test_a_slow_call_holds_its_place(start: Callable[..., Api]) -> None:
    """Calls that are delayed or run into a time-out count among those that run at once."""
    api = start(concurrency=2)
    api.simulator.fault("delay", "GET /rest/v1/lead/*", seconds=0.6)
    api.simulator.fault("timeout", "GET /rest/v1/lead/*", seconds=0.6, skip=1)
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(api.call, "GET", ONE) for _ in range(2)]
        time.sleep(0.25)
        assert api.code("GET", "/rest/v1/lists.json") == "615"
        assert sorted(s.result()["success"] for s in slow) == [False, True]
    assert api.get(ONE)["success"] is True


def test_what_a_fault_answers_has_the_shape_of_its_endpoint(api: Api) -> None:
    """Asset calls fail in the assets' envelope; tokens and files break as JSON and CSV do."""
    api.simulator.fault("error", "GET /rest/asset/*", code=611)
    body = api.get("/rest/asset/v1/programs.json")
    assert list(body) == ["success", "errors", "requestId", "warnings"]
    api.simulator.fault("malformed", "GET /identity/*", phase="after")
    with pytest.raises(ValueError, match=r"."):
        api.authenticate()
    api.authenticate()
    export = "/bulk/v1/leads/export"
    wanted = {"fields": ["id", "email"], "filter": {"staticListId": 1001}}
    job = api.post(f"{export}/create.json", **wanted)["result"][0]["exportId"]
    api.post(f"{export}/{job}/enqueue.json")
    while (status := api.get(f"{export}/{job}/status.json")["result"][0])["status"] != "Completed":
        time.sleep(0.05)
    api.simulator.fault("malformed", "GET */file.json", phase="after")
    half = api.raw("GET", f"{export}/{job}/file.json")
    assert half.status_code == 200
    assert len(half.content) == status["fileSize"] // 2
    assert len(api.raw("GET", f"{export}/{job}/file.json").content) == status["fileSize"]
