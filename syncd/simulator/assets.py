"""Static lists, programs, campaigns, channels, folders and forms, and who belongs to them."""

from dataclasses import dataclass, field
from typing import Any

from syncd.simulator import people
from syncd.simulator.activities import code
from syncd.simulator.options import Options
from syncd.simulator.seeding import Seeder, mix

GROUP_LISTS = 12
SEEDED_LIST, SEEDED_STATUS = 3, 4
FORM = 1029
FORM_FIELDS = (
    "firstName", "lastName", "email", "phone", "title", "company", "country", "city", "postalCode",
    "leadSource", "newsletterOptIn", "pMCFField", "dietaryNeeds",
)  # fmt: skip
LONG_LIST = 350


@dataclass(slots=True)
class StaticList:
    """A static list and its members, each with the times of joining and of the last change."""

    id: int
    name: str
    created: int
    updated: int
    description: str | None = None
    folder: int = GROUP_LISTS
    folder_type: str = "Folder"
    program: int | None = None
    members: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Member:
    """A lead's membership in a program."""

    id: int
    status: str
    joined: int
    updated: int
    acquired: bool = False
    reached: bool = False
    success_date: int | None = None
    exhausted: bool = False
    stream: str | None = None
    cadence: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Program:
    """A program and its members."""

    id: int
    name: str
    type: str
    channel: str
    created: int
    updated: int
    description: str = ""
    status: str = ""
    folder: int = 15
    workspace: str = "Default"
    tags: tuple[tuple[str, str], ...] = ()
    costs: tuple[tuple[str, int], ...] = ()
    members: dict[int, Member] = field(default_factory=dict)


@dataclass(slots=True)
class Campaign:
    """A smart campaign and the leads that went through it."""

    id: int
    name: str
    type: str
    active: bool
    requestable: bool
    program: int | None
    created: int
    updated: int
    description: str = ""
    members: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """One progression status of a channel."""

    name: str
    step: int
    success: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel: the statuses that its programs' members can have."""

    id: int
    name: str
    type: str
    statuses: tuple[Status, ...]

    def find(self, name: str) -> Status | None:
        """The status of that name."""
        return next((s for s in self.statuses if s.name.lower() == name.lower()), None)


def _channel(number: int, name: str, kind: str, *steps: str) -> Channel:
    statuses = [Status("Not in Program", 0, hidden=True)]
    statuses += [Status(s.rstrip("!"), 10 * (n + 1), success=s.endswith("!")) for n, s in enumerate(steps)]
    return Channel(number, name, kind, tuple(statuses))


CHANNELS = (
    _channel(1, "Website", "program", "Visited", "Engaged", "Influenced!"),
    _channel(2, "Webinar", "event", "Invited", "Registered", "No Show", "Attended!"),
    _channel(3, "Nurture", "nurture", "Member", "Engaged!"),
    _channel(4, "Tradeshow", "event", "Invited", "Visited Booth", "Meeting!"),
    _channel(5, "Newsletter", "program", "Sent", "Opened", "Clicked!"),
)
_KINDS = (("Default", 0), ("Event", 1), ("Engagement", 2), ("Event", 3), ("Email", 4))
STREAMS = ("Stream 1", "Stream 2", "Stream 3")


class Assets:
    """All assets by id, and the memberships in them."""

    def __init__(self, options: Options, seeder: Seeder) -> None:
        self.lists: dict[int, StaticList] = {}
        self.programs: dict[int, Program] = {}
        self.campaigns: dict[int, Campaign] = {}
        self.channels = {c.name: c for c in CHANNELS}
        self.partitions = {1: "Default", 2: "Europe"}
        self.forms = {FORM: "Contact Us"}
        self.form_fields: dict[int, set[str]] = {FORM: set(FORM_FIELDS)}
        self.next_list, self.next_member = 1001, 1
        self.joins: list[tuple[int, int]] = []
        self._seed_lists(options, seeder)
        self._seed_programs(options, seeder)
        self._seed_campaigns(options, seeder)

    def channel_of(self, program: Program) -> Channel:
        """The channel of a program."""
        return self.channels[program.channel]

    def new_list(self, name: str, now: int, **more: Any) -> StaticList:
        """A new, empty static list."""
        made = StaticList(self.next_list, name, now, now, **more)
        self.lists[made.id] = made
        self.next_list += 1
        return made

    def new_member(self, status: str, now: int, **more: Any) -> Member:
        """A membership that is not yet in a program."""
        made = Member(self.next_member, status, now, now, **more)
        self.next_member += 1
        return made

    def forget(self, lead: int) -> None:
        """Take a lead out of everything."""
        for asset in self.holders():
            asset.members.pop(lead, None)

    def holders(self) -> list["StaticList | Program | Campaign"]:
        """Everything that leads can belong to."""
        return [*self.lists.values(), *self.programs.values(), *self.campaigns.values()]

    def codes(self, seeder: Seeder) -> list[int]:
        """The log entries of the seeded memberships."""
        found = []
        for asset in self.holders():
            if isinstance(asset, Campaign):
                continue
            kind = SEEDED_LIST if isinstance(asset, StaticList) else SEEDED_STATUS
            for lead, member in asset.members.items():
                self.joins.append((asset.id, lead))
                when = member.joined if isinstance(member, Member) else member[0]
                found.append(code(seeder.base, when, kind, len(self.joins) - 1))
        return found

    def _seed_lists(self, options: Options, seeder: Seeder) -> None:
        for number in range(options.lists):
            names = people.LIST_NAMES
            name = names[number % len(names)] + (
                f" {number // len(names) + 1}" if number >= len(names) else ""
            )
            made = self.new_list(name, seeder.base - 86_400 * (number + 1))
            made.updated = seeder.start - 10_800 * (number + 1)
            if number == 0:
                size = min(seeder.count, max(LONG_LIST, seeder.count // 5))
            else:
                size = 0 if number == 4 else min(seeder.count, 10 * number + seeder.count // (40 * number))  # noqa: PLR2004
            for lead in _spread(seeder, size, number):
                when = _after(seeder, lead, number)
                made.members[lead] = (when, when)

    def _seed_programs(self, options: Options, seeder: Seeder) -> None:
        for number in range(options.programs):
            names = people.PROGRAM_NAMES
            name = names[number % len(names)] + (
                f" {number // len(names) + 1}" if number >= len(names) else ""
            )
            kind, channel = _KINDS[number % len(_KINDS)]
            when, later = seeder.base - 3600 * (number + 1), seeder.start - 7200 * (number + 1)
            program = Program(
                1001 + number, name, kind, CHANNELS[channel].name, when, later, f"What belongs to {name}",
                status={"Engagement": "on", "Email": "unlocked"}.get(kind, ""),
            )  # fmt: skip
            self.programs[program.id] = program
            size = 0 if number == 4 else min(seeder.count, 20 + seeder.count // (4 + number * 3))  # noqa: PLR2004
            statuses = CHANNELS[channel].statuses[1:]
            for lead in _spread(seeder, size, 50 + number):
                joined = _after(seeder, lead, 50 + number)
                status = statuses[mix(lead, program.id) % len(statuses)]
                member = self.new_member(status.name, joined, acquired=number == 0, reached=status.success)
                member.success_date = joined if status.success else None
                if kind == "Engagement":
                    member.stream, member.cadence = STREAMS[lead % len(STREAMS)], "norm"
                    member.exhausted = lead % 9 == 0
                program.members[lead] = member

    def _seed_campaigns(self, options: Options, seeder: Seeder) -> None:
        programs = list(self.programs)
        for number in range(options.campaigns):
            trigger = number % 2 == 0
            source = people.SOURCES[number % len(people.SOURCES)]
            name = f"{'React to' if trigger else 'Mail to'} {source} {number + 1}"
            when, later = seeder.base - 1800 * (number + 1), seeder.start - 3600 * (number + 1)
            program = programs[number % len(programs)] if programs else None
            campaign = Campaign(
                3001 + number, name, "trigger" if trigger else "batch", trigger, trigger, program, when, later
            )
            self.campaigns[campaign.id] = campaign
            for lead in _spread(seeder, min(seeder.count, 30 + seeder.count // 20), 90 + number):
                joined = _after(seeder, lead, 90 + number)
                campaign.members[lead] = (joined, joined)


def _spread(seeder: Seeder, size: int, salt: int) -> list[int]:
    if not size:
        return []
    step = max(1, seeder.count // size)
    return sorted({1 + (salt + n * step) % seeder.count for n in range(size)})


def _after(seeder: Seeder, lead: int, salt: int) -> int:
    created = seeder.created(lead)
    return created + 1 + mix(lead, salt) % max(1, seeder.start - 30 - created)
