"""Some histories of the outbox in every run of the tests; `make chaos` lives many more."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from tests.chaos import draw, judge, life, processes
from tests.chaos.house import Ground
from tests.histories.mutants import mutated, read
from tests.histories.quiet import BrokenError

SEEDS, SEEDS_OF_PROCESSES = range(1, 9), (4,)
REACHED = ("row", "edit", "fault", "death", "an attempt: unknown", "overlapping transactions", "history")
REACHED_BY_PROCESSES = ("row", "a kill", "a pause", "woken up", "history")


def test_after_some_histories_every_promise_of_the_outbox_holds() -> None:
    """Rows of all operations, foreign edits, faults, deaths and lost sessions in any order; then the judge."""
    before = structlog.get_config()
    reached: Counter[str] = Counter()
    try:
        with Ground() as ground:
            for seed in SEEDS:
                history = draw.history(seed)
                try:
                    reached.update(life.live(ground, history))
                except BrokenError as problem:
                    raise AssertionError(f"{problem}\n{history}\nagain: make chaos SEED={seed}") from None
    finally:
        structlog.configure(**before)
    assert [what for what in REACHED if not reached[what]] == [], reached


def test_after_some_histories_of_real_processes_every_promise_of_the_outbox_holds() -> None:
    """Several writers, daemons that are killed and paused, and a PostgreSQL that crashes; then the judge."""
    reached: Counter[str] = Counter()
    with processes.Ground() as ground:
        for seed in SEEDS_OF_PROCESSES:
            history = draw.of_processes(seed)
            try:
                reached.update(processes.live(ground, history))
            except BrokenError as problem:
                raise AssertionError(
                    f"{problem}\n{history}\nagain: make chaos PROCESSES=1 SEED={seed}"
                ) from None
    assert [what for what in REACHED_BY_PROCESSES if not reached[what]] == [], reached


def test_a_seed_draws_the_same_history_each_time() -> None:
    assert all(draw.history(seed) == draw.history(seed) for seed in range(50))
    assert len({str(draw.history(seed)) for seed in range(50)}) == 50


def test_each_mutant_changes_one_place_of_the_present_code() -> None:
    mutants = read("chaos")
    assert len(mutants) >= 12
    for mutant in mutants:
        assert mutated(mutant) is not None, (
            f"{mutant.name}: its place in {mutant.file} is gone or not the only one"
        )


def row(number: int, status: str = "succeeded", **more: Any) -> judge.Row:
    return {
        "id": number,
        "operation": "update_only",
        "payload": {"id": 1, "title": f"mark {number}"},
        "options": {},
        "status": status,
        "result": {},
        "lead_id": 1,
        "attempts": 1,
        "error_code": None,
        "error_message": "words" if status == "failed" else None,
        "on_unknown_outcome": "hold",
        "finished_at": datetime.now(UTC),
    } | more


def attempt(number: int, outcome: str = "succeeded", turn: int = 1) -> judge.Row:
    return {
        "outbox_id": number,
        "number": turn,
        "outcome": outcome,
        "request_id": f"r{number}",
        "replica": 1,
        "error_code": None,
        "started_at": datetime.now(UTC),
    }


def effect(seq: int, number: int, kind: str = "updated", **more: Any) -> dict[str, Any]:
    fields = {"title": {"old": None, "new": f"mark {number}"}} | more
    return {
        "seq": seq,
        "kind": kind,
        "leadId": 1,
        "endpoint": "POST /rest/v1/leads.json",
        "requestId": f"r{number}",
        "fields": fields,
    }


def evidence(rows: list[judge.Row], effects: list[dict[str, Any]], **more: Any) -> judge.Evidence:
    given: dict[str, Any] = {
        "attempts": [attempt(r["id"]) for r in rows],
        "emails": {1: "a@b.com"},
        "written": {r["id"]: (2.0 * r["id"], 2.0 * r["id"] + 1) for r in rows},
    } | more
    return judge.Evidence(rows=rows, effects=effects, **given)


def test_the_judge_finds_nothing_where_nothing_is_wrong() -> None:
    assert judge.violations(evidence([row(1), row(2)], [effect(1, 1), effect(2, 2)])) == []


@pytest.mark.parametrize(
    ("case", "promise"),
    [
        (evidence([row(1)], []), "lost: row 1"),
        (evidence([row(1, "pending", finished_at=None)], [effect(1, 1)]), "lost: row 1"),
        (evidence([row(1, "failed")], [effect(1, 1)]), "lost: row 1"),
        (evidence([row(1), row(2)], [effect(1, 2), effect(2, 1)]), "order: row 1"),
        (evidence([row(1)], [effect(1, 1), effect(2, 1)]), "repeated: row 1"),
        (
            evidence([row(1)], [effect(1, 1, "created", email={"old": None, "new": "A@b.com"})]),
            "duplicate: lead 1",
        ),
        (evidence([row(1, attempts=2)], [effect(1, 1)]), "silent: row 1"),
        (evidence([row(1)], [effect(1, 1)], unseen=["row 1"]), "read your writes: row 1"),
    ],
)
def test_the_judge_names_the_promise_that_is_broken(case: judge.Evidence, promise: str) -> None:
    assert [told for told in judge.violations(case) if told.startswith(promise)]


def test_rows_of_transactions_that_overlapped_have_no_order_to_keep() -> None:
    rows, effects = [row(1), row(2)], [effect(1, 2), effect(2, 1)]
    assert judge.violations(evidence(rows, effects, written={1: (1.0, 4.0), 2: (2.0, 3.0)})) == []
