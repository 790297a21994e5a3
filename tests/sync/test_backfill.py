"""The backfill under quotas, refusals and long absences; the simulator plays them all."""

from collections.abc import Iterator
from typing import Any

import pytest

from syncd import simulator as marketo
from syncd.database import walks
from syncd.database.queries import names
from syncd.errors import QuotaExhausted, Retryable, WorkFailed
from syncd.mirror import backfill, changes, reconcile, schema
from syncd.settings import Settings
from syncd.status import snapshot
from syncd.wiring import App
from tests.support import plans
from tests.support.rounds import every_feed
from tests.sync.inside import EXPORT_FILE, Inside

CREATE = "POST /bulk/v1/leads/export/create.json"
ENQUEUE = "POST /bulk/v1/leads/export/{exportId}/enqueue.json"
DAY = 86_400


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=300, limits=False, export_seconds=0.2, race_ms=0, history_days=60)


@pytest.fixture
def conf(conf: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    conf["mirror"]["export_poll_seconds"] = 0.1
    return conf


@pytest.fixture
def ready(inside: Inside) -> Inside:
    """The house with its columns, and no leads yet."""
    schema.pull(inside.feeds)
    return inside


@pytest.fixture
def roomier(inside: Inside) -> Iterator[App]:
    """The same house with other settings, as after a restart."""
    settings = inside.app.settings.model_dump(by_alias=True)
    settings["budget"]["export_mb_per_day"] = 400
    app = App(Settings(**settings))
    yield app
    app.close()


def status(inside: Inside) -> dict[str, Any]:
    return snapshot.take(inside.app.database, inside.app.settings.budget)


def living(inside: Inside) -> int:
    return int(inside.value("SELECT count(*) FROM lead WHERE _deleted_at IS NULL"))


class TestVolume:
    def test_exports_are_counted_and_shown(self, filled: Inside) -> None:
        told = status(filled)["api"]
        size = int(filled.value("SELECT sum(bytes) FROM backfill_window"))
        assert told["export_mb_today"] == round(size / 1e6, 1)
        assert told["exports_under_way"] == 0
        assert filled.value("SELECT sum(bytes) FROM export_job") == size

    def test_a_window_that_is_more_than_a_day_allows_is_halved(self, ready: Inside) -> None:
        backfill.pull(ready.feeds)
        largest = ready.value("SELECT max(bytes) FROM backfill_window")
        before = ready.value("SELECT count(*) FROM backfill_window")
        ready.sql("DELETE FROM export_job")
        ready.sql("UPDATE backfill_window SET state = 'planned', export_id = NULL, finished_at = NULL")
        object.__setattr__(ready.app.settings.budget, "export_mb_per_day", largest * 0.9 / 1e6)
        with pytest.raises(QuotaExhausted, match="export_mb_per_day"):
            backfill.pull(ready.feeds)
        assert ready.value("SELECT count(*) FROM backfill_window") > before
        # Day after day goes by until all is there.
        for _ in range(20):
            ready.sql("UPDATE export_job SET day = day - 1")
            try:
                backfill.pull(ready.feeds)
                break
            except QuotaExhausted:
                continue
        assert ready.value("SELECT bool_and(state = 'done') FROM backfill_window")
        assert ready.value("SELECT sum(rows) FROM backfill_window") == 300
        assert living(ready) == 300

    def test_marketos_daily_quota_parks_until_the_reset_and_what_runs_is_finished(
        self, ready: Inside
    ) -> None:
        ready.simulator.fault(
            "error", CREATE, code=1029, message="Export daily quota 500MB exceeded.", skip=1
        )
        with pytest.raises(QuotaExhausted):
            backfill.pull(ready.feeds)
        assert ready.value("SELECT count(*) FROM backfill_window WHERE state = 'done'") == 1
        assert ready.value("SELECT count(*) FROM backfill_window WHERE state IN ('created', 'queued')") == 0
        assert [p["what"] for p in status(ready)["api"]["paused"]] == ["export"]
        calls = ready.simulator.calls()
        with pytest.raises(QuotaExhausted):
            backfill.pull(ready.feeds)
        assert ready.simulator.calls() == calls, "nothing is asked before the reset"
        ready.sql("DELETE FROM quota_pause")
        backfill.pull(ready.feeds)
        assert living(ready) == 300

    def test_a_full_queue_waits_and_what_is_queued_already_is_a_success(self, ready: Inside) -> None:
        ready.simulator.fault("error", ENQUEUE, code=1029, message="Too many jobs (10) in queue", count=2)
        ready.simulator.fault("reset", ENQUEUE, phase="after", skip=2)
        backfill.pull(ready.feeds)
        assert living(ready) == 300
        assert ready.value("SELECT count(*) FROM quota_pause") == 0

    def test_all_replicas_share_the_places(self, ready: Inside) -> None:
        ledger = ready.app.ledger
        leases = [ledger.export_begin(lane="verify", endpoint="x") for _ in range(2)]
        with pytest.raises(Retryable, match="places"):
            ledger.export_begin(lane="backfill", endpoint="x")
        ledger.export_known(leases[0], None)
        ledger.export_begin(lane="backfill", endpoint="x")

    def test_the_place_of_a_replica_that_died_is_free(self, ready: Inside) -> None:
        ledger = ready.app.ledger
        for _ in range(2):
            ledger.export_begin(lane="verify", endpoint="x")
        ready.sql("UPDATE export_job SET replica = 4711")
        ledger.export_begin(lane="backfill", endpoint="x")


class TestFiles:
    def test_a_file_that_comes_late_is_waited_for_without_another_export(self, ready: Inside) -> None:
        ready.simulator.set_options(file_delay=0.6)
        backfill.pull(ready.feeds)
        assert living(ready) == 300
        windows = ready.value("SELECT count(*) FROM backfill_window")
        assert ready.simulator.calls()[CREATE] == windows

    def test_a_broken_download_goes_on_by_range_and_is_proven(self, ready: Inside) -> None:
        ready.simulator.fault("truncate", EXPORT_FILE, phase="after", count=2)
        backfill.pull(ready.feeds)
        assert living(ready) == 300
        assert ready.simulator.calls()[CREATE] == ready.value("SELECT count(*) FROM backfill_window")

    def test_a_failed_job_is_made_again(self, ready: Inside) -> None:
        ready.simulator.fail_jobs(1)
        backfill.pull(ready.feeds)
        assert living(ready) == 300
        assert ready.simulator.calls()[CREATE] == ready.value("SELECT count(*) FROM backfill_window") + 1

    def test_an_id_that_comes_twice_is_written_once(
        self, ready: Inside, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from syncd.database import bulk, leads, staging

        fields = [f for f in _fields(ready) if f.name in {"id", "email"}]
        database = ready.app.database
        staging.create(database, "staging_twice", 1)
        staging.copy(database, "staging_twice", b"7,a@b.com\n7,a@b.com\n8,c@d.com\n")
        written = bulk.upsert(database, fields, "staging_twice", exported_at=ready.feeds.clock.now())
        assert written == leads.Written(2, 0)


class TestWithoutBulk:
    @pytest.mark.parametrize("code", [603, 1035, 610])
    def test_leads_are_read_by_the_ids_of_the_log(self, ready: Inside, code: int) -> None:
        ready.simulator.fault("error", CREATE, code=code, count=None)
        assert backfill.due(ready.feeds)
        backfill.pull(ready.feeds)
        assert living(ready) == 300
        assert not backfill.due(ready.feeds)
        told = status(ready)["backfill"]["by_pages"]
        assert told["state"] == "done"
        assert str(code) in told["reason"]

    def test_a_refused_field_is_not_taken_for_missing_exports(self, ready: Inside) -> None:
        ready.simulator.fault("error", CREATE, code=1003, count=1)
        backfill.pull(ready.feeds)
        assert status(ready)["backfill"]["by_pages"] is None
        assert living(ready) == 300

    def test_it_goes_on_where_it_was(self, ready: Inside) -> None:
        ready.simulator.fault("error", CREATE, code=603, count=None)
        ready.simulator.set_options(scan_block=100)
        ready.simulator.fault("error", "GET /rest/v1/activities.json", code=610, skip=3)
        with pytest.raises(Exception, match="610"):
            backfill.pull(ready.feeds)
        seen = status(ready)["backfill"]["by_pages"]["seen"]
        assert backfill.due(ready.feeds)
        tokens = ready.simulator.calls()["GET /rest/v1/activities/pagingtoken.json"]
        backfill.pull(ready.feeds)
        assert ready.simulator.calls()["GET /rest/v1/activities/pagingtoken.json"] == tokens
        assert living(ready) == 300
        assert status(ready)["backfill"]["by_pages"]["seen"] >= seen


class TestAbsence:
    @pytest.fixture
    def absent(self, filled: Inside) -> Inside:
        """Away for fifteen days, in which three leads were deleted and one was made."""
        changes.pull(filled.feeds)
        for lead in (5, 6, 7):
            filled.simulator.delete_lead(lead)
        filled.simulator.create_lead(email="new@example.com")
        filled.simulator.advance(15 * DAY)
        filled.sql("UPDATE cursor SET reached_at = reached_at - interval '15 days'")
        return filled

    @pytest.mark.parametrize("way", ["bulk", "pages"])
    def test_deletions_that_marketo_forgot_are_found(
        self, absent: Inside, way: str, monkeypatch: Any
    ) -> None:
        if way == "bulk":
            monkeypatch.setattr(reconcile, "CALLS_A_WINDOW", 0)
        absent.catch_up()
        assert reconcile.due(absent.feeds)
        assert living(absent) == 301
        reconcile.pull(absent.feeds)
        assert walks.get(absent.app.database, "reconcile").way == way
        assert living(absent) == 298
        assert absent.sql("SELECT id FROM lead WHERE _deleted_at IS NOT NULL ORDER BY id") == [
            {"id": 5}, {"id": 6}, {"id": 7},
        ]  # fmt: skip
        assert not reconcile.due(absent.feeds)
        assert absent.value("SELECT count(*) FROM missing_lead") == 0

    def test_the_brake_stops_and_a_person_lets_it_go_on_once(self, absent: Inside) -> None:
        object.__setattr__(absent.app.settings.mirror, "retire_at_most", 0.001)
        absent.catch_up()
        with pytest.raises(WorkFailed, match=reconcile.COMMAND):
            reconcile.pull(absent.feeds)
        told = status(absent)["reconcile"]
        assert (told["state"], told["would_retire"], told["command"]) == ("refused", 3, reconcile.COMMAND)
        assert living(absent) == 301
        assert not reconcile.due(absent.feeds)
        with pytest.raises(WorkFailed, match="brake"):
            reconcile.pull(absent.feeds)
        reconcile.pull(absent.feeds, retire=True)
        assert living(absent) == 298
        assert status(absent)["reconcile"]["state"] == "done"
        with pytest.raises(WorkFailed, match="no reconcile waits"):
            reconcile.pull(absent.feeds, retire=True)

    def test_the_permission_is_for_as_many_as_were_told(self, absent: Inside) -> None:
        object.__setattr__(absent.app.settings.mirror, "retire_at_most", 0.001)
        absent.catch_up()
        with pytest.raises(WorkFailed):
            reconcile.pull(absent.feeds)
        for lead in range(10, 20):
            absent.simulator.delete_lead(lead)
        with pytest.raises(WorkFailed, match="13 of"):
            reconcile.pull(absent.feeds, retire=True)
        assert living(absent) == 301

    @pytest.mark.parametrize("offered", [True, False])
    def test_changes_that_marketo_forgot_are_loaded_and_a_filter_is_asked_for_once(
        self, filled: Inside, offered: bool
    ) -> None:
        changes.pull(filled.feeds)
        filled.simulator.edit_lead(9, lastName="Meanwhile")
        filled.simulator.set_options(updated_at_filter=offered)
        for turn in (1, 2):
            filled.simulator.advance(91 * DAY)
            filled.sql("UPDATE cursor SET reached_at = now() - interval '91 days'")
            filled.simulator.reset_calls()
            filled.catch_up()
            assert backfill.due(filled.feeds)
            backfill.pull(filled.feeds)
            assert filled.value("SELECT last_name FROM lead WHERE id = 9") == "Meanwhile"
            assert not backfill.due(filled.feeds)
            by_change = filled.value("SELECT count(*) FROM backfill_window WHERE filter = 'updatedAt'")
            assert by_change == (3 if offered else 0)
            of_all = filled.value("SELECT count(*) FROM backfill_window WHERE filter = 'createdAt'")
            # Refused once, and not asked again.
            asked = 1 if turn == 1 and not offered else 0
            assert filled.calls(CREATE) == by_change + (0 if offered else of_all) + asked

    def test_a_short_absence_costs_nothing(self, filled: Inside) -> None:
        changes.pull(filled.feeds)
        filled.sql("UPDATE cursor SET reached_at = reached_at - interval '13 days'")
        filled.catch_up()
        assert not reconcile.due(filled.feeds)

    def test_a_token_that_marketo_no_longer_takes_is_rebuilt_with_overlap(self, filled: Inside) -> None:
        changes.pull(filled.feeds)
        filled.simulator.edit_lead(9, lastName="Meanwhile")
        filled.sql("UPDATE cursor SET token = 'worn-out', reached_at = reached_at - interval '1 hour'")
        filled.catch_up()
        assert filled.value("SELECT last_name FROM lead WHERE id = 9") == "Meanwhile"


class TestUnchanged:
    def test_a_second_load_of_the_same_leads_writes_no_row(self, filled: Inside) -> None:
        before = filled.sql("SELECT id, xmin::text FROM lead ORDER BY id")
        backfill.pull(filled.feeds, full=True)
        assert filled.sql("SELECT id, xmin::text FROM lead ORDER BY id") == before


def _fields(inside: Inside) -> Any:
    from syncd.database import leads

    with inside.app.database.begin() as transaction:
        return leads.mirrored_fields(transaction)


class TestPlans:
    def test_no_feed_scans_a_large_table_for_a_few_rows(self, inside: Inside, database_url: str) -> None:
        plans.fill(database_url, leads=60_000, memberships_each=2)
        with plans.watched() as watch:
            every_feed(inside.feeds, inside.simulator)
        assert watch.needless() == {}
        every = plans.of_all_statements(database_url)
        assert every.needless() == {}
        assert set(names()) == every.statements | plans.WITHOUT_PLAN.keys()
        assert {"upsert", "list_swap_in", "dirty_next", "lead_retire", "list_events"} <= watch.statements
