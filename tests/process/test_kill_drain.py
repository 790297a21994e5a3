"""The service is killed again and again while it carries the outbox to Marketo."""

import random
import time
from collections import Counter, defaultdict
from typing import Any

import pytest

from syncd import simulator as marketo
from tests.process.house import House, Row

KILLS = 20
LONGEST_LIFE = 0.9
VALUES = ("Alpha", "Beta", "Gamma")
"""Few values, so that rows often go back to an earlier one."""

Payload = dict[str, Any]
Event = tuple[str, Any]


@pytest.fixture
def options() -> marketo.Options:
    # A call works on for 60 ms after its caller was killed; the keys stay closed for 500 ms.
    return marketo.Options(
        leads=400, history_days=60, export_seconds=0.2, limits=False, latency_ms=60, race_ms=0
    )


class Person:
    """What Marketo must have seen of one address, told by the rows alone."""

    def __init__(self, email: str, lead: int | None = None, name: Any = None) -> None:
        self.email, self.first_id, self.name = email, lead, name
        self.lives, self.first_lead_lives = lead is not None, lead is not None
        self.events: list[Event] = []

    def carry_out(self, row: Row) -> set[str]:
        """Let a row take effect and return the states in which it may end."""
        operation, payload = row["operation"], row["payload"]
        by_id = "id" in payload
        there = self.first_lead_lives if by_id else self.lives
        if operation == "delete":
            return self._delete(there)
        if operation == "create_only":
            if self.lives:
                return {"failed 1005", "succeeded"} if row["in_doubt"] else {"failed 1005"}
            return self._create(payload["lastName"])
        if there:
            if payload["lastName"] != self.name:
                self.name = payload["lastName"]
                self.events.append(("updated", self.name))
            return {"succeeded"}
        return {"failed 1004"} if operation == "update_only" else self._create(payload["lastName"])

    def _create(self, name: str) -> set[str]:
        self.lives, self.name = True, name
        self.events.append(("created", name))
        return {"succeeded"}

    def _delete(self, there: bool) -> set[str]:
        if not there:
            # Not found after an unknown outcome is success, whoever deleted it.
            return {"failed 1004", "succeeded"}
        self.lives = self.first_lead_lives = False
        self.events.append(("deleted", None))
        return {"succeeded"}


class Workload:
    """Rows for few people, who are touched again and again, and for many who are touched once."""

    def __init__(self, chance: random.Random, known: dict[str, tuple[int, Any]]) -> None:
        self.chance = chance
        self.people = {email: Person(email, lead, name) for email, (lead, name) in known.items()}
        self.few = [*list(known)[:3], "new-1@example.com", "new-2@example.com"]
        self.many = list(known)[3:]
        self.fresh = 0
        for email in self.few:
            self.people.setdefault(email, Person(email))

    def rows(self, number: int) -> list[tuple[str, Payload]]:
        return [self._row() for _ in range(number)]

    def _row(self) -> tuple[str, Payload]:
        kind = self.chance.choices(
            ("few", "many", "create_only", "create_duplicate", "delete"), weights=(60, 18, 8, 8, 6)
        )[0]
        name = self.chance.choice(VALUES)
        if kind == "create_duplicate":
            self.fresh += 1
            return "create_duplicate", {"email": f"twin-{self.fresh}@example.com", "lastName": name}
        if kind == "create_only" and self.chance.random() < 0.5:
            self.fresh += 1
            email = f"only-{self.fresh}@example.com"
            self.people[email] = Person(email)
            return "create_only", {"email": email, "lastName": name}
        email = self.chance.choice(self.many if kind == "many" else self.few)
        lead = self.people[email].first_id
        if kind == "delete":
            return "delete", {"id": lead} if lead and self.chance.random() < 0.5 else {"email": email}
        if kind == "create_only":
            return "create_only", {"email": email, "lastName": name}
        if lead and self.chance.random() < 0.4:
            return "update_only", {"id": lead, "lastName": name}
        operation = self.chance.choice(("create_or_update", "create_or_update", "update_only"))
        return operation, {"email": email, "lastName": name}


def test_a_drain_that_is_killed_twenty_times_carries_each_row_out_once_and_in_order(house: House) -> None:
    chance = random.Random(7)
    assert house.run("pull", "schema").returncode == 0
    daemon = house.daemon()
    house.quiet()
    workload = Workload(chance, _known_people(house))
    before = len(house.simulator.effects())
    hit = 0
    for _ in range(KILLS):
        house.insert(workload.rows(24))
        time.sleep(chance.random() * LONGEST_LIFE)
        daemon.kill()
        hit += bool(house.value("SELECT count(*) FROM outbox_queue WHERE state = 'sending'"))
        house.twenty_seconds_pass()
        daemon = house.daemon()
    assert hit >= KILLS // 2, f"only {hit} of the kills struck while a call was under way"
    house.settled()
    assert daemon.stop() == 0
    effects = house.simulator.effects(since=before)
    rows = _rows_with_doubts(house)
    _each_row_took_effect_once_and_in_order(rows, effects, workload.people)
    _no_duplicate_was_made_twice(rows, effects)
    house.twenty_seconds_pass()
    house.proven()


def _known_people(house: House) -> dict[str, tuple[int, Any]]:
    rows = house.sql(
        "SELECT id, email, last_name FROM lead l WHERE email IS NOT NULL AND _deleted_at IS NULL "
        "AND (SELECT count(*) FROM lead o WHERE lower(o.email) = lower(l.email)) = 1 ORDER BY id LIMIT 40"
    )
    return {row["email"]: (row["id"], row["last_name"]) for row in rows}


def _rows_with_doubts(house: House) -> list[Row]:
    return house.sql(
        "SELECT o.*, EXISTS (SELECT FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.outcome = 'unknown') AS in_doubt "
        "FROM outbox o ORDER BY id"
    )


def _each_row_took_effect_once_and_in_order(
    rows: list[Row], effects: list[Row], people: dict[str, Person]
) -> None:
    by_lead = {person.first_id: person for person in people.values() if person.first_id}
    decisions: Counter[str] = Counter()
    for row in rows:
        if row["operation"] == "create_duplicate":
            continue
        payload = row["payload"]
        person = by_lead[payload["id"]] if "id" in payload else people[payload["email"]]
        allowed = person.carry_out(row)
        ended = row["status"] + (f" {row['error_code']}" if row["status"] == "failed" else "")
        assert ended in allowed, (ended, allowed, row)
        decisions[f"{row['operation']} {ended}{' after a doubt' if row['in_doubt'] else ''}"] += 1
    seen: defaultdict[str, list[Event]] = defaultdict(list)
    address = {person.first_id: person.email for person in people.values()}
    for effect in effects:
        if effect["kind"] == "created":
            address[effect["leadId"]] = effect["fields"]["email"]["new"]
        name = effect["fields"].get("lastName", {}).get("new")
        seen[address[effect["leadId"]]].append((effect["kind"], name))
    for email, person in people.items():
        assert seen[email] == person.events, email
    for reached in (
        "create_or_update succeeded",
        "create_or_update succeeded after a doubt",
        "update_only succeeded",
        "update_only succeeded after a doubt",
        "create_only succeeded",
        "create_only failed 1005",
        "delete succeeded",
    ):
        assert decisions[reached] >= 1, (reached, decisions)


def _no_duplicate_was_made_twice(rows: list[Row], effects: list[Row]) -> None:
    made = Counter(e["fields"]["email"]["new"] for e in effects if e["kind"] == "created")
    for row in rows:
        if row["operation"] != "create_duplicate":
            continue
        times = made[row["payload"]["email"]]
        if row["status"] == "uncertain":
            assert row["in_doubt"]
            assert times <= 1
        else:
            assert (row["status"], times) == ("succeeded", 1), row
