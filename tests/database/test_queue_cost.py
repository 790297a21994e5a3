"""What a claim costs does not depend on how many rows wait: seen in the plans, not on a clock."""

from collections.abc import Iterator
from typing import Any

import pytest

from syncd.database import outbox
from syncd.database.engine import Transaction
from syncd.database.queries import for_driver
from tests.database.desk import Desk

FEW, MANY = 1_000, 100_000
GROWING = {"outbox", "outbox_queue", "outbox_key"}
A_CALL = 300


class Watch:
    """Sees the plan of each named statement that is run while it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: dict[str, int] = {}
        self.rows: dict[str, float] = {}
        self.scanned: set[tuple[str, str]] = set()
        original = Transaction._execute

        def explained(transaction: Transaction, name: str, values: dict[str, Any]) -> Any:
            with transaction.raw.transaction(force_rollback=True):
                statement = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + for_driver(name)
                found = transaction.raw.execute(statement, values).fetchone()
            assert found is not None
            self.note(name, found[0][0]["Plan"])
            return original(transaction, name, values)

        monkeypatch.setattr(Transaction, "_execute", explained)

    def note(self, name: str, plan: dict[str, Any]) -> None:
        self.blocks[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.rows[name] = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan))
        scans = [node for node in nodes(plan) if node["Node Type"] == "Seq Scan" and node["Actual Loops"]]
        self.scanned |= {(name, node["Relation Name"]) for node in scans if node["Relation Name"] in GROWING}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def fill(desk: Desk, first: int, last: int, *, state: str = "ready", due_in: str = "0") -> None:
    """Let rows of as many leads wait, all of them sorted already."""
    with desk.database.begin() as transaction:
        run = transaction.raw.execute
        run("SET LOCAL session_replication_role = replica")
        run(
            "INSERT INTO outbox (operation, payload) "
            "SELECT 'create_or_update', jsonb_build_object('email', 'p' || n || '@b.com') FROM generate_series(%s::int, %s) n",
            (first, last),
        )
        run(
            "INSERT INTO outbox_queue (outbox_id, state, shape, bytes, due_at) "
            'SELECT id, %s, \'["create_or_update", "email", null]\', 30, now() + %s::interval FROM outbox '
            "WHERE id BETWEEN %s AND %s",
            (state, due_in, first, last),
        )
        run(
            "INSERT INTO outbox_key (key, outbox_id) SELECT 'email:' || (payload ->> 'email'), id FROM outbox "
            "WHERE id BETWEEN %s AND %s",
            (first, last),
        )


def test_a_claim_and_its_settlement_touch_as_much_with_few_rows_waiting_as_with_many(desk, monkeypatch):
    def cost() -> Watch:
        with monkeypatch.context() as patch:
            watch = Watch(patch)
            assert len(desk.send_next()) == A_CALL
        return watch

    desk.mirror(*((n, f"p{n}@b.com") for n in range(1, FEW, 2)))
    fill(desk, 1, FEW)
    desk.run("ANALYZE")
    few = cost()
    fill(desk, FEW + 1, MANY)
    # As autovacuum leaves it for the first minute, and afterwards.
    stale = cost()
    desk.run("ANALYZE")
    fresh = cost()
    assert {"queue_candidates", "queue_resolve", "queue_claim", "settle_rows", "queue_finish"} <= set(
        fresh.blocks
    )
    for many in (stale, fresh):
        assert many.scanned == set()
        for name, blocks in many.blocks.items():
            assert blocks <= 4 * few.blocks[name] + 100, name


def test_neither_new_rows_nor_the_drains_questions_look_at_those_that_wait(desk, monkeypatch):
    fill(desk, 1, MANY, state="waiting", due_in="1 hour")
    desk.run("ANALYZE")
    rows = [desk.email(f"new{n}@b.com") for n in range(20)]
    with monkeypatch.context() as patch:
        watch = Watch(patch)
        assert desk.claimed() == rows
    assert watch.scanned == set()
    assert {"queue_look", "queue_sort"} <= set(watch.blocks)
    # No index is read from end to end either.
    assert watch.blocks["queue_look"] < 40
    with monkeypatch.context() as patch:
        watch = Watch(patch)
        with desk.database.begin() as transaction:
            for name in ("queue_next_due", "queue_is_busy", "queue_look"):
                transaction.row(name, **({"most": A_CALL, "ahead": A_CALL} if name == "queue_look" else {}))
            transaction.run("queue_wake")
            transaction.rows("queue_closed")
            transaction.rows("queue_expire")
            transaction.rows("queue_orphans", kind=1, mine=None, carried=[], seconds=0)
            transaction.rows("queue_orphans", kind=1, mine=1, carried=[7], seconds=10)
    assert watch.scanned == set()
    assert max(watch.blocks.values()) < 200


def test_rows_that_are_in_doubt_for_the_third_time_are_looked_for_once_each(desk, monkeypatch):
    rows = 1_000
    desk.run(
        "INSERT INTO outbox (operation, payload) SELECT 'create_or_update', '{\"email\": \"a@b.com\"}' "
        "FROM generate_series(1, %s)",
        rows,
    )
    for _ in range(3):
        claim = outbox.claim(desk.database, replica=1, most=A_CALL, coalesce=True)
        assert len(claim.rows) == rows
        desk.settle(claim, "unknown", "retrying", error_message="?", unknown=True)
    with monkeypatch.context() as patch:
        watch = Watch(patch)
        claim = outbox.claim(desk.database, replica=1, most=A_CALL, coalesce=True)
    assert len(claim.rows) == rows
    # Index entries of what was there before are met once more, and no pairs of rows.
    assert watch.rows["queue_followers"] <= 10 * rows
    assert watch.scanned == set()
