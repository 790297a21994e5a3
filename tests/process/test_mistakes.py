"""What a person sees who made a mistake: one plain sentence, the right exit code, nothing secret."""

import json
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from syncd import simulator as marketo
from tests.process.house import House
from tests.support import postgres

if TYPE_CHECKING:
    from subprocess import CompletedProcess


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=40, history_days=20, export_seconds=0.1, limits=False)


def one_sentence(done: "CompletedProcess[str]", code: int, *words: str) -> None:
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    lines = [line for line in done.stderr.splitlines() if line.startswith("syncd")]
    assert len(lines) == 1, told
    for word in words:
        assert word in lines[0], told


def test_settings_that_cannot_be_read_end_with_code_2_and_a_sentence(house: House, tmp_path: Path) -> None:
    malformed = tmp_path / "malformed.toml"
    malformed.write_text("[marketo\nbase_url = 1")
    one_sentence(house.run("--config", str(malformed), "status"), 2, "not valid TOML", "line 1")
    unknown = tmp_path / "unknown.toml"
    unknown.write_text('[marketo]\nbase_ulr = "https://example.com"\n')
    one_sentence(house.run("--config", str(unknown), "run"), 2, "base_ulr", "base_url")
    one_sentence(house.run("--config", str(tmp_path / "none.toml"), "run"), 2, "none.toml")
    one_sentence(
        house.run("run", SYNCD_MARKETO__CLIENT_SECERT="x"), 2, "SECERT", "SYNCD_MARKETO__CLIENT_SECRET"
    )
    one_sentence(house.run("run", SYNCD_OUTBOX__WORKERS="many"), 2, "outbox.workers")
    one_sentence(house.run("run", SYNCD_MARKETO__CLIENT_ID=""), 2, "client_id")
    one_sentence(house.run("run", SYNCD_DATABASE__URL="mysql://u:p4ssw0rd@h/d"), 2, "mysql")
    secretless = tmp_path / "secretless.toml"
    secretless.write_text('[marketo]\nclient_secret_file = "/nowhere/secret"\n')
    done = house.run("--config", str(secretless), "status", without="SYNCD_MARKETO__CLIENT_SECRET")
    one_sentence(done, 2, "/nowhere/secret")


def test_a_database_that_is_not_there_or_not_migrated_ends_with_code_1_and_a_sentence(
    house: House, newest_postgres: postgres.Server
) -> None:
    nowhere = "postgresql://someone:p4ssw0rd@127.0.0.1:1/none"
    for command in (("run",), ("status",), ("drain",), ("verify",)):
        done = house.run(*command, SYNCD_DATABASE__URL=nowhere)
        one_sentence(done, 1, "127.0.0.1:1", "database.url")
        assert "p4ssw0rd" not in done.stdout + done.stderr
    with newest_postgres.empty() as name:
        for command in (("run",), ("drain",), ("outbox", "list")):
            done = house.run(*command, SYNCD_DATABASE__URL=newest_postgres.url_of(name))
            one_sentence(done, 1, "syncd migrate")


def test_a_wrong_secret_ends_with_code_1_and_a_sentence_and_the_service_tells_it_and_lives_on(
    house: House,
) -> None:
    wrong = {"SYNCD_MARKETO__CLIENT_SECRET": "wr0ng-s3cret"}
    one_sentence(house.run("pull", "schema", **wrong), 1, "401")
    (number,) = house.insert([("create_or_update", {"email": "kept@example.com"})])
    daemon = house.daemon(**wrong)
    daemon.says("a call failed")
    assert daemon.stop() == 0
    assert "wr0ng-s3cret" not in daemon.log
    assert house.value("SELECT status FROM outbox WHERE id = %s", number) == "retrying"
    assert house.run("pull", "schema").returncode == 0
    assert house.run("drain", "--until-empty").returncode == 0
    assert house.value("SELECT status FROM outbox WHERE id = %s", number) == "succeeded"


def test_an_unreachable_marketo_ends_with_code_1_and_a_sentence(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        checked = house.run("check", SYNCD_MARKETO__BASE_URL=nobody)
    assert checked.returncode == 1
    assert "FAIL  credentials" in checked.stdout
    assert "Traceback" not in checked.stdout + checked.stderr


def test_a_port_in_use_ends_with_code_2_and_a_sentence(house: House) -> None:
    port = house.simulator.base_url.rpartition(":")[2]
    one_sentence(house.run("simulate", "--port", port), 2, port, "in use")
    one_sentence(house.run("run", SYNCD_DAEMON__STATUS_LISTEN=f"127.0.0.1:{port}"), 2, "status_listen", port)


def test_what_no_row_can_be_is_refused_with_what_it_may_be(house: House) -> None:
    for line, names in (
        ("outbox list --status finished", "succeeded"),
        ("outbox list --operation upsert", "create_or_update"),
        ("outbox show 0", "1"),
        ("outbox cancel 9223372036854775808", "9223372036854775807"),
        ("outbox list --lead 99999999999999999999", "9223372036854775807"),
        ("erase 0 --yes", "id of a lead"),
        ("erase 99999999999999999999 --yes", "id of a lead"),
    ):
        refused = house.run(*line.split())
        assert (refused.returncode, names in refused.stderr) == (2, True), (line, refused.stderr)


def test_wrong_usage_ends_with_code_2(house: House) -> None:
    for arguments in (
        ("pull", "everything"),
        ("outbox", "retry"),
        ("outbox", "show", "one"),
        ("--nonsense",),
        ("frobnicate",),
    ):
        done = house.run(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_check_says_what_is_denied_and_what_to_do_about_it(house: House) -> None:
    assert house.run("check").returncode == 0
    house.simulator.set_options(
        denied=["read-asset", "read-write-asset", "read-activity", "read-write-activity"]
    )
    done = house.run("check")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1].rstrip(":") for line in failed] == ["activities", "static", "assets"]
    assert "Read-Only Activity" in failed[0]
    assert "Read-Only Assets" in failed[-1]
    assert "603" in failed[0]


def test_nothing_secret_is_in_any_log_however_talkative(house: House, tmp_path: Path) -> None:
    assert house.run("pull", "schema").returncode == 0
    mirrored = {lead: house.simulator.lead(lead) for lead in range(1, 41)}
    daemon = house.daemon(SYNCD_LOG__FORMAT="json")
    house.quiet()
    house.simulator.fault("http", "POST /identity/oauth/token")
    house.simulator.fault("malformed", "GET /rest/v1/leads.json")
    for kind in ("error", "http", "reset", "malformed", "truncate", "revoke_token"):
        house.simulator.fault(kind, "POST /rest/v1/leads.json")
        house.insert(
            [
                ("create_or_update", {"email": f"hidden-{kind}@example.com", "lastName": "Pr1vate"}),
                ("create_only", {"email": "not an address Pr1vate"}),
                ("update_only", {"id": 7, "leadScore": 5, "lastName": "Pr1vate"}),
                ("update_only", {"id": 999999, "lastName": "Pr1vate"}),
            ]
        )
        house.simulator.edit_lead(9, lastName=f"Pr1vate {kind}", title="\0Pr1vate")
        house.settled()
    house.quiet()
    house.sql("ALTER TABLE lead ADD CONSTRAINT broken CHECK (last_name <> 'Pr1vate Last')")
    house.simulator.edit_lead(9, lastName="Pr1vate Last")
    daemon.says("a feed failed")
    house.sql("ALTER TABLE lead DROP CONSTRAINT broken")
    house.simulator.edit_lead(9, lastName="Shown")
    house.until("SELECT last_name FROM lead WHERE id = 9", "Shown")
    console = house.daemon(SYNCD_LOG__FORMAT="console")
    assert daemon.stop() == 0
    assert console.stop() == 0
    seen = "".join(process.log for process in house.started)
    token = house.run("check").stdout
    assert "Pr1vate" not in seen
    assert "simulator-secret" not in seen + token
    assert not re.findall(r"[\w.+-]+@[\w-]+\.[\w.]+", seen)
    password = psycopg.conninfo.conninfo_to_dict(house.database_url).get("password")
    assert not password or str(password) not in seen
    names = {str(lead["lastName"]) for lead in mirrored.values() if len(str(lead["lastName"])) > 5}
    assert not [name for name in names if name in seen]
    for line in daemon.log.splitlines():
        assert json.loads(line)["event"]
