"""The commands with which a person looks after it: status, pull, outbox."""

import json
import os
import pty
import subprocess
import sys
import time
from typing import Any

import pytest

from syncd import simulator as marketo
from tests.process.house import PATIENCE, House

KEYS = {
    "format": int,
    "at": str,
    "leads": {"living": int, "retired": int, "with_unparsed_values": int},
    "assets": {"partitions": int, "lists": int, "programs": int, "campaigns": int},
    "dirty": {"leads": int, "oldest_seconds": None},
    "backfill": {"windows": int, "done": int, "by_pages": None},
    "reconcile": None,
    "outbox": {
        "waiting": int,
        "sending": int,
        "retrying": int,
        "failed": int,
        "uncertain": int,
        "conflict": int,
        "halted": int,
        "imports_under_way": int,
        "rows_in_imports": int,
        "oldest_seconds": None,
    },
    "api": {
        "calls_today": int,
        "calls_per_day": int,
        "export_mb_today": float,
        "export_mb_per_day": float,
        "exports_under_way": int,
        "errors_today": int,
        "by_endpoint": [{"lane": str, "feed": str, "endpoint": str, "calls": int, "errors": int}],
        "paused": [],
    },
    "feeds": [
        {
            "feed": str,
            "outcome": str,
            "started_at": str,
            "finished_at": str,
            "last_done_at": str,
            "fresh_seconds": float,
            "counts": {},
            "error": None,
        }
    ],
    "replicas": [],
}
"""What scripts hold on to: no key may go or change its kind while ``format`` is 1."""


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=60, history_days=40, export_seconds=0.1, limits=False)


def fits(document: Any, shape: Any, where: str = "status") -> None:
    """Check that a document has at least the keys of a shape, each of its kind."""
    if isinstance(shape, dict):
        for key, inner in shape.items():
            assert key in document, f"{where}.{key}"
            fits(document[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(document, list), where
        for item in document if shape else []:
            fits(item, shape[0], f"{where}[]")
    elif shape is not None:
        assert isinstance(document, shape), (where, document)


def test_pull_prints_plain_lines_away_from_a_terminal_and_status_tells_it_to_scripts(house: House) -> None:
    pulled = house.run("pull", "all", SYNCD_LOG__LEVEL="info")
    assert pulled.returncode == 0, pulled.stderr
    names = [line.partition(":")[0] for line in pulled.stdout.splitlines()]
    assert names == ["schema", "leads", "changes", "lists", "programs", "campaigns"]
    assert "windows: 2 of 2" in pulled.stderr
    assert "\x1b" not in pulled.stdout + pulled.stderr
    assert "\r" not in pulled.stdout + pulled.stderr
    status = house.run("status", "--json")
    document = json.loads(status.stdout)
    assert document["format"] == 1
    fits(document, KEYS)
    assert (document["leads"]["living"], document["backfill"]) == (
        60,
        {"windows": 2, "done": 2, "by_pages": None},
    )
    assert {feed["feed"] for feed in document["feeds"]} >= {"schema", "backfill", "dirty", "changes", "lists"}
    shown = house.run("status").stdout
    assert "60 leads" in shown
    assert "none runs" in shown


def test_pull_shows_a_bar_on_a_terminal(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    outer, inner = pty.openpty()
    environ = house.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "SYNCD_LOG__LEVEL": "warning"}
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "pull", "leads"],
        env=environ,
        stdout=inner,
        stderr=inner,
        close_fds=True,
    )
    os.close(inner)
    seen, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            part = os.read(outer, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(outer)
    assert process.wait(PATIENCE) == 0
    text = seen.decode()
    assert "━" in text
    assert "windows" in text
    assert "2/2" in text
    assert "\x1b[" in text


def test_what_marketo_says_is_shown_as_it_is_even_if_it_looks_like_markup(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    refusal = {"code": "610", "message": "Requested resource [/rest/v1/leads.json] not [red] found"}
    answer = json.dumps({"requestId": "a#b", "success": False, "errors": [refusal]})
    house.simulator.fault("http", "POST /rest/v1/leads.json", status=200, body=answer, count=1)
    (number,) = house.insert([("create_or_update", {"email": "a@b.com", "leadScore": 10**30})])
    assert house.run("drain", "--until-empty").returncode == 0
    listed = house.run("outbox", "list")
    assert listed.returncode == 0
    assert "[red]" in listed.stdout
    story = json.loads(house.run("outbox", "show", str(number), "--json").stdout)
    assert story["row"]["payload"]["leadScore"] == 10**30
    assert house.run("outbox", "list", "--since", "999999d").returncode == 2
    assert house.run("status").returncode == 0


def test_a_person_looks_after_rows_of_the_outbox(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    house.simulator.fault("reset", "POST /rest/v1/leads.json", phase="after")
    (twin,) = house.insert([("create_duplicate", {"email": "twin@example.com", "lastName": "Twin"})])
    assert house.run("drain").returncode == 0
    bad, later, other = house.insert(
        [
            ("create_or_update", {"email": "no address", "lastName": "Bad"}),
            ("create_or_update", {"email": "good@example.com", "lastName": "Good"}),
            ("delete", {"id": 59}),
        ]
    )

    dry = json.loads(house.run("outbox", "show", str(later), "--dry-run").stdout)
    assert (dry["method"], dry["path"]) == ("POST", "/rest/v1/leads.json")
    assert dry["body"] == {
        "action": "createOrUpdate",
        "lookupField": "email",
        "input": [{"email": "good@example.com", "lastName": "Good"}],
    }
    calls = house.simulator.calls()
    cancelled = house.run("outbox", "cancel", str(other))
    assert (cancelled.returncode, cancelled.stdout) == (0, "1 row cancelled\n")
    drained = house.run("drain", "--until-empty")
    assert (drained.returncode, drained.stdout) == (0, "the outbox is empty\n")
    assert calls.get("POST /rest/v1/leads/delete.json", 0) == 0

    listed = json.loads(house.run("outbox", "list", "--json").stdout)
    states = {row["id"]: row["status"] for row in listed}
    assert states == {twin: "uncertain", bad: "failed", later: "succeeded", other: "cancelled"}
    table = house.run("outbox", "list", "--status", "failed", "--error-code", "1003").stdout
    assert str(bad) in table
    assert "succeeded" not in table

    told = house.run("outbox", "show", str(twin)).stdout
    assert "uncertain" in told
    assert f"syncd outbox resolve {twin} --as" in told
    story = json.loads(house.run("outbox", "show", str(bad), "--json").stdout)
    assert (story["row"]["error_code"], len(story["attempts"])) == ("1003", 1)

    refused = house.run("outbox", "retry", str(twin))
    assert refused.returncode == 1
    assert refused.stderr.startswith("syncd: not queued again")
    assert house.run("outbox", "resolve", str(twin), "--as", "succeeded", "--lead", "61").returncode == 0
    assert house.sql("SELECT status, lead_id FROM outbox WHERE id = %s", twin) == [
        {"status": "succeeded", "lead_id": 61}
    ]
    again = house.run("outbox", "retry", "--error-code", "1003")
    assert again.stdout == "1 row queued again\n"
    assert house.run("drain", "--until-empty").returncode == 0
    assert house.value("SELECT attempts FROM outbox WHERE id = %s", bad) == 2
    missing = house.run("outbox", "show", "4711")
    assert missing.returncode == 1
    assert "no outbox row 4711" in missing.stderr

    assert house.run("erase", "somebody", "--yes").returncode == 2
    erased = house.run("erase", "good@example.com", "--yes")
    assert (erased.returncode, erased.stderr) == (0, "")
    assert house.sql("SELECT id FROM outbox WHERE id = %s", later) == []
    assert house.sql("SELECT id FROM lead WHERE email = 'good@example.com'") == []


def test_a_person_decides_what_becomes_of_a_lead_that_a_row_halts(house: House) -> None:
    assert house.run("pull", "schema").returncode == 0
    (bad,) = house.insert([("create_only", {"email": "no address"})], options='{"on_failure": "halt"}')
    (behind,) = house.insert([("create_or_update", {"email": "no address"})])
    left = house.run("drain", "--until-empty")
    assert (left.returncode, left.stdout) == (1, "1 row is left\n")
    assert "1 halting what is behind them" in " ".join(house.run("status").stdout.split())
    assert [row["id"] for row in json.loads(house.run("outbox", "list", "--halted", "--json").stdout)] == [
        bad
    ]
    assert house.run("outbox", "release", str(bad)).stdout == "1 row released\n"
    assert house.run("outbox", "release", str(bad)).returncode == 1
    assert house.run("drain", "--until-empty").returncode == 0
    assert house.value("SELECT attempts FROM outbox WHERE id = %s", behind) == 1
