"""The house of the outbox's histories in one process: several writers, workers that are paused, sessions that end."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from syncd.database import operators
from syncd.errors import DatabaseProblem
from tests.chaos.draw import EMAILS
from tests.chaos.judge import Evidence, Row
from tests.histories import house as histories
from tests.histories import quiet
from tests.histories.draw import HOUR, History

COOKIE = "id:123-ABC-456&token:_mch-example.com-{}-1"
FORM = 1029
WATCH = (Path(__file__).parent / "watch.sql").read_text(encoding="utf-8")


class Ground(histories.Ground):
    """As for the mirror's histories, but the mirror is full, and the first leads have the few addresses."""

    def prepare(self, subscription: histories.Subscription) -> None:
        for lead, email in enumerate(EMAILS, 1):
            subscription.simulator.edit_lead(lead, email=email)
        subscription.note()

    def house(self, history: History, database: str) -> "House":
        return House(self, history, database)

    def fill(self, house: histories.House) -> None:
        for feed in ("schema", "backfill", "lists", "programs", "campaigns"):
            house.pull(feed)
        house.do_time(quiet.MINUTE)
        for feed in ("changes", "dirty", "members"):
            house.pull(feed)
        with house.begin() as transaction:
            transaction.raw.execute(WATCH)
        # Histories begin when the logs were read to their end, not before.
        house.subscription.note()


class House(histories.House):
    """Also writes rows of every operation, decides as a person would, and loses sessions and connections."""

    def __init__(self, ground: histories.Ground, history: History, database: str) -> None:
        self.ended: set[int] = set()
        super().__init__(ground, history, database)
        self.since = len(self.simulator.effects())
        self.written: dict[int, tuple[float, float]] = {}
        self.touched: set[int] = set()
        self.released: dict[int, datetime] = {}
        self._turn = 0.0
        self.program_names: dict[int, str] = dict(self.execute("SELECT id, name FROM program"))
        self.unlogged.add("cookies")

    def outbox_settings(self) -> dict[str, Any]:
        seed = self.history.seed
        return {
            **super().outbox_settings(),
            "coalesce": seed % 5 != 0,
            "import_from": 3 if seed % 4 == 0 else 0,
            "import_poll_seconds": 0.01,
            "import_unknown_wait_seconds": 0.0,
        }

    def _born(self) -> None:
        super()._born()
        # Between this question and the call lies nothing: no loss comes there, as it could by a hair's breadth in life.
        held = self.drain._sender._held
        self.drain._sender._held = lambda number: self._undisturbed(lambda: held(number))
        # A claim that no worker carries is looked at while it is young, too: whoever is only late must notice.
        self.drain._stray_seconds = 0.0
        # Nobody has to wait in real time for a database that is back at once.
        self.drain._stop.wait = lambda timeout=None: False  # type: ignore[method-assign, assignment]  # for the histories alone

    def _buried(self) -> None:
        self.ended.add(self.daemon._session.replica or 0)
        super()._buried()

    def _undisturbed(self, work: Callable[[], bool]) -> bool:
        before, self._local.inside = getattr(self._local, "inside", False), True
        try:
            return work()
        finally:
            self._local.inside = before

    # --- steps

    def do_row(self, **row: Any) -> None:
        self.do_backlog([row])

    def do_backlog(self, rows: list[dict[str, Any]]) -> None:
        with self._refusals(), self._connected() as connection:
            began = self._tick()
            ids = [self._insert(connection, row) for row in rows]
            connection.commit()
            self._note(ids, began)

    def do_hasty(self, row: dict[str, Any], fault: dict[str, Any]) -> None:
        """Let a row's time pass while its outcome is not known."""
        self.do_row(**row)
        self.do_fault(**fault)
        for _ in range(5):
            self.do_drain_steps(1)
            if self.value("SELECT EXISTS (SELECT FROM outbox_queue WHERE unknown)"):
                self.reached["time passes over a row in doubt"] += 1
                break
        self.do_time(HOUR)

    def do_overlapping(self, rows: list[dict[str, Any]]) -> None:
        """Let the transaction that writes first and last commit after the one that writes between."""
        with self._refusals():
            self._overlap(*rows)
            self.reached["overlapping transactions"] += 1

    def _overlap(self, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]) -> None:
        with self._connected() as one, self._connected() as other:
            began = self._tick()
            ids = [self._insert(one, first)]
            between = self._insert(other, second)
            other.commit()
            self._note([between], began)
            self.drain.step()
            ids.append(self._insert(one, third))
            one.commit()
            self._note(ids, began)

    def do_drain_steps(self, steps: int) -> None:
        self._attempt(lambda: [self.carry() for _ in range(steps)], "drain")

    def carry(self) -> bool:
        """Take one step of the outbox: what looks after files goes first, or there would never be enough for one."""
        # One thread of a process looks after files.
        if self.history.seed % 4 == 0 and not getattr(self._local, "at_files", False):
            self._local.at_files = True
            try:
                if self.drain.imports.step():
                    self.reached["a step of an import"] += 1
                    return True
            finally:
                self._local.at_files = False
        return self.drain.step()

    def drain_all(self) -> None:
        """Carry the outbox, as long as there is something to carry."""
        for _ in range(histories.DRAINS):
            if not self.carry():
                return

    def do_rescue(self, steps: int) -> None:
        """Let another replica look for what dead ones left, and go on with what may go."""
        self._attempt(self.drain.rescue, "rescue")
        self.do_drain_steps(steps)

    def do_loss(self, of: str, steps: int, *, rescue: bool) -> None:
        """End the replica's session, as its keeper would notice it; the process lives on and gets a new one.

        rescue: others notice at once, and take so many steps before a paused worker goes on.
        Of a connection: the session stays, and whoever used it does not hear whether its transaction was committed.
        """
        if of == "connection":
            if rescue:
                self.do_rescue(steps)
            self.reached["loss of the connection"] += 1
            raise DatabaseProblem("the connection was lost")
        if of == "database":
            with self._connected() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid NOT IN (%s, %s) "
                    "AND datname = current_database()",
                    (connection.info.backend_pid, self.hands.pid),
                )
        session = self.daemon._session
        self.ended.add(session.replica or 0)
        session._close()
        session._open()
        session.leading = True
        if rescue:
            self.do_rescue(steps)
        self.reached[f"loss of the {of}"] += 1

    def do_person(self, do: str, turn: int) -> None:
        """Decide about one of the rows for which something can be decided."""
        can = {
            "retry": "status IN ('failed', 'conflict', 'expired', 'cancelled')",
            "cancel": "status IN ('pending', 'retrying')",
            "release": "EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id AND q.state = 'halted')",
            "resend": "status = 'uncertain'",
            "resolve": "status = 'uncertain'",
        }
        database = self.app.database
        if do == "retry_all":
            self.touched |= set(operators.retry(database, ids=None, error_code="1004"))
            return
        rows = self.execute(f"SELECT id FROM outbox o WHERE {can[do]} ORDER BY id")
        if not rows:
            return
        ids = [rows[turn % len(rows)][0]]
        acts: dict[str, Any] = {
            "retry": lambda: operators.retry(database, ids=ids, error_code=None),
            "cancel": lambda: operators.cancel(database, ids),
            "release": lambda: self._release(ids),
            "resend": lambda: operators.resolve(database, ids, as_status="resend", lead_id=None),
            "resolve": lambda: operators.resolve(database, ids, as_status="failed", lead_id=None),
        }
        done = acts[do]()
        if do != "release":
            self.touched |= set(done)
        self.reached[f"a person: {do}"] += len(done)

    def release_all(self) -> None:
        """Let go what is held back by rows that ended badly."""
        halted = [n for (n,) in self.execute("SELECT outbox_id FROM outbox_queue WHERE state = 'halted'")]
        self.reached["rows that halted others"] += len(halted)
        self._release(halted)

    def _release(self, ids: list[int]) -> list[int]:
        now = self.value("SELECT clock_timestamp()")
        released = operators.release(self.app.database, ids)
        self.released |= dict.fromkeys(released, now)
        return released

    # --- writing

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Count what an INSERT refuses: it is no row."""
        try:
            yield
        except (psycopg.errors.RaiseException, psycopg.DataError, psycopg.IntegrityError) as problem:
            self.reached[f"refused at INSERT: {problem.diag.message_primary}"] += 1

    def _insert(self, connection: psycopg.Connection[Any], row: dict[str, Any]) -> int:
        columns = columns_of(row, self)
        names = ", ".join(columns)
        places = ", ".join(["%s"] * len(columns))
        found = connection.execute(
            f"INSERT INTO outbox ({names}) VALUES ({places}) RETURNING id", list(columns.values())
        ).fetchone()
        assert found is not None
        self.reached["row"] += 1
        return int(found[0])

    def _note(self, ids: list[int], began: float) -> None:
        ended = self._tick()
        self.written |= dict.fromkeys(ids, (began, ended))

    def _tick(self) -> float:
        self._turn += 1.0
        return self._turn

    def _connected(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = psycopg.connect(
            self.url, options=self.app.database._options, application_name="writer"
        )
        return connection

    # --- looking

    def evidence(self) -> Evidence:
        """Gather what the judge needs."""
        known = gathered(self, self.app.database._options)
        known.ended = self.ended
        return known


def gathered(house: Any, options: str) -> Evidence:
    """Read what the judge needs from both sides."""
    with (
        psycopg.connect(house.url, options=options) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        leads = house.subscription.leads.items()
        return Evidence(
            rows=cursor.execute("SELECT * FROM outbox ORDER BY id").fetchall(),
            attempts=cursor.execute("SELECT * FROM outbox_attempt").fetchall(),
            effects=house.simulator.effects(house.since),
            emails={lead: str(values["email"]).lower() for lead, values in leads if values["email"]},
            written=house.written,
            touched=house.touched,
            released=house.released,
            unseen=[row["told"] for row in cursor.execute("SELECT told FROM chaos.unseen").fetchall()],
        )


def columns_of(row: dict[str, Any], house: Any) -> Row:
    """Give a drawn row the numbers that Marketo gave: those of its list, program, campaign and form."""
    options = _options(row, house)
    if row.get("halt"):
        options["on_failure"] = "halt"
    columns: Row = {
        "operation": row["operation"],
        "payload": json.dumps(row["payload"]),
        "options": json.dumps(options),
    }
    if row["operation"] == "update_partition":
        columns["partition_name"] = house.partitions[row["place"] % 2]
    if "on_unknown_outcome" in row:
        columns["on_unknown_outcome"] = row["on_unknown_outcome"]
    if "if_matches" in row:
        columns["if_matches"] = json.dumps(row["if_matches"])
    for given, column in (("expires_in", "expires_at"), ("not_before_in", "not_before")):
        if given in row:
            columns[column] = house.clock.now() + timedelta(seconds=row[given])
    return columns


def _options(row: dict[str, Any], house: Any) -> dict[str, Any]:
    operation, place = row["operation"], row["place"]
    program, statuses = house.programs[place % len(house.programs)]
    listed = {"listId": house.lists[place % len(house.lists)]}
    found: dict[str, dict[str, Any]] = {
        "add_to_list": listed,
        "remove_from_list": listed,
        "set_program_status": {
            "programId": program,
            "statusName": statuses[row["status"] % len(statuses)],
        },
        "remove_from_program": {"programId": program},
        "trigger_campaign": {
            "campaignId": house.campaigns[0],
            "tokens": [{"name": "{{my.mark}}", "value": f"mark {row['mark']}"}],
        },
        "push": {"programName": house.program_names[program], "reason": f"mark {row['mark']}"},
        "submit_form": {"formId": FORM},
        "associate": {"cookie": COOKIE.format(row["mark"])},
    }
    return dict(found.get(operation, {}))
