"""Any value of any type gives the same row by a page and by a file, plain or hashed; nothing is lost or stops anything."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core.fields import FieldFacts
from syncd.core.policy import FieldPolicy
from syncd.database import leads, staging
from syncd.mirror import extract
from tests.database.desk import STANDARD, Desk
from tests.database.ways import FAR_AHEAD, LONG_AGO, TABLE, TYPES, as_csv

FIELDS = [FieldFacts(f"{kind}Field", kind, kind) for kind in TYPES if kind != "formula"]
SALTED = FieldPolicy(hash=("*Field",), salt=b"0123456789abcdef")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIRT = st.one_of(
    TEXTS,
    st.sampled_from(
        ["null", "100%", "1e400", "NaN", "0000-00-00", "9999-99-99T99:99:99Z", "\u2028", "a\r\nb", '"']
    ),
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**63, 2**70).map(str),
    st.decimals(-(10**12), 10**12, places=2).map(str),
    st.floats(-1e6, 1e6, allow_nan=False).map(repr),
)
MOMENTS = st.datetimes().filter(lambda moment: 1 < moment.year < 9999)
OFFSETS = st.sampled_from(["Z", "+0000", "-06:00", "+05:30", ""])
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.one_of(st.booleans(), st.sampled_from(["True", "FALSE", "0", "1"])),
    "date": MOMENTS.map(lambda moment: moment.date().isoformat()),
    "datetime": st.builds(lambda m, zone: m.replace(microsecond=0).isoformat() + zone, MOMENTS, OFFSETS),
    "email": st.emails(),
} | dict.fromkeys(("integer", "score", "reference", "percent", "currency", "float"), NUMBERS)
KINDS = [kind for kind in TYPES if kind != "formula"]
VALUES = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(st.just(f"{kind}Field"), st.one_of(st.none(), DIRT, OF_TYPE.get(kind, TEXTS)))
)


def stage(desk: Desk, fields: Sequence[Any], records: Sequence[dict[str, Any]]) -> None:
    """Bring leads into a staging table as a bulk file does, through the very cutter that files go through."""
    cutter = extract._cutter(desk.database.policy, fields)
    lines = [",".join(f.name for f in fields) + "\n"]
    lines += [as_csv([record.get(f.name) for f in fields]) for record in records]
    cutter.feed("".join(lines).encode())
    staging.create(desk.database, TABLE, len(fields) - 1)
    staging.copy(desk.database, TABLE, cutter.finish())


@pytest.mark.parametrize("policy", [FieldPolicy(), SALTED], ids=["plain", "hashed"])
def test_a_page_and_a_file_give_the_same_row_whatever_the_value(desk: Desk, policy: FieldPolicy) -> None:
    desk.fields((*STANDARD[:4], *FIELDS))
    desk.database.policy = policy
    if policy.hash:
        desk.run(
            "UPDATE lead_field SET kept_as = 'hashed', _hash_mark = %s WHERE name LIKE %s",
            policy.mark,
            "%Field",
        )
        desk.run("DROP VIEW lead_editable")
        for (name,) in desk.run("SELECT column_name FROM lead_field WHERE kept_as = 'hashed'"):
            desk.run(
                f"ALTER TABLE lead ALTER {name} DROP DEFAULT, ALTER {name} DROP NOT NULL, ALTER {name} TYPE text"
            )

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.lists(VALUES, max_size=5), min_size=1, max_size=6))
    def check(rows: list[list[tuple[str, Any]]]) -> None:
        desk.run("TRUNCATE lead")
        records = [{"id": n, **dict(row)} for n, row in enumerate(rows, 1)]
        desk.page(records)
        by_page = desk.run("SELECT to_jsonb(l) - '_synced_at' FROM lead l ORDER BY id")
        with desk.database.begin() as transaction:
            fields = leads.mirrored_fields(transaction)
        stage(desk, fields, records)
        with desk.database.begin() as transaction:
            assert leads.compare_staged(transaction, fields, TABLE) == []
            assert leads.upsert_staged(transaction, fields, TABLE, exported_at=FAR_AHEAD).rows == 0
        desk.run("TRUNCATE lead")
        with desk.database.begin() as transaction:
            leads.upsert_staged(transaction, fields, TABLE, exported_at=LONG_AGO)
            assert leads.compare_page(transaction, fields, records) == []
        assert desk.run("SELECT to_jsonb(l) - '_synced_at' FROM lead l ORDER BY id") == by_page
        for record, (row,) in zip(records, by_page, strict=True):
            lost = [
                name
                for name, value in record.items()
                if str(value).replace("\0", "") not in {"", "None"} and row[name.replace("Field", "_field")] is None
                and name not in (row["_unparsed"] or {}) and name != "id"
            ]  # fmt: skip
            assert [
                name for name in lost if not (name == "emailField" and not str(record[name]).strip())
            ] == []

    check()


@pytest.mark.parametrize("zone", ["UTC", "America/Chicago", "Asia/Kolkata"])
def test_a_moment_is_the_same_for_readers_of_any_time_zone(desk: Desk, zone: str) -> None:
    desk.fields()
    desk.page([{"id": 1, "updatedAt": "2026-03-08T02:30:00-06:00"}])
    with desk.database.begin() as transaction:
        transaction.raw.execute(f"SET LOCAL TIME ZONE '{zone}'")
        row = transaction.raw.execute("SELECT updated_at FROM lead").fetchone()
    assert row is not None
    assert row[0] == datetime(2026, 3, 8, 8, 30, tzinfo=UTC)


def test_text_of_thirty_thousand_bytes_and_numbers_and_dates_out_of_range(desk: Desk) -> None:
    desk.fields((*STANDARD[:4], *FIELDS))
    long = "é" * 15_000
    desk.page([
        {"id": 1, "textField": long, "integerField": 2**63, "dateField": "10000-01-01", "datetimeField": "0000-01-01T00:00:00Z"}
    ])  # fmt: skip
    row = desk.lead(1)
    assert row["text_field"] == long
    assert row["_unparsed"] == {
        "integerField": str(2**63),
        "dateField": "10000-01-01",
        "datetimeField": "0000-01-01T00:00:00Z",
    }
