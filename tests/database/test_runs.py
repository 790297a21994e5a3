"""Which rows are claimed together to share a record: no order is broken and no name is overlooked."""

from syncd.database import operators, outbox
from tests.database.desk import Desk

HOUR = 3600.0


def together(desk: Desk, most: int = 300) -> dict[int, list[int]]:
    """Claim; return the rows of each record by its first."""
    claim = outbox.claim(desk.database, replica=1, most=most, coalesce=True)
    found: dict[int, list[int]] = {}
    for row in claim.rows if claim else ():
        found.setdefault(row.follows or row.id, []).append(row.id)
    if claim:
        desk.settle(claim)
    return found


def test_consecutive_rows_of_a_lead_go_together_beside_those_of_others(desk):
    a = [desk.email("a@b.com") for _ in range(3)]
    b = desk.email("b@b.com")
    a.append(desk.email("A@b.com "))
    assert together(desk) == {a[0]: a, b: [b]}
    assert desk.unfinished() == 0


def test_without_coalescing_each_row_goes_alone(desk):
    a = [desk.email("a@b.com") for _ in range(3)]
    assert desk.send_all() == [[n] for n in a]


def test_a_row_of_another_kind_parts_the_run(desk):
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    other = desk.email("a@b.com", "create_only")
    last = desk.email("a@b.com")
    assert [together(desk) for _ in range(4)] == [
        {first: [first, second]},
        {other: [other]},
        {last: [last]},
        {},
    ]


def test_a_row_that_names_the_lead_by_its_id_parts_the_run_of_its_address(desk):
    desk.mirror((42, "a@b.com"))
    first, second = desk.email("a@b.com"), desk.email("a@b.com")
    by_id = desk.lead_id(42)
    last = desk.email("a@b.com")
    assert [together(desk) for _ in range(3)] == [{first: [first, second]}, {by_id: [by_id]}, {last: [last]}]


def test_a_row_with_one_more_name_goes_alone_even_if_nobody_holds_that_name(desk):
    first = desk.lead_id(42)
    renames = desk.insert("update_only", {"id": 42, "email": "new@b.com"})
    last = desk.lead_id(42)
    assert [together(desk) for _ in range(3)] == [{first: [first]}, {renames: [renames, last]}, {}]


def test_a_row_that_is_due_later_parts_the_run(desk):
    first = desk.email("a@b.com")
    later = desk.email("a@b.com", not_before="2999-01-01")
    last = desk.email("a@b.com")
    assert [together(desk) for _ in range(2)] == [{first: [first]}, {}]
    assert (desk.state(later), desk.state(last)) == ("waiting", "blocked")


def test_rows_of_another_partition_or_lookup_field_are_not_mixed(desk):
    desk.fields()
    first = desk.email("a@b.com")
    there = desk.email("a@b.com", partition_name="EU")
    by = {"email": "a@b.com", "externalId": "x"}
    other = desk.insert("update_only", by, lookup_field="externalId")
    assert [together(desk) for _ in range(3)] == [{first: [first]}, {there: [there]}, {other: [other]}]


def test_a_run_that_is_turned_away_keeps_its_order_and_goes_together_again(desk):
    rows = [desk.email("a@b.com") for _ in range(3)]
    claim = outbox.claim(desk.database, replica=1, most=300, coalesce=True)
    desk.settle(claim, "retry", "retrying", due_in=HOUR, error_code="606", error_message="rate limit")
    more = desk.email("a@b.com")
    assert together(desk) == {}
    desk.due(*rows)
    assert together(desk) == {rows[0]: [*rows, more]}


def test_a_run_in_doubt_is_due_in_one_moment_so_that_no_row_of_it_goes_without_the_others(desk):
    rows = [desk.email("a@b.com") for _ in range(200)]
    claim = outbox.claim(desk.database, replica=1, most=300, coalesce=True)
    desk.settle(
        claim, "unknown", "retrying", due_in=HOUR, error_code="transport", error_message="?", unknown=True
    )
    assert desk.value("SELECT count(DISTINCT due_at) FROM outbox_queue WHERE state = 'closing'") == 1
    desk.due(*rows)
    assert together(desk) == {rows[0]: rows}


def test_a_run_in_doubt_goes_together_again_though_another_row_turned_out_to_stand_between(desk):
    first = desk.email("a@b.com")
    between = desk.lead_id(3)
    last = desk.email("a@b.com")
    claim = outbox.claim(desk.database, replica=1, most=1, coalesce=True)
    assert [row.id for row in claim.rows] == [first, last]
    desk.settle(
        claim, "unknown", "retrying", due_in=HOUR, error_code="transport", error_message="?", unknown=True
    )
    desk.mirror((3, "a@b.com"))
    assert together(desk) == {}
    after = desk.email("a@b.com")
    desk.due(first, last)
    assert [together(desk) for _ in range(3)] == [
        {first: [first, last]},
        {between: [between]},
        {after: [after]},
    ]


def test_a_late_row_before_a_run_in_doubt_does_not_part_it(desk, monkeypatch):
    with desk.database.begin() as late:
        (before,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        rows = [desk.email("a@b.com") for _ in range(3)]
        claim = outbox.claim(desk.database, replica=1, most=300, coalesce=True)
        assert [row.id for row in claim.rows] == rows
        desk.settle(
            claim, "unknown", "retrying", due_in=HOUR, error_code="transport", error_message="?", unknown=True
        )
    desk.due(*rows)
    monkeypatch.setattr(outbox, "CALL_BYTES", 50)
    assert together(desk) == {before: [before, *rows]}


def in_doubt(desk: Desk, *, most: int = 300) -> list[int]:
    """Claim; let the outcome of all be unknown, and return them."""
    claim = outbox.claim(desk.database, replica=1, most=most, coalesce=True)
    desk.settle(
        claim, "unknown", "retrying", due_in=HOUR, error_code="transport", error_message="?", unknown=True
    )
    return [row.id for row in claim.rows]


def test_a_late_row_before_a_long_run_in_doubt_takes_all_of_it_with_it(desk):
    with desk.database.begin() as late:
        (before,) = late.raw.execute(
            "INSERT INTO outbox (operation, payload) VALUES ('create_or_update', '{\"email\": \"a@b.com\"}') RETURNING id"
        ).fetchone()
        rows = [desk.email("a@b.com") for _ in range(200)]
        assert in_doubt(desk) == rows
    for n in range(40):
        desk.email(f"o{n}@b.com")
        desk.email(f"o{n}@b.com")
    desk.due(*rows)
    assert together(desk)[before] == [before, *rows]


def test_a_run_in_doubt_goes_together_again_however_many_rows_stand_between(desk):
    first = desk.email("a@b.com")
    desk.run(
        "INSERT INTO outbox (operation, payload) SELECT 'update_only', '{\"id\": 3}' FROM generate_series(1, 3100)"
    )
    last = desk.email("a@b.com")
    assert in_doubt(desk, most=1) == [first, last]
    desk.mirror((3, "a@b.com"))
    assert together(desk) == {}
    desk.run(
        "INSERT INTO outbox_key (key, outbox_id) SELECT 'email:a@b.com', outbox_id FROM outbox_key WHERE key = 'lead:3' "
        "ON CONFLICT DO NOTHING"
    )
    desk.due(first, last)
    assert together(desk)[first] == [first, last]


def test_a_thousand_rows_in_doubt_for_the_third_time_are_found_once_each(desk):
    desk.run(
        "INSERT INTO outbox (operation, payload) SELECT 'create_or_update', '{\"email\": \"a@b.com\"}' "
        "FROM generate_series(1, 1000)"
    )
    rows = in_doubt(desk)
    assert len(rows) == 1000
    for _ in range(2):
        desk.due(*rows)
        assert in_doubt(desk) == rows
    assert desk.value("SELECT count(DISTINCT doubt) FROM outbox_queue") == 1
    desk.due(*rows)
    assert together(desk) == {rows[0]: rows}


def test_whoever_cancels_a_row_in_doubt_ends_the_earlier_rows_of_its_record_too(desk):
    rows = [desk.email("a@b.com") for _ in range(3)]
    assert in_doubt(desk) == rows
    assert operators.cancel(desk.database, [rows[1]]) == rows[:2]
    desk.due(*rows)
    assert together(desk) == {rows[2]: [rows[2]]}
    assert [desk.status(row) for row in rows] == ["uncertain", "uncertain", "succeeded"]


def test_a_run_leaves_room_for_the_calls_bytes(desk, monkeypatch):
    monkeypatch.setattr(outbox, "CALL_BYTES", 100)
    rows = [desk.email("a@b.com") for _ in range(6)]
    (first,) = together(desk).values()
    assert first == rows[: len(first)]
    assert 1 < len(first) < len(rows)
