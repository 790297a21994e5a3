"""Each operation meets each way in which an outcome can stay unknown, and ends as the catalogue says."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from syncd.core.operations import CATALOGUE
from tests.chaos import judge, life
from tests.chaos.house import Ground
from tests.histories.draw import Cut, History, Step
from tests.sync.inside import DELETE, SYNC
from tests.sync.test_operations import ENDPOINTS

SETTLE = 3
"""Transactions of a step before the one that settles: the claim, the budget's permission, and the end of it."""
LOSS = Step("loss", {"of": "database", "rescue": False, "steps": 0})
SESSION = Step("loss", {"of": "session", "rescue": True, "steps": 0})
FAULTS: dict[str, dict[str, Any]] = {
    "reset before": {"kind": "reset"},
    "reset after": {"kind": "reset", "phase": "after"},
    "HTTP 502 before": {"kind": "http", "status": 502},
    "HTTP 502 after": {"kind": "http", "status": 502, "phase": "after"},
    "604 before": {"kind": "error", "code": "604"},
    "604 after": {"kind": "error", "code": "604", "phase": "after"},
    "an answer that is no JSON": {"kind": "malformed", "phase": "after"},
    "half an answer": {"kind": "truncate", "phase": "after"},
}
CUTS: dict[str, Cut] = {
    "death before the call": Cut("call", 0),
    "death before the answer is heard": Cut("answer", 0),
    "death before the answer is written down": Cut("begin", SETTLE),
    "death while the answer is written down": Cut("commit", SETTLE),
    "the session ends before the answer is heard": Cut("answer", 0, SESSION),
}
ENDS_WELL: dict[str, Cut] = {
    "the database is gone when the answer comes": Cut("answer", 0, LOSS),
    "the database is gone while the answer is written down": Cut("commit", SETTLE, LOSS),
}
"""The answer is written down when the database is back, if its session still lives; else its outcome is unknown."""
PAYLOADS: dict[str, dict[str, Any]] = {
    "create_or_update": {"email": "few0@example.com", "title": "mark 1"},
    "update_only": {"id": 2, "title": "mark 2"},
    "create_only": {"email": "new@example.com", "title": "mark 3"},
    "create_duplicate": {"email": "twin@example.com", "title": "mark 4"},
    "delete": {"id": 9},
    "push": {"email": "pushed@example.com", "title": "mark 6"},
    "submit_form": {"leadFormFields": {"email": "form@example.com", "title": "mark 7"}},
    "merge": {"id": 4, "leadIds": [5]},
    "associate": {"id": 6},
    "add_to_list": {"id": 7},
    "remove_from_list": {"id": 7},
    "set_program_status": {"id": 8},
    "remove_from_program": {"id": 8},
    "update_partition": {"id": 8},
    "trigger_campaign": {"id": 10},
    "create_field": {"name": "made1", "displayName": "made1", "dataType": "string"},
    "update_field": {"name": "customerTier", "description": "mark 17"},
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    before = structlog.get_config()
    with Ground() as ground:
        yield ground
    structlog.configure(**before)


def history(how: str) -> History:
    """Let each operation meet it, one after the other, on leads of its own."""
    steps = [Step("drain_steps", {"steps": 1})]
    for operation, payload in PAYLOADS.items():
        row = {"operation": operation, "payload": payload, "mark": 1, "place": 0, "status": 2}
        steps.append(Step("row", row))
        if how in FAULTS:
            steps.append(
                Step(
                    "fault",
                    {"endpoint": (ENDPOINTS | {"delete": DELETE}).get(operation, SYNC), **FAULTS[how]},
                )
            )
        cut = (CUTS | ENDS_WELL).get(how)
        steps.append(Step("drain_steps", {"steps": 1}, (cut,) if cut else ()))
        # The rest of it, without whatever went wrong.
        steps += [Step("time", {"seconds": 2.0}), Step("drain_steps", {"steps": 3})]
    return History(1, "small", False, {}, tuple(steps))


@pytest.mark.parametrize("how", [*FAULTS, *CUTS, *ENDS_WELL])
def test_each_operation_ends_as_the_catalogue_says(ground: Ground, how: str) -> None:
    assert PAYLOADS.keys() == CATALOGUE.keys()
    lived = history(how)
    with ground.database(lived) as database, ground.house(lived, database) as house:
        # A token is there: the first call of a step is the write.
        house.app.client.authenticate()
        for step in lived.steps:
            house.take(step)
        life.quiet_down(house)
        known = house.evidence()
        assert judge.violations(known) == []
        doubted = {a["outbox_id"] for a in known.attempts if a["outcome"] == "unknown"}
        for row in known.rows:
            repeat = CATALOGUE[row["operation"]].repeat
            if row["id"] not in doubted:
                assert how in ENDS_WELL, row
            expected = "uncertain" if repeat == "never" and row["id"] in doubted else "succeeded"
            assert row["status"] == expected, (how, row)
            if expected == "uncertain":
                assert "syncd outbox resolve" in row["error_message"]


def test_an_expected_set_of_operations_hurts_when_repeated() -> None:
    assert {name for name, o in CATALOGUE.items() if o.repeat == "never"} == judge.NEVER
