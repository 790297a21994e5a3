"""What must hold when nobody does anything any more."""

from contextlib import suppress
from typing import Any

from syncd.errors import WorkFailed
from syncd.verify import compare
from tests.histories import oracle
from tests.histories.draw import DAY, History
from tests.histories.house import SKIPPED, Ground, House

ROUNDS = 8
MINUTE = 61.0


class BrokenError(AssertionError):
    """A promise does not hold; the text says which, and how it shows."""


def live(ground: Ground, history: History) -> dict[str, int]:
    """Live a history to its quiet end; return what was reached. Raises BrokenError where a promise does not hold."""
    with ground.database(history) as database, ground.house(history, database) as house:
        for step in history.steps:
            house.take(step)
        _quiet(house, history)
        house.reached["history"] += 1
        return dict(house.reached)


def _quiet(house: House, history: History) -> None:
    house.simulator.clear_faults()
    # What is late comes now, and imports end.
    house.do_time(history.options.get("commit_lag", 3.0) + MINUTE)
    settle(house)
    check("the logs were followed to their end, and yet", oracle.differences(house, known_only=True))
    house.do_time(DAY + MINUTE)
    settle(house)
    check("everything was read, and yet", oracle.differences(house))
    _verified(house)
    _nothing_is_left_open(house)
    _nothing_is_written_twice(house)
    if house.reached["a surprise"]:
        raise BrokenError("an error that nobody foresaw was logged")


def settle(house: House) -> None:
    """Let the service do its rounds until nothing changes any more."""
    for _ in range(ROUNDS):
        before = versions(house)
        house.round()
        if before == versions(house) and not _waiting(house):
            return
        house.do_time(MINUTE)
    raise BrokenError(f"it does not come to rest: {_waiting(house)} wait")


def _waiting(house: House) -> int:
    return int(
        house.value(
            "SELECT (SELECT count(*) FROM outbox_queue) + (SELECT count(*) FROM dirty_lead) + "
            "(SELECT count(*) FROM dirty_member) + (SELECT count(*) FROM backfill_window WHERE state <> 'done')"
        )
    )


def _verified(house: House) -> None:
    # Jobs that are still to fail by what was drawn fail here, and the comparison says so.
    for _ in range(house.simulator.request("POST", "jobs", {"fail": 0})["failing"]):
        with suppress(WorkFailed):
            compare.run(house.feeds)
    found = compare.run(house.feeds).differences
    # Of whoever is anonymous no log tells anything.
    anonymous = set(house.simulator.dump()["anonymous"])
    known = [d for d in found if set(d.fields) & house.unlogged or d.lead_id in anonymous]
    check("verify finds", [str(d) for d in found if d not in known])
    if known:
        house.reached["verify repairs what no log tells"] += 1
        compare.run(house.feeds, repair=True)
        house.unlogged.clear()
        settle(house)
        check("after a repair verify finds", [str(d) for d in compare.run(house.feeds).differences])
        check("after a repair", oracle.differences(house))


def _nothing_is_left_open(house: House) -> None:
    if left := house.value("SELECT count(*) FROM outbox WHERE finished_at IS NULL"):
        raise BrokenError(f"{left} rows of the outbox have not ended")


def _nothing_is_written_twice(house: House) -> None:
    before = versions(house)
    for job in house.jobs.values():
        if job.feed not in SKIPPED:
            job.work(house.feeds)
    house.drain_all()
    _compare_versions("one more round", before, versions(house))
    for feed in ("lists", "programs", *(("backfill", "dirty") if house.history.seed % 3 == 0 else ())):
        house.pull(feed, full=True)
    _compare_versions("reading everything again", before, versions(house))


def _compare_versions(what: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    check(f"{what} wrote to", [table for table in before if before[table] != after.get(table)])


def versions(house: House) -> dict[str, Any]:
    """Return, by table, which version each of its rows is."""
    tables = [
        table for table in house.tables(house.app.database.names.mirror) if not table.startswith("outbox")
    ]
    parts = ", ".join(
        f"(SELECT md5(coalesce(string_agg(t.xmin::text || t.ctid::text, ',' ORDER BY t.ctid), '')) FROM {table} t)"
        for table in tables
    )
    return dict(zip(tables, house.execute(f"SELECT {parts}")[0], strict=True))


def check(what: str, wrong: list[str]) -> None:
    """Raise BrokenError with what is wrong, if anything is."""
    if wrong:
        raise BrokenError(f"{what}: " + "; ".join(wrong))
