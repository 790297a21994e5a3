"""Histories drawn by chance: both sides write to few leads, calls go wrong, and in the end all of it holds.

Few addresses and few values, so that writes meet and go back to earlier values. The oracle is Marketo's
own list of effects: each row's mark must be in it as often as the row's end allows, in the order of the rows.
"""

import random
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.mirror import backfill, changes, dirty
from tests.sync.inside import CHANGES, DELETE, READ, SYNC, Inside

NAMES = ("Alpha", "Beta", "Gamma", "Delta")
ADDRESSES = tuple(f"few-{number}@example.com" for number in range(4))
STEPS = 550
REACHED_AT_LEAST = {
    "create_or_update succeeded": 5,
    "update_only succeeded": 5,
    "update_only failed 1004": 1,
    "create_only failed 1005": 1,
    "delete succeeded": 3,
    "a doubt": 8,
    "proven": 1,
    "uncertain": 1,
    "back to an earlier value": 5,
    "deleted in Marketo": 2,
    "merged in Marketo": 1,
}


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=12, history_days=20, limits=False, export_seconds=0.05, race_ms=0, latency_ms=4
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["outbox"] |= {
        "unknown_outcome_wait_seconds": 0.05,
        "retry_base_seconds": 0.02,
        "retry_cap_seconds": 0.05,
    }
    return conf


class History:
    """One life of both sides."""

    def __init__(self, inside: Inside, seed: int) -> None:
        self.inside, self.simulator = inside, inside.simulator
        self.chance = random.Random(seed)
        self.reached: Counter[str] = Counter()
        self.mark = 0

    def live(self) -> None:
        """Take one step after the other; now and then heal and look."""
        steps = (
            (self.write, 40),
            (self.edit_in_marketo, 14),
            (self.delete_in_marketo, 2),
            (self.merge_in_marketo, 1),
            (self.break_a_call, 16),
            (self.drain, 40),
            (self.feed, 14),
        )
        actions, weights = zip(*steps, strict=True)
        for number in range(STEPS):
            self.chance.choices(actions, weights)[0]()
            self.inside.sql("DELETE FROM api_call")
            if number % 110 == 109:
                self.heal_and_look()

    def living(self) -> dict[int, str]:
        """The leads that Marketo has at few addresses, or at none of ours."""
        found = {}
        for lead in range(1, 200):
            try:
                found[lead] = str(self.simulator.lead(lead)["email"])
            except Exception:  # noqa: BLE001 - gone, or never there
                if lead > 12 + self.mark:
                    break
        return found

    def write(self) -> None:
        """Put a row into the outbox."""
        self.mark += 1
        name, email = self.chance.choice(NAMES), self.chance.choice(ADDRESSES)
        payload: dict[str, Any] = {"email": email, "lastName": name, "title": f"mark {self.mark}"}
        operation = self.chance.choices(
            ("create_or_update", "update_only", "create_only", "create_duplicate", "delete"),
            (45, 25, 8, 16, 9),
        )[0]
        known = self.inside.sql("SELECT id FROM lead WHERE id <= 4 OR email LIKE 'few-%%' ORDER BY id")
        lead = self.chance.choice(known)["id"]
        if operation == "create_duplicate":
            payload["email"] = f"twin-{self.mark}@example.com"
        if operation == "update_only" and self.chance.random() < 0.6:
            payload = {"id": lead, "lastName": name, "title": f"mark {self.mark}"}
        if operation == "delete":
            payload = {"id": lead} if self.chance.random() < 0.5 else {"email": email}
        self.inside.insert(operation, payload)

    def edit_in_marketo(self) -> None:
        living = list(self.living())[:8]
        if living:
            self.simulator.edit_lead(self.chance.choice(living), lastName=self.chance.choice(NAMES))

    def delete_in_marketo(self) -> None:
        living = list(self.living())
        if len(living) > 6:
            self.simulator.delete_lead(self.chance.choice(living[:6]))
            self.reached["deleted in Marketo"] += 1

    def merge_in_marketo(self) -> None:
        living = list(self.living())
        if len(living) > 8:
            winner, loser = self.chance.sample(living[:8], 2)
            self.simulator.merge_leads(winner, [loser])
            self.reached["merged in Marketo"] += 1

    def break_a_call(self) -> None:
        endpoint = self.chance.choices((SYNC, DELETE, READ, CHANGES), (6, 2, 1, 1))[0]
        kind = self.chance.choice(("reset", "http", "malformed", "truncate", "error", "revoke_token"))
        phase = self.chance.choice(("before", "after"))
        # Codes by which Marketo says that nothing was executed come before the effect, or they would be lies.
        codes = ("604", "606", "608", "611") if phase == "before" else ("604", "611")
        self.simulator.fault(kind, endpoint, phase=phase, code=self.chance.choice(codes))

    def drain(self) -> None:
        """Let one worker claim and send, or three at once."""
        with ThreadPoolExecutor(3) as workers:
            for step in [workers.submit(self.inside.step) for _ in range(self.chance.choice((1, 3)))]:
                step.result()

    def feed(self) -> None:
        work = self.chance.choices((changes.pull, dirty.pull, self._backfill), (5, 5, 1))[0]
        work(self.inside.feeds)

    def _backfill(self, feeds: Any) -> None:
        backfill.pull(feeds, full=True)

    def heal_and_look(self) -> None:
        """No more faults: all rows end, both sides become equal, and another round writes nothing."""
        self.simulator.clear_faults()
        self.inside.sql("UPDATE outbox_queue SET due_at = now() WHERE state = 'waiting'")
        self.inside.carry()
        self.inside.catch_up()
        assert self.inside.differences() == []
        before = self.inside.sql("SELECT id, xmin::text FROM lead ORDER BY id")
        self.inside.catch_up()
        assert self.inside.sql("SELECT id, xmin::text FROM lead ORDER BY id") == before
        self._each_mark_is_there_as_often_as_it_may_be_and_in_order()

    def _each_mark_is_there_as_often_as_it_may_be_and_in_order(self) -> None:
        times: Counter[str] = Counter()
        order: defaultdict[int, list[int]] = defaultdict(list)
        for effect in self.simulator.effects():
            mark = effect["fields"].get("title", {}).get("new")
            if mark and effect["kind"] in {"created", "updated"} and effect["endpoint"] != "ui":
                times[mark] += 1
                order[effect["leadId"]].append(int(mark.split()[1]))
        for marks in order.values():
            assert marks == sorted(set(marks)), "a row took effect twice, or out of order"
        for row in self.inside.sql(
            "SELECT o.*, EXISTS (SELECT FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.outcome = 'unknown') AS doubt "
            "FROM outbox o WHERE operation <> 'delete' ORDER BY id"
        ):
            least, most = self._allowed(row)
            assert least <= times[row["payload"]["title"]] <= most, row

    def _allowed(self, row: dict[str, Any]) -> tuple[int, int]:
        if (row["result"] or {}).get("sent_as_one_with", row["id"]) != row["id"]:
            # Its record bore the mark of a later row.
            return 0, 1
        if row["status"] == "uncertain" or "proven_by" in (row["result"] or {}):
            # A lead that somebody made a moment earlier can't be told from the row's own.
            return 0, 1
        if row["status"] == "failed":
            # In doubt it may have taken effect before the lead was deleted; a creation would have been found.
            return 0, int(row["doubt"] and row["operation"] == "update_only")
        # Repeated after a doubt it may find another lead, where the first was deleted or merged meanwhile.
        return 1, 2 if row["doubt"] and row["operation"] != "create_duplicate" else 1

    def count(self) -> None:
        """Note which decisions were reached."""
        for row in self.inside.sql("SELECT * FROM outbox"):
            code = f" {row['error_code']}" if row["status"] == "failed" else ""
            self.reached[f"{row['operation']} {row['status']}{code}"] += 1
            self.reached["uncertain"] += row["status"] == "uncertain"
            self.reached["proven"] += "proven_by" in (row["result"] or {})
        self.reached["a doubt"] = self.inside.value(
            "SELECT count(*) FROM outbox_attempt WHERE outcome = 'unknown'"
        )
        seen: defaultdict[int, list[str]] = defaultdict(list)
        for effect in self.simulator.effects():
            if name := effect["fields"].get("lastName", {}).get("new"):
                self.reached["back to an earlier value"] += name in seen[effect["leadId"]][:-1]
                seen[effect["leadId"]].append(name)


def test_in_histories_drawn_by_chance_nothing_is_lost_doubled_or_out_of_order(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside.app.clock, "random", lambda: 0.01)
    inside.fill()
    inside.catch_up()
    history = History(inside, seed=13)
    history.live()
    history.heal_and_look()
    history.count()
    for decision, times in REACHED_AT_LEAST.items():
        assert history.reached[decision] >= times, (decision, history.reached)
