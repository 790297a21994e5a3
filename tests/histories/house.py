"""The whole house in one process, with its points: where something else may happen, or the process may die."""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import structlog
from psycopg.types.json import Jsonb

from syncd import simulator as marketo
from syncd.daemon import Daemon
from syncd.errors import QuotaExhausted, SyncdError
from syncd.mirror import backfill, campaigns, memberships, schema
from syncd.settings import Settings
from syncd.verify import compare
from syncd.wiring import App
from tests.histories import hours
from tests.histories.draw import CAMPAIGNS, LEADS, LISTS, OPTIONS, PROGRAMS, Cut, History, Step
from tests.histories.edits import Edits
from tests.histories.marketo import Control, Hurried, Other
from tests.support import postgres

DRAINS = 40
DRAWN = {name for name, _, _ in OPTIONS}
"""Options of the simulator that a history may change."""
WORK = {"pull", "drain", "daemon", "drain_steps", "rescue", "loss"}
"""Steps that call Marketo themselves."""
SKIPPED = {compare.FEED, "housekeeping"}
"""Jobs that no round takes: a comparison is made at the end."""


class Killed(BaseException):
    """The process ends here: no handler of syncd's own may see it as an error."""


class Subscription:
    """A simulator of one profile, and the state from which each history begins."""

    OPTIONS: ClassVar[dict[str, Any]] = {}
    """What else the simulator is like."""

    def __init__(self, profile: str, stack: ExitStack) -> None:
        given: dict[str, Any] = {
            "profile": profile,
            "leads": LEADS,
            "lists": LISTS,
            "programs": PROGRAMS,
            "campaigns": CAMPAIGNS,
            "limits": False,
            "frozen": True,
            "export_seconds": 0.0,
            "import_seconds": 0.0,
            "race_ms": 0.0,
            "history_days": 20.0,
            "time_out_scale": 0.0,
        }
        options = marketo.Options.of(**{**given, **self.OPTIONS})
        self.simulator = Control(stack.enter_context(marketo.running(options)).base_url)
        self.other = Other(self.simulator.base_url)
        stack.callback(self.simulator.wire.close)
        stack.callback(self.other.wire.close)
        self.options = {name: value for name, value in self.simulator.options().items() if name in DRAWN}
        self.note()
        ask = self.other.ask
        self.lists = [item["id"] for item in ask("GET", "/rest/v1/lists.json")["result"]]
        self.campaigns = [item["id"] for item in ask("GET", "/rest/v1/campaigns.json")["result"]]
        self.partitions = [item["name"] for item in ask("GET", "/rest/v1/leads/partitions.json")["result"]]
        channels = ask("GET", "/rest/asset/v1/channels.json")["result"]
        statuses = {c["name"]: [s["name"] for s in c["progressionStatuses"]] for c in channels}
        found = ask("GET", "/rest/asset/v1/programs.json")["result"]
        self.programs = [(p["id"], statuses[p["channel"]]) for p in found]

    def note(self) -> None:
        """Let histories begin with the present state."""
        self.state = self.simulator.dump()
        self.leads = {lead: self.simulator.lead(lead) for lead in range(1, LEADS + 1)}

    def begin(self, history: History) -> None:
        """Put everything back, and let the history's own options hold."""
        self.simulator.clear_faults()
        self.simulator.load(self.state)
        self.simulator.set_options(**{**self.options, **history.options})


class Ground:
    """What all histories of a process share: a server, databases to copy, and simulators."""

    SUBSCRIPTION: ClassVar[type[Subscription]] = Subscription

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._known: dict[str, str] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self.server = self._stack.enter_context(postgres.newest())
        self.told: Counter[str] = Counter()
        structlog.configure(processors=[self._count], wrapper_class=structlog.BoundLogger)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        structlog.reset_defaults()

    def subscription(self, profile: str) -> Subscription:
        if profile not in self._subscriptions:
            self._subscriptions[profile] = self.SUBSCRIPTION(profile, self._stack)
            self.prepare(self._subscriptions[profile])
        return self._subscriptions[profile]

    def prepare(self, subscription: Subscription) -> None:
        """Change what a subscription is like when a history begins."""

    def house(self, history: History, database: str) -> "House":
        """Make the house of a history."""
        return House(self, history, database)

    def fill(self, house: "House") -> None:
        """Bring the database to where histories begin whose database is not empty."""
        schema.pull(house.feeds)

    @contextmanager
    def database(self, history: History) -> Iterator[str]:
        """Give a database of the history's own: empty, or one that knows the fields already."""
        kind = "empty" if history.empty else history.profile
        if "empty" not in self._known:
            self._known["empty"] = self._stack.enter_context(self.server.migrated())
            hours.install(self.server.url_of(self._known["empty"]))
        if kind not in self._known:
            self._known[kind] = self._stack.enter_context(self.server.copied(self._known["empty"]))
            with self.house(history, self._known[kind]) as house:
                self.fill(house)
        with self.server.copied(self._known[kind]) as name:
            yield name

    def _count(self, _logger: Any, method: str, event: dict[str, Any]) -> Any:
        self.told[f"told: {event.get('event')}"] += 1
        if method == "exception":
            self.told["a surprise"] += 1
        raise structlog.DropEvent


class House:
    """One life of both sides; steps are taken by hand, and each may be cut into."""

    def __init__(self, ground: Ground, history: History, database: str) -> None:
        self.ground, self.history = ground, history
        self.url = ground.server.url_of(database)
        self.subscription = ground.subscription(history.profile)
        self.simulator, self.other = self.subscription.simulator, self.subscription.other
        self.lists, self.programs = list(self.subscription.lists), self.subscription.programs
        self.campaigns, self.partitions = self.subscription.campaigns, self.subscription.partitions
        self.subscription.begin(history)
        self.reached: Counter[str] = Counter()
        ground.told = self.reached
        self.values_seen: defaultdict[tuple[int, str], list[Any]] = defaultdict(list)
        self.merged: dict[int, int] = {}
        self.unlogged: set[str] = set()
        """Fields whose change no log tells."""
        self.edits = Edits(self)
        start = float(self.simulator.clock()["epoch"])
        self.hands = hours.Hands(self.url, start - time.time())
        self.clock = Hurried(self.simulator, self.hands, start, random.Random(history.seed))
        self.dead = False
        self._cuts: list[Cut] = []
        self._points: Counter[str] = Counter()
        self._local = threading.local()
        self._born()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._buried()
        self.hands.close()

    def _born(self) -> None:
        conf = Settings(
            marketo={
                "base_url": self.simulator.base_url,
                "client_id": "simulator",
                "client_secret": "simulator-secret",
            },
            database={"url": self.url},
            budget={
                "calls_per_20_seconds": 100,
                "concurrent_calls": 10,
                "calls_per_day": 10**9,
                "outbox_share": 0,
            },
            mirror={"export_poll_seconds": 5, "campaign_calls_per_day": 10**9, "retire_at_most": 0.9},
            outbox=self.outbox_settings(),
        )
        # The rate is counted by PostgreSQL's clock, which does not hurry.
        object.__setattr__(conf.budget, "calls_per_20_seconds", 10**9)
        self.app = App(conf, clock=self.clock)
        self.app.database._options = hours.options(self.app.database._options)
        self.begin = self.app.database.begin
        # What the product calls is wrapped where it stands, so that its own code runs between the points.
        self.app.database.begin = partial(self._transaction, self.begin)  # type: ignore[method-assign]  # a point
        self.app.database.each = partial(self._transaction, self.app.database.each)  # type: ignore[method-assign]  # a point
        transport = self.app.client._calls._transport
        self._send, self._stream = transport.send, transport.stream
        transport.send, transport.stream = self._sent, self._streamed  # type: ignore[method-assign]  # points
        # Who asks the ledger stands at the head of its queue: whoever came now would wait for the same thread.
        ask = self.app.ledger._try
        self.app.ledger._try = lambda *given, **more: self._alone(lambda: ask(*given, **more))  # type: ignore[method-assign]  # no point in it
        self.daemon = Daemon(self.app)
        self.feeds, self.drain = self.daemon._feeds, self.daemon._drain
        self.jobs = {job.feed: job for job in self.daemon._jobs()}
        # Without the thread that listens: nothing here waits for a bell.
        self.daemon._session._open()
        self.daemon._session.leading = True

    def outbox_settings(self) -> dict[str, Any]:
        """Give the settings of the outbox."""
        return {"retry_base_seconds": 0.001, "retry_cap_seconds": 0.01, "unknown_outcome_wait_seconds": 0.0}

    def _buried(self) -> None:
        self.daemon._session._close()
        self.app.close()

    def _reborn(self) -> None:
        self._buried()
        self.dead = False
        self._born()
        self._attempt(self.drain.rescue, "rescue")

    # --- points

    def point(self, moment: str, *, alone: bool = False) -> None:
        """Pass a point of the path: whatever is drawn for it happens now; alone: but no other work of this thread."""
        if self.dead:
            raise Killed
        if moment in {"call", "answer"}:
            assert not getattr(self._local, "open", 0), "a transaction is open across a call"
        if getattr(self._local, "inside", False):
            return
        turn = self._points[moment]
        self._points[moment] += 1
        for cut in [c for c in self._cuts if (c.moment, c.turn) == (moment, turn)]:
            if cut.does is None:
                self.dead = True
                self.reached[f"death at {moment}"] += 1
                raise Killed
            if (alone or getattr(self._local, "alone", False)) and cut.does.does in WORK:
                self._cuts.append(replace(cut, turn=turn + 1))
                continue
            self.reached[f"in the middle, at {moment}"] += 1
            self._local.inside = True
            try:
                self._take(cut.does)
            finally:
                self._local.inside = False

    def _alone(self, work: Callable[[], Any]) -> Any:
        before, self._local.alone = getattr(self._local, "alone", False), True
        try:
            return work()
        finally:
            self._local.alone = before

    @contextmanager
    def _transaction(self, begin: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
        self.point("begin")
        with begin() as transaction:
            self._local.open = getattr(self._local, "open", 0) + 1
            try:
                yield transaction
                self.point("commit")
            finally:
                self._local.open -= 1
        self.point("committed")

    def _sent(self, request: Any) -> Any:
        # Who waits for a token cannot wait for the same thread to bring it.
        alone = request.endpoint.name == "identity"
        self.point("call", alone=alone)
        answer = self._send(request)
        self.point("answer", alone=alone)
        return answer

    @contextmanager
    def _streamed(self, request: Any) -> Iterator[Any]:
        self.point("call")
        with self._stream(request) as stream:
            self.point("answer")
            yield stream

    # --- steps

    def take(self, step: Step) -> None:
        """Take a step; a process that dies in it is started anew."""
        self._cuts, self._points = list(step.cuts), Counter()
        try:
            self._take(step)
        except Killed:
            self._risen()
        finally:
            self._cuts = []

    def _risen(self) -> None:
        """Start the process anew, as often as it dies in its first moments."""
        while True:
            self.reached["death"] += 1
            try:
                self._reborn()
            except Killed:
                continue
            return

    def _take(self, step: Step) -> None:
        if self.edits.take(step.does, step.given):
            return
        getattr(self, f"do_{step.does}")(**step.given)

    def do_pull(self, feed: str, *, full: bool) -> None:
        self._attempt(lambda: self.pull(feed, full=full), feed)

    def do_daemon(self) -> None:
        self.round()

    def do_drain(self) -> None:
        self._attempt(self.drain_all, "drain")

    def do_row(self, operation: str, payload: dict[str, Any]) -> None:
        self.execute("INSERT INTO outbox (operation, payload) VALUES (%s, %s)", operation, Jsonb(payload))
        self.reached["row"] += 1

    def do_fault(self, kind: str, endpoint: str, **more: Any) -> None:
        self.simulator.fault(kind, endpoint, **more)
        self.reached["fault"] += 1

    def do_time(self, seconds: float) -> None:
        self.clock.pass_on(seconds)
        self.reached["time passes"] += 1

    def do_tokens(self, do: str) -> None:
        (self.simulator.expire_tokens if do == "expire" else self.simulator.revoke_tokens)()
        self.reached["tokens end"] += 1

    def do_failing_job(self, count: int) -> None:
        self.simulator.fail_jobs(count)

    def pull(self, feed: str, *, full: bool = False) -> None:
        """Run a feed as a person would."""
        by_hand = {
            "backfill": lambda: backfill.pull(self.feeds, full=full),
            "lists": lambda: memberships.pull_lists(self.feeds, full=full),
            "programs": lambda: memberships.pull_programs(self.feeds, full=full),
            "campaign_members": lambda: campaigns.pull_members(self.feeds, full=full),
        }
        (by_hand[feed] if feed in by_hand else lambda: self.jobs[feed].work(self.feeds))()

    def round(self) -> None:
        """Do what the service does: every feed that is due, then the outbox."""
        for job in self.jobs.values():
            if job.feed not in SKIPPED:
                self._attempt(lambda job=job: self.daemon._due(job) and job.work(self.feeds), job.feed)
        self._attempt(self.drain_all, "drain")

    def drain_all(self) -> None:
        """Carry the outbox, as long as there is something to carry."""
        for _ in range(DRAINS):
            if not self.drain.step():
                return

    def _attempt(self, work: Any, feed: str) -> None:
        try:
            work()
        except QuotaExhausted as problem:
            self.daemon._parked[feed] = problem.until
            self.reached["a feed is parked"] += 1
        except SyncdError as problem:
            self.reached[f"a feed failed: {type(problem).__name__}"] += 1

    # --- looking

    def execute(self, statement: str, *values: Any) -> list[Any]:
        with self.begin() as transaction:
            cursor = transaction.raw.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: Any) -> Any:
        return self.execute(statement, *values)[0][0]

    def tables(self, schema_: str) -> Sequence[str]:
        return [
            row[0]
            for row in self.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", schema_
            )
        ]
