"""Marketo to PostgreSQL: what happens there is seen here, whatever the log and the files look like."""

import pytest

from syncd import simulator as marketo
from syncd.errors import Retryable, SyncdError, WorkFailed
from syncd.mirror import backfill, changes, dirty, schema
from tests.sync.inside import CHANGES, EXPORT_FILE, READ, Inside

CREATE = "POST /bulk/v1/leads/export/create.json"
ENQUEUE = "POST /bulk/v1/leads/export/{exportId}/enqueue.json"


def versions(inside: Inside) -> dict[int, str]:
    """The row version of every lead: it changes with each write."""
    return {row["id"]: str(row["xmin"]) for row in inside.sql("SELECT id, xmin::text FROM lead")}


def test_a_second_round_after_a_quiet_time_writes_nothing(filled: Inside) -> None:
    filled.catch_up()
    before = versions(filled)
    assert len(before) == 200
    filled.catch_up()
    backfill.pull(filled.feeds, full=True)
    schema.pull(filled.feeds)
    assert versions(filled) == before
    filled.proven()
    assert versions(filled) == before


def test_own_writes_that_come_back_through_the_log_write_nothing_and_cost_one_read_for_all(
    filled: Inside,
) -> None:
    filled.catch_up()
    rows = filled.carry_all(
        [("update_only", {"id": lead, "lastName": f"Own {lead}"}) for lead in range(1, 41)]
    )
    assert {row["status"] for row in rows} == {"succeeded"}
    filled.simulator.reset_calls()
    filled.catch_up()
    assert filled.calls(READ) == 1
    before = versions(filled)
    filled.catch_up()
    assert versions(filled) == before
    assert filled.calls(READ) == 1


def test_edits_deletions_merges_and_chains_of_merges_are_seen(filled: Inside) -> None:
    filled.simulator.edit_lead(3, lastName="Edited", leadScore=77, doNotCall=True, dateOfBirth="1970-02-03")
    filled.simulator.delete_lead(4)
    born = filled.simulator.create_lead(email="born@example.com", lastName="Born")
    filled.simulator.merge_leads(10, [11, 12])
    filled.simulator.merge_leads(13, [10])
    filled.catch_up()
    edited = filled.lead(3)
    assert edited is not None
    assert (edited["last_name"], edited["lead_score"], edited["do_not_call"]) == ("Edited", 77, True)
    assert str(edited["date_of_birth"]) == "1970-02-03"
    assert filled.value("SELECT last_name FROM lead WHERE id = %s", born) == "Born"
    gone = filled.sql("SELECT id, _merged_into_id FROM lead WHERE _deleted_at IS NOT NULL ORDER BY id")
    assert [(row["id"], row["_merged_into_id"]) for row in gone] == [(4, None), (10, 13), (11, 13), (12, 13)]
    chain = filled.value(
        "WITH RECURSIVE way AS (SELECT id, _merged_into_id FROM lead WHERE id = 11 UNION ALL "
        "SELECT l.id, l._merged_into_id FROM way w JOIN lead l ON l.id = w._merged_into_id) SELECT max(id) FROM way"
    )
    assert chain == 13
    filled.proven()


def test_a_paging_token_that_marketo_no_longer_takes_is_rebuilt_and_nothing_is_lost(filled: Inside) -> None:
    filled.catch_up()
    filled.simulator.edit_lead(5, lastName="While broken")
    filled.simulator.delete_lead(6)
    filled.sql("UPDATE cursor SET token = 'NONSENSE', reached_at = now() - interval '10 minutes'")
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "While broken"
    assert filled.value("SELECT _deleted_at IS NOT NULL FROM lead WHERE id = 6")
    filled.proven()


class TestSparsePages:
    @pytest.fixture
    def options(self) -> marketo.Options:
        return marketo.Options(
            leads=200,
            limits=False,
            export_seconds=0.1,
            race_ms=0,
            scan_block=40,
            sparse_pages=True,
            history_days=60,
        )

    def test_an_empty_page_with_more_to_come_ends_no_round(self, filled: Inside) -> None:
        filled.catch_up()
        for lead in range(20, 160):
            filled.simulator.create_list(f"Noise {lead}", [lead, lead + 1])
            if lead % 20 == 0:
                filled.simulator.edit_lead(lead, lastName=f"Sparse {lead}")
        filled.simulator.reset_calls()
        filled.catch_up()
        assert filled.calls(CHANGES) > 4
        for lead in range(20, 160, 20):
            assert filled.value("SELECT last_name FROM lead WHERE id = %s", lead) == f"Sparse {lead}"
        filled.proven()


class TestNastySubscription:
    @pytest.fixture
    def options(self) -> marketo.Options:
        return marketo.Options.of(
            profile="nasty",
            leads=400,
            limits=False,
            export_seconds=0.1,
            history_days=60,
            commit_lag=0.2,
            file_delay=0.3,
        )

    def test_newlines_quotes_nuls_late_files_and_formulas_end_up_equal_on_both_sides(
        self, filled: Inside
    ) -> None:
        formulas = [f.column for f in _mirrored(filled) if not f.exportable]
        assert formulas
        assert filled.value(f"SELECT count(*) FROM lead WHERE {formulas[0]} IS NOT NULL") > 0
        for lead in range(1, 40):
            filled.simulator.edit_lead(lead, lastName=f'"N\0asty"\r\n\u2028,{lead}', title="NULL")
        filled.catch_up()
        assert filled.value("SELECT title FROM lead WHERE id = 7") == "NULL"
        assert filled.value("SELECT last_name FROM lead WHERE id = 7") == '"Nasty"\r\n\u2028,7'
        filled.until(lambda: not filled.catch_up()["read"])
        filled.proven()
        # Bulk files cannot tell the word null from no value: such rows are read again, and not looked at here.
        ambiguous = {
            row["id"]
            for row in filled.sql("""SELECT id FROM lead l WHERE to_jsonb(l)::text LIKE '%"null"%'""")
        }
        before = versions(filled)
        backfill.pull(filled.feeds, full=True)
        dirty.pull(filled.feeds)
        after = versions(filled)
        assert {lead for lead in before if after[lead] != before[lead]} <= ambiguous
        assert len(ambiguous) < 40


def _mirrored(inside: Inside) -> list[object]:
    from syncd.database import leads

    with inside.app.database.begin() as transaction:
        return list(leads.mirrored_fields(transaction))


def test_a_value_that_does_not_fit_its_column_is_kept_aside_and_stops_no_page(inside: Inside) -> None:
    inside.simulator.add_field("shoeSize", "integer", "Shoe Size")
    inside.fill()
    inside.sql("CREATE VIEW shoes AS SELECT shoe_size FROM lead")
    inside.simulator.edit_field("shoeSize", dataType="string")
    inside.simulator.edit_lead(5, shoeSize="quite large", lastName="Fits")
    inside.simulator.edit_lead(6, lastName="Beside")
    schema.pull(inside.feeds)
    counts = inside.catch_up()
    assert counts["unparsed"] == 1
    lead = inside.lead(5)
    assert lead is not None
    assert (lead["shoe_size"], lead["_unparsed"], lead["last_name"]) == (
        None,
        {"shoeSize": "quite large"},
        "Fits",
    )
    assert inside.value("SELECT last_name FROM lead WHERE id = 6") == "Beside"
    inside.proven()
    backfill.pull(inside.feeds, full=True)
    inside.proven()
    inside.simulator.edit_lead(5, shoeSize="43")
    inside.catch_up()
    lead = inside.lead(5)
    assert lead is not None
    assert (lead["shoe_size"], lead["_unparsed"]) == (43, None)


def test_a_new_field_gets_a_column_that_is_filled_and_one_that_goes_keeps_its_values(filled: Inside) -> None:
    filled.catch_up()
    filled.simulator.add_field("shoeSize", "integer", "Shoe Size")
    filled.simulator.edit_lead(5, shoeSize=43)
    schema.pull(filled.feeds)
    backfill.pull(filled.feeds)
    dirty.pull(filled.feeds)
    assert filled.value("SELECT shoe_size FROM lead WHERE id = 5") == 43
    filled.simulator.edit_field("shoeSize", isHidden=True)
    schema.pull(filled.feeds)
    filled.simulator.edit_lead(6, lastName="After")
    filled.proven()
    assert filled.value("SELECT shoe_size FROM lead WHERE id = 5") == 43
    assert filled.value("SELECT _removed_at IS NOT NULL FROM lead_field WHERE name = 'shoeSize'")


def test_a_field_that_goes_between_two_looks_at_the_schema_does_not_stop_the_mirror(filled: Inside) -> None:
    filled.simulator.add_field("shoeSize", "integer", "Shoe Size")
    filled.fill()
    filled.simulator.edit_field("shoeSize", isHidden=True)
    filled.simulator.edit_lead(6, lastName="After")
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 6") == "After"


def test_many_fields_make_a_long_address_and_travel_as_a_form(inside: Inside) -> None:
    for number in range(300):
        inside.simulator.add_field(f"aFieldWithAnAlmostEndlessName{number}")
    inside.fill()
    inside.simulator.edit_lead(5, lastName="Long", aFieldWithAnAlmostEndlessName299="here")
    inside.catch_up()
    column = inside.value(
        "SELECT column_name FROM lead_field WHERE name = 'aFieldWithAnAlmostEndlessName299'"
    )
    assert inside.value(f"SELECT {column} FROM lead WHERE id = 5") == "here"
    inside.proven()


class TestExports:
    @pytest.fixture
    def options(self) -> marketo.Options:
        return marketo.Options(
            leads=200, limits=False, export_seconds=0.1, race_ms=0, history_days=60, file_delay=0.5
        )

    @pytest.fixture(autouse=True)
    def _in_a_hurry(self, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inside.app.clock, "random", lambda: 0.05)

    def test_failed_jobs_late_files_and_broken_downloads_end_in_a_whole_mirror(self, inside: Inside) -> None:
        schema.pull(inside.feeds)
        inside.simulator.fail_jobs(1)
        inside.simulator.fault("truncate", EXPORT_FILE, phase="after", count=2)
        inside.simulator.fault("error", ENQUEUE, code="1029", message="Too many jobs (10) in queue", count=0)
        inside.simulator.fault("http", EXPORT_FILE, status=503, count=1)
        counts = backfill.pull(inside.feeds)
        assert counts["leads"] == 200
        windows = inside.value("SELECT count(*) FROM backfill_window WHERE state = 'done'")
        assert inside.calls(CREATE) == windows + 1
        assert inside.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'staging%%'") == 0
        inside.proven()

    def test_a_download_that_breaks_off_goes_on_at_the_byte_where_it_stopped(self, inside: Inside) -> None:
        schema.pull(inside.feeds)
        inside.simulator.fault("truncate", EXPORT_FILE, phase="after", count=1)
        backfill.pull(inside.feeds)
        windows = inside.value("SELECT count(*) FROM backfill_window WHERE state = 'done'")
        assert inside.calls(CREATE) == windows
        assert inside.value("SELECT sum(rows) FROM backfill_window") == 200
        inside.proven()

    def test_a_backfill_that_fails_for_good_says_why_and_goes_on_when_it_is_mended(
        self, inside: Inside
    ) -> None:
        schema.pull(inside.feeds)
        inside.simulator.fail_jobs(9, "the disk of Marketo is full")
        with pytest.raises(WorkFailed, match="the disk of Marketo is full"):
            backfill.pull(inside.feeds)
        inside.simulator.fail_jobs(0)
        run = inside.sql("SELECT outcome, error FROM run WHERE feed = 'backfill' ORDER BY id DESC LIMIT 1")[0]
        assert run["outcome"] == "failed"
        assert "the disk of Marketo is full" in run["error"]


def test_a_backfill_with_the_day_s_export_volume_used_up_waits_for_the_next_day(inside: Inside) -> None:
    schema.pull(inside.feeds)
    inside.simulator.fault("error", CREATE, code="1029", message="Export daily quota 500MB exceeded.")
    with pytest.raises(SyncdError, match="quota"):
        backfill.pull(inside.feeds)
    paused = inside.sql("SELECT what, until > now() AS later FROM quota_pause")
    assert paused == [{"what": "export", "later": True}]


def test_tokens_that_expire_or_are_revoked_in_the_middle_cost_one_token_each_and_nothing_is_lost(
    inside: Inside,
) -> None:
    inside.simulator.fault("expire_token", CREATE)
    inside.simulator.fault("revoke_token", EXPORT_FILE)
    inside.fill()
    inside.simulator.edit_lead(5, lastName="Changed")
    inside.simulator.fault("expire_token", READ)
    inside.catch_up()
    assert inside.calls("POST /identity/oauth/token") == 4
    inside.proven()


def test_a_read_that_goes_wrong_for_a_while_is_repeated_and_no_page_is_skipped(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.simulator.edit_lead(5, lastName="Changed")
    monkeypatch.setattr(filled.app.clock, "random", lambda: 0.05)
    for kind in ("error", "http", "reset", "malformed", "truncate"):
        filled.simulator.fault(kind, CHANGES, phase="after")
    filled.simulator.fault("timeout", READ, seconds=0.1)
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "Changed"
    filled.proven()


def test_a_feed_whose_page_cannot_be_read_keeps_its_place(
    filled: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.catch_up()
    filled.simulator.edit_lead(5, lastName="Changed")
    monkeypatch.setattr(filled.app.clock, "random", lambda: 0.001)
    filled.simulator.fault("http", CHANGES, count=None)
    before = filled.sql("SELECT * FROM cursor ORDER BY feed")
    with pytest.raises(Retryable):
        changes.pull(filled.feeds)
    assert [row["token"] for row in filled.sql("SELECT * FROM cursor ORDER BY feed")] == [
        row["token"] for row in before
    ]
    assert filled.value("SELECT outcome FROM run WHERE feed = 'changes' ORDER BY id DESC LIMIT 1") == "failed"
    filled.simulator.clear_faults()
    filled.catch_up()
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == "Changed"


@pytest.mark.parametrize(
    ("told", "kept"),
    [(r'"x\ud83dy"', "x\ufffdy"), ("1e200000", None), ("9" * 5000, "9" * 5000)],
    ids=["half a surrogate pair", "a number that PostgreSQL can't hold", "a number that Python can't read"],
)
def test_whatever_a_page_holds_it_is_written(filled: Inside, told: str, kept: str | None) -> None:
    filled.catch_up()
    filled.simulator.edit_lead(5, lastName="Whole")
    filled.simulator.edit_lead(6, lastName="Beside")
    changes.pull(filled.feeds)
    leads = f'{{"id": 5, "lastName": {told}}}, {{"id": 6, "lastName": "Read"}}'
    page = f'{{"requestId": "a#b", "success": true, "result": [{leads}]}}'
    filled.simulator.fault("http", "GET /rest/v1/leads.json", status=200, body=page)
    dirty.pull(filled.feeds)
    assert filled.value("SELECT last_name FROM lead WHERE id = 5") == kept
    assert filled.value("SELECT last_name FROM lead WHERE id = 6") == "Read"
    assert filled.value("SELECT count(*) FROM dirty_lead") == 0
