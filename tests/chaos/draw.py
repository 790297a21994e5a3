"""Draws a history of the outbox from a seed: rows of all operations, foreign edits, faults, deaths and losses."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from tests.chaos.judge import NEVER
from tests.histories import draw
from tests.histories.draw import DAY, FEW, HOUR, LEADS, LISTS, PROGRAMS, Cut, History, Step

NASTY = 0.1
STEPS = (10, 45)
EMAILS = draw.EMAILS
MANY = tuple(f"many{n}@example.com" for n in range(5))
PLAIN = ("Doe", "Roe")
"""Values that a file can carry."""
SYNC = "POST /rest/v1/leads.json"
ENDPOINTS = (
    "*", SYNC, SYNC, SYNC, "POST *", "POST *", "*/leads/*", "*/lists/*", "*/programs/*", "*/push.json",
    "*/submitForm.json", "*/merge.json", "*/delete.json", "*/trigger.json", "*/fields*", "/bulk/*", "POST /bulk/*",
    "GET /rest/v1/leads.json",
    "*/activities/*",
)  # fmt: skip
FAULTS: tuple[dict[str, Any], ...] = (
    *({"kind": "error", "code": code} for code in ("604", "606", "608", "611", "615", "713", "607", "601", "603")),
    *({"kind": "error", "code": code, "phase": "after"} for code in ("604", "611")),
    *({"kind": "http", "status": status} for status in (500, 502, 503, 429)),
    {"kind": "http", "status": 502, "phase": "after"},
    {"kind": "http", "status": 200, "body": "<html>Maintenance</html>"},
    {"kind": "http", "status": 200, "body": "<html>Maintenance</html>", "phase": "after"},
    *({"kind": kind, "phase": phase} for kind in ("reset", "truncate", "malformed") for phase in ("before", "after")),
    {"kind": "reset", "phase": "after"},
    {"kind": "expire_token"},
    {"kind": "revoke_token"},
)  # fmt: skip
"""The simulator's catalogue but for what takes real time; that is for the histories of processes."""
OPERATIONS: tuple[tuple[str, int], ...] = (
    ("create_or_update", 26),
    ("update_only", 24),
    ("create_only", 7),
    ("create_duplicate", 7),
    ("delete", 6),
    ("push", 6),
    ("submit_form", 5),
    ("merge", 5),
    ("associate", 2),
    ("add_to_list", 7),
    ("remove_from_list", 5),
    ("set_program_status", 5),
    ("remove_from_program", 3),
    ("update_partition", 2),
    ("trigger_campaign", 5),
    ("create_field", 2),
    ("update_field", 2),
)
MOVES, WRITERS = (30, 60), 3
ROUGH: tuple[dict[str, Any], ...] = (
    {"kind": "timeout"},
    {"kind": "timeout", "phase": "after"},
    {"kind": "delay", "seconds": 0.2},
    {"kind": "delay", "seconds": 0.5},
)
"""What takes real time: answers that never come, and calls that take effect when their caller is gone already."""
FOREIGN = {name: values for name, values in draw.VALUES.items() if name not in {"email", "title"}}
"""Addresses and titles are written by the outbox alone: by these its rows are told apart."""
FEEDS = ("changes", "changes", "dirty", "dirty", "members", "backfill")


def history(seed: int) -> History:
    """Draw the history of a seed."""
    chance = random.Random(seed)
    profile = "nasty" if chance.random() < NASTY else "small"
    options = {name: value for name, value, share in draw.OPTIONS if chance.random() < share / 2}
    drawn = Drawing(chance)
    steps = tuple(drawn.step() for _ in range(chance.randint(*STEPS)))
    return History(seed, profile, False, options, steps)


class Drawing(draw.Drawing):
    """Draws one step after the other; every row has a mark of its own."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.mark = 0
        self._kinds: tuple[tuple[Callable[[], Step], int], ...] = (
            (self.row, 40),
            (self.overlapping, 5),
            (self.hasty, 2),
            (self.merge_that_waits, 2),
            (self.backlog, 4),
            (self.work, 30),
            (self.fault, 9),
            (self.edit, 7),
            (self.person, 6),
            (self.time, 4),
            (self.loss, 3),
            (self.tokens, 1),
        )
        self._edits: tuple[tuple[Callable[[], Step], int], ...] = (
            (self.change_a_lead, 10),
            (self.delete_a_lead, 2),
            (self.merge_leads, 2),
            (self.change_a_list, 3),
            (self.change_a_program, 3),
        )

    def row(self) -> Step:
        return Step("row", self.drawn_row())

    def drawn_row(self) -> dict[str, Any]:
        """Draw an operation, and what it is about: places stand for the numbers that Marketo gives."""
        self.mark += 1
        names, weights = zip(*OPERATIONS, strict=True)
        operation = self.chance.choices(names, weights)[0]
        row: dict[str, Any] = {"operation": operation, "mark": self.mark, "payload": self._payload(operation)}
        row |= {"place": self.chance.randrange(3), "status": self.chance.randrange(1, 4)}
        return row | self._columns(operation)

    def _payload(self, operation: str) -> dict[str, Any]:
        record = {"lastName": self._one(draw.VALUES["lastName"]), "title": f"mark {self.mark}"}
        payloads: dict[str, Callable[[], dict[str, Any]]] = {
            "create_or_update": lambda: {"email": self._email(), **record},
            "create_only": lambda: {"email": self._fresh() or self._email(), **record},
            "push": lambda: {"email": self._email(), **record},
            "create_duplicate": lambda: {"email": self._twin(), **record},
            "update_only": lambda: self._name() | record,
            "submit_form": lambda: {"leadFormFields": {"email": self._email(), **record}},
            "merge": self._merge,
            "create_field": lambda: {
                "name": f"made{self.mark}",
                "displayName": f"made{self.mark}",
                "dataType": "string",
            },
            "update_field": lambda: {"name": "customerTier", "description": f"mark {self.mark}"},
        }
        return payloads.get(operation, self._name)()

    def _merge(self) -> dict[str, Any]:
        winner, *losers = self.chance.sample(range(1, FEW + 3), self._one((2, 2, 3)))
        return {"id": winner, "leadIds": losers}

    def _fresh(self) -> str | None:
        return f"fresh-{self.mark}@example.com" if self.chance.random() < 0.6 else None

    def _twin(self) -> str:
        """Draw an address that nobody else has, mostly: two leads of one address end what can be told of it."""
        return self._email() if self.chance.random() < 0.1 else f"twin-{self.mark}@example.com"

    def _columns(self, operation: str) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if operation in NEVER and self.chance.random() < 0.25:
            more["on_unknown_outcome"] = "resend"
        if self.chance.random() < 0.06:
            more["halt"] = True
        if self.chance.random() < 0.05:
            more["expires_in"] = self._one((30.0, HOUR))
        if self.chance.random() < 0.05:
            more["not_before_in"] = self._one((5.0, 50.0))
        if operation == "update_only" and self.chance.random() < 0.12:
            more["if_matches"] = {"lastName": self._one(draw.VALUES["lastName"])}
        return more

    def overlapping(self) -> Step:
        """Draw transactions that overlap: the first that wrote is the last that commits."""
        return Step("overlapping", {"rows": [self.drawn_row() for _ in range(3)]})

    def hasty(self) -> Step:
        """Draw a creation that is carried out unheard, and whose time is over before anybody may look for its lead."""
        self.mark += 1
        payload = {"email": f"hasty-{self.mark}@example.com", "title": f"mark {self.mark}"}
        row = {
            "operation": "create_only",
            "mark": self.mark,
            "payload": payload,
            "place": 0,
            "status": 1,
            "expires_in": self._one((20.0, 60.0)),
        }
        return Step("hasty", {"row": row, "fault": {"kind": "reset", "phase": "after", "endpoint": SYNC}})

    def merge_that_waits(self) -> Step:
        """Draw a merge that waits for a row of its winner, and a row of its loser behind it."""
        winner, loser = self.chance.sample(range(1, FEW + 3), 2)
        payloads = (
            ("update_only", {"id": winner}, {"not_before_in": 5.0}),
            ("merge", {"id": winner, "leadIds": [loser]}, {}),
            ("update_only", {"id": loser}, {}),
        )
        rows = []
        for operation, payload, more in payloads:
            self.mark += 1
            marked = payload if operation == "merge" else payload | {"title": f"mark {self.mark}"}
            rows.append(
                {"operation": operation, "mark": self.mark, "payload": marked, "place": 0, "status": 1} | more
            )
        self._coming = [*(Step("row", row) for row in rows[1:]), Step("drain_steps", {"steps": 2})]
        return Step("row", rows[0])

    def backlog(self) -> Step:
        """Draw many upserts of the same fields in one transaction: where files are used, they are enough for one."""
        rows = []
        for email in self.chance.sample((*EMAILS, *MANY), self.chance.randint(4, 7)):
            self.mark += 1
            payload = {"email": email, "lastName": self._one(PLAIN), "title": f"mark {self.mark}"}
            rows.append(
                {
                    "operation": "create_or_update",
                    "mark": self.mark,
                    "payload": payload,
                    "place": 0,
                    "status": 1,
                }
            )
        return Step("backlog", {"rows": rows})

    def work(self) -> Step:
        kind = self.chance.random()
        if kind < 0.7:
            step = Step("drain_steps", {"steps": self._one((1, 1, 2, 5))})
        elif kind < 0.9:
            step = Step("pull", {"feed": self._one(FEEDS), "full": False})
        else:
            step = Step("daemon")
        return Step(step.does, step.given, tuple(self._cuts()))

    def _cuts(self) -> Iterable[Cut]:
        for _ in range(self._one((0, 1, 1, 2))):
            turn = int(self.chance.expovariate(1 / 3))
            kind = self.chance.random()
            if kind < 0.34:
                yield Cut(self._one(draw.MOMENTS), turn)
            elif kind < 0.4:
                yield Cut(self._one(("call", "answer")), turn, self.rescue())
            elif kind < 0.55:
                # Whoever was paused right before its call, or is about to hear its answer: others go on.
                yield Cut(
                    self._one(("call", "answer")), turn, Step("drain_steps", {"steps": self._one((1, 2))})
                )
            elif kind < 0.68:
                yield Cut(self._one(("answer", "begin", "committed")), turn, self.loss())
            elif kind < 0.71:
                lost = {
                    "of": "connection",
                    "rescue": self.chance.random() < 0.5,
                    "steps": self._one((0, 1, 3)),
                }
                yield Cut(self._one(("begin", "committed", "committed")), turn, Step("loss", lost))
            elif kind < 0.76:
                # Paused right after the claim, for longer than the session lives.
                yield Cut("committed", 0, Step("loss", {"of": "session", "rescue": True, "steps": 3}))
            elif kind < 0.82:
                yield Cut(self._one(("call", "answer", "committed")), turn, self.row())
            elif kind < 0.9:
                yield Cut(self._one(("call", "answer")), turn, self.person())
            else:
                yield Cut(self._one(("call", "answer", "committed")), turn, self.edit())

    def loss(self) -> Step:
        """Draw a loss: of the session, which others notice at once or later, or of every connection."""
        return Step(
            "loss",
            {
                "of": self._one(("session", "session", "database")),
                "rescue": self.chance.random() < 0.7,
                "steps": self._one((0, 1, 3)),
            },
        )

    def rescue(self) -> Step:
        return Step("rescue", {"steps": self._one((0, 1, 3))})

    def person(self) -> Step:
        do = self._one(("retry", "retry_all", "cancel", "release", "resend", "resolve"))
        return Step("person", {"do": do, "turn": self.chance.randrange(8)})

    def fault(self) -> Step:
        more = {
            "endpoint": self._one(ENDPOINTS),
            "count": self._one((1, 1, 1, 2, 5)),
            "skip": self._one((0, 0, 0, 1)),
        }
        return Step("fault", {**self._one(FAULTS), **more})

    def time(self) -> Step:
        return Step("time", {"seconds": self._one((2.0, 2.0, 40.0, HOUR, HOUR * 7, DAY))})

    def change_a_lead(self) -> Step:
        name = self._one(tuple(FOREIGN))
        return Step("change_a_lead", {"lead": self._lead(), "values": {name: self._one(FOREIGN[name])}})

    def merge_leads(self) -> Step:
        winner, *losers = self.chance.sample(range(1, LEADS + 1), 2)
        return Step("merge_leads", {"winner": winner, "losers": losers, "how": "leaddb"})

    def change_a_list(self) -> Step:
        given = {
            "place": self.chance.randrange(LISTS),
            "leads": [self._lead()],
            "add": self.chance.random() < 0.5,
        }
        return Step("change_a_list", {**given, "by_api": False})

    def change_a_program(self) -> Step:
        given = {
            "place": self.chance.randrange(PROGRAMS),
            "leads": [self._lead()],
            "status": self.chance.randrange(4),
        }
        return Step("change_a_program", given)

    def _lead(self) -> int:
        """Draw one of the leads that are there from the start: a number that nobody has yet names nobody."""
        return self.chance.randint(1, FEW if self.chance.random() < 0.7 else LEADS)

    def _email(self) -> str:
        email: str = self._one(EMAILS)
        return email.upper() if self.chance.random() < 0.25 else email

    def _name(self) -> dict[str, Any]:
        """Draw a name of a lead: the first leads have an address of the few, too."""
        return {"id": self._lead()} if self.chance.random() < 0.55 else {"email": self._email()}


def of_processes(seed: int) -> History:
    """Draw the history of a seed for real processes: how many there are is the first step."""
    chance = random.Random(seed)
    drawn = DrawingOfProcesses(chance)
    steps = [Step("begin", {"processes": chance.randint(1, 3)})]
    steps += [drawn.step() for _ in range(chance.randint(*MOVES))]
    return History(seed, "small", False, {}, tuple(steps))


class DrawingOfProcesses(Drawing):
    """Draws what several writers write, and what happens to the processes meanwhile."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._kinds = (
            (self.write, 40),
            (self.nap, 30),
            (self.rough, 16),
            (self.edit, 8),
            (self.person, 5),
            (self.kill, 10),
            (self.pause, 6),
            (self.go_on, 6),
            (self.start, 4),
            (self.crash, 2),
            (self.drop, 3),
            (self.tokens, 1),
        )

    def write(self) -> Step:
        """Draw rows of one writer: each in a transaction of its own, or all in one."""
        rows = [self.drawn_row() for _ in range(self._one((1, 2, 4, 8)))]
        return Step(
            "write",
            {"writer": self.chance.randrange(WRITERS), "together": self.chance.random() < 0.3, "rows": rows},
        )

    def nap(self) -> Step:
        seconds = round(self.chance.uniform(0.02, 0.3), 2)
        return Step("nap", {"attempts": self._one((0, 0, 1, 3)), "seconds": seconds})

    def rough(self) -> Step:
        step = self.fault()
        if self.chance.random() < 0.5:
            # Most would wait in vain for a call of their kind: a history is short.
            step = Step("fault", {**step.given, "endpoint": self._one((SYNC, "POST *", "*")), "skip": 0})
        return Step("fault", {**step.given, **self._one(ROUGH)}) if self.chance.random() < 0.4 else step

    def fault(self) -> Step:
        step = super().fault()
        # A day's end, or new rights, would be waited for in real time.
        return step if step.given.get("code") not in {"607", "603"} else self.fault()

    def kill(self) -> Step:
        return Step("kill", {"which": self.chance.randrange(3)})

    def pause(self) -> Step:
        return Step("pause", {"which": self.chance.randrange(3)})

    def go_on(self) -> Step:
        return Step("go_on", {"which": self.chance.randrange(3)})

    def start(self) -> Step:
        return Step("start")

    def crash(self) -> Step:
        return Step("crash")

    def drop(self) -> Step:
        return Step("drop")

    def _columns(self, operation: str) -> dict[str, Any]:
        short = {"expires_in": 1.0, "not_before_in": 0.5}
        return {name: short.get(name, value) for name, value in super()._columns(operation).items()}
