"""The queue against an oracle that knows nothing of it: random rows, outcomes, deaths and interventions."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from random import Random
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from syncd.core.outbox import Claim, Verdict
from syncd.database import operators, outbox
from syncd.database.engine import REPLICA_CLASS
from tests.database.desk import Desk
from tests.database.oracle import Oracle

MIRRORED = (1, 2, 3, 4)
UNKNOWN_TO_THE_MIRROR = (5, 6)
FINAL = {"succeeded", "failed", "uncertain", "cancelled", "expired"}
COOL = 0.05
DEATHS = 0.05
NOBODY = 999
"""A replica whose session has ended."""


def random_row(chance: Random) -> tuple[str, dict[str, Any], frozenset[int]]:
    """Make up an operation and a payload; return the leads that it touches, too."""
    lead = chance.choice((*MIRRORED, *UNKNOWN_TO_THE_MIRROR))
    address = {"email": chance.choice((f"p{lead}@b.com", f"P{lead}@B.com "))}
    if lead in UNKNOWN_TO_THE_MIRROR:
        return chance.choice(("create_or_update", "create_only")), address, frozenset({lead})
    how = chance.randrange(4)
    if how == 0:
        return "update_only", {"id": lead}, frozenset({lead})
    if how == 1:
        other = chance.choice((*MIRRORED, *UNKNOWN_TO_THE_MIRROR))
        return "update_only", {"id": lead, "email": f"p{other}@b.com"}, frozenset({lead, other})
    return chance.choice(("create_or_update", "update_only", "delete")), address, frozenset({lead})


class House:
    """Writers, workers and a rescuer around one queue, all watched by the oracle."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.chance = Random(seed)
        self.oracle = Oracle()
        self._rescuing = threading.Lock()
        desk.mirror(*((lead, f"p{lead}@b.com") for lead in MIRRORED))

    def write(self, transaction: Any, chance: Random, begun: int) -> int:
        operation, payload, touched = random_row(chance)
        row = transaction.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES (%s, %s) RETURNING id",
            (operation, Jsonb(payload)),
        ).fetchone()
        number = int(row[0])
        self.oracle.written(number, touched, begun)
        return number

    def write_two_that_overlap(self, chance: Random) -> None:
        """Write some rows in a transaction that is open while another comes and goes."""
        database = self.desk.database
        begun = self.oracle.tick()
        with database.begin() as outer:
            late = [self.write(outer, chance, begun) for _ in range(chance.randint(1, 2))]
            inner_begun = self.oracle.tick()
            with database.begin() as inner:
                early = [self.write(inner, chance, inner_begun) for _ in range(chance.randint(1, 3))]
            self.oracle.committed(early)
            late += [self.write(outer, chance, begun) for _ in range(chance.randint(0, 2))]
        self.oracle.committed(late)

    def claim(self, chance: Random, replica: int) -> Claim | None:
        # What the dead claim may be taken over at once: the oracle is told before anybody can.
        with self._rescuing if replica == NOBODY else nullcontext():
            claim = self.desk.claim(chance.choice((1, 3, 20)), replica=replica)
            if claim is not None:
                self.oracle.sending([row.id for row in claim.rows])
            return claim

    def settle(self, chance: Random, claim: Claim) -> None:
        self.desk.settle_each(claim, [self.verdict(chance, row.id) for row in claim.rows])

    def verdict(self, chance: Random, number: int) -> Verdict:
        dice = chance.random()
        if dice < 0.6:
            self.oracle.settling(number, over=True)
            return Verdict(number, "succeeded", "succeeded")
        if dice < 0.68:
            self.oracle.settling(number, over=True)
            return Verdict(number, "failed", "failed", error_message="no")
        if dice < 0.8:
            self.oracle.settling(number, over=False)
            return Verdict(number, "retry", "retrying", error_message="busy", due_in=chance.choice((0, 0.01)))
        if dice < 0.85:
            self.oracle.settling(number, over=False)
            return Verdict(number, "not_sent", "pending")
        return self.unknown(number, over=dice > 0.95)

    def unknown(self, number: int, *, over: bool) -> Verdict:
        self.oracle.settling(number, over=over, closed_for=COOL)
        status = "uncertain" if over else "retrying"
        return Verdict(number, "unknown", status, error_message="?", due_in=COOL, unknown=True)

    def rescue(self) -> None:
        """Take over what the dead were sending; one at a time, so that the oracle is told once.

        The dead may be only slow: what they write down afterwards must change nothing.
        """
        with self._rescuing:
            for claim in outbox.orphans(self.desk.database):
                self.desk.settle_each(claim, [self.unknown(row.id, over=False) for row in claim.rows])
                assert self.desk.settle(claim, "succeeded") == []

    def work(self, number: int, chance: Random, done: threading.Event, deadline: float) -> None:
        """Claim and settle as a replica with a session does, dying now and then, until all is over."""
        lock = (self.desk.database.names.lock_class(REPLICA_CLASS), number)
        with self.desk.database.connect(autocommit=True) as session:
            session.execute("SELECT pg_advisory_lock(%s, %s)", lock)
            while not (done.is_set() and self.all_is_over()):
                assert time.monotonic() < deadline
                dies = chance.random() < DEATHS
                claim = self.claim(chance, NOBODY if dies else number)
                if claim is None:
                    self.rescue()
                elif not dies:
                    self.settle(chance, claim)

    def all_is_over(self) -> bool:
        return self.desk.unfinished() == 0

    def prove(self) -> None:
        assert self.oracle.problems == []
        ended = dict(self.desk.run("SELECT id, status FROM outbox"))
        assert sorted(ended) == sorted(self.oracle.rows)
        assert set(ended.values()) <= FINAL
        assert all(row.over for row in self.oracle.rows.values())


@pytest.mark.parametrize("seed", range(3))
def test_step_by_step_every_row_ends_and_no_two_ever_collide(desk, seed):
    house = House(desk, seed)
    chance, held = house.chance, []
    deadline = time.monotonic() + 60
    for _ in range(70):
        step = chance.random()
        if step < 0.3:
            house.write_two_that_overlap(chance)
        elif step < 0.65:
            # Nobody at all has a session here: orphans are whatever is left at the end.
            if claim := house.claim(chance, NOBODY):
                held.append(claim)
        elif step < 0.9 and held:
            house.settle(chance, held.pop(chance.randrange(len(held))))
        elif step < 0.95:
            number = chance.choice(sorted(house.oracle.rows) or [0])
            for ended in operators.cancel(desk.database, [number]):
                house.oracle.ended(ended)
        else:
            operators.retry(desk.database, ids=sorted(house.oracle.rows)[-5:], error_code="busy")
    house.rescue()
    while not house.all_is_over():
        assert time.monotonic() < deadline, desk.run("SELECT * FROM outbox_queue")
        if claim := house.claim(chance, NOBODY):
            house.settle(chance, claim)
    house.prove()


@pytest.mark.parametrize("seed", range(1))
def test_workers_and_writers_at_once_with_deaths_between(desk, seed):
    house = House(desk, seed)
    done, deadline = threading.Event(), time.monotonic() + 60

    def write(number: int) -> None:
        chance = Random(f"{seed}/writer/{number}")
        for _ in range(12):
            house.write_two_that_overlap(chance)

    def work(number: int) -> None:
        house.work(number, Random(f"{seed}/worker/{number}"), done, deadline)

    with ThreadPoolExecutor(6) as pool:
        working = [pool.submit(work, number + 1) for number in range(4)]
        for writing in [pool.submit(write, number) for number in range(2)]:
            writing.result()
        done.set()
        for worker in working:
            worker.result()
    house.prove()
