"""Every type of value in the table of leads, by pages and by files alike, and the columns that hold them."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd import metrics
from syncd.core.fields import FieldFacts
from syncd.database import leads
from syncd.database.engine import Transaction
from tests.database.desk import STANDARD
from tests.database.ways import FAR_AHEAD, TABLE, TYPES, by_page, column, load, stage

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
