"""One history of real processes: several writers, daemons that are killed and paused, a PostgreSQL that crashes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import psycopg

from syncd.database import operators
from tests.chaos import draw, judge
from tests.chaos.house import WATCH, columns_of, gathered
from tests.chaos.house import Ground as InOneProcess
from tests.chaos.writers import OPTIONS, PATIENCE, Writers
from tests.histories import house as histories
from tests.histories import oracle
from tests.histories.edits import Edits
from tests.histories.quiet import BrokenError, check
from tests.histories.run import Kind
from tests.process import house as processes
from tests.support import postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.database.engine import Database
    from tests.histories.draw import History, Step

SCALE = 0.02
"""Of all documented time-outs, on both sides: 90 s are 1.8 s."""
GETTING_ON = 6.0
"""Seconds at most that a history waits for the next attempts: a process takes its time to start."""
SETTINGS = {
    "SYNCD_BUDGET__CALLS_PER_20_SECONDS": "1000",
    "SYNCD_BUDGET__CONCURRENT_CALLS": "10",
    "SYNCD_BUDGET__CALLS_PER_DAY": "1000000",
    **{
        f"SYNCD_BUDGET__{lane}_SHARE": "0"
        for lane in ("OUTBOX", "CHANGES", "MEMBERSHIPS", "BACKFILL", "VERIFY")
    },
    "SYNCD_MARKETO__TIMEOUT_SCALE": str(SCALE),
    "SYNCD_MIRROR__EXPORT_POLL_SECONDS": "0.1",
    "SYNCD_OUTBOX__RETRY_BASE_SECONDS": "0.05",
    "SYNCD_OUTBOX__RETRY_CAP_SECONDS": "0.5",
    "SYNCD_SCHEDULE__CHANGES": "0.5",
    "SYNCD_SCHEDULE__READ_BACK": "0.5",
    "SYNCD_LOG__FORMAT": "json",
}


class Subscription(histories.Subscription):
    """A Marketo whose clock runs, and whose calls take their time."""

    OPTIONS: ClassVar[dict[str, Any]] = {
        "frozen": False,
        "time_out_scale": SCALE,
        "latency_ms": 60.0,
        "race_ms": 5.0,
        "export_seconds": 0.1,
        "commit_lag": 0.0,
    }


class Ground(InOneProcess):
    """A server of its own, whose commits are kept when it crashes."""

    SUBSCRIPTION = Subscription

    def __init__(self) -> None:
        super().__init__()
        self.server.execute("ALTER SYSTEM SET synchronous_commit = 'on'")
        self.server.execute("SELECT pg_reload_conf()")

    def house(self, history: History, database: str) -> House:  # type: ignore[override]  # another house, of the same steps
        return House(self, history, database)

    def fill(self, house: Any) -> None:
        pulled = house.outside.run("pull", "all")
        assert pulled.returncode == 0, pulled.stderr
        house.execute(WATCH)
        house.subscription.note()


class House:
    """Both sides of one history, and the processes between them."""

    def __init__(self, ground: histories.Ground, history: History, database: str) -> None:
        self.url = ground.server.url_of(database)
        self.history, self.subscription = history, ground.subscription(history.profile)
        self.simulator, self.other = self.subscription.simulator, self.subscription.other
        self.lists, self.programs = list(self.subscription.lists), self.subscription.programs
        self.campaigns, self.partitions = self.subscription.campaigns, self.subscription.partitions
        self.subscription.begin(history)
        self.simulator.set_clock(datetime.now(UTC).isoformat())
        self.reached: Counter[str] = Counter()
        self.values_seen: defaultdict[tuple[int, str], list[Any]] = defaultdict(list)
        self.merged: dict[int, int] = {}
        self.unlogged = {"cookies"}
        self.edits = Edits(self)
        self.clock = Clock()
        self.since = len(self.simulator.effects())
        self.writers = Writers(self.url, lambda row: columns_of(row, self))
        self.written = self.writers.written
        self.touched: set[int] = set()
        self.released: dict[int, datetime] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.outside = processes.House(self.url, self.simulator, self.folder, SETTINGS)
        # A copied database's sequences go back when the server crashes, unless a checkpoint came after the copy.
        self.execute("CHECKPOINT")
        self.paused: set[int] = set()
        self.program_names = dict(self.execute("SELECT id, name FROM program"))

    def __enter__(self) -> Self:
        self.writers.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.writers.end()
        for process in self.outside.started:
            if process.alive:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- steps

    def take(self, step: Step) -> None:
        """Take a step."""
        if not self.edits.take(step.does, step.given):
            getattr(self, f"do_{step.does}")(**step.given)

    def do_begin(self, processes: int) -> None:
        for _ in range(processes):
            self.outside.start("run")
        self.outside.started[0].says("syncd runs")

    def do_start(self) -> None:
        if len(self.living()) < 3:
            self.outside.start("run")
            self.reached["a start"] += 1

    def do_kill(self, which: int) -> None:
        """End a process as a power cut would; the last one is followed by another."""
        if process := self._one(which):
            process.kill()
            self.paused.discard(process.pid)
            self.reached["a kill"] += 1
        if not self.living():
            self.outside.start("run")

    def do_pause(self, which: int) -> None:
        if process := self._one(which):
            os.kill(process.pid, signal.SIGSTOP)
            self.paused.add(process.pid)
            self.reached["a pause"] += 1

    def do_go_on(self, which: int) -> None:
        sleepers = sorted(self.paused)
        if sleepers:
            self._wake(sleepers[which % len(sleepers)])

    def do_crash(self) -> None:
        """Let a server process of PostgreSQL die, so that all others end and the server recovers."""
        # It may still recover from the last time.
        self.execute("SELECT 1")
        with suppress(psycopg.Error, ProcessLookupError), psycopg.connect(self.url) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            self.reached["a crash of PostgreSQL"] += 1
            connection.execute("SELECT 1")

    def do_drop(self) -> None:
        """Let PostgreSQL end every connection of syncd's."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'syncd%'"
        )
        self.reached["dropped connections"] += 1

    def do_nap(self, attempts: int, seconds: float) -> None:
        """Let the processes get on by so many attempts, if they can, and then some seconds more."""
        end, goal = time.monotonic() + GETTING_ON, self._attempts()[0] + attempts
        while attempts and time.monotonic() < end and self._one(0):
            made, left = self._attempts()
            if made >= goal or not left:
                break
            time.sleep(0.02)
        time.sleep(seconds)

    def _attempts(self) -> tuple[int, bool]:
        """Return how many attempts were made so far, and whether a row is there that could be tried now."""
        made, left = self.execute(
            "SELECT (SELECT count(*) FROM outbox_attempt), EXISTS (SELECT FROM outbox_queue "
            "WHERE state IN ('new', 'ready', 'sending') OR state IN ('waiting', 'closing') AND due_at <= clock_timestamp())"
        )[0]
        return int(made), bool(left)

    def do_fault(self, kind: str, endpoint: str, **more: Any) -> None:
        self.simulator.fault(kind, endpoint, **more)
        self.reached["fault"] += 1

    def do_tokens(self, do: str) -> None:
        (self.simulator.expire_tokens if do == "expire" else self.simulator.revoke_tokens)()

    def do_write(self, writer: int, rows: list[dict[str, Any]], *, together: bool) -> None:
        self.writers.give(writer, rows, together=together)

    def do_person(self, do: str, turn: int) -> None:
        """Decide about a row while the processes are at it."""
        can = {
            "retry": "status IN ('failed', 'conflict', 'expired', 'cancelled')",
            "cancel": "status IN ('pending', 'retrying')",
            "release": "EXISTS (SELECT FROM outbox_queue q WHERE q.outbox_id = o.id AND q.state = 'halted')",
            "resend": "status = 'uncertain'",
            "resolve": "status = 'uncertain'",
            "retry_all": "status = 'failed' AND error_code = '1004'",
        }
        rows = [int(n) for (n,) in self.execute(f"SELECT id FROM outbox o WHERE {can[do]} ORDER BY id")]
        if not rows:
            return
        number = rows[turn % len(rows)]
        if do != "release":
            self.touched |= set(rows if do == "retry_all" else [number])
        with postgres.connected(self.url) as database:
            acts: dict[str, Callable[[], list[int]]] = {
                "retry": lambda: operators.retry(database, ids=[number], error_code=None),
                "cancel": lambda: operators.cancel(database, [number]),
                "release": lambda: self._release(database, [number]),
                "retry_all": lambda: operators.retry(database, ids=rows, error_code="1004"),
                "resend": lambda: operators.resolve(database, [number], as_status="resend", lead_id=None),
                "resolve": lambda: operators.resolve(database, [number], as_status="failed", lead_id=None),
            }
            self.reached[f"a person: {do}"] += len(acts[do]())

    def release_all(self) -> None:
        """Let go what is held back by rows that ended badly."""
        halted = [n for (n,) in self.execute("SELECT outbox_id FROM outbox_queue WHERE state = 'halted'")]
        if halted:
            with postgres.connected(self.url) as database:
                self._release(database, halted)

    def _release(self, database: Database, ids: list[int]) -> list[int]:
        now = self.execute("SELECT clock_timestamp()")[0][0]
        released = operators.release(database, ids)
        self.released |= dict.fromkeys(released, now)
        return released

    # --- processes

    def living(self) -> list[processes.Process]:
        return [process for process in self.outside.started if process.alive]

    def _one(self, which: int) -> processes.Process | None:
        there = [process for process in self.living() if process.pid not in self.paused]
        return there[which % len(there)] if there else None

    def _wake(self, pid: int) -> None:
        self.paused.discard(pid)
        # It may have ended by itself: it found no PostgreSQL when it started.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.reached["woken up"] += 1

    def all_awake(self) -> None:
        """Let everybody go on that was paused."""
        for pid in sorted(self.paused):
            self._wake(pid)

    def supervise(self) -> None:
        """Start another where nobody is left: a process that finds no PostgreSQL when it starts ends with code 1."""
        codes = {process.process.poll() for process in self.outside.started} - {None, 0, 1, -signal.SIGKILL}
        if codes:
            raise BrokenError(f"ended: a process ended by itself with {codes}")
        if not self.living():
            self.outside.start("run")
            self.reached["a start by the supervisor"] += 1

    def all_end(self) -> str:
        """End all processes softly; return what any of them said that nobody foresaw."""
        for process in self.living():
            process.stop()
        return "; ".join(
            _told(line)
            for process in self.outside.started
            for line in process.log.splitlines()
            if '"level": "error"' in line
        )

    # --- looking

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run SQL, as soon as the server is there."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with psycopg.connect(self.url, options=OPTIONS, autocommit=True) as connection:
                    cursor = connection.execute(statement, values or None)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(processes.LOOK)


class Clock:
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def _told(line: str) -> str:
    """Shorten an error of the log: what happened, where in syncd, and the exception."""
    document = json.loads(line)
    trace = str(document.get("exception", "")).splitlines()
    ours = [part.strip() for part in trace if "syncd/" in part and "site-packages" not in part]
    return f"{document['event']} ({' '.join(ours[-2:])}): {trace[-1] if trace else ''}"


def live(ground: Ground, history: History) -> dict[str, int]:
    """Live a history to its quiet end; return what was reached. Raises BrokenError where a promise does not hold."""
    with ground.database(history) as database, ground.house(history, database) as house:
        for step in history.steps:
            house.take(step)
        _quiet(house)
        known = gathered(house, OPTIONS)
        for broken in judge.violations(known):
            raise BrokenError(broken)
        pulled = [house.outside.run("pull", "all") for _ in range(2)]
        check("a pull fails", [p.stderr[-300:] for p in pulled if p.returncode])
        check("everything was read, and yet", oracle.differences(house))  # type: ignore[arg-type]  # it has what is asked for
        _count(house, known)
        return dict(house.reached)


def _quiet(house: House) -> None:
    """Nobody writes any more, nothing goes wrong, and everybody is awake: every row ends."""
    house.writers.end()
    house.all_awake()
    house.supervise()
    # What is left meets the faults that are left.
    house.do_nap(draw.STEPS[1], 0)
    house.simulator.clear_faults()
    end = time.monotonic() + PATIENCE
    while left := house.execute("SELECT outbox_id, state, due_at FROM outbox_queue"):
        house.release_all()
        house.supervise()
        if time.monotonic() > end:
            raise BrokenError(f"lost: rows have not ended after {PATIENCE:.0f} s: {left[:5]}")
        time.sleep(0.05)
    if told := house.all_end():
        raise BrokenError(f"a surprise: {told}")


def _count(house: House, known: judge.Evidence) -> None:
    reached = house.reached
    reached["history"] += 1
    reached["row"] += len(known.rows)
    for row in known.rows:
        code = f" {row['error_code']}" if row["status"] == "failed" else ""
        reached[f"{row['operation']} {row['status']}{code}"] += 1
        reached["a record of several rows"] += "sent_as_one_with" in (row["result"] or {})
        reached["proven by a look"] += "proven_by" in (row["result"] or {})
    for attempt in known.attempts:
        code = f" {attempt['error_code']}" if attempt["outcome"] == "unknown" else ""
        reached[f"an attempt: {attempt['outcome']}"] += 1
        reached[f"an attempt: {attempt['outcome']}{code}"] += bool(code)


PROCESSES = Kind("make chaos PROCESSES=1", draw.of_processes, Ground, live)
