"""Random backlogs, random faults and deaths at random points of an import: nothing is lost, doubled or out of order."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.database import imports as books
from syncd.database import outbox
from syncd.errors import Refused
from syncd.marketo import endpoints
from syncd.wiring import App
from tests.sync.inside import Inside

SEEDS = range(6)
STEPS = 70
KNOWN = range(1, 7)
NEW = [f"new-{n}@example.com" for n in range(10)]
FINAL = {"succeeded", "failed"}
POINTS = [
    *((books, name) for name in ("begin", "gather", "rows", "posting", "posted", "seen", "sifted", "mark")),
    *((books, name) for name in ("known", "overtaken", "finish", "due")),
    (outbox, "settle"),
]
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("reset", "POST /bulk/v1/leads.json", {"phase": "before"}),
    ("reset", "POST /bulk/v1/leads.json", {"phase": "after"}),
    ("http", "POST /bulk/v1/leads.json", {"phase": "after"}),
    ("error", "POST /bulk/v1/leads.json", {"code": "1016"}),
    ("error", "POST /bulk/v1/leads.json", {"code": "606"}),
    ("error", "GET /bulk/v1/leads/batch/{batchId}.json", {"code": "608"}),
    ("error", "GET /bulk/v1/leads/batch/{batchId}/failures.json", {"code": "603"}),
    ("error", "GET /rest/v1/leads.json", {"code": "603"}),
    ("reset", "POST /rest/v1/leads.json", {"phase": "after"}),
    ("error", "POST /rest/v1/leads.json", {"code": "606"}),
]


class DiedError(BaseException):
    """The process ended here."""


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=8, history_days=20, limits=False, export_seconds=0.05, import_seconds=0.02, race_ms=0
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["outbox"] |= {
        "import_from": 4,
        "import_poll_seconds": 0.01,
        # Time passes when a history says so, and not before Marketo has ended what it has.
        "import_unknown_wait_seconds": 1_000_000,
        "retry_at_most": 1000,
    }
    return conf


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "BATCH", 3)
    monkeypatch.setattr(books, "PORTION", 4)
    monkeypatch.setattr(books, "FILE_BYTES", 700)


class History:
    """One random life of two replicas."""

    def __init__(self, app: App, inside: Inside, seed: int) -> None:
        self.app, self.inside, self.chance = app, inside, Random(seed)
        self.houses: list[Inside | None] = [None, None]
        self.rows: dict[int, tuple[str, dict[str, Any]]] = {}
        self.reached: Counter[str] = Counter()
        self._addresses = {r["id"]: r["email"] for r in inside.sql("SELECT id, email FROM lead")}
        self._values = 0

    def house(self) -> Inside:
        """One of the replicas, started where it is not alive."""
        place = self.chance.randrange(2)
        found = self.houses[place]
        if found is None:
            session = self.app.session(on_notify=lambda: None, lead=False)
            session.start()
            found = self.houses[place] = Inside(self.app, self.inside.simulator, session)
        return found

    def live(self) -> None:
        steps: list[tuple[int, Callable[[], None]]] = [
            (5, self.write),
            (9, self.import_),
            (4, self.carry),
            (2, self.rescue),
            (3, self.time_passes),
            (2, self.fault),
            (2, self.others_import),
            (1, self.read_log),
        ]
        weights, works = [w for w, _ in steps], [work for _, work in steps]
        for _ in range(STEPS):
            self.chance.choices(works, weights)[0]()
        self.end()

    def write(self) -> None:
        chance, rows = self.chance, []
        for _ in range(chance.randint(1, 14)):
            self._values += 1
            value: dict[str, Any] = {"lastName": f"v{self._values}"}
            if chance.random() < 0.1:
                value = {"shoeSize": chance.choice([self._values, "forty"])}
            if chance.random() < 0.3:
                rows.append(("update_only", {"id": chance.choice(KNOWN)} | value))
            elif chance.random() < 0.1:
                rows.append(("create_only", {"email": chance.choice(NEW)} | value))
            else:
                known = [self._addresses[n] for n in KNOWN]
                email = chance.choice([*known, *NEW, *NEW])
                rows.append(("create_or_update", {"email": chance.choice([email, email.upper()])} | value))
        ids = self.inside.insert_all(rows)
        self.rows |= dict(zip(ids, rows, strict=True))

    def import_(self) -> None:
        house = self.house()
        dies = self.chance.random() < 0.3
        with pytest.MonkeyPatch.context() as patch:
            if dies:
                module, name = self.chance.choice(POINTS)
                patch.setattr(module, name, self._mortal(getattr(module, name), name))
            try:
                for _ in range(self.chance.randint(1, 4)):
                    house.drain.imports.step()
            except DiedError:
                self._die(house)

    def _mortal(self, work: Callable[..., Any], name: str) -> Callable[..., Any]:
        before, calls = self.chance.random() < 0.5, [self.chance.randint(1, 2)]

        def call(*args: Any, **more: Any) -> Any:
            calls[0] -= 1
            if calls[0] == 0 and before:
                self.reached[f"died before {name}"] += 1
                raise DiedError
            result = work(*args, **more)
            if calls[0] == 0:
                self.reached[f"died after {name}"] += 1
                raise DiedError
            return result

        return call

    def _die(self, house: Inside) -> None:
        house.session.stop()
        self.houses[self.houses.index(house)] = None

    def carry(self) -> None:
        house = self.house()
        for _ in range(self.chance.randint(1, 3)):
            house.step()

    def rescue(self) -> None:
        self.house().drain.rescue()

    def time_passes(self) -> None:
        """Let an hour go by: Marketo has ended what it was at."""
        self._until_marketo_is_quiet()
        self.inside.sql(
            "UPDATE outbox_import SET posted_at = posted_at - interval '1 hour' WHERE state = 'posting'"
        )
        self.inside.sql("UPDATE outbox_import SET look_at = now() WHERE state = 'running'")
        self.inside.sql("UPDATE outbox_import SET rest_until = now()")
        self.inside.sql("UPDATE outbox_queue SET due_at = now() WHERE state = 'closing'")

    def others_import(self) -> None:
        """Let both places for imports be taken until time passes: ours wait in Marketo's queue."""
        self.inside.simulator.clear_faults()
        self.inside.simulator.freeze()
        for _ in range(2):
            self.app.client.import_leads(b"email,title\nother@example.com,Other\n", lookup_field="email")

    def _until_marketo_is_quiet(self) -> None:
        self.inside.simulator.unfreeze()
        client = self.app.client

        def quiet() -> bool:
            number = 1001
            while True:
                try:
                    if client.import_status(number).status not in {"Complete", "Failed"}:
                        return False
                except Refused:
                    return True
                number += 1

        self.inside.simulator.clear_faults()
        self.inside.until(quiet)

    def fault(self) -> None:
        if self.chance.random() < 0.2:
            self.inside.simulator.fail_imports()
            return
        kind, endpoint, more = self.chance.choice(FAULTS)
        self.inside.simulator.fault(kind, endpoint, **more)

    def read_log(self) -> None:
        self.inside.simulator.clear_faults()
        self.inside.catch_up()

    def end(self) -> None:
        """Let everything come to its end, and look at both sides."""
        for _ in range(200):
            self.time_passes()
            house = self.house()
            house.drain.rescue()
            while house.drain.imports.step():
                pass
            while house.step():
                pass
            if not self.inside.value("SELECT count(*) FROM outbox_queue"):
                break
        assert not self.inside.sql("SELECT * FROM outbox_queue")
        assert not self.inside.sql("SELECT * FROM outbox_key")
        for house in filter(None, self.houses):
            while house.drain.imports.step():
                pass
        for ended in self.inside.sql("SELECT state FROM outbox_import"):
            self.reached[ended["state"]] += 1
        self.prove()

    def prove(self) -> None:
        rows = {r["id"]: r for r in self.inside.sql("SELECT * FROM outbox ORDER BY id")}
        assert {r["status"] for r in rows.values()} <= FINAL
        written: dict[tuple[int, str], list[Any]] = defaultdict(list)
        for effect in self.inside.simulator.effects():
            for name, change in effect["fields"].items():
                written[effect["leadId"], name].append(change["new"])
        asked: dict[tuple[int, str], list[Any]] = defaultdict(list)
        for number, row in rows.items():
            operation, payload = self.rows[number]
            for name in payload.keys() & {"lastName", "shoeSize"}:
                if row["status"] == "succeeded":
                    assert row["lead_id"], json.dumps(row["result"])
                    asked[row["lead_id"], name].append(payload[name])
                else:
                    assert payload[name] == "forty" or operation == "create_only", row["error_message"]
        for (lead, name), values in asked.items():
            seen = [v for v in written[lead, name] if v in values]
            order = [values.index(v) for v in seen]
            assert order == sorted(order), (lead, name, values, seen)
            assert self.inside.simulator.lead(lead)[name] == values[-1], (lead, name, values, seen)
        self.inside.proven()
        living = self.inside.sql("SELECT lower(email) AS email FROM lead WHERE _deleted_at IS NULL")
        twice = [email for email, count in Counter(r["email"] for r in living).items() if count > 1]
        assert not set(twice) & set(NEW)

    def stop(self) -> None:
        for house in filter(None, self.houses):
            house.session.stop()


@pytest.fixture
def history(request: pytest.FixtureRequest, app: App, inside: Inside) -> Iterator[History]:
    inside.simulator.add_field("shoeSize", "integer")
    inside.fill()
    inside.catch_up()
    life = History(app, inside, request.param)
    yield life
    life.stop()


@pytest.mark.parametrize("history", SEEDS, indirect=True)
def test_whatever_happens_each_row_takes_effect_once_and_in_its_order(history: History) -> None:
    history.live()
