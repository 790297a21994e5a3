"""Every query of the cookbook runs as a reader on a mirror of a simulated Marketo, and its answer makes sense."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from syncd import simulator as marketo
from syncd.mirror import backfill, campaigns, changes, dirty, memberships, schema
from syncd.settings import Settings
from syncd.simulator.control import Simulator
from syncd.wiring import App, built
from tests.docs import pages
from tests.support import postgres

PAGE = "docs/cookbook.md"
LEADS, LEFT = 70, 66
"""How many leads there are, and how many after deletions and merges."""
READ = 40
MERGED, WINNER, DELETED = (17, 18), 20, (30, 31)
SECRET = {"client_id": "simulator", "client_secret": "simulator-secret"}
Rows = list[dict[str, Any]]


def pull(app: App, *, first: bool) -> None:
    feeds = app.feeds()
    if first:
        schema.pull(feeds)
        backfill.pull(feeds)
        memberships.pull_lists(feeds)
        memberships.pull_programs(feeds)
    changes.pull(feeds)
    dirty.pull(feeds)
    memberships.pull_members(feeds)
    if not first:
        campaigns.pull(feeds)


def edit(simulator: Simulator) -> None:
    """What people do: a newsletter list, merges and a chain of them, deletions, what guests told."""
    simulator.create_list("Newsletter", [1, 2, 3, 17, 30])
    simulator.merge_leads(18, [17])
    simulator.merge_leads(WINNER, [18])
    for lead in DELETED:
        simulator.delete_lead(lead)
    simulator.edit_lead(5, email="twice@example.com")
    simulator.edit_lead(6, email="Twice@example.com")
    simulator.set_program_status(1002, "Registered", [7, 8])
    token = httpx.get(
        f"{simulator.base_url}/identity/oauth/token", params={"grant_type": "client_credentials", **SECRET}
    ).json()["access_token"]
    body = {"input": [{"leadId": 7, "dietaryNeeds": "none", "guestCount": 2}]}
    answer = httpx.post(
        f"{simulator.base_url}/rest/v1/programs/1002/members.json",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.json()["result"][0]["status"] == "updated"


@pytest.fixture(scope="module")
def reader(newest_postgres: postgres.Server) -> Iterator[psycopg.Connection[Any]]:
    """A reader's connection to a mirror that has seen some life."""
    options = marketo.Options(leads=LEADS, limits=False, export_seconds=0.1, race_ms=0, dirt=0.02)
    with newest_postgres.migrated() as name, marketo.running(options) as simulator:
        url = newest_postgres.url_of(name)
        conf = {
            "marketo": {"base_url": simulator.base_url, **SECRET},
            "database": {"url": url},
            "budget": {"calls_per_20_seconds": 1000, "concurrent_calls": 10, "outbox_share": 0},
            "mirror": {"export_poll_seconds": 0.2, "campaign_calls_per_day": READ},
        }
        with built(Settings(**conf)) as app:
            pull(app, first=True)
            edit(simulator)
            with app.database.begin() as transaction:
                transaction.raw.execute("DELETE FROM api_call")  # the rate has rested
            memberships.pull_lists(app.feeds())
            pull(app, first=False)
            with app.database.begin() as transaction:
                transaction.raw.execute('UPDATE lead SET _unparsed = \'{"leadScore": "many"}\' WHERE id = 9')
        with psycopg.connect(url, row_factory=dict_row) as connection:
            connection.execute("SET ROLE syncd_reader")
            yield connection


def living(rows: Rows) -> None:
    assert rows[0]["leads"] == LEFT
    assert 0 < rows[0]["mailable"] <= rows[0]["with_address"] <= LEFT


def weeks(rows: Rows) -> None:
    assert sum(r["new_leads"] for r in rows) == LEADS
    assert [r["week"] for r in rows] == sorted((r["week"] for r in rows), reverse=True)
    assert all(r["week"].weekday() == 0 for r in rows)


def sources(rows: Rows) -> None:
    assert sum(r["leads"] for r in rows) == LEFT
    assert len(rows) > 2


def shared(rows: Rows) -> None:
    assert {"shared": "twice@example.com", "leads": 2, "ids": [5, 6]} in [
        r | {"ids": sorted(r["ids"])} for r in rows
    ]


def complete(rows: Rows) -> None:
    assert {r["field"] for r in rows} == {"email", "first_name", "last_name", "title", "phone", "country"}
    assert all(0 < r["share_filled"] <= 1 for r in rows)


def best(rows: Rows) -> None:
    assert 0 < len(rows) <= 20
    scores = [r["lead_score"] for r in rows if r["lead_score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(r["created_at"] > datetime.now(UTC) - timedelta(days=31) for r in rows)


def domains(rows: Rows) -> None:
    assert all("." in r["domain"] and "@" not in r["domain"] for r in rows)
    assert sum(r["leads"] for r in rows) <= LEFT


def who_is_it(rows: Rows) -> None:
    (row,) = rows
    assert (row["lead_id"], row["surviving_id"], row["was_merged"], row["is_living"]) == (
        17,
        WINNER,
        True,
        True,
    )
    assert row["email"]
    assert row["last_name"]


def merged(rows: Rows) -> None:
    (row,) = rows
    assert (row["surviving_id"], row["merged"], row["old_ids"]) == (WINNER, 2, list(MERGED))


def days(rows: Rows) -> None:
    today = next(r for r in rows if r["deleted_leads"])
    assert (today["deleted_leads"], today["merged_leads"]) == (2, 2)
    assert today["changed_leads"] >= 2
    assert all(r["growth"] == r["new_leads"] - r["deleted_leads"] - r["merged_leads"] for r in rows)


def sizes(rows: Rows) -> None:
    assert len(rows) == 6
    assert [r["members"] for r in rows] == sorted((r["members"] for r in rows), reverse=True)
    assert next(r for r in rows if r["name"] == "Newsletter")["members"] == 4


def on_the_list(rows: Rows) -> None:
    assert [r["lead_id"] for r in rows] == [1, 2, 3, WINNER]
    assert all(r["email"] for r in rows)


def overlap(rows: Rows) -> None:
    assert rows
    assert all(r["one"] != r["other"] and r["leads_on_both"] > 0 for r in rows)


def nowhere(rows: Rows) -> None:
    assert len(rows) < LEFT
    assert not {r["id"] for r in rows} & {*MERGED, *DELETED, 1, 2, 3}


def funnel(rows: Rows) -> None:
    assert len({r["program_name"] for r in rows}) == 5
    for name in {r["program_name"] for r in rows}:
        steps = [r for r in rows if r["program_name"] == name]
        assert [r["step"] for r in steps] == sorted(r["step"] for r in steps)
        assert steps[-1]["is_success"]
        total = sum(r["members"] for r in steps)
        assert steps[0]["members_this_far"] == total
        assert steps[-1]["members_this_far"] == steps[-1]["members"]
        if total:
            assert abs(sum(r["share_of_members"] for r in steps) - 1) < Decimal("0.001")


def success(rows: Rows) -> None:
    assert len(rows) == 4
    assert all(r["success_rate"] == round(Decimal(r["successes"]) / r["members"], 3) for r in rows)


def duration(rows: Rows) -> None:
    assert rows
    assert all(r["successes"] > 0 and r["median_time"] >= timedelta(0) for r in rows)


def acquired(rows: Rows) -> None:
    assert rows
    assert all(0 < r["leads_acquired"] <= LEFT for r in rows)


def stuck(rows: Rows) -> None:
    assert {r["stream"] for r in rows} == {"Stream 1", "Stream 2", "Stream 3"}
    assert sum(r["without_content"] for r in rows) > 0
    assert all(r["without_content"] <= r["members"] and r["paused"] == 0 for r in rows)


def guests(rows: Rows) -> None:
    (row,) = rows
    assert (row["lead_id"], row["dietary_needs"], row["guests"]) == (7, "none", 2)


def filled_in(rows: Rows) -> None:
    told = {r["name"]: r["members_with_a_value"] for r in rows}
    assert {"pMCFField", "registrationCode", "webinarUrl"} <= set(told)
    assert told["dietaryNeeds"] == told["guestCount"] == 1


def touched(rows: Rows) -> None:
    assert len(rows) == 4
    assert sum(r["leads_read_so_far"] for r in rows) > 0
    assert {r["type"] for r in rows} == {"batch", "trigger"}


def trusted(rows: Rows) -> None:
    (row,) = rows
    assert (row["leads"], row["read"], row["changed_since"]) == (LEFT, READ, 0)
    assert row["share_read"] == round(Decimal(READ) / LEFT, 3)


def takes_part(rows: Rows) -> None:
    assert {r["what"] for r in rows} >= {"list", "program"}
    assert "Newsletter" in {r["name"] for r in rows if r["what"] == "list"}
    assert all(r["status"] for r in rows if r["what"] == "program")


def spent(rows: Rows) -> None:
    calls = {(r["lane"], r["endpoint"]): r["calls"] for r in rows}
    assert calls["memberships", "campaigns_of_lead"] == READ
    assert calls["backfill", "create_export"] > 0
    assert abs(sum(r["share_of_day"] for r in rows) - len({r["day"] for r in rows})) < Decimal("0.05")


def misfits(rows: Rows) -> None:
    assert rows == [{"field": "leadScore", "leads": 1, "an_example": "many"}]


def fresh(rows: Rows) -> None:
    assert rows[0]["leads"] == LEADS
    assert timedelta(0) <= rows[0]["ago"] < timedelta(minutes=10)


def changed(rows: Rows) -> None:
    assert len(rows) == LEADS
    assert {r["id"] for r in rows if r["is_gone"]} == {*MERGED, *DELETED}


CHECKS: dict[str, Callable[[Rows], None]] = {
    "How many leads do we have, and how many can we mail?": living,
    "How many new leads come in each week?": weeks,
    "Which sources bring the most leads, and how good are they?": sources,
    "Which addresses do several leads share?": shared,
    "How complete are our profiles?": complete,
    "Who are our best new leads of the last 30 days?": best,
    "Which mail domains do our leads come from?": domains,
    "An old report names lead 17: who is that now?": who_is_it,
    "Which leads were merged, and into whom?": merged,
    "What happened on each of the last days?": days,
    "How large are our lists?": sizes,
    "Who is on a list?": on_the_list,
    "Which lists overlap?": overlap,
    "Which living leads are on no list and in no program?": nowhere,
    "How far do members get, step by step?": funnel,
    "Which programs reach success most often?": success,
    "How long does it take from joining to success?": duration,
    "Which programs acquired our leads?": acquired,
    "Who is stuck in an engagement program, with no content left or paused?": stuck,
    "What did the members of an event tell us about themselves?": guests,
    "Which fields of members are filled in at all?": filled_in,
    "Which campaigns touched the most leads lately?": touched,
    "How far can I trust that?": trusted,
    "Everything that one lead takes part in": takes_part,
    "What are the API calls spent on?": spent,
    "Which values did not fit their column?": misfits,
    "How fresh are the leads?": fresh,
    "Which leads changed in the last hour?": changed,
}


def test_every_query_of_the_cookbook_is_checked() -> None:
    assert [block.heading for block in pages.blocks("sql", PAGE)] == list(CHECKS)


@pytest.mark.parametrize("block", pages.blocks("sql", PAGE), ids=lambda block: block.heading)
def test_the_answer_makes_sense(block: pages.Block, reader: psycopg.Connection[Any]) -> None:
    with reader.transaction(force_rollback=True):
        CHECKS[block.heading](reader.execute(block.text).fetchall())
