"""Big backlogs go as one file by bulk import, and each row still gets its own result."""

import pytest

from syncd.database import imports as books
from syncd.database import operators
from tests.sync.imports.backlog import FAILURES, IMPORT, carried, imports_of, people, statuses, values
from tests.sync.inside import READ, SYNC, Inside


def test_a_backlog_goes_as_one_file_and_each_row_gets_its_lead(quiet: Inside) -> None:
    known = quiet.sql("SELECT id, email FROM lead WHERE id <= 10 AND email <> '' ORDER BY id")
    rows = people(50) + [
        ("create_or_update", {"lastName": "Known", "email": row["email"].upper()}) for row in known
    ]
    reads = quiet.calls(READ)
    ids = quiet.insert_all(rows)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert (quiet.calls(IMPORT), quiet.calls(SYNC), quiet.calls(FAILURES)) == (1, 0, 0)
    assert quiet.calls(READ) - reads == 1
    (done,) = imports_of(quiet)
    assert (done["state"], done["rows"], done["records"], done["failed"]) == ("done", len(rows), len(rows), 0)
    for number, (_, payload) in zip(ids, rows, strict=True):
        row = quiet.row(number)
        assert quiet.simulator.lead(row["lead_id"])["lastName"] == payload["lastName"]
        mirrored = quiet.lead(row["lead_id"])
        assert mirrored is not None
        assert (mirrored["last_name"], mirrored["created_at"] is None) == (payload["lastName"], False)
        assert row["result"] == {"id": row["lead_id"], "status": "imported", "import": done["batch_id"]}
        assert quiet.attempts(number) == ["succeeded"]
    assert [quiet.row(number)["lead_id"] for number in ids[50:]] == [row["id"] for row in known]
    spent = quiet.sql("SELECT endpoint, lane FROM api_spending WHERE endpoint LIKE 'import%%'")
    assert {row["lane"] for row in spent} == {"outbox"}
    assert quiet.value("SELECT count(*) FROM dirty_lead") == 0
    quiet.catch_up()
    # What was read back is not read again when the log tells of it.
    assert quiet.calls(READ) - reads == 1
    quiet.proven()


def test_few_rows_go_by_calls(quiet: Inside) -> None:
    quiet.insert_all(people(9))
    carried(quiet)
    assert imports_of(quiet) == []
    quiet.carry()
    assert quiet.calls(IMPORT) == 0


def test_failures_and_warnings_come_back_row_by_row(quiet: Inside) -> None:
    rows = people(30)
    rows[3][1]["email"] = "no address 3"
    rows[7][1]["email"] = "no address 7"
    rows[11][1]["lastName"] = 'Long, and "quoted"'
    quiet.simulator.edit_field("lastName", length=10)
    ids = quiet.insert_all(rows)
    carried(quiet)
    ended = [quiet.row(number) for number in ids]
    assert [n for n, row in enumerate(ended) if row["status"] != "succeeded"] == [3, 7]
    for number in (3, 7):
        assert (ended[number]["status"], ended[number]["error_code"]) == ("retrying", "import")
        assert "email" in ended[number]["error_message"]
    assert [n for n, row in enumerate(ended) if "warning" in (row["result"] or {})] == [11]
    assert "lastName" in ended[11]["result"]["warning"]
    mirrored = quiet.lead(ended[11]["lead_id"])
    assert mirrored is not None
    assert mirrored["last_name"] == "Long, and "
    assert [(i["failed"], i["warned"]) for i in imports_of(quiet)] == [(2, 1)]
    quiet.carry()
    # Marketo's answer to a call has the last word on what an import refused: it comes with a code.
    assert quiet.calls(SYNC) == 1
    for number in (ids[3], ids[7]):
        row = quiet.row(number)
        assert (row["status"], row["error_code"], row["lead_id"]) == ("failed", "1003", None)
        assert quiet.attempts(number) == ["retry import", "failed 1003"]
    quiet.proven()


def test_what_a_file_cannot_say_or_would_hold_up_goes_by_calls(quiet: Inside) -> None:
    plain = quiet.insert_all(people(20))
    others = [
        quiet.insert("create_or_update", {"email": "emptied@example.com", "lastName": None}),
        quiet.insert("create_or_update", {"email": "word@example.com", "lastName": "Null"}),
        quiet.insert("create_or_update", {"email": "blank@example.com", "lastName": " Blank"}),
        quiet.insert("create_or_update", {"email": "fields@example.com", "firstName": "F"}),
        quiet.insert("create_only", {"email": "only@example.com", "lastName": "Only"}),
        quiet.insert("update_only", {"id": 3, "lastName": "By Id"}),
        quiet.insert(
            "create_or_update",
            {"email": quiet.value("SELECT email FROM lead WHERE id = 4"), "lastName": "Locked"},
            if_unchanged_since=quiet.value("SELECT now()"),
        ),
    ]
    # A lead with a row behind that cannot share a record would hold that row up for minutes.
    held = quiet.insert("create_or_update", {"email": "behind@example.com", "lastName": "First"})
    behind = quiet.insert("create_only", {"email": "behind@example.com", "lastName": "Second"})
    assert quiet.drain.imports.step()
    assert quiet.calls(IMPORT) == 1
    assert set(statuses(quiet, plain)) == {"sending"}
    assert set(statuses(quiet, [*others, held, behind])) == {"pending"}
    while quiet.step():
        pass
    assert set(statuses(quiet, [*others, held])) == {"succeeded"}
    assert quiet.row(behind)["error_code"] == "1005"
    carried(quiet)
    assert set(statuses(quiet, plain)) == {"succeeded"}
    quiet.proven()


NASTY = (
    *(
        '"',
        '""',
        'a"b',
        '"quoted"',
        "a,b",
        ",",
        "'",
        "''",
        "a;b",
        "tab\there",
        "new\nline",
        "cr\rlf\r\n",
        "back\\slash",
    ),
    *(
        "\\",
        'end\\"',
        "NULL",
        "null",
        "Null ",
        "",
        " ",
        " lead",
        "trail ",
        "\u00a0nbsp",
        "=1+1",
        "#",
        "-",
        "0",
        "00012",
    ),
    *(
        "true",
        "1e5",
        "Łódź",
        "日本語",
        "😀",
        "a\u2028b",
        "\ufeffbom",
        "\u0085",
        "\u200b",
        "<b>&amp;</b>",
        "%s %(x)s :x",
        "x" * 255,
    ),
)


def test_whatever_a_value_holds_marketo_gets_it_as_by_a_call(quiet: Inside) -> None:
    rows = [
        ("create_or_update", {"email": f"nasty-{n}@example.com", "lastName": value})
        for n, value in enumerate(NASTY)
    ]
    ids = quiet.insert_all([*rows, *people(10)])
    carried(quiet)
    by_file = [quiet.row(number)["status"] == "succeeded" for number in ids[: len(NASTY)]]
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}
    for number, value in zip(ids, NASTY, strict=False):
        held = quiet.simulator.lead(quiet.row(number)["lead_id"])["lastName"]
        assert held == (value or None), value
    sent = {value for value, went in zip(NASTY, by_file, strict=True) if went}
    assert {'"', 'a"b', "a,b", "Łódź", "😀", "x" * 255, "=1+1"} <= sent
    assert not sent & {"new\nline", "back\\slash", "null", "", " ", "a\u2028b", " lead"}
    assert quiet.calls(IMPORT) == 1
    quiet.proven()


def test_numbers_and_flags_are_written_as_a_call_writes_them(quiet: Inside) -> None:
    for name, kind in (("shoeSize", "integer"), ("ratio", "float"), ("wantsNews", "boolean")):
        quiet.simulator.add_field(name, kind)
    quiet.fill()
    given = [(7, 1.5, True), (-12, -0.0625, False), (0, 12345678901.25, True), (10**15, 0.1, False)]
    rows = [
        (
            "create_or_update",
            {"email": f"n-{n}-{c}@example.com", "shoeSize": a, "ratio": b, "wantsNews": f},
        )
        for n, (a, b, f) in enumerate(given)
        for c in range(5)
    ]
    odd = quiet.insert("create_or_update", rows[0][1] | {"email": "odd@example.com", "ratio": 1e-7})
    ids = quiet.insert_all(rows)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert quiet.row(odd)["status"] == "pending"
    for number, (_, payload) in zip(ids, rows, strict=True):
        lead = quiet.simulator.lead(quiet.row(number)["lead_id"])
        assert {name: lead[name] for name in payload} == payload
    quiet.carry()
    quiet.proven()


def test_rows_whose_fate_would_be_another_by_file_go_by_calls(quiet: Inside) -> None:
    quiet.simulator.create_lead(email="twice@example.com")
    quiet.simulator.create_lead(email="twice@example.com")
    quiet.catch_up()
    rows = people(12)
    company = quiet.insert_all(
        ("create_or_update", {"email": f"c-{n}@example.com", "lastName": "C", "company": "ACME"})
        for n in range(12)
    )
    twice = quiet.insert("create_or_update", {"email": "TWICE@example.com", "lastName": "Which"})
    far = quiet.insert(
        "create_or_update", {"email": "far@example.com", "lastName": "Far"}, partition_name="P" * 255
    )
    ids = quiet.insert_all(rows)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert set(statuses(quiet, [*company, twice, far])) == {"pending"}
    quiet.carry()
    assert {quiet.row(number)["error_code"] for number in company} == {"1021"}
    assert quiet.row(twice)["error_code"] == "1007"
    assert quiet.row(far)["status"] == "failed"
    assert quiet.calls(IMPORT) == 1
    quiet.proven()


def test_rows_that_halt_their_lead_go_by_calls_and_others_with_the_option_do_not(quiet: Inside) -> None:
    halting = quiet.insert_all(people(12, "Halt"), options='{"on_failure": "halt"}')
    going_on = quiet.insert_all(people(12, "Go"), options='{"on_failure": "continue"}')
    plain = quiet.insert_all(people(12, "Plain"))
    carried(quiet)
    assert set(statuses(quiet, halting)) == {"pending"}
    assert set(statuses(quiet, [*going_on, *plain])) == {"succeeded"}
    assert quiet.calls(IMPORT) == 1
    quiet.carry()
    assert set(statuses(quiet, halting)) == {"succeeded"}
    quiet.proven()


def test_a_halted_lead_is_in_no_file(quiet: Inside) -> None:
    halted = quiet.insert(
        "create_or_update", {"email": "no address", "lastName": "H"}, options='{"on_failure": "halt"}'
    )
    while quiet.step():
        pass
    behind = quiet.insert("create_or_update", {"email": "no address", "lastName": "Behind"})
    ids = quiet.insert_all(people(12))
    carried(quiet)
    assert statuses(quiet, [halted, behind]) == ["failed", "pending"]
    assert set(statuses(quiet, ids)) == {"succeeded"}


def test_long_rows_fill_a_file_before_they_are_many(quiet: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "FILE_BYTES", 1000)
    ids = quiet.insert_all(
        ("create_or_update", {"email": f"long-{n}@example.com", "lastName": "L" * 200}) for n in range(12)
    )
    carried(quiet)
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}
    done = imports_of(quiet)
    assert {i["state"] for i in done} == {"done"}
    assert all(i["bytes"] <= 1000 and i["rows"] == 4 for i in done)
    quiet.proven()


def test_a_row_that_expires_is_not_sent_late_and_counts_once_it_was_handed_over(quiet: Inside) -> None:
    soon = quiet.insert_all(people(3, "Soon"), expires_at=quiet.value("SELECT now() + interval '1 minute'"))
    ids = quiet.insert_all(people(12), expires_at=quiet.value("SELECT now() + interval '10 minutes'"))
    assert quiet.drain.imports.step()
    assert set(statuses(quiet, soon)) == {"pending"}
    quiet.sql(
        "UPDATE outbox SET created_at = now() - interval '1 hour', expires_at = now() - interval '1 second'"
    )
    quiet.sql("UPDATE outbox_queue SET expires_at = now() - interval '1 second'")
    quiet.step()
    assert set(statuses(quiet, soon)) == {"expired"}
    assert set(statuses(quiet, ids)) == {"sending"}
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}


def test_a_row_is_not_cancelled_nor_retried_while_it_is_imported(quiet: Inside) -> None:
    ids = quiet.insert_all(people(12))
    assert quiet.drain.imports.step()
    assert operators.cancel(quiet.app.database, ids) == []
    assert operators.retry(quiet.app.database, ids=ids, error_code=None) == []
    carried(quiet)
    assert {tuple(quiet.attempts(number)) for number in ids} == {("succeeded",)}


def test_updates_by_id_and_upserts_by_another_field_have_files_of_their_own(quiet: Inside) -> None:
    quiet.simulator.add_field("shoeKey", "string")
    quiet.fill()
    by_id = quiet.insert_all(("update_only", {"id": n, "lastName": f"Id {n}"}) for n in range(1, 21))
    missing = quiet.insert("update_only", {"id": 999_999, "lastName": "Nobody"})
    by_key = quiet.insert_all(
        (("create_or_update", {"shoeKey": f"k{n}", "lastName": f"Key {n}"}) for n in range(15)),
        lookup_field="shoeKey",
    )
    carried(quiet)
    quiet.carry()
    assert set(statuses(quiet, [*by_id, *by_key])) == {"succeeded"}
    assert [quiet.row(number)["lead_id"] for number in by_id] == list(range(1, 21))
    assert (quiet.row(missing)["status"], quiet.row(missing)["error_code"]) == ("failed", "1004")
    assert quiet.calls(IMPORT) == 2
    assert all(quiet.row(number)["lead_id"] for number in by_key)
    quiet.proven()


def test_later_rows_of_a_lead_wait_for_the_import_and_win(quiet: Inside) -> None:
    quiet.simulator.set_options(import_seconds=0.3)
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    later = quiet.insert("create_or_update", {"email": "many-5@example.com", "lastName": "Later"})
    other = quiet.insert("create_or_update", {"email": "other@example.com", "lastName": "Other"})
    while quiet.step():
        pass
    assert statuses(quiet, [later, other, ids[5]]) == ["pending", "succeeded", "sending"]
    assert operators.cancel(quiet.app.database, [ids[6]]) == []
    carried(quiet)
    quiet.carry()
    assert set(statuses(quiet, [*ids, later])) == {"succeeded"}
    assert values(quiet, "many-5@example.com") == ["Many 5", "Later"]
    assert quiet.row(later)["lead_id"] == quiet.row(ids[5])["lead_id"]
    quiet.proven()


def test_rows_of_one_lead_share_a_line_and_the_one_to_blame_is_found(quiet: Inside) -> None:
    quiet.simulator.add_field("shoeSize", "integer")
    quiet.fill()
    rows = [
        ("create_or_update", {"email": f"pair-{n}@example.com", "shoeSize": size})
        for n in range(12)
        for size in (40, 41)
    ]
    rows[7][1]["shoeSize"] = "forty"
    ids = quiet.insert_all(rows)
    carried(quiet)
    (done,) = imports_of(quiet)
    assert (done["rows"], done["records"], done["failed"]) == (24, 12, 1)
    assert statuses(quiet, ids[6:8]) == ["retrying", "retrying"]
    quiet.carry()
    ended = [quiet.row(number) for number in ids]
    assert [n for n, row in enumerate(ended) if row["status"] != "succeeded"] == [7]
    assert ended[7]["error_code"] == "1003"
    assert [row["result"]["sent_as_one_with"] for row in ended[:2]] == [ids[1], ids[1]]
    assert quiet.simulator.lead(ended[0]["lead_id"])["shoeSize"] == 41
    assert quiet.simulator.lead(ended[6]["lead_id"])["shoeSize"] == 40
    quiet.proven()
