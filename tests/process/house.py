"""The house from outside: real processes of ``python -m syncd``, started, watched, killed and counted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from syncd.simulator.control import Simulator

PATIENCE = 60.0
"""Seconds after which a wait has failed; far above what any of them takes."""
LOOK = 0.02

Row = dict[str, Any]


class Process:
    """One process of syncd; its log is kept."""

    def __init__(self, arguments: Iterable[str], environ: dict[str, str], log: Path) -> None:
        self.log_file = log
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncd", *arguments],
                env=environ,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def says(self, text: str, patience: float = PATIENCE) -> None:
        """Wait until the log holds a text."""
        until(lambda: text in self.log or not self.alive, f"the log holds {text!r}", patience)
        assert text in self.log, f"the process ended with {self.process.poll()}: {self.log[-2000:]}"

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self, patience: float = PATIENCE) -> int:
        """Ask it to end and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)


class House:
    """A database, a simulated Marketo, and any number of processes between them."""

    def __init__(
        self,
        database_url: str,
        simulator: Simulator,
        folder: Path,
        conf: dict[str, str],
        secret: str = "simulator-secret",  # noqa: S107 - the simulator's own
    ) -> None:
        self.database_url, self.simulator, self.folder = database_url, simulator, folder
        inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("SYNCD_")}
        self.environ = inherited | {
            "SYNCD_DATABASE__URL": database_url,
            "SYNCD_MARKETO__BASE_URL": simulator.base_url,
            "SYNCD_MARKETO__CLIENT_ID": "simulator",
            "SYNCD_MARKETO__CLIENT_SECRET": secret,
            **conf,
        }
        self.started: list[Process] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._sql = self._stack.enter_context(
            psycopg.connect(
                self.database_url,
                autocommit=True,
                row_factory=dict_row,
                options="-csearch_path=marketo,syncd",
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            if process.alive:
                process.kill()
        self._stack.close()

    def start(self, *arguments: str, **conf: str) -> Process:
        """Start a process and leave it running; conf: further settings, as environment variables."""
        log = self.folder / f"{len(self.started):03}-{arguments[0]}.log"
        process = Process(arguments, self.environ | conf, log)
        self.started.append(process)
        return process

    def daemon(self, **conf: str) -> Process:
        """Start the service and wait until it runs."""
        process = self.start("run", **conf)
        process.says("syncd runs")
        return process

    def run(
        self, *arguments: str, patience: float = PATIENCE, without: str = "", **conf: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; without: a variable that it shall not have."""
        return subprocess.run(
            [sys.executable, "-m", "syncd", *arguments],
            env={name: value for name, value in (self.environ | conf).items() if name != without},
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )

    def sql(self, query: str, *values: Any) -> list[Row]:
        """Run SQL as the server's own user and return the rows, if there are any."""
        cursor = self._sql.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any) -> Any:
        rows = self.sql(query, *values)
        return next(iter(rows[0].values())) if rows else None

    def insert(self, rows: Iterable[tuple[str, dict[str, Any]]], **columns: Any) -> list[int]:
        """Put rows into the outbox in one transaction; return their ids."""
        names, values = ["operation", "payload", *columns], list(columns.values())
        places = ", ".join(["%s"] * len(names))
        with self._sql.transaction():
            return [
                int(
                    self.value(
                        f"INSERT INTO outbox ({', '.join(names)}) VALUES ({places}) RETURNING id",
                        operation,
                        json.dumps(payload),
                        *values,
                    )
                )
                for operation, payload in rows
            ]

    def until(self, query: str, wanted: Any, patience: float = PATIENCE) -> None:
        """Wait until a query gives a value."""
        until(
            lambda: self.value(query) == wanted,
            f"{query} gives {wanted!r}",
            patience,
            lambda: self.value(query),
        )

    def settled(self, patience: float = PATIENCE) -> None:
        """Wait until every outbox row has its final state and no key is closed."""
        self.until("SELECT count(*) FROM outbox_queue", 0, patience)
        assert self.value("SELECT count(*) FROM outbox WHERE finished_at IS NULL") == 0

    def quiet(self, patience: float = PATIENCE) -> None:
        """Wait until the mirror has nothing left to do."""
        self.until(
            "SELECT count(*) FILTER (WHERE state = 'done') > 0 AND count(*) FILTER (WHERE state <> 'done') = 0 "
            "FROM backfill_window",
            True,
            patience,
        )
        self.until("SELECT count(*) FROM dirty_lead", 0, patience)

    def twenty_seconds_pass(self) -> None:
        """Let the ledger forget all calls, as it would by itself in a while: tests make many in little time."""
        self.sql("DELETE FROM api_call")

    def proven(self) -> None:
        """Catch up with Marketo, and let ``syncd verify`` find no difference."""
        caught_up = self.run("pull", "all")
        assert caught_up.returncode == 0, caught_up.stderr
        verified = self.run("verify", "--json", SYNCD_MIRROR__WINDOW_DAYS="31")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        report = json.loads(verified.stdout)
        assert report["differences"] == []
        assert report["leads"] == self.simulator.stats()["leads"]

    def rows(self) -> list[Row]:
        """All outbox rows."""
        return self.sql("SELECT * FROM outbox ORDER BY id")


def until(
    holds: Callable[[], Any], what: str, patience: float = PATIENCE, seen: Callable[[], Any] = lambda: ""
) -> None:
    """Wait until something holds, and fail where it does not in time."""
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end, f"after {patience:.0f} s it does not hold that {what}; now {seen()!r}"
        time.sleep(LOOK)
