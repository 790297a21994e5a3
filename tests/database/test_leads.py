"""The table of leads: what is written, kept, retired and compared; nothing is written that is the same."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.fields import FieldFacts
from syncd.database import leads, state
from tests.database.desk import STANDARD, Desk
from tests.database.ways import LONG_AGO, TABLE, by_page, load, stage

# --- writing --------------------------------------------------------------------------------------


def written_at(desk: Desk, number: int) -> tuple[str, datetime]:
    ((xmin, synced_at),) = desk.run("SELECT xmin::text, _synced_at FROM lead WHERE id = %s", number)
    return xmin, synced_at


@pytest.mark.parametrize("way", [by_page, load], ids=["page", "file"])
def test_a_lead_that_is_the_same_is_not_written_again(desk, way):
    desk.fields()
    same = {
        "id": 1,
        "email": "a@b.com",
        "leadScore": 5,
        "unsubscribed": None,
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    way(desk, [same, {"id": 2, "firstName": "A"}])
    before = written_at(desk, 1), written_at(desk, 2)
    assert way(desk, [same, {"id": 2, "firstName": "B"}]).rows == 1
    assert written_at(desk, 1) == before[0]
    assert written_at(desk, 2) != before[1]


def test_touching_renews_the_time_of_leads_that_are_the_same(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    _, before = written_at(desk, 1)
    assert desk.page([{"id": 1, "firstName": "A"}], touch=True).rows == 1
    assert written_at(desk, 1)[1] > before


def test_a_page_writes_the_fields_that_were_asked_for_and_no_others(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A", "leadScore": 5}])
    desk.page([{"id": 1, "firstName": "B"}], "firstName")
    row = desk.lead(1)
    assert (row["first_name"], row["lead_score"]) == ("B", 5)
    desk.page([{"id": 1}], "firstName")
    assert (desk.lead(1)["first_name"], desk.lead(1)["lead_score"]) == (None, 5)


def test_a_value_that_fits_at_last_is_taken_out_of_unparsed_and_others_stay(desk):
    desk.fields()
    desk.page([{"id": 1, "leadScore": "many", "updatedAt": "never"}])
    desk.page([{"id": 1, "leadScore": 5}], "leadScore")
    assert (desk.lead(1)["lead_score"], desk.lead(1)["_unparsed"]) == (5, {"updatedAt": "never"})
    desk.page([{"id": 1, "updatedAt": "2026-01-01T00:00:00Z"}], "updatedAt")
    assert desk.lead(1)["_unparsed"] is None


def test_a_change_of_what_does_not_fit_is_a_change(desk):
    desk.fields()
    desk.page([{"id": 1, "leadScore": "many"}])
    assert desk.page([{"id": 1, "leadScore": "few"}]).rows == 1
    assert desk.page([{"id": 1, "leadScore": "few"}]).rows == 0


def test_a_lead_that_is_twice_in_a_page_or_file_is_written_once(desk):
    desk.fields()
    twice = [{"id": 1, "firstName": "A"}, {"id": 1, "firstName": "A"}]
    assert desk.page(twice).rows == 1
    desk.run("DELETE FROM lead")
    assert load(desk, twice).rows == 1


def test_an_empty_page_and_an_empty_file_do_nothing(desk):
    desk.fields()
    assert desk.page([]) == leads.Written(0, 0)
    assert load(desk, []) == leads.Written(0, 0)


def test_a_field_with_odd_characters_in_its_name_is_a_field_like_any_other(desk):
    name = '100% "sure" it\'s'
    desk.fields((*STANDARD, FieldFacts(name, "Sure", "integer")))
    column = desk.value("SELECT column_name FROM lead_field WHERE name = %s", name)
    records = [{"id": 1, name: 5}, {"id": 2, name: "x"}]
    for way in (by_page, load):
        desk.run("DELETE FROM lead")
        way(desk, records)
        assert desk.lead(1)[column] == 5
        assert desk.lead(2)["_unparsed"] == {name: "x"}
    fields = stage(desk, [{"id": 1, name: 6}, records[1]])
    with desk.database.begin() as transaction:
        assert leads.compare_page(transaction, fields, records) == []
        assert leads.compare_staged(transaction, fields, TABLE) == [leads.Difference(1, "changed", (name,))]


# --- files and pages ------------------------------------------------------------------------------


def test_an_older_file_does_not_overwrite_a_newer_row(desk):
    desk.fields()
    exported_at = state.now(desk.database)
    desk.page([{"id": 1, "firstName": "new"}])
    load(desk, [{"id": 1, "firstName": "old"}, {"id": 2, "firstName": "only here"}], exported_at=exported_at)
    assert desk.lead(1)["first_name"] == "new"
    assert desk.lead(2)["first_name"] == "only here"


def test_a_newer_file_overwrites_an_older_row(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "old"}])
    load(desk, [{"id": 1, "firstName": "new"}], exported_at=state.now(desk.database))
    assert desk.lead(1)["first_name"] == "new"


def test_a_row_that_was_only_touched_is_newer_than_an_older_file(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "same"}])
    exported_at = state.now(desk.database)
    desk.page([{"id": 1, "firstName": "same"}], touch=True)
    load(desk, [{"id": 1, "firstName": "old"}], exported_at=exported_at)
    assert desk.lead(1)["first_name"] == "same"


def test_a_row_that_is_the_same_is_touched_while_a_file_that_is_older_may_come(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "same"}])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    state.plan_windows(desk.database, [(day, day + timedelta(days=1))], anew=False)
    assert desk.page([{"id": 1, "firstName": "same"}]).rows == 0
    (window,) = state.windows(desk.database)
    exported_at = state.now(desk.database)
    state.window_created(desk.database, window.id, "export-1", ["id"])
    assert desk.page([{"id": 1, "firstName": "same"}]).rows == 1
    load(desk, [{"id": 1, "firstName": "old"}], exported_at=exported_at)
    assert desk.lead(1)["first_name"] == "same"


def test_an_older_file_does_not_bring_back_a_deleted_lead_and_a_newer_page_does(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    exported_at = state.now(desk.database)
    with desk.database.begin() as transaction:
        # The second was never in the mirror: it is remembered all the same.
        assert leads.retire(transaction, [(1, None), (2, None)]) == 2
    load(desk, [{"id": 1, "firstName": "A"}, {"id": 2, "firstName": "B"}], exported_at=exported_at)
    assert desk.lead(1)["_deleted_at"] is not None
    assert desk.lead(2)["_deleted_at"] is not None
    desk.page([{"id": 1, "firstName": "A"}])
    assert desk.lead(1)["_deleted_at"] is None


# --- confirmed changes ----------------------------------------------------------------------------


def test_what_marketo_confirmed_is_written_field_by_field(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A", "leadScore": 5}, {"id": 2, "firstName": "B"}])
    with desk.database.begin() as transaction:
        fields = leads.mirrored_fields(transaction)
        leads.apply_changes(
            transaction,
            fields,
            [
                (1, {"email": "a@b.com", "firstName": ""}),
                (2, {"id": 2, "leadScore": 9, "notMirrored": "x"}),
                (3, {"email": "new@b.com", "unsubscribed": True}),
            ],
        )
    one, two, three = (desk.lead(n) for n in (1, 2, 3))
    assert (one["email"], one["first_name"], one["lead_score"]) == ("a@b.com", None, 5)
    assert (two["first_name"], two["lead_score"]) == ("B", 9)
    assert (three["email"], three["unsubscribed"]) == ("new@b.com", True)


def test_a_confirmed_change_is_newer_than_a_file_exported_before_it_even_where_it_changed_nothing(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    exported_at = state.now(desk.database)
    with desk.database.begin() as transaction:
        leads.apply_changes(transaction, leads.mirrored_fields(transaction), [(1, {"firstName": "A"})])
    load(desk, [{"id": 1, "firstName": "old"}], exported_at=exported_at)
    assert desk.lead(1)["first_name"] == "A"


def test_the_later_of_two_confirmed_changes_of_a_lead_wins(desk):
    desk.fields()
    with desk.database.begin() as transaction:
        leads.apply_changes(
            transaction,
            leads.mirrored_fields(transaction),
            [(1, {"firstName": "first"}), (2, {"firstName": "x"}), (1, {"firstName": "second"})],
        )
    assert desk.lead(1)["first_name"] == "second"


# --- deleted and merged ---------------------------------------------------------------------------


def test_a_retired_lead_keeps_its_values_and_its_first_date(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    with desk.database.begin() as transaction:
        assert leads.retire(transaction, [(1, None)]) == 1
    first = desk.lead(1)["_deleted_at"]
    with desk.database.begin() as transaction:
        assert leads.retire(transaction, [(1, None)]) == 0
        assert leads.retire(transaction, []) == 0
    assert (desk.lead(1)["_deleted_at"], desk.lead(1)["first_name"]) == (first, "A")


def test_a_merged_lead_points_at_its_winner_whichever_is_told_first(desk):
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, None)])
        assert leads.retire(transaction, [(1, 9), (2, 9)]) == 2
        leads.retire(transaction, [(2, None)])
    assert [desk.lead(n)["_merged_into_id"] for n in (1, 2)] == [9, 9]


def test_a_lead_that_is_told_twice_in_one_page_is_retired_once(desk):
    with desk.database.begin() as transaction:
        assert leads.retire(transaction, [(1, None), (1, 9), (1, None)]) == 1
    assert desk.lead(1)["_merged_into_id"] == 9


def test_a_lead_that_lives_again_points_nowhere(desk):
    desk.fields()
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, 9)])
    desk.page([{"id": 1, "firstName": "A"}])
    row = desk.lead(1)
    assert (row["_deleted_at"], row["_merged_into_id"]) == (None, None)


def test_retired_leads_are_purged_only_once_no_file_can_bring_them_back(desk):
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, None)])
    desk.mirror((2, "a@b.com"))
    state.plan_windows(desk.database, [(LONG_AGO, LONG_AGO + timedelta(days=31))], anew=False)
    with desk.database.begin() as transaction:
        assert transaction.run("lead_purge") == 0
    desk.run(
        "UPDATE backfill_window SET state = 'done', export_id = 'x', rows = 0, bytes = 0, finished_at = now()"
    )
    with desk.database.begin() as transaction:
        assert transaction.run("lead_purge") == 1
    assert desk.run("SELECT id FROM lead") == [(2,)]


# --- comparing ------------------------------------------------------------------------------------

SAME = {"id": 1, "firstName": "A", "leadScore": 5, "updatedAt": "2026-01-01T00:00:00Z"}
MARKETO = [
    SAME,
    {"id": 2, "firstName": "B", "leadScore": 6},
    {"id": 3, "firstName": "missing"},
    {"id": 4, "firstName": "deleted here"},
    {"id": 5, "leadScore": "does not fit"},
    {"id": 6, "leadScore": "fits neither"},
    {"id": 7, "firstName": None, "unsubscribed": True},
]
DIFFERENCES = [
    leads.Difference(2, "changed", ("firstName", "leadScore")),
    leads.Difference(3, "missing"),
    leads.Difference(4, "missing"),
    leads.Difference(5, "changed", ("_unparsed",)),
    leads.Difference(7, "changed", ("firstName", "unsubscribed")),
]


@pytest.fixture
def differing(desk: Desk) -> Desk:
    desk.fields()
    desk.page(
        [
            SAME,
            {"id": 2, "firstName": "X", "leadScore": 7},
            {"id": 4},
            {"id": 5},
            {"id": 6, "leadScore": "fits neither"},
            {"id": 7, "firstName": "C"},
            {"id": 8, "firstName": "extra"},
            {"id": 9, "firstName": "deleted on both sides"},
        ]
    )
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(4, None), (9, None)])
    return desk


def by_lead(found: list[leads.Difference]) -> list[leads.Difference]:
    return [leads.Difference(d.lead_id, d.kind, tuple(sorted(d.fields))) for d in found]


def test_every_kind_of_difference_to_a_page_is_found(differing):
    with differing.database.begin() as transaction:
        found = leads.compare_page(transaction, leads.mirrored_fields(transaction), MARKETO)
        assert by_lead(found) == DIFFERENCES
        assert leads.compare_page(transaction, leads.mirrored_fields(transaction), []) == []


def test_every_kind_of_difference_to_a_file_is_found_and_what_is_too_much(differing):
    fields = stage(differing, MARKETO)
    with differing.database.begin() as transaction:
        found = by_lead(leads.compare_staged(transaction, fields, TABLE))
    assert found == [*DIFFERENCES, leads.Difference(8, "extra")]


def test_only_the_fields_that_are_compared_count(differing):
    with differing.database.begin() as transaction:
        fields = [f for f in leads.mirrored_fields(transaction) if f.name in {"id", "leadScore"}]
        found = leads.compare_page(
            transaction, fields, [{"id": 2, "leadScore": 7}, {"id": 6, "leadScore": "fits neither"}]
        )
    assert found == []


def test_after_writing_what_differs_nothing_differs(differing):
    differing.page(MARKETO)
    with differing.database.begin() as transaction:
        assert leads.compare_page(transaction, leads.mirrored_fields(transaction), MARKETO) == []


# --- what the feed tells --------------------------------------------------------------------------


def unseen(desk: Desk, *changes: tuple[int, str, str | None]) -> set[int]:
    told = [{"lead_id": lead, "name": name, "value": value} for lead, name, value in changes]
    with desk.database.begin() as transaction:
        return leads.unseen_changes(transaction, told)


def test_a_change_that_the_mirror_shows_already_is_no_news(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A", "leadScore": 5, "unsubscribed": True, "updatedAt": "soon"}])
    assert unseen(desk) == set()
    assert unseen(desk, (1, "firstName", "A"), (1, "leadScore", "5"), (1, "unsubscribed", "True")) == set()
    assert unseen(desk, (1, "firstName", "A"), (1, "leadScore", "6")) == {1}
    assert unseen(desk, (1, "email", None)) == set()
    assert unseen(desk, (1, "firstName", None)) == {1}
    assert unseen(desk, (1, "updatedAt", None)) == {1}
    assert unseen(desk, (1, "notMirrored", "x")) == {1}
    assert unseen(desk, (2, "firstName", "A")) == {2}


def test_a_change_of_a_deleted_lead_is_news(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "A"}])
    with desk.database.begin() as transaction:
        leads.retire(transaction, [(1, None)])
    assert unseen(desk, (1, "firstName", "A")) == {1}


def test_a_change_with_a_nul_character_does_not_stop_the_feed(desk):
    desk.fields()
    desk.page([{"id": 1, "firstName": "a\0b"}])
    assert unseen(desk, (1, "firstName", "a\0b")) == set()
    assert unseen(desk, (1, "firstName", "a\0c")) == {1}
