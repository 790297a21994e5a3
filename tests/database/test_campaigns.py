"""Whose smart campaigns are read next, and what readers see of it, at size."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.core.fields import FieldFacts
from syncd.database import campaigns, columns, leads, memberships, state
from syncd.database.queries import for_driver
from tests.database.desk import Desk

MANY = 100_000
LARGE = {"lead", "campaign_read", "campaign_membership"}


@pytest.fixture
def many(desk: Desk) -> Desk:
    """A mirror of many leads, each read long ago, with two campaigns each."""
    desk.run(
        "INSERT INTO lead (id, email, created_at) SELECT n, n || '@example.com', now() FROM generate_series(1, %s) n",
        MANY,
    )
    desk.run(
        "INSERT INTO campaign_read (lead_id, read_at) SELECT n, now() - n * interval '1 second' - interval '2 days' "
        "FROM generate_series(1, %s) n",
        MANY,
    )
    desk.run(
        "INSERT INTO campaign_membership SELECT c, n, now(), now() FROM generate_series(1, %s) n, generate_series(1, 2) c",
        MANY,
    )
    desk.run("ANALYZE")
    return desk


def nodes(desk: Desk, statement: str, values: dict[str, object]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a statement's plan."""
    with desk.database.begin() as transaction:
        row = transaction.raw.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchone()
    assert row is not None
    left = [row[0][0]["Plan"]]
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        yield node


def read_whole(desk: Desk, statement: str, values: dict[str, object]) -> list[str]:
    """Return the large tables that a statement reads from end to end, or sorts."""
    return [
        f"{node['Node Type']} {node.get('Relation Name', '')}"
        for node in nodes(desk, statement, values)
        if (node["Node Type"] in {"Sort", "Hash", "Bitmap Heap Scan"} and node["Plan Rows"] > MANY / 10)
        or (node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE)
    ]


STATEMENTS: list[tuple[str, dict[str, Any]]] = [
    ("campaign_next_changed", {"most": 100}),
    ("campaign_next_old", {"before": "2100-01-01", "most": 100}),
    ("campaign_next_old", {"before": "2001-01-01", "most": 100}),
    ("campaign_never", {"most": 100}),
    ("campaign_changed", {}),
    ("campaign_old", {"before": "2001-01-01"}),
    ("campaign_walk_on", {"below": MANY, "most": 1000}),
    ("campaign_put", {"lead": 5, "mark": None, "members": '[{"smart_campaign_id": 1}]'}),
    ("campaign_sample", {"most": 100, "offset": 0.5}),
    ("campaign_differences", {"lead": 5, "read_at": "2100-01-01", "members": "[]"}),
    ("campaign_mark", {"ids": [1, 2, 3]}),
    ("campaign_turns_of_retired", {"leads": '[{"id": 1, "merged_into": 2}]'}),
    ("campaign_members_of_retired", {"leads": '[{"id": 1, "merged_into": null}]'}),
    ("campaign_members_merged", {"leads": '[{"id": 1, "merged_into": 2}]'}),
]
"""What the feeds ask at every turn."""
QUESTIONS = (
    "SELECT * FROM lead_resolved WHERE lead_id = 17",
    "SELECT * FROM list_member WHERE list_id = 3",
    "SELECT * FROM lead_campaign_read WHERE lead_id = 17",
)


def test_no_turn_and_no_small_question_reads_a_table_whole(many: Desk) -> None:
    found = {question: read_whole(many, question, {}) for question in QUESTIONS}
    for name, values in STATEMENTS:
        found[f"{name} {values}"] = read_whole(many, for_driver(name).decode(), values)
    assert {name: read for name, read in found.items() if read} == {}


def test_a_lead_marked_again_while_it_was_read_is_left(desk: Desk) -> None:
    desk.run("INSERT INTO lead (id) VALUES (1)")
    with desk.database.begin() as transaction:
        campaigns.mark(transaction, [1])
    ((lead, marked),), _ = campaigns.next_leads(desk.database, 5, before=None)
    with desk.database.begin() as transaction:
        campaigns.mark(transaction, [1])
    found = [{"smart_campaign_id": 7, "created_at": None, "updated_at": None}]
    with desk.database.begin() as transaction:
        assert campaigns.put(transaction, lead, marked, found) == 0
    assert desk.value("SELECT count(*) FROM campaign_membership") == 0
    ((lead, marked),), _ = campaigns.next_leads(desk.database, 5, before=None)
    with desk.database.begin() as transaction:
        assert campaigns.put(transaction, lead, marked, found) == 1
    assert campaigns.next_leads(desk.database, 5, before=None) == ([], 0)


def test_a_lead_retired_while_it_was_read_gets_no_members(desk: Desk) -> None:
    desk.run("INSERT INTO lead (id) VALUES (1)")
    with desk.database.begin() as transaction:
        campaigns.mark(transaction, [1])
    ((lead, marked),), _ = campaigns.next_leads(desk.database, 5, before=None)
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, None)])
    with desk.database.begin() as transaction:
        campaigns.put(transaction, lead, marked, [{"smart_campaign_id": 7}])
        campaigns.mark(transaction, [1])
    assert desk.value("SELECT count(*) FROM campaign_membership") == 0
    assert desk.value("SELECT count(*) FROM campaign_read") == 0


def test_all_leads_are_entered_in_steps_and_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "ENTERED_AT_ONCE", 10)
    desk.run(
        "INSERT INTO lead (id, _deleted_at) SELECT n, CASE WHEN n %% 5 = 0 THEN now() END FROM generate_series(1, %s) n",
        50,
    )
    before = desk.value("SELECT now()")
    seen: list[int] = []
    while chosen := campaigns.next_leads(desk.database, 8, before=before)[0]:
        for lead, marked in chosen:
            with desk.database.begin() as transaction:
                campaigns.put(transaction, lead, marked, [])
            seen.append(lead)
    assert seen == sorted((n for n in range(1, 51) if n % 5), reverse=True)
    assert desk.value("SELECT below FROM campaign_walk") == 0


def test_views_outlive_columns_that_come_and_go(desk: Desk) -> None:
    desk.fields()
    desk.run("INSERT INTO lead (id, first_name) VALUES (1, 'Ada')")
    desk.run("INSERT INTO lead (id, first_name, _deleted_at, _merged_into_id) VALUES (2, 'Old', now(), 1)")
    with desk.database.begin() as transaction:
        columns.add_columns(transaction, [("shoe_size", FieldFacts("shoeSize", "Shoe Size", "integer"))])
    desk.run("UPDATE lead SET shoe_size = 38 WHERE id = 1")
    resolved = "SELECT surviving_id, is_living, (survivor).shoe_size FROM lead_resolved WHERE lead_id = 2"
    assert desk.run(resolved) == [(1, True, 38)]
    desk.run("DROP VIEW lead_editable")
    desk.run("ALTER TABLE lead DROP COLUMN first_name")
    desk.run("ALTER TABLE lead ALTER COLUMN lead_score TYPE text")
    assert desk.run(resolved) == [(1, True, 38)]
    assert desk.run("SELECT to_jsonb(survivor) ->> 'shoe_size' FROM lead_resolved WHERE lead_id = 1") == [
        ("38",)
    ]


def test_a_funnel_has_every_status_in_its_order_and_what_the_channel_does_not_list(desk: Desk) -> None:
    desk.run("INSERT INTO program (id, name, channel) VALUES (1, 'One', 'Webinar'), (2, 'None', 'Unknown')")
    statuses = [
        {"channel": "Webinar", "status": name, "step": step, "success": step == 30, "hidden": False}
        for step, name in enumerate(("Not in Program", "Invited", "Registered", "Attended"))
        for step in [step * 10]
    ]
    with desk.database.begin() as transaction:
        assert state.put_assets(transaction, "channel_status", statuses) == 4
    with desk.database.begin() as transaction:
        assert state.put_assets(transaction, "channel_status", statuses) == 0
    desk.run(
        "INSERT INTO program_membership (program_id, lead_id, status, reached_success) VALUES (1, 1, 'Invited', false), "
        "(1, 2, 'Invited', true), (1, 3, 'Attended', true), (1, 4, 'Of old', false), (2, 1, 'Member', false)"
    )
    told = "step, status, is_success, members, members_this_far, share_of_members, members_with_success"
    funnel = f"SELECT {told} FROM program_funnel "
    assert [(*r[:5], float(r[5]), r[6]) for r in desk.run(funnel + "WHERE program_id = 1 ORDER BY step")] == [
        (10, "Invited", False, 2, 3, 0.5, 1),
        (20, "Registered", False, 0, 1, 0, 0),
        (30, "Attended", True, 1, 1, 0.25, 1),
        (None, "Of old", None, 1, None, 0.25, 0),
    ]
    assert desk.run(funnel + "WHERE program_id = 2")[0][:5] == (None, "Member", None, 1, None)


def test_a_member_named_twice_or_oddly_stops_no_page(desk: Desk) -> None:
    number = memberships.start_sweep(desk.database)
    page = [{"lead_id": 1, "status": "A", "custom": {"x": "a\0b"}, "reached_success_at": None}] * 2
    memberships.keep_page(desk.database, number, page, program=9)
    with desk.database.begin() as transaction:
        memberships.swap(transaction, "program", 9, number, datetime(2026, 1, 2, tzinfo=UTC))
    assert desk.run("SELECT lead_id, status_type, custom FROM program_membership") == [(1, "A", {"x": "ab"})]
