"""Random histories of both sides, with faults and deaths, and what must hold when all is quiet.

A history is a sequence of steps that hypothesis draws: edits in Marketo by every means that the
simulator has, outbox rows, runs of single feeds, faults, and deaths of the process at a transaction's
edge. Few ids and few values, so that steps meet. At the end everything is mended and run until
nothing changes: then the mirror must equal Marketo, and one more round must write nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from psycopg.types.json import Jsonb

from syncd.clock import SystemClock
from syncd.core.differences import Difference
from syncd.errors import SyncdError
from syncd.mirror import assets, backfill, changes, dirty, memberships, schema
from syncd.settings import Settings
from syncd.simulator.control import Simulator
from syncd.verify import compare
from syncd.wiring import App
from tests.support import postgres

LEADS = 12
ROUNDS = 12
ids = st.integers(1, LEADS + 4)
names = st.sampled_from(["Ada", "Bea", "Cy", None])
emails = st.sampled_from([f"row{n}@example.com" for n in range(3)])
FAULTS: list[dict[str, Any]] = [
    {"kind": "error", "code": "608"},
    {"kind": "error", "code": "604"},
    {"kind": "error", "code": "611", "phase": "after"},
    {"kind": "http", "status": 502},
    {"kind": "http", "status": 502, "phase": "after"},
    {"kind": "reset"},
    {"kind": "reset", "phase": "after"},
    {"kind": "truncate"},
    {"kind": "malformed"},
    {"kind": "expire_token"},
]
ENDPOINTS = ["*", "*/activities/*", "*/leads.json", "/bulk/*", "*/members.json", "*/lists/*"]


class Killed(BaseException):
    """The process ends here: no handler of syncd's own may see it as an error."""


class Hurried(SystemClock):
    """A clock on which every wait is short."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.01))


class World:
    """The simulator and the server that all histories of a run share."""

    def __init__(self, simulator: Simulator, server: postgres.Server) -> None:
        self.simulator, self.server = simulator, server
        self.state = simulator.dump()
        self.reached: Counter[str] = Counter()
        with httpx.Client(base_url=simulator.base_url) as http:
            query = {
                "grant_type": "client_credentials",
                "client_id": "simulator",
                "client_secret": "simulator-secret",
            }
            token = http.get("/identity/oauth/token", params=query).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            self.lists = [item["id"] for item in http.get("/rest/v1/lists.json").json()["result"]]
            channels = http.get("/rest/asset/v1/channels.json").json()["result"]
            statuses = {
                c["name"]: [s["name"] for s in c["progressionStatuses"] if s["step"]] for c in channels
            }
            programs = http.get("/rest/asset/v1/programs.json").json()["result"]
            self.programs = [(p["id"], statuses[p["channel"]]) for p in programs]


class Histories(RuleBasedStateMachine):
    """One history. ``world`` is set by the test that runs it."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.simulator, self.reached = self.world.simulator, self.world.reached
        self.simulator.clear_faults()
        self.simulator.load(self.world.state)
        self.url = self.world.server.url_of(self.stack.enter_context(self.world.server.migrated()))
        self.fuse: list[str] = []
        self.app: App
        self._born()
        self._pull(schema.pull)

    def _born(self) -> None:
        conf = Settings(
            marketo={
                "base_url": self.simulator.base_url,
                "client_id": "simulator",
                "client_secret": "simulator-secret",
            },
            database={"url": self.url},
            budget={"calls_per_20_seconds": 100, "concurrent_calls": 10, "calls_per_day": 10_000_000},
            mirror={"export_poll_seconds": 0.02, "window_days": 31, "overlap_minutes": 10},
            outbox={
                "unknown_outcome_wait_seconds": 0.0,
                "retry_base_seconds": 0.001,
                "retry_cap_seconds": 0.01,
            },
        )
        object.__setattr__(conf.budget, "calls_per_20_seconds", 10_000_000)
        self.app = App(conf, clock=Hurried())
        self.feeds = self.app.feeds()
        self.session = self.app.session(on_notify=lambda: None, lead=False)
        self.session.start()
        self.drain = self.app.drain(lambda: self.session.replica)
        self._begin = self.app.database.begin
        self.app.database.begin = self._mortal  # type: ignore[method-assign]

    @contextmanager
    def _mortal(self) -> Iterator[Any]:
        """A transaction at whose edges the process may end."""
        moment = self.fuse.pop(0) if self.fuse else "live"
        if moment in {"dead", "before"}:
            self._die()
        with self._begin() as transaction:
            yield transaction
            if moment == "within":
                self._die()
        if moment == "after":
            self._die()

    def _die(self) -> None:
        self.fuse = ["dead"] * 50
        raise Killed

    def _reborn(self) -> None:
        self.reached["death"] += 1
        self.fuse = []
        self.session.stop()
        self.app.close()
        self._born()
        self.drain.rescue()

    def _pull(self, work: Callable[[Any], Any]) -> None:
        try:
            work(self.feeds)
        except SyncdError as problem:
            self.reached[f"failed: {type(problem).__name__}"] += 1
        except Killed:
            self._reborn()

    # --- what happens in Marketo

    @rule(lead=ids, name=names)
    def somebody_edits_a_lead(self, lead: int, name: str | None) -> None:
        self._ui(lambda: self.simulator.edit_lead(lead, firstName=name))

    @rule(lead=ids, score=st.integers(0, 2))
    def somebody_scores_a_lead(self, lead: int, score: int) -> None:
        self._ui(lambda: self.simulator.edit_lead(lead, leadScore=score))

    @rule(email=emails)
    def somebody_creates_a_lead(self, email: str) -> None:
        self._ui(lambda: self.simulator.create_lead(email=email, lastName="Made"))

    @rule(lead=ids)
    def somebody_deletes_a_lead(self, lead: int) -> None:
        self._ui(lambda: self.simulator.delete_lead(lead))

    @rule(winner=ids, losers=st.lists(ids, min_size=1, max_size=2, unique=True))
    def somebody_merges_leads(self, winner: int, losers: list[int]) -> None:
        self._ui(lambda: self.simulator.merge_leads(winner, [loser for loser in losers if loser != winner]))

    @rule(
        place=st.integers(0, 1), leads=st.lists(ids, min_size=1, max_size=3, unique=True), add=st.booleans()
    )
    def somebody_changes_a_list(self, place: int, leads: list[int], add: bool) -> None:
        act = self.simulator.add_to_list if add else self.simulator.remove_from_list
        self._ui(lambda: act(self.world.lists[place], leads))

    @rule(
        place=st.integers(0, 1),
        leads=st.lists(ids, min_size=1, max_size=3, unique=True),
        status=st.integers(0, 3),
    )
    def somebody_moves_members(self, place: int, leads: list[int], status: int) -> None:
        program, statuses = self.world.programs[place]
        self._ui(lambda: self.simulator.set_program_status(program, statuses[status % len(statuses)], leads))

    def _ui(self, act: Callable[[], Any]) -> None:
        try:
            act()
            self.reached["edit in Marketo"] += 1
        except Exception:  # noqa: BLE001 - the lead is gone already, which Marketo's interface would not offer
            self.reached["edit refused"] += 1

    # --- what happens in the outbox

    @rule(email=emails, name=names)
    def a_row_upserts(self, email: str, name: str | None) -> None:
        self._row("create_or_update", {"email": email, "firstName": name})

    @rule(lead=ids, name=names)
    def a_row_updates_by_id(self, lead: int, name: str | None) -> None:
        self._row("update_only", {"id": lead, "firstName": name})

    @rule(lead=ids)
    def a_row_deletes(self, lead: int) -> None:
        self._row("delete", {"id": lead})

    def _row(self, operation: str, payload: dict[str, Any]) -> None:
        with self._begin() as transaction:
            transaction.raw.execute(
                "INSERT INTO outbox (operation, payload) VALUES (%s, %s)", (operation, Jsonb(payload))
            )

    # --- what syncd does

    @rule()
    def fields_are_pulled(self) -> None:
        self._pull(schema.pull)

    @rule()
    def leads_are_loaded(self) -> None:
        self._pull(backfill.pull)

    @rule()
    def the_log_is_read(self) -> None:
        self._pull(changes.pull)

    @rule()
    def dirty_leads_are_read(self) -> None:
        self._pull(dirty.pull)

    @rule(full=st.booleans())
    def lists_are_swept(self, full: bool) -> None:
        self._pull(lambda feeds: memberships.pull_lists(feeds, full=full))

    @rule(full=st.booleans())
    def programs_are_swept(self, full: bool) -> None:
        self._pull(lambda feeds: memberships.pull_programs(feeds, full=full))

    @rule()
    def members_are_read(self) -> None:
        self._pull(memberships.pull_members)

    @rule()
    def the_outbox_is_drained(self) -> None:
        def carry(_: Any) -> None:
            for _round in range(20):
                if not self.drain.step():
                    break

        self._pull(carry)

    # --- what goes wrong

    @rule(fault=st.sampled_from(FAULTS), endpoint=st.sampled_from(ENDPOINTS), count=st.integers(1, 2))
    def marketo_fails(self, fault: dict[str, Any], endpoint: str, count: int) -> None:
        more = {key: value for key, value in fault.items() if key != "kind"}
        self.simulator.fault(fault["kind"], endpoint, count=count, **more)
        self.reached["fault"] += 1

    @precondition(lambda self: not self.fuse)
    @rule(steps=st.integers(0, 5), moment=st.sampled_from(["before", "within", "after"]))
    def the_process_will_die(self, steps: int, moment: str) -> None:
        self.fuse = ["live"] * steps + [moment]

    # --- what must hold at the end

    def teardown(self) -> None:
        if not hasattr(self, "app"):
            return
        try:
            self.fuse = []
            self.simulator.clear_faults()
            self._settle()
            assert self._differences() == []
            self._nothing_is_left_open()
            before = self._versions()
            self._round()
            assert self._versions() == before, "a round after quiet wrote something"
            self.reached["history"] += 1
        finally:
            self.session.stop()
            self.app.close()
            self.stack.close()

    def _settle(self) -> None:
        for _ in range(ROUNDS):
            before = self._versions()
            self._round()
            if before == self._versions() and not self._waiting():
                return
        raise AssertionError("it does not come to rest")

    def _round(self) -> None:
        for work in (
            schema.pull,
            backfill.pull,
            changes.pull,
            dirty.pull,
            memberships.pull_lists,
            memberships.pull_programs,
            memberships.pull_members,
            assets.pull_campaigns,
        ):
            work(self.feeds)
        while self.drain.step():
            pass

    def _waiting(self) -> int:
        return int(
            self._value(
                "SELECT (SELECT count(*) FROM outbox_queue) + (SELECT count(*) FROM dirty_lead) + "
                "(SELECT count(*) FROM dirty_member) + (SELECT count(*) FROM dirty_list_member)"
            )
        )

    def _differences(self) -> list[Difference]:
        return compare.run(self.feeds).differences

    def _nothing_is_left_open(self) -> None:
        assert self._value("SELECT count(*) FROM outbox WHERE finished_at IS NULL") == 0
        assert (
            self._value(
                "SELECT count(*) FROM lead l JOIN lead w ON w.id = l._merged_into_id WHERE w._merged_into_id IS NOT NULL"
            )
            == 0
        )

    def _versions(self) -> list[Any]:
        return [
            self._value(
                f"SELECT md5(coalesce(string_agg(t.xmin::text || t.ctid::text, ',' ORDER BY t.ctid), '')) FROM {table} t"
            )
            for table in (
                "lead",
                "lead_field",
                "list_membership",
                "program_membership",
                "static_list",
                "program",
            )
        ]

    def _value(self, query: str) -> Any:
        with self._begin() as transaction:
            row = transaction.raw.execute(query).fetchone()
            return row[0] if row else None
