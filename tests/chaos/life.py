"""One history in one process: its steps, the quiet afterwards, and what must hold then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos import draw, judge
from tests.chaos.house import Ground, House
from tests.histories import oracle, quiet
from tests.histories.draw import DAY, History
from tests.histories.quiet import BrokenError, check
from tests.histories.run import Kind

if TYPE_CHECKING:
    from collections import Counter

ROUNDS = 12


def live(ground: Ground, history: History) -> dict[str, int]:
    """Live a history to its quiet end; return what was reached. Raises BrokenError where a promise does not hold."""
    with ground.database(history) as database, ground.house(history, database) as house:
        for step in history.steps:
            house.take(step)
        quiet_down(house)
        known = house.evidence()
        for broken in judge.violations(known):
            raise BrokenError(broken)
        check("everything was read, and yet", oracle.differences(house))
        _count(house, known)
        return dict(house.reached)


def quiet_down(house: House) -> None:
    """Nobody writes any more, and nothing goes wrong: every row ends, and the mirror catches up."""
    house.simulator.clear_faults()
    house.do_time(house.history.options.get("commit_lag", 3.0) + quiet.MINUTE)
    for _ in range(ROUNDS):
        house.drain.rescue()
        house.drain_all()
        house.release_all()
        if not house.value("SELECT count(*) FROM outbox_queue"):
            break
        # Past whatever a row waits for: a key that is closed, or the reset of a day's quota.
        house.do_time(
            DAY if house.value("SELECT bool_or(state = 'waiting') FROM outbox_queue") else quiet.MINUTE
        )
    house.do_time(DAY + quiet.MINUTE)
    quiet.settle(house)
    if house.reached["a surprise"]:
        raise BrokenError("a surprise: an error that nobody foresaw was logged")


def _count(house: House, known: judge.Evidence) -> None:
    reached: Counter[str] = house.reached
    reached["history"] += 1
    for row in known.rows:
        code = f" {row['error_code']}" if row["status"] == "failed" else ""
        reached[f"{row['operation']} {row['status']}{code}"] += 1
        reached[f"a row {row['status']}"] += 1
        reached["a record of several rows"] += "sent_as_one_with" in (row["result"] or {})
        reached["proven by a look"] += "proven_by" in (row["result"] or {})
    for attempt in known.attempts:
        reached[f"an attempt: {attempt['outcome']}"] += 1
    for operation, rows in house.execute("SELECT operation, rows FROM chaos.watched"):
        reached[f"watched: {operation}"] += rows


ONE_PROCESS = Kind("make chaos", draw.history, Ground, live)
