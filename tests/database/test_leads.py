"""The table of leads: every type of value, by pages and by files alike; nothing written that is the same."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd import metrics
from syncd.core.csv import RecordCutter
from syncd.core.fields import FieldFacts
from syncd.database import leads, staging, state
from syncd.database.engine import Transaction
from tests.database.desk import STANDARD, Desk

TYPES = {
    "string": "text",
    "text": "text",
    "email": "text",
    "phone": "text",
    "url": "text",
    "formula": "text",
    "lead_function": "text",
    "array": "text",
    "integer": "bigint",
    "score": "bigint",
    "reference": "bigint",
    "percent": "numeric",
    "currency": "numeric",
    "float": "double precision",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamptz",
}
ONE_OF_EACH = (*STANDARD[:4], *(FieldFacts(f"{kind}Field", kind, kind) for kind in TYPES))
TABLE = "staging_test"
LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def as_csv(values: Sequence[Any]) -> str:
    """Write a line as Marketo's files do: an empty value is the word null, text in quotes where it has to be."""

    def cell(value: Any) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return str(value).lower()
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if text == "null" or set(text) & set('",\r\n') else text

    return ",".join(cell(value) for value in values) + "\n"


def stage(desk: Desk, records: Sequence[dict[str, Any]]) -> list[Any]:
    """Bring leads into a staging table as a bulk file would; return the fields."""
    with desk.database.begin() as transaction:
        fields = leads.mirrored_fields(transaction)
    cutter = RecordCutter()
    cutter.feed((",".join(f.name for f in fields) + "\n").encode())
    cutter.feed("".join(as_csv([record.get(f.name) for f in fields]) for record in records).encode())
    staging.create(desk.database, TABLE, len(fields) - 1)
    staging.copy(desk.database, TABLE, cutter.finish())
    return fields


def load(
    desk: Desk, records: Sequence[dict[str, Any]], *, exported_at: datetime = FAR_AHEAD
) -> leads.Written:
    """Bring leads into the mirror as a bulk file would."""
    fields = stage(desk, records)
    with desk.database.begin() as transaction:
        return leads.upsert_staged(transaction, fields, TABLE, exported_at=exported_at)


def by_page(desk: Desk, records: Sequence[dict[str, Any]]) -> leads.Written:
    return desk.page(records)


@pytest.fixture
def typed(desk: Desk) -> Desk:
    desk.fields(ONE_OF_EACH)
    return desk


def column(kind: str) -> str:
    return f"{kind}_field"


# --- values ---------------------------------------------------------------------------------------

FITTING = [
    ("string", "Ada", "Ada"),
    ("string", "null", "null"),
    ("string", 'say "no", twice', 'say "no", twice'),
    ("string", "a\nb\r\nc\rd", "a\nb\r\nc\rd"),
    ("string", "\u2028\u2029\x85\ufeff", "\u2028\u2029\x85\ufeff"),
    ("string", "é😀 Ωß", "é😀 Ωß"),
    ("string", "\\.", "\\."),
    ("string", "a\n\\.\nb", "a\n\\.\nb"),
    ("string", "\\u0000 \\n \\", "\\u0000 \\n \\"),
    ("string", "%s %(page)s %% :name {x}", "%s %(page)s %% :name {x}"),
    ("string", "x" * 2000, "x" * 2000),
    ("string", "  edges  ", "  edges  "),
    ("string", None, None),
    ("text", "line\n" * 3000, "line\n" * 3000),
    ("phone", "+1 (555) 0100 x7", "+1 (555) 0100 x7"),
    ("url", "airbyte.io", "airbyte.io"),
    ("array", '["a","b"]', '["a","b"]'),
    ("formula", "12", "12"),
    ("integer", 0, 0),
    ("integer", -5, -5),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("integer", -(2**63), -(2**63)),
    ("integer", "42", 42),
    ("integer", "+7", 7),
    ("integer", None, None),
    ("score", 100, 100),
    ("reference", 1, 1),
    ("percent", 99, Decimal(99)),
    ("percent", 12.5, Decimal("12.5")),
    ("currency", "1234567.89", Decimal("1234567.89")),
    ("currency", -0.01, Decimal("-0.01")),
    ("float", 3.5, 3.5),
    ("float", 1e-7, 1e-7),
    ("float", "1E5", 100000.0),
    ("float", ".5", 0.5),
    ("boolean", True, True),
    ("boolean", False, False),
    ("boolean", "True", True),
    ("boolean", "FALSE", False),
    ("boolean", "1", True),
    ("boolean", None, False),
    ("date", "2026-02-28", date(2026, 2, 28)),
    ("date", "0001-01-01", date(1, 1, 1)),
    ("date", None, None),
    ("datetime", "2026-03-02T12:00:00Z", datetime(2026, 3, 2, 12, tzinfo=UTC)),
    ("datetime", "2026-03-02T12:00:00+0200", datetime(2026, 3, 2, 10, tzinfo=UTC)),
    ("datetime", "2026-03-02 12:00:00.123", datetime(2026, 3, 2, 12, 0, 0, 123000, tzinfo=UTC)),
    ("datetime", "2026-03-02T12:00:00-06:00", datetime(2026, 3, 2, 18, tzinfo=UTC)),
    ("datetime", None, None),
]

UNFITTING = [
    ("integer", "5.5"),
    ("integer", "9223372036854775808"),
    ("integer", "0x1F"),
    ("integer", "1_000"),
    ("integer", " 5"),
    ("integer", "five"),
    ("score", "1e3"),
    ("reference", "lead"),
    ("percent", "100%"),
    ("percent", "NaN"),
    ("percent", "Infinity"),
    ("currency", "1,234.50"),
    ("currency", "$5"),
    ("float", "1e400"),
    ("float", "inf"),
    ("float", "."),
    ("boolean", "yes"),
    ("boolean", "other"),
    ("boolean", "t"),
    ("date", "2026-02-30"),
    ("date", "02/03/2026"),
    ("date", "today"),
    ("date", "infinity"),
    ("date", "2026-03-02T00:00:00Z"),
    ("datetime", "2026-13-01T00:00:00Z"),
    ("datetime", "2026-03-02T25:00:00Z"),
    ("datetime", "yesterday"),
    ("datetime", "2026-03-02"),
    ("datetime", "2026-03-02T12:00:00 CST"),
]


@pytest.mark.parametrize("way", [by_page, load], ids=["page", "file"])
def test_every_value_that_fits_arrives_exactly(typed, way):
    written = way(typed, [{"id": n, f"{kind}Field": value} for n, (kind, value, _) in enumerate(FITTING, 1)])
    assert written == leads.Written(len(FITTING), 0)
    for n, (kind, value, wanted) in enumerate(FITTING, 1):
        row = typed.lead(n)
        assert row[column(kind)] == wanted, (kind, value)
        assert type(row[column(kind)]) is type(wanted)
        assert row["_unparsed"] is None


@pytest.mark.parametrize("way", [by_page, load], ids=["page", "file"])
def test_a_value_that_does_not_fit_is_kept_counted_and_told_and_stops_nothing(typed, way):
    records = [
        {"id": n, f"{kind}Field": value, "stringField": "s"} for n, (kind, value) in enumerate(UNFITTING, 1)
    ]
    counted = metrics.UNPARSED._value.get()
    with capture_logs() as told:
        assert way(typed, [*records, {"id": 999, "stringField": "s"}]) == leads.Written(
            len(records) + 1, len(records)
        )
    for n, (kind, value) in enumerate(UNFITTING, 1):
        row = typed.lead(n)
        assert row["_unparsed"] == {f"{kind}Field": value}
        assert row[column(kind)] is (False if kind == "boolean" else None), (kind, value)
        assert row["string_field"] == "s"
    assert metrics.UNPARSED._value.get() - counted == len(records)
    (line,) = [event for event in told if event["log_level"] == "warning"]
    assert line["leads"] == len(records)
    assert line["some"][0] == {"lead": 1, "fields": ["integerField"]}
    assert "5.5" not in str(line)


def test_several_values_of_one_lead_that_do_not_fit_are_all_kept(typed):
    typed.page([{"id": 1, "integerField": "x", "dateField": "y", "booleanField": "z", "floatField": 1.5}])
    assert typed.lead(1)["_unparsed"] == {"integerField": "x", "dateField": "y", "booleanField": "z"}
    assert typed.lead(1)["float_field"] == 1.5


@pytest.mark.parametrize("way", [by_page, load], ids=["page", "file"])
def test_an_empty_text_is_nothing_because_marketo_stores_none(typed, way):
    assert way(typed, [{"id": 1, "stringField": "", "integerField": "", "dateField": ""}]) == leads.Written(
        1, 0
    )
    row = typed.lead(1)
    assert (row["string_field"], row["integer_field"], row["date_field"], row["_unparsed"]) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("as_told", [False, True])
def test_nul_characters_of_a_page_are_taken_out_and_nothing_else(typed, as_told):
    records = [{"id": 1, "stringField": "a\0b", "textField": "the text \\u0000 and a \0 after a \\\0"}]
    answer = json.dumps({"requestId": "a#\0", "result": records, "success": True}).encode()
    typed.page(records, answer=answer if as_told else None)
    assert typed.lead(1)["string_field"] == "ab"
    assert typed.lead(1)["text_field"] == "the text \\u0000 and a  after a \\"


def test_a_page_as_marketo_wrote_it_gives_the_same_rows(typed):
    records = [{"id": n, f"{kind}Field": value} for n, (kind, value, _) in enumerate(FITTING, 1)]
    records += [{"id": 500 + n, f"{kind}Field": value} for n, (kind, value) in enumerate(UNFITTING)]
    typed.page(records)
    answer = json.dumps({"result": records, "success": True}).encode()
    assert typed.page(records, answer=answer).rows == 0


def test_a_number_of_any_size_is_kept_where_it_does_not_fit(typed):
    typed.page([{"id": 1, "integerField": 10**30}, {"id": 2, "stringField": 10**30}])
    assert typed.lead(1)["_unparsed"] == {"integerField": "1" + "0" * 30}
    assert typed.lead(2)["string_field"] == "1" + "0" * 30


def test_a_page_and_a_file_of_the_same_leads_give_the_same_rows(typed):
    records = [{"id": n, f"{kind}Field": value} for n, (kind, value, _) in enumerate(FITTING, 1)]
    records += [{"id": 500 + n, f"{kind}Field": value} for n, (kind, value) in enumerate(UNFITTING)]
    typed.page(records)
    by_pages = typed.run("SELECT to_jsonb(l) - '_synced_at' FROM lead l ORDER BY id")
    assert load(typed, records).rows == 0
    typed.run("DELETE FROM lead")
    load(typed, records)
    assert typed.run("SELECT to_jsonb(l) - '_synced_at' FROM lead l ORDER BY id") == by_pages
    assert typed.page(records).rows == 0


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


# --- columns --------------------------------------------------------------------------------------


def test_each_type_of_marketo_has_its_type_of_column(typed):
    found = dict(
        typed.run(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = 'lead'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    )
    for kind, wanted in TYPES.items():
        assert found[column(kind)].replace("timestamp with time zone", "timestamptz") == wanted


def test_a_column_says_which_field_it_holds(typed):
    comment = typed.value(
        "SELECT col_description('lead'::regclass, attnum) FROM pg_attribute "
        "WHERE attrelid = 'lead'::regclass AND attname = 'integer_field'"
    )
    assert comment == "integer (Marketo field integerField, integer)."


def test_formula_fields_are_mirrored_but_not_exported(typed):
    with typed.database.begin() as transaction:
        fields = {f.name: f.exportable for f in leads.mirrored_fields(transaction)}
    assert fields.pop("formulaField") is False
    assert set(fields.values()) == {True}
    assert next(iter(fields)) == "id"


def test_a_column_that_has_another_type_than_its_field_takes_what_fits(typed):
    typed.page([{"id": 1, "integerField": 5}])
    typed.run("UPDATE lead_field SET data_type = 'string' WHERE name = 'integerField'")
    with typed.database.begin() as transaction:
        (field,) = [f for f in leads.mirrored_fields(transaction) if f.name == "integerField"]
    assert field.column_type == "bigint"
    typed.page([{"id": 2, "integerField": "text by now"}])
    assert typed.lead(1)["integer_field"] == 5
    assert typed.lead(2)["_unparsed"] == {"integerField": "text by now"}


WIDE = tuple(FieldFacts(f"wide{n}", f"Wide {n}", tuple(TYPES)[n % len(TYPES)]) for n in range(1_400))


def test_very_many_fields_are_cast_and_no_plan_says_anything_twice(desk, monkeypatch):
    """Where a plan writes a cast out at each place that names its column, a page costs gigabytes."""
    ratios, run = [], Transaction.composed

    def explained(self: Transaction, statement: Any, values: Any = None) -> Any:
        text = statement.as_string(self.raw)
        if text.startswith(("WITH", "SELECT")):
            plan = self.raw.execute("EXPLAIN (VERBOSE, COSTS off) " + text, values).fetchall()
            ratios.append(sum(len(line) for (line,) in plan) / max(len(text), 100_000))
        return run(self, statement, values)

    desk.fields((*STANDARD[:4], *WIDE))
    values = {"text": "x", "bigint": 5, "numeric": "2.50", "double precision": 1.5, "boolean": True,
              "date": "2024-02-29", "timestamptz": "2024-02-29T01:02:03Z"}  # fmt: skip
    records = [
        {"id": n, "email": f"{n}@b.com"} | {f.name: values[TYPES[f.data_type]] for f in WIDE[::7]}
        for n in range(1, 11)
    ]
    records[2]["wide28"] = "no number"
    monkeypatch.setattr(Transaction, "composed", explained)
    assert desk.page(records) == leads.Written(10, 1)
    fields = stage(desk, records)
    with desk.database.begin() as transaction:
        assert leads.compare_page(transaction, fields, records) == []
        assert leads.compare_staged(transaction, fields, TABLE) == []
        for unique in (False, True):
            written = leads.upsert_staged(transaction, fields, TABLE, exported_at=FAR_AHEAD, unique=unique)
            assert written.rows == 0
    assert desk.lead(3)["_unparsed"] == {"wide28": "no number"}
    assert max(ratios) < 4


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
