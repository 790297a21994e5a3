"""Draws a history from a seed: what happens, and in which order. Nothing here does anything."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

LEADS, LISTS, PROGRAMS, CAMPAIGNS = 10, 2, 3, 4
STEPS = (6, 26)
FEW = 3
"""So many leads are met more often than the others: their values come back, and their merges are chains."""
NASTY, EMPTY = 0.3, 0.2
"""Shares of histories with the simulator's nasty profile, and of those that begin with an empty database."""
HOUR, DAY = 3600.0, 86_400.0

NAMES = ("Ada", "Bea", "Cy", None)
EMAILS = tuple(f"few{n}@example.com" for n in range(3))
VALUES: dict[str, tuple[Any, ...]] = {
    "firstName": NAMES,
    "lastName": ("Null", "null", 'quo"ted, and\nbroken', "Doe"),
    "email": EMAILS,
    "title": ("Boss", "", "Clerk"),
    "leadScore": (0, 1, 2),
    "unsubscribed": (True, False),
    "customerTier": ("gold", "silver", None),
    "loyaltyPoints": (0, 7, None),
    "satisfaction": (0.5, 3.0, None),
    "newsletterOptIn": (True, False),
    "contractStart": ("2024-02-29", "2025-01-01", None),
    "lastLoginAt": ("2025-03-30T01:30:00Z", "2024-12-31T23:59:59Z", None),
    "lifetimeValue": (12.5, 100.0, None),
}
"""Few values of each field, so that a lead goes back to earlier ones and a touch changes nothing."""
COMPANY = {"company": ("Acme", "Bolt"), "industry": ("Ships", "Shoes", None)}
NEW_FIELDS = ("extraOne", "extra_one", "extraTwo")
TYPES = ("string", "integer", "boolean", "date", "float")
MEMBER_VALUES = {
    "webinarUrl": ("https://a.example/1", "https://a.example/2"),
    "registrationCode": ("r1", "r2"),
}
FEEDS = (
    "schema", "changes", "changes", "changes", "dirty", "dirty", "backfill", "lists", "programs",
    "members", "campaigns", "campaign_members",
)  # fmt: skip
FULL = ("backfill", "lists", "programs", "campaign_members")
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "error", "code": "608"},
    {"kind": "error", "code": "604"},
    {"kind": "error", "code": "606"},
    {"kind": "error", "code": "615"},
    {"kind": "error", "code": "713"},
    {"kind": "error", "code": "611", "phase": "after"},
    {"kind": "error", "code": "604", "phase": "after"},
    {"kind": "http", "status": 502},
    {"kind": "http", "status": 502, "phase": "after"},
    {"kind": "http", "status": 200, "body": "<html>Maintenance</html>"},
    {"kind": "reset"},
    {"kind": "reset", "phase": "after"},
    {"kind": "truncate"},
    {"kind": "malformed"},
    {"kind": "expire_token"},
    {"kind": "revoke_token"},
)
ENDPOINTS = (
    "*", "*/activities/*", "*/activities.json", "*/activities/leadchanges.json", "*/activities/deletedleads.json",
    "GET /rest/v1/leads.json", "POST /rest/v1/leads.json", "/bulk/*", "GET /bulk/*", "POST /bulk/*", "*/file.json",
    "*/members.json", "*/lists/*", "*/programs/*", "*/describe*", "/rest/asset/*", "*smartCampaignMembership*",
)  # fmt: skip
MOMENTS = ("call", "answer", "begin", "commit", "committed")
"""Points of a run: before a call and after its answer; before a transaction, before its commit, and after it."""

OPTIONS: tuple[tuple[str, Any, float], ...] = (
    ("paging_token_days", 1.0, 0.2),
    ("scan_block", 2, 0.3),
    ("sparse_pages", True, 0.2),
    ("commit_lag", 30.0, 0.3),
    ("merged_in_deleted", True, 0.3),
    ("merge_logged", False, 0.5),
    ("export_seconds", 30.0, 0.5),
    ("file_delay", 3.0, 0.2),
    ("strict_change_fields", False, 0.2),
    ("updated_at_filter", False, 0.2),
    ("max_members", 2, 0.2),
)
"""Options of the simulator, each with the share of histories in which it holds."""


@dataclass(frozen=True)
class Step:
    """One thing that happens; what is in ``cuts`` happens in the middle of it."""

    does: str
    given: dict[str, Any] = field(default_factory=dict)
    cuts: tuple["Cut", ...] = ()

    def __str__(self) -> str:
        words = [self.does, *(f"{name}={value!r}" for name, value in self.given.items())]
        return " ".join(words) + "".join(f"\n        {cut}" for cut in self.cuts)


@dataclass(frozen=True)
class Cut:
    """Something in the middle of a step: at the so-manieth point of a kind; ``does`` None: the process dies there."""

    moment: str
    turn: int
    does: Step | None = None

    def __str__(self) -> str:
        return f"at {self.moment} {self.turn}: {self.does or 'the process dies'}"


@dataclass(frozen=True)
class History:
    """All that happens, and to what kind of subscription."""

    seed: int
    profile: str
    empty: bool
    options: dict[str, Any]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        traits = ", ".join(f"{name}={value}" for name, value in self.options.items())
        head = f"seed {self.seed}: {self.profile}, {'empty database' if self.empty else 'fields known'}"
        return "\n".join(
            [f"{head}{', ' + traits if traits else ''}", *(f"    {step}" for step in self.steps)]
        )


def history(seed: int) -> History:
    """Draw the history of a seed."""
    chance = random.Random(seed)
    profile = "nasty" if chance.random() < NASTY else "small"
    options: dict[str, Any] = {name: value for name, value, share in OPTIONS if chance.random() < share}
    drawn = Drawing(chance)
    steps = [drawn.step() for _ in range(chance.randint(*STEPS))]
    return History(seed, profile, chance.random() < EMPTY, options, tuple(steps))


class Drawing:
    """Draws one step after the other."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._changed: dict[tuple[int, str], list[Any]] = {}
        self._kinds: tuple[tuple[Callable[[], Step], int], ...] = (
            (self.edit, 45),
            (self.row, 8),
            (self.work, 30),
            (self.fault, 7),
            (self.time, 5),
            (self.tokens, 1),
            (self.failing_job, 1),
            (self.race, 2),
            (self.race_of_a_sweep, 2),
        )
        self._coming: list[Step] = []
        self._edits: tuple[tuple[Callable[[], Step], int], ...] = (
            (self.change_a_lead, 16),
            (self.create_a_lead, 4),
            (self.delete_a_lead, 3),
            (self.merge_leads, 6),
            (self.change_a_list, 6),
            (self.change_a_program, 6),
            (self.change_a_member, 2),
            (self.change_a_company, 1),
            (self.move_to_a_partition, 2),
            (self.request_a_campaign, 3),
            (self.import_leads, 2),
            (self.write_by_api, 3),
            (self.submit_a_form, 1),
            (self.visit, 1),
            (self.make_a_list, 1),
            (self.end_a_list, 1),
            (self.rename_a_list, 1),
            (self.add_a_field, 2),
            (self.change_a_field, 2),
        )

    def step(self) -> Step:
        return self._coming.pop(0) if self._coming else self._of(self._kinds)

    def edit(self) -> Step:
        return self._of(self._edits)

    def work(self) -> Step:
        """Draw a run of a feed, of all feeds that are due, or of the outbox."""
        kind = self.chance.random()
        if kind < 0.15:
            step = Step("daemon")
        elif kind < 0.35:
            step = Step("drain")
        elif kind < 0.45:
            step = Step("pull", {"feed": self._one(FULL), "full": True})
        else:
            step = Step("pull", {"feed": self._one(FEEDS), "full": False})
        return Step(step.does, step.given, tuple(self._cuts()))

    def _cuts(self) -> Iterable[Cut]:
        kind = self.chance.random()
        # Early points are in every run; late ones are where the effects are.
        turn = (
            int(self.chance.expovariate(1 / 5)) if self.chance.random() < 0.4 else self.chance.randrange(30)
        )
        if kind < 0.25:
            yield Cut(self._one(MOMENTS), turn)
        elif kind < 0.6:
            yield Cut(self._one(MOMENTS), turn, self.edit())
        elif kind < 0.7:
            inner = Step("pull", {"feed": self._one(FEEDS), "full": False})
            yield Cut(self._one(("call", "answer")), turn, inner)
        elif kind < 0.75:
            yield Cut(self._one(("call", "answer")), turn, Step("drain"))
        elif kind < 0.85:
            # What is read is older than what the log tells of it meanwhile.
            yield Cut("answer", turn, self.edit())
            yield Cut("answer", turn, Step("pull", {"feed": "changes", "full": False}))
        if 0.25 <= kind < 0.35:
            yield Cut(self._one(MOMENTS), turn + int(self.chance.expovariate(1 / 5)))

    def race(self) -> Step:
        """Draw a lead that changes again while it is read, of which the log tells before what was read is written."""
        lead = self._lead()
        first, again = (
            Step("change_a_lead", {"lead": lead, "values": {name: self._one(VALUES[name])}})
            for name in self.chance.choices(tuple(VALUES), k=2)
        )
        log = Step("pull", {"feed": "changes", "full": False})
        at = self._one((0, 0, 0, 1))
        self._coming = [
            log,
            Step(
                "pull", {"feed": "dirty", "full": False}, (Cut("answer", at, again), Cut("answer", at, log))
            ),
        ]
        return first

    def race_of_a_sweep(self) -> Step:
        """Draw a list or program that changes while it is swept, of which the log tells before the members are swapped in."""
        feed, change = self._one((("lists", self.change_a_list), ("programs", self.change_a_program)))
        at = self._one((2, 3, 4, 5, 6))
        log = Step("pull", {"feed": "changes", "full": False})
        cuts = (Cut("answer", at, change()), Cut("answer", at, log))
        return Step("pull", {"feed": feed, "full": True}, cuts)

    def row(self) -> Step:
        """Draw a row of the outbox."""
        operation = self._one(
            (
                "create_or_update",
                "create_or_update",
                "update_only",
                "create_only",
                "create_duplicate",
                "delete",
            )
        )
        payload: dict[str, Any] = {"email": self._one(EMAILS), "firstName": self._one(NAMES)}
        if operation == "update_only":
            name = self._one(tuple(VALUES))
            payload = {"id": self._lead(), name: self._one(VALUES[name])}
        elif operation == "delete":
            payload = {"id": self._lead()}
        return Step("row", {"operation": operation, "payload": payload})

    def fault(self) -> Step:
        more = {
            "endpoint": self._one(ENDPOINTS),
            "count": self._one((1, 1, 2, 9)),
            "skip": self._one((0, 0, 1, 3)),
        }
        return Step("fault", {**self._one(FAULTS), **more})

    def time(self) -> Step:
        return Step("time", {"seconds": self._one((2.0, 40.0, HOUR, HOUR * 7, DAY * 2, DAY * 8))})

    def tokens(self) -> Step:
        return Step("tokens", {"do": self._one(("expire", "revoke"))})

    def failing_job(self) -> Step:
        return Step("failing_job", {"count": self._one((1, 2))})

    def change_a_lead(self) -> Step:
        """Draw a change of one field; often of one that was changed before, and then back to what it was."""
        if self._changed and self.chance.random() < 0.5:
            lead, name = self._one(tuple(self._changed))
        else:
            lead, name = self._lead(), self._one(tuple(VALUES))
        drawn = self._changed.setdefault((lead, name), [])
        value = drawn[-2] if len(drawn) > 1 else self._one([v for v in VALUES[name] if v not in drawn])
        drawn.append(value)
        return Step("change_a_lead", {"lead": lead, "values": {name: value}})

    def create_a_lead(self) -> Step:
        return Step("create_a_lead", {"email": self._one(EMAILS), "name": self._one(NAMES)})

    def delete_a_lead(self) -> Step:
        return Step("delete_a_lead", {"lead": self._lead()})

    def merge_leads(self) -> Step:
        # Among few, so that a winner is merged on.
        among = range(1, FEW + 2) if self.chance.random() < 0.5 else range(1, LEADS + 3)
        winner, *losers = self.chance.sample(among, self._one((2, 2, 3)))
        how = self._one(("leaddb", "leaddb", "form", "api"))
        return Step("merge_leads", {"winner": winner, "losers": losers, "how": how})

    def change_a_list(self) -> Step:
        add, by_api = self.chance.random() < 0.6, self.chance.random() < 0.3
        return Step(
            "change_a_list", {"place": self._place(), "leads": self._leads(), "add": add, "by_api": by_api}
        )

    def change_a_program(self) -> Step:
        given = {
            "place": self.chance.randrange(PROGRAMS),
            "leads": self._leads(),
            "status": self.chance.randrange(5),
        }
        return Step("change_a_program", given)

    def change_a_member(self) -> Step:
        name = self._one(tuple(MEMBER_VALUES))
        given = {"place": self.chance.randrange(PROGRAMS), "lead": self._lead()}
        return Step("change_a_member", {**given, "values": {name: self._one(MEMBER_VALUES[name])}})

    def change_a_company(self) -> Step:
        name = self._one(tuple(COMPANY))
        return Step("change_a_company", {"lead": self._lead(), "values": {name: self._one(COMPANY[name])}})

    def move_to_a_partition(self) -> Step:
        return Step("move_to_a_partition", {"lead": self._lead(), "place": self._one((0, 1))})

    def request_a_campaign(self) -> Step:
        return Step("request_a_campaign", {"place": self.chance.randrange(CAMPAIGNS), "leads": self._leads()})

    def import_leads(self) -> Step:
        place = self._one((None, None, *range(LISTS)))
        emails = self.chance.sample(EMAILS, self._one((1, 2)))
        return Step("import_leads", {"rows": [[e, self._one(NAMES)] for e in emails], "place": place})

    def write_by_api(self) -> Step:
        action = self._one(("createOrUpdate", "createOrUpdate", "createDuplicate"))
        return Step("write_by_api", {"action": action, "email": self._one(EMAILS), "name": self._one(NAMES)})

    def submit_a_form(self) -> Step:
        return Step(
            "submit_a_form", {"email": self._one(EMAILS), "name": self._one(NAMES[:3]), "cookie": "few"}
        )

    def visit(self) -> Step:
        lead = self._one((None, self._lead()))
        return Step("visit", {"cookie": "few", "lead": lead})

    def make_a_list(self) -> Step:
        return Step("make_a_list", {"name": self._one(("Made", "Made too")), "leads": self._leads()})

    def end_a_list(self) -> Step:
        return Step("end_a_list", {"place": self._place()})

    def rename_a_list(self) -> Step:
        return Step(
            "rename_a_list", {"place": self._place(), "name": self._one(("Renamed", "Renamed again"))}
        )

    def add_a_field(self) -> Step:
        return Step(
            "add_a_field", {"name": self._one(NEW_FIELDS), "type": self._one(TYPES), "lead": self._lead()}
        )

    def change_a_field(self) -> Step:
        change = self._one(
            ({"isHidden": True}, {"isHidden": False}, {"displayName": "Told anew"}, {"isSensitive": True})
        )
        return Step(
            "change_a_field", {"name": self._one(("customerTier", "loyaltyPoints", *NEW_FIELDS)), **change}
        )

    def _of(self, table: tuple[tuple[Callable[[], Step], int], ...]) -> Step:
        drawers, weights = zip(*table, strict=True)
        return self.chance.choices(drawers, weights)[0]()

    def _one(self, values: tuple[Any, ...]) -> Any:
        return self.chance.choice(values)

    def _lead(self) -> int:
        if self.chance.random() < 0.4:
            return self.chance.randint(1, FEW)
        return self.chance.randint(1, LEADS + 2)

    def _leads(self) -> list[int]:
        return self.chance.sample(range(1, LEADS + 3), self._one((1, 2, 3)))

    def _place(self) -> int:
        return self.chance.randrange(LISTS + 1)
