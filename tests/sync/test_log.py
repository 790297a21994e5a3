"""The log of changes: worn-out tokens, entries that come late, leads that come back, merges in any order."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from syncd import simulator as marketo
from syncd.errors import Refused, WorkFailed
from syncd.marketo.models import Activity
from syncd.mirror import changes, dirty
from tests.sync.inside import CHANGES, Inside

DELETED = "GET /rest/v1/activities/deletedleads.json"


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=40,
        lists=1,
        programs=1,
        campaigns=1,
        history_days=20,
        limits=False,
        export_seconds=0.1,
        race_ms=0,
    )


def told(kind: int, lead: int, *, at: datetime, primary: int | None = None) -> Activity:
    return Activity("g", lead, at, kind, primary, None, {}, (), None)


def test_a_log_that_refuses_its_new_token_too_keeps_the_time_until_which_it_was_read(filled: Inside) -> None:
    """What happened before the first refusal is still read, however often it is tried in between."""
    filled.catch_up()
    filled.simulator.edit_lead(5, lastName="Before The Trouble")
    read_until = "SELECT reached_at FROM cursor WHERE feed = 'lead_changes'"
    filled.sql("UPDATE cursor SET token = 'WORN', reached_at = reached_at - interval '20 minutes'")
    before = filled.value(read_until)
    filled.simulator.fault("error", CHANGES, code="1003", message="Invalid nextPageToken", count=None)
    for _ in range(2):
        with pytest.raises(Refused):
            changes.pull(filled.feeds)
        assert filled.value(read_until) == before
    filled.simulator.clear_faults()
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "Before The Trouble"
    assert filled.value(read_until) > before


def test_a_token_that_is_worn_out_in_the_middle_of_a_backlog_loses_none_of_it(filled: Inside) -> None:
    """The place is where the log was read to, not when it was last read."""
    filled.catch_up()
    filled.simulator.advance(7200)
    filled.sql("UPDATE cursor SET updated_at = now()")
    filled.simulator.edit_lead(5, lastName="In The Backlog")
    filled.simulator.advance(7200)
    filled.sql("UPDATE cursor SET token = 'WORN'")
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "In The Backlog"


@pytest.mark.parametrize(
    ("oldest", "begins"),
    [(timedelta(hours=3), timedelta(hours=3)), (timedelta(days=20), timedelta(0))],
    ids=["hours ago", "before what Marketo keeps"],
)
def test_the_logs_begin_before_the_oldest_row_where_the_outbox_wrote_first(
    filled: Inside, oldest: timedelta, begins: timedelta
) -> None:
    """Only the log tells into whom a lead was merged that the mirror had before the logs were followed."""
    filled.sql("DELETE FROM cursor")
    filled.sql("UPDATE lead SET _synced_at = now() - %s WHERE id = 5", oldest)
    expected = datetime.now(UTC) - begins - changes.LEAST_OVERLAP
    changes.start(filled.feeds)
    reached = [row["reached_at"] for row in filled.sql("SELECT reached_at FROM cursor")]
    assert len(reached) == 3
    assert all(abs(moment - expected) < timedelta(minutes=1) for moment in reached)


class TestLate:
    @pytest.fixture
    def options(self) -> marketo.Options:
        return marketo.Options(
            leads=40, lists=1, programs=1, campaigns=1, history_days=20, limits=False, export_seconds=0.1,
            race_ms=0, commit_lag=900.0,
        )  # fmt: skip

    def test_entries_that_are_committed_late_are_seen_with_the_token_and_without_it(
        self, filled: Inside
    ) -> None:
        filled.catch_up()
        for lead in range(1, 21):
            filled.simulator.edit_lead(lead, lastName="Late")
        filled.catch_up()
        seen = filled.value("SELECT count(*) FROM lead WHERE last_name = 'Late'")
        assert 0 < seen < 20, "some of them must be late, or this shows nothing"
        filled.sql("UPDATE cursor SET token = 'WORN'")
        filled.catch_up()
        filled.simulator.advance(1000)
        filled.catch_up()
        assert filled.value("SELECT count(*) FROM lead WHERE last_name = 'Late'") == 20


def test_a_lead_whose_id_is_seen_again_after_its_deletion_lives_again(filled: Inside) -> None:
    filled.catch_up()
    filled.sql("UPDATE lead SET _deleted_at = now() WHERE id = 7")
    filled.sql("DELETE FROM campaign_read WHERE lead_id = 7")
    filled.simulator.edit_lead(7, lastName="Back")
    filled.catch_up()
    lead = filled.lead(7)
    assert lead is not None
    assert (lead["_deleted_at"], lead["_merged_into_id"], lead["last_name"]) == (None, None, "Back")
    assert filled.value("SELECT count(*) FROM campaign_read WHERE lead_id = 7") == 1
    filled.proven()


def test_a_deletion_that_is_told_again_does_not_bury_a_lead_that_was_seen_since(filled: Inside) -> None:
    filled.catch_up()
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    with filled.app.database.begin() as transaction:
        changes._retire(transaction, [told(37, 7, at=long_ago)], Counter())
    assert filled.lead(7)["_deleted_at"] is None
    filled.simulator.reset_calls()
    dirty.pull(filled.feeds)
    assert filled.lead(7)["_deleted_at"] is None
    filled.simulator.delete_lead(8)
    changes.pull(filled.feeds)
    assert filled.lead(8)["_deleted_at"] is not None
    filled.proven()


def test_a_change_of_stream_or_cadence_lets_the_membership_be_read_again(filled: Inside) -> None:
    now = datetime.now(UTC)
    kinds = (changes.ADD_TO_NURTURE, changes.CHANGE_STREAM, changes.CHANGE_CADENCE)
    with filled.app.database.begin() as transaction:
        items = [told(kind, lead, at=now, primary=1001) for lead, kind in enumerate(kinds, 1)]
        changes._follow(transaction, items, Counter())
    assert set(kinds) < set(changes.TOLD)
    assert len(changes.TOLD) <= 10
    assert [r["lead_id"] for r in filled.sql("SELECT lead_id FROM dirty_member ORDER BY 1")] == [1, 2, 3]


def test_an_entry_that_names_no_list_or_program_stops_no_page(filled: Inside) -> None:
    now = datetime.now(UTC)
    kinds = (changes.ADD_TO_LIST, changes.REMOVE_FROM_LIST, changes.CHANGE_STATUS)
    with filled.app.database.begin() as transaction:
        changes._follow(transaction, [told(kind, 1, at=now) for kind in kinds], Counter())
    assert filled.value("SELECT count(*) FROM dirty_member") == 0


def test_the_log_is_not_read_before_the_fields_are_known(inside: Inside) -> None:
    with pytest.raises(WorkFailed, match="pull schema"):
        changes.pull(inside.feeds)
    assert inside.sql("SELECT FROM cursor") == []
