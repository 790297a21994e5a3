"""verify as a person uses it: what it costs, what it lists, what it repairs, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from typer.testing import CliRunner, Result

from syncd import simulator as marketo
from syncd.cli.main import app as cli
from syncd.daemon import Daemon
from syncd.database import state
from syncd.errors import QuotaExhausted, WorkFailed
from syncd.mirror import assets, memberships, schema
from syncd.verify import compare, cost
from syncd.wiring import App
from tests.histories.edits import cookie_of
from tests.histories.marketo import Other
from tests.sync.inside import READ, Inside

Verify = Callable[..., Result]


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=700, limits=False, export_seconds=0.2, race_ms=0, history_days=40)


@pytest.fixture
def filled(filled: Inside) -> Inside:
    memberships.pull_lists(filled.feeds)
    memberships.pull_programs(filled.feeds)
    assets.pull_campaigns(filled.feeds)
    filled.catch_up()
    return filled


@pytest.fixture
def verify(filled: Inside, conf: dict[str, dict[str, object]], tmp_path: Path) -> Iterator[Verify]:
    """The command, as it is typed; it uses the settings of ``app``."""
    file = tmp_path / "syncd.toml"
    lines = []
    for section, values in conf.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    file.write_text("\n".join(lines), encoding="utf-8")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(file), "verify", *arguments])

    yield run
    # The command's log goes to a stream that is closed by now.
    structlog.reset_defaults()


def document(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout))


def spoil(filled: Inside) -> None:
    """Make the mirror differ in each way: a value, a lead too few and one too many, memberships."""
    filled.sql("UPDATE lead SET last_name = 'Wrong', lead_score = 4711 WHERE id = 5")
    filled.sql("DELETE FROM lead WHERE id = 6")
    filled.sql("INSERT INTO lead (id, email) VALUES (650000, 'nobody@example.com')")
    filled.sql("DELETE FROM list_membership WHERE ctid IN (SELECT ctid FROM list_membership LIMIT 2)")
    filled.sql(
        "UPDATE program_membership SET status = 'Wrong' WHERE ctid IN (SELECT ctid FROM program_membership LIMIT 1)"
    )


def test_it_lists_what_differs_and_repairs_it_so_that_a_second_run_finds_nothing(
    filled: Inside, verify: Verify
) -> None:
    spoil(filled)
    found = verify("--json")
    assert found.exit_code == 1, found.output
    told = document(found)
    assert set(told) == {
        "calls_planned",
        "sample",
        "leads",
        "fields",
        "lists_and_programs",
        "campaign_sample",
        "differences",
        "repaired",
    }
    assert all(set(d) == {"where", "lead", "kind", "fields"} for d in told["differences"])
    of_leads = {d["lead"]: d for d in told["differences"] if d["where"] == "leads"}
    assert of_leads[5]["fields"] == ["lastName", "leadScore"] or set(of_leads[5]["fields"]) == {
        "lastName",
        "leadScore",
    }
    assert (of_leads[6]["kind"], of_leads[650000]["kind"]) == ("missing", "extra")
    assert set(of_leads) == {5, 6, 650000}
    places = sorted(d["where"].split()[0] for d in told["differences"] if d["where"] != "leads")
    assert places == ["list", "list", "program"]
    repaired = verify("--repair", "--json")
    assert repaired.exit_code == 0, repaired.output
    assert document(repaired)["repaired"] == len(told["differences"])
    again = verify("--json")
    assert (again.exit_code, document(again)["differences"]) == (0, [])


def test_the_tables_that_are_read_whole_are_compared_row_by_row_and_repaired(
    filled: Inside, verify: Verify
) -> None:
    filled.sql("UPDATE lead_field SET display_name = 'Wrong', length = 1 WHERE name = 'lastName'")
    filled.sql("UPDATE static_list SET name = 'Wrong' WHERE id = 1001")
    filled.sql("DELETE FROM program WHERE id = (SELECT min(id) FROM program)")
    filled.sql("INSERT INTO smart_campaign (id, name) VALUES (99999, 'nobody''s')")
    filled.sql(
        "DELETE FROM channel_status WHERE (channel, status) IN (SELECT channel, status FROM channel_status LIMIT 1)"
    )
    filled.sql("UPDATE program_member_field SET data_type = 'Wrong' WHERE name = 'statusName'")
    filled.sql("UPDATE lead_partition SET _removed_at = now() WHERE id = 1")
    before = filled.sql("SELECT count(*), max(_synced_at) FROM static_list")
    found = verify("--json", "--show-values")
    assert found.exit_code == 1
    told = {d["where"]: d for d in document(found)["differences"]}
    kinds = {where.split()[1]: d["kind"] for where, d in told.items()}
    assert kinds == {
        "lead_field": "changed",
        "static_list": "changed",
        "program": "missing",
        "smart_campaign": "extra",
        "channel_status": "missing",
        "program_member_field": "changed",
        "lead_partition": "missing",
    }
    assert told["table lead_field lastName"]["fields"] == ["length", "display_name"]
    assert told["table static_list 1001"]["values"]["name"]["mirror"] == "Wrong"
    assert filled.sql("SELECT count(*), max(_synced_at) FROM static_list") == before
    assert "table static_list 1001: changed in name" in verify().output
    assert verify("--repair").exit_code == 0
    assert document(verify("--json"))["differences"] == []


def test_values_are_shown_only_to_who_asks_for_them(filled: Inside, verify: Verify) -> None:
    spoil(filled)
    plain = verify()
    assert plain.exit_code == 1
    assert "lead 5: changed in lastName" in plain.output or "lead 5: changed in leadScore" in plain.output
    assert "Wrong" not in plain.output
    assert "4711" not in plain.output
    shown = verify("--show-values")
    assert 'lastName: "Wrong" here, "' in shown.output
    told = document(verify("--show-values", "--json"))
    (one,) = [d for d in told["differences"] if d["lead"] == 5 and d["where"] == "leads"]
    assert one["values"]["leadScore"]["mirror"] == 4711
    theirs = {n: v["marketo"] for n, v in one["values"].items()}
    assert theirs["lastName"] != "Wrong"
    (member,) = [d for d in told["differences"] if d["where"].startswith("program")]
    assert member["values"]["status"]["mirror"] == "Wrong"


def test_a_sample_costs_one_call_for_each_page_of_ids_and_is_the_same_for_the_same_seed(
    filled: Inside, verify: Verify
) -> None:
    before = filled.calls(READ)
    first = verify("--sample", "300", "--seed", "7", "--json")
    assert first.exit_code == 0, first.output
    told = document(first)
    assert told["calls_planned"] == told["sample"]["pages"] == filled.calls(READ) - before
    assert told["sample"] == {"leads": 300, "seed": 7, "pages": told["sample"]["pages"]}
    assert told["leads"] >= 300
    assert f"this takes {told['calls_planned']} calls" in first.stderr
    chosen = cost.sample(filled.feeds, 300, 7)
    assert cost.sample(filled.feeds, 300, 7) == chosen
    assert len({cost.sample(filled.feeds, 300, seed).sample for seed in range(10)}) > 1
    everything = cost.sample(filled.feeds, 10**9, 1)
    assert compare.run(filled.feeds, everything).leads == filled.simulator.stats()["leads"]


def test_a_sample_of_all_pages_finds_what_differs_in_leads_and_repairs_it(filled: Inside) -> None:
    spoil(filled)
    everything = cost.sample(filled.feeds, 10**9, 1)
    found = compare.run(filled.feeds, everything, repair=True)
    assert {(d.lead_id, d.kind) for d in found.differences} == {
        (5, "changed"),
        (6, "missing"),
        (650000, "extra"),
    }
    assert compare.run(filled.feeds, everything).differences == []


def test_it_finds_what_no_feed_can_learn_and_repairs_it(filled: Inside) -> None:
    """A cookie, a formula's value, and the updatedAt that a hidden field's change moved: no log tells of them."""
    filled.simulator.edit_field("fullGreeting", isHidden=False)
    schema.pull(filled.feeds)
    filled.fill()
    other = Other(filled.simulator.base_url)
    other.ask("POST", f"/rest/v1/leads/5/associate.json?{urlencode({'cookie': cookie_of('unlogged')})}")
    other.wire.close()
    filled.simulator.edit_field("department", isHidden=True)
    schema.pull(filled.feeds)
    filled.simulator.advance(2)
    filled.simulator.edit_lead(6, department="Unseen")
    filled.sql("UPDATE lead SET full_greeting = 'Dear Nobody' WHERE id = 7")
    filled.catch_up()
    found = compare.run(filled.feeds, repair=True)
    assert {(d.lead_id, d.kind, d.fields) for d in found.differences} == {
        (5, "changed", ("cookies",)),
        (6, "changed", ("updatedAt",)),
        (7, "changed", ("fullGreeting",)),
    }
    assert found.repaired == 3
    assert compare.run(filled.feeds).differences == []


def test_the_service_compares_by_its_schedule_and_first_when_a_whole_period_has_passed(
    filled: Inside, app: App
) -> None:
    service = Daemon(app)
    job = next(job for job in service._jobs() if job.feed == compare.FEED)
    assert not service._due(job)
    late = job.every + 1
    filled.sql("UPDATE run SET started_at = started_at - %s * interval '1 second'", late)
    assert service._due(job)
    job.work(filled.feeds)
    assert filled.value("SELECT outcome FROM run WHERE feed = 'verify'") == "done"
    assert not service._due(job)
    filled.sql(
        "UPDATE run SET started_at = started_at - %s * interval '1 second', "
        "finished_at = finished_at - %s * interval '1 second' WHERE feed = 'verify'",
        late,
        late,
    )
    assert service._due(job)


def test_a_seed_without_a_sample_is_a_mistake(verify: Verify) -> None:
    assert verify("--seed", "7").exit_code != 0


def test_it_refuses_to_begin_what_the_day_has_no_calls_for(filled: Inside, verify: Verify) -> None:
    spent = filled.value("SELECT sum(calls) FROM api_usage")
    filled.sql(
        "UPDATE api_spending SET calls = calls + %s WHERE ctid = (SELECT min(ctid) FROM api_spending)",
        999_990 - spent,
    )
    before = filled.simulator.stats()["today"]
    refused = verify()
    assert refused.exit_code == 1
    assert isinstance(refused.exception, WorkFailed)
    assert "are left for it today" in str(refused.exception)
    assert "--sample" in str(refused.exception)
    assert filled.simulator.stats()["today"] - before <= cost.CALLS_TO_FIND_THE_OLDEST
    with pytest.raises(QuotaExhausted, match="it is put off"):
        cost.put_off(100, filled.app.ledger.standing())
    forced = verify("--force")
    assert isinstance(forced.exception, QuotaExhausted)
    assert filled.value("SELECT sum(calls) FROM api_usage") <= 1_000_000


def test_a_repair_that_would_retire_too_many_stops_before_it_touches_anything(filled: Inside) -> None:
    filled.sql("INSERT INTO lead (id, email) SELECT n, 'x' || n FROM generate_series(800001, 800050) n")
    with pytest.raises(WorkFailed, match=r"would retire 50 of 750 leads.*mirror\.retire_at_most"):
        compare.run(filled.feeds, repair=True)
    assert filled.value("SELECT count(*) FROM lead WHERE _deleted_at IS NOT NULL") == 0
    assert state.dirty_count(filled.app.database) == 0
    assert filled.value("SELECT outcome FROM run WHERE feed = 'verify' ORDER BY id DESC LIMIT 1") == "failed"


def test_the_brake_of_a_sample_knows_the_sample_alone(filled: Inside) -> None:
    """30 of 730 leads is less than 5 %; 30 of the 30 that were looked at is not."""
    filled.sql("INSERT INTO lead (id, email) SELECT n, 'x' || n FROM generate_series(900000, 900029) n")
    page = cost.Plan([], 1, sample=(900000 // cost.PAGE,))
    with pytest.raises(WorkFailed, match="would retire 30 of 30 leads"):
        compare.run(filled.feeds, page, repair=True)
    assert filled.value("SELECT count(*) FROM lead WHERE _deleted_at IS NOT NULL") == 0


def test_status_tells_what_was_spent_and_what_is_to_come(
    filled: Inside, conf: dict[str, dict[str, object]], verify: Verify, tmp_path: Path
) -> None:
    filled.sql("INSERT INTO dirty_lead (lead_id, reason) SELECT n, 'test' FROM generate_series(1, 601) n")
    shown = CliRunner().invoke(cli, ["--config", str(tmp_path / "syncd.toml"), "status", "--json"])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    api, ahead = told["api"], told["forecast"]
    assert {lane["lane"]: lane["calls"] for lane in api["by_lane"]}["backfill"] > 0
    assert sum(lane["calls"] for lane in api["by_lane"]) == api["calls_today"]
    assert api["calls_left"] == api["calls_allowed"] - api["calls_today"]
    assert all(lane["parked_until"] is None for lane in api["by_lane"])
    work = {w["what"]: w for w in ahead["backlog"]}
    assert (work["dirty leads"]["items"], work["dirty leads"]["calls"]) == (601, 3)
    assert work["dirty leads"]["done_at"] >= told["at"]
    assert work["windows"] == {"what": "windows", "lane": "backfill", "items": 0, "calls": 0, "done_at": None}
    assert ahead["lasts"]
    text = CliRunner().invoke(cli, ["--config", str(tmp_path / "syncd.toml"), "status"])
    assert "the day's calls last" in text.output
    filled.sql("UPDATE api_spending SET calls = 1000000 WHERE endpoint = 'leads'")
    text = CliRunner().invoke(cli, ["--config", str(tmp_path / "syncd.toml"), "status"])
    assert text.output.count("parked    ") == 5
    assert "do not last" in text.output
