"""Fault rules do what they say, before or after the effect, and only to the calls they fit."""

import time
from collections import Counter
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
