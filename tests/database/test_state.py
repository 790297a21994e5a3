"""The plain bookkeeping: cursors, runs, windows, pauses, assets, fields."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors

from syncd.core.fields import FieldFacts
from syncd.database import state
from tests.database.desk import STANDARD, Desk

START = datetime(2026, 1, 1, tzinfo=UTC)


def spans(count: int) -> list[tuple[datetime, datetime]]:
    return [
        (START + timedelta(days=31 * n), START + timedelta(days=31 * (n + 1)) - timedelta(seconds=1))
        for n in range(count)
    ]


# --- cursors --------------------------------------------------------------------------------------


def place(token: str) -> state.Cursor:
    return state.Cursor(token, datetime(2026, 1, 2, tzinfo=UTC))


def moved(desk: Desk, token: str, effect: Callable[[], object]) -> None:
    with desk.database.begin() as transaction:
        state.move_cursor(transaction, "lead_changes", place(token))
        effect()


def test_a_cursor_starts_once_and_moves_with_the_transaction_of_its_page(desk):
    assert state.cursor(desk.database, "lead_changes") is None
    state.start_cursor(desk.database, "lead_changes", place("A"))
    state.start_cursor(desk.database, "lead_changes", place("B"))
    assert state.cursor(desk.database, "lead_changes") == place("A")

    with pytest.raises(ZeroDivisionError):
        moved(desk, "C", lambda: 1 / 0)
    assert state.cursor(desk.database, "lead_changes") == place("A")
    moved(desk, "C", lambda: None)
    assert state.cursor(desk.database, "lead_changes") == place("C")
    assert state.cursor(desk.database, "deleted_leads") is None


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_has_a_beginning_and_an_end_and_says_what_it_did(desk):
    assert state.seconds_since_run(desk.database, "changes") == (None, None)
    run = state.start_run(desk.database, "changes")
    age, outcome = state.seconds_since_run(desk.database, "changes")
    assert (outcome, 0 <= (age or 0) < 60) == ("running", True)
    state.end_run(desk.database, run, "failed", {"read": 3}, "no luck")
    assert desk.run("SELECT outcome, counts, finished_at IS NOT NULL FROM run") == [
        ("failed", {"read": 3}, True)
    ]
    assert state.seconds_since_run(desk.database, "changes")[1] == "failed"


def test_a_run_that_was_cut_off_is_closed_by_the_next_of_its_feed(desk):
    state.start_run(desk.database, "changes")
    other = state.start_run(desk.database, "schema")
    state.start_run(desk.database, "changes")
    assert desk.run("SELECT outcome FROM run ORDER BY id") == [("stopped",), ("running",), ("running",)]
    assert other == 2


def test_only_the_latest_runs_of_each_feed_are_kept(desk):
    desk.run(
        "INSERT INTO run (feed, outcome, finished_at) SELECT 'changes', 'done', now() FROM generate_series(1, 1200)"
    )
    state.start_run(desk.database, "schema")
    with desk.database.begin() as transaction:
        assert transaction.run("run_prune") == 200
    assert desk.run("SELECT feed, count(*), min(id) FROM run GROUP BY 1 ORDER BY 1") == [
        ("changes", 1000, 201),
        ("schema", 1, 1201),
    ]


# --- windows --------------------------------------------------------------------------------------


def test_windows_go_from_planned_to_done_newest_first(desk):
    state.plan_windows(desk.database, spans(3), anew=False)
    windows = state.windows(desk.database)
    assert [(w.starts_at, w.ends_at) for w in windows] == list(reversed(spans(3)))
    newest = windows[0].id
    moment = state.now(desk.database)
    state.window_created(desk.database, newest, "export-1", ["id"])
    state.window_queued(desk.database, newest, moment)
    window = state.windows(desk.database)[0]
    assert (window.state, window.export_id, window.exported_at) == ("queued", "export-1", moment)
    with desk.database.begin() as transaction:
        proof = {"rows": 5, "bytes": 100, "checksum": "sha256:x", "unparsed": 1}
        assert transaction.run("window_done", id=newest, export_id="export-0", **proof) == 0
        assert transaction.run("window_done", id=newest, export_id="export-1", **proof) == 1
    assert state.windows(desk.database)[0].state == "done"


def test_a_window_whose_job_came_to_nothing_is_planned_again(desk):
    state.plan_windows(desk.database, spans(1), anew=False)
    (window,) = state.windows(desk.database)
    state.window_created(desk.database, window.id, "export-1", ["id"])
    state.window_again(desk.database, window.id)
    (window,) = state.windows(desk.database)
    assert (window.state, window.export_id, window.exported_at) == ("planned", None, None)


def test_planning_again_keeps_what_is_done_and_planning_anew_forgets_it(desk):
    state.plan_windows(desk.database, spans(1), anew=False)
    desk.run(
        "UPDATE backfill_window SET state = 'done', export_id = 'x', rows = 0, bytes = 0, finished_at = now()"
    )
    state.plan_windows(desk.database, spans(2), anew=False)
    assert [w.state for w in state.windows(desk.database)] == ["planned", "done"]
    state.plan_windows(desk.database, spans(2), anew=True)
    assert [w.state for w in state.windows(desk.database)] == ["planned", "planned"]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'done'",
        "state = 'queued'",
        "state = 'lost', export_id = 'x'",
        "export_id = 'x'",
        "ends_at = starts_at - interval '1 second'",
    ],
)
def test_a_window_that_makes_no_sense_is_refused(desk, change):
    state.plan_windows(desk.database, spans(1), anew=False)
    with pytest.raises(errors.CheckViolation):
        desk.run(f"UPDATE backfill_window SET {change}")


# --- pauses ---------------------------------------------------------------------------------------


def test_a_pause_lasts_until_its_time(desk):
    assert state.paused(desk.database, "export") is None
    until = datetime.now(UTC) + timedelta(hours=1)
    state.pause(desk.database, "export", until, "Export daily quota 500MB exceeded.")
    assert state.paused(desk.database, "export") == until
    assert state.paused(desk.database, "calls") is None
    state.pause(desk.database, "export", datetime.now(UTC) - timedelta(seconds=1), "over")
    assert state.paused(desk.database, "export") is None


# --- assets ---------------------------------------------------------------------------------------

TABLES = {
    "partition": "lead_partition",
    "static_list": "static_list",
    "program": "program",
    "smart_campaign": "smart_campaign",
}


@pytest.mark.parametrize("kind", TABLES)
def test_assets_become_what_marketo_lists_and_only_what_differs_is_written(desk, kind):
    def put(*items: dict) -> int:
        with desk.database.begin() as transaction:
            return state.put_assets(transaction, kind, items)

    def rows() -> list[tuple]:
        return desk.run(f"SELECT id, name, _removed_at IS NULL FROM {TABLES[kind]} ORDER BY id")

    one, two = {"id": 1, "name": "One"}, {"id": 2, "name": "Two\0", "description": "the text \\u0000"}
    assert put(one, two) == 2
    assert put(one, two) == 0
    assert rows() == [(1, "One", True), (2, "Two", True)]
    assert put({**one, "name": "Uno"}) == 1
    assert rows() == [(1, "Uno", True), (2, "Two", False)]
    assert put(one, two) == 2
    assert rows() == [(1, "One", True), (2, "Two", True)]
    assert put() == 0
    assert [here for _, _, here in rows()] == [False, False]


# --- fields ---------------------------------------------------------------------------------------


def test_fields_are_written_where_they_differ_and_noted_where_they_are_gone(desk):
    desk.fields()
    assert desk.fields() == (0, [])
    renamed = FieldFacts("leadScore", "Score of the Lead", "score")
    others = [f for f in STANDARD if f.name not in {"leadScore", "firstName"}]
    assert desk.fields([*others, renamed]) == (1, ["firstName"])
    assert desk.value("SELECT display_name FROM lead_field WHERE name = 'leadScore'") == "Score of the Lead"
    assert desk.value("SELECT column_name FROM lead_field WHERE name = 'leadScore'") == "lead_score"
    assert desk.fields([*others, renamed]) == (0, [])


def test_a_field_that_comes_back_has_its_old_column_with_its_values(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    desk.fields([f for f in STANDARD if f.name != "firstName"])
    with desk.database.begin() as transaction:
        assert "first_name" in state.lead_columns(transaction)
    assert desk.fields() == (1, [])
    assert desk.lead(1)["first_name"] == "A"


def test_a_field_that_is_gone_is_no_longer_mirrored_or_compared(desk):
    desk.fields()
    desk.fields([f for f in STANDARD if f.name != "firstName"])
    desk.page([{"id": 1, "firstName": "A", "leadScore": 5}])
    assert (desk.lead(1)["first_name"], desk.lead(1)["lead_score"]) == (None, 5)
