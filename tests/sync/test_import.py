"""Big backlogs go as one file by bulk import; each row still gets its own result, whoever dies on the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from syncd import simulator as marketo
from syncd.database import imports as books
from syncd.database import operators, outbox
from syncd.marketo import endpoints
from syncd.settings import Outbox
from syncd.wiring import App
from tests.sync.inside import READ, SYNC, Inside, Row

IMPORT = "POST /bulk/v1/leads.json"
STATUS = "GET /bulk/v1/leads/batch/{batchId}.json"
FAILURES = "GET /bulk/v1/leads/batch/{batchId}/failures.json"
WARNINGS = "GET /bulk/v1/leads/batch/{batchId}/warnings.json"


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=60, history_days=20, limits=False, export_seconds=0.05, import_seconds=0.05, race_ms=0
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["outbox"] |= {"import_from": 10, "import_poll_seconds": 0.05, "import_unknown_wait_seconds": 0.2}
    return conf


@pytest.fixture
def quiet(filled: Inside) -> Inside:
    filled.catch_up()
    return filled


def people(count: int, name: str = "Many") -> list[tuple[str, Row]]:
    return [
        ("create_or_update", {"email": f"{name}-{n}@example.com".lower(), "lastName": f"{name} {n}"})
        for n in range(count)
    ]


def imports_of(inside: Inside) -> list[Row]:
    return inside.sql("SELECT * FROM outbox_import ORDER BY claim")


def carried(inside: Inside) -> None:
    """Let imports alone do what they can."""
    inside.until(
        lambda: (
            not inside.drain.imports.step()
            and not inside.value("SELECT count(*) FROM outbox_import WHERE finished_at IS NULL")
        )
    )


def statuses(inside: Inside, ids: list[int]) -> list[str]:
    return [inside.row(number)["status"] for number in ids]


def values(inside: Inside, email: str, field: str = "lastName") -> list[Any]:
    """What a field of the lead with that address was set to, in order."""
    effects = inside.simulator.effects()
    lead = next(e["leadId"] for e in effects if e["fields"].get("email", {}).get("new") == email)
    return [e["fields"][field]["new"] for e in effects if e["leadId"] == lead and field in e["fields"]]


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


@pytest.mark.parametrize("code", ["1006", "1016", "603", "608"])
def test_a_file_that_is_not_taken_goes_by_calls_and_no_other_follows_at_once(
    quiet: Inside, code: str
) -> None:
    quiet.simulator.fault("error", IMPORT, code=code)
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    assert set(statuses(quiet, ids)) == {"retrying"}
    assert [(i["state"], i["error_code"]) for i in imports_of(quiet)] == [("refused", code)]
    more = quiet.insert_all(people(20, "More"))
    assert not quiet.drain.imports.step()
    quiet.carry()
    assert set(statuses(quiet, [*ids, *more])) == {"succeeded"}
    assert quiet.attempts(ids[0]) == [f"retry {code}", "succeeded"]
    assert quiet.calls(IMPORT) == 1
    quiet.proven()


@pytest.mark.parametrize(
    ("kind", "phase"), [("reset", "before"), ("reset", "after"), ("http", "after"), ("truncate", "after")]
)
def test_a_file_of_unknown_outcome_keeps_its_leads_closed_and_goes_by_calls(
    quiet: Inside, kind: str, phase: str
) -> None:
    quiet.simulator.fault(kind, IMPORT, phase=phase)
    ids = quiet.insert_all(people(20))
    later = quiet.insert("update_only", {"email": "many-5@example.com", "lastName": "Later"})
    assert quiet.drain.imports.step()
    held = ids[:5] + ids[6:]
    assert set(statuses(quiet, held)) == {"retrying"}
    states = quiet.sql("SELECT DISTINCT state FROM outbox_queue WHERE outbox_id = ANY(%s)", held)
    assert states == [{"state": "closing"}]
    quiet.carry()
    assert set(statuses(quiet, [*ids, later])) == {"succeeded"}
    assert quiet.attempts(ids[0])[0].startswith("unknown")
    assert quiet.attempts(ids[0])[1:] == ["succeeded"]
    assert quiet.calls(IMPORT) == 1
    assert values(quiet, "many-3@example.com") == ["Many 3"]
    assert values(quiet, "many-5@example.com") == ["Many 5", "Later"]
    quiet.proven()


def test_by_default_such_leads_stay_closed_for_an_hour(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = quiet.app.settings.outbox.model_copy(
        update={"import_unknown_wait_seconds": Outbox().import_unknown_wait_seconds}
    )
    monkeypatch.setattr(quiet.drain.imports, "_conf", unset)
    quiet.simulator.fault("reset", IMPORT, phase="after")
    quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    left = quiet.value("SELECT extract(epoch FROM min(due_at) - now())::float FROM outbox_queue")
    assert 3540 < left <= 3600


def test_a_full_queue_is_no_reason_to_stop_and_a_file_goes_when_there_is_room(quiet: Inside) -> None:
    quiet.simulator.set_options(limits=True, rate=100_000)
    quiet.simulator.freeze()
    client = quiet.drain.imports._client
    for n in range(10):
        client.import_leads(f"email,lastName\nother-{n}@example.com,Other\n".encode(), lookup_field="email")
    ids = quiet.insert_all(people(40))
    assert quiet.drain.imports.step()
    assert [(i["state"], i["error_code"]) for i in imports_of(quiet)] == [("refused", "1016")]
    # It rests, and the rows go by calls meanwhile.
    assert not quiet.drain.imports.step()
    more = quiet.insert_all(people(40, "More"))
    assert quiet.step()
    rest = quiet.value("SELECT extract(epoch FROM rest_until - now())::float FROM outbox_import")
    assert 50 < rest <= 60
    quiet.sql("UPDATE outbox_import SET rest_until = now()")
    quiet.insert_all(people(40, "Most"))
    quiet.simulator.unfreeze()
    quiet.until(lambda: len(client_queue(quiet)) == 0)
    carried(quiet)
    assert [i["state"] for i in imports_of(quiet)] == ["refused", "done"]
    quiet.carry()
    assert set(statuses(quiet, [*ids, *more])) == {"succeeded"}
    quiet.proven()


def client_queue(quiet: Inside) -> list[int]:
    """Imports that Marketo has not ended."""
    client = quiet.drain.imports._client
    return [n for n in range(1001, 1011) if client.import_status(n).status not in {"Complete", "Failed"}]


@pytest.mark.parametrize(
    ("code", "message", "rests"),
    [
        ("1029", "There are 10 jobs in queue", (50, 60)),
        ("1029", "Daily quota of the bulk API exceeded", (60, 90_000)),
        ("1019", "Import in progress", (50, 60)),
    ],
)
def test_limits_of_bulk_jobs_do_not_keep_rows_from_going_by_calls(
    quiet: Inside, code: str, message: str, rests: tuple[int, int]
) -> None:
    quiet.simulator.fault("error", IMPORT, code=code, message=message)
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    rest = quiet.value("SELECT extract(epoch FROM rest_until - now())::float FROM outbox_import")
    assert rests[0] < rest <= rests[1]
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert quiet.attempts(ids[0]) == [f"retry {code}", "succeeded"]


def test_without_calls_for_the_day_rows_wait_for_the_reset(quiet: Inside) -> None:
    quiet.simulator.fault("error", IMPORT, code="607")
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    assert set(statuses(quiet, ids)) == {"retrying"}
    assert not quiet.drain.imports.step()
    assert not quiet.step()
    assert quiet.calls(SYNC) == 0
    due = quiet.value("SELECT count(*) FROM outbox_queue WHERE due_at < now() + interval '1 second'")
    assert due == 0
    assert [(i["state"], i["error_code"]) for i in imports_of(quiet)] == [("refused", "607")]


def test_with_the_own_days_share_spent_nothing_leaves_and_no_row_is_tried(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = quiet.app.settings.budget.model_copy(update={"calls_per_day": 1})
    monkeypatch.setattr(quiet.app.ledger, "_conf", spent)
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    assert not quiet.drain.imports.step()
    assert quiet.calls(IMPORT) == 0
    assert {quiet.row(n)["attempts"] for n in ids} == {0}
    assert quiet.attempts(ids[0]) == []


def test_when_the_service_stops_before_the_file_left_the_rows_are_as_before(quiet: Inside) -> None:
    ids = quiet.insert_all(people(20))
    quiet.app.clock.stop()
    assert quiet.drain.imports.step()
    assert [quiet.row(n)["attempts"] for n in ids] == [0] * 20
    assert set(statuses(quiet, ids)) == {"pending"}
    assert [i["state"] for i in imports_of(quiet)] == ["refused"]


def test_an_import_that_fails_half_way_is_made_up_for_by_calls(quiet: Inside) -> None:
    quiet.simulator.fail_imports()
    ids = quiet.insert_all(people(20))
    carried(quiet)
    assert [(i["state"], i["error_message"]) for i in imports_of(quiet)] == [("failed", "Import failed")]
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert quiet.attempts(ids[0]) == ["unknown import", "succeeded"]
    assert all(values(quiet, f"many-{n}@example.com") == [f"Many {n}"] for n in (1, 19))
    quiet.proven()


def test_an_import_that_marketo_has_forgotten_is_made_up_for_by_calls(quiet: Inside) -> None:
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    quiet.sql("UPDATE outbox_import SET batch_id = 999999, look_at = now()")
    assert quiet.drain.imports.step()
    assert set(statuses(quiet, ids)) == {"sending"}
    quiet.sql("UPDATE outbox_import SET posted_at = now() - interval '8 days', look_at = now()")
    carried(quiet)
    assert [i["state"] for i in imports_of(quiet)] == ["lost"]
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}


HEAD = b"email,lastName,Import Failure Reason\n"
BAD = b'"No address ",Many 3,Invalid email\n'


@pytest.mark.parametrize(
    "file",
    [
        HEAD,
        b"",
        b'"',
        b"lastName,Import Failure Reason\nMany 3,Invalid email\n",
        HEAD + BAD + BAD,
        HEAD + BAD + b"many-4@example.com,Many 4,Invalid email\n",
        HEAD + b"nobody@example.com,Nobody,Invalid email\n",
        HEAD + b"many-4@example.com,Invalid email\n",
        HEAD + b"no address\n",
    ],
)
def test_what_does_not_add_up_is_no_success(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch, file: bytes
) -> None:
    rows = people(20)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    client = quiet.drain.imports._client
    monkeypatch.setattr(client, "import_failures", lambda batch: file)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"retrying"}
    quiet.carry()
    ended = statuses(quiet, ids)
    assert (ended[3], set(ended[:3] + ended[4:])) == ("failed", {"succeeded"})
    assert quiet.attempts(ids[0]) == ["unknown import", "succeeded"]
    quiet.proven()


@pytest.mark.parametrize("numbers", [{"processed": 18}, {"processed": 20}, {"failed": 0}, {"failed": 2}])
def test_a_count_that_does_not_fit_is_no_success(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch, numbers: dict[str, int]
) -> None:
    rows = people(20)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    counted(quiet, monkeypatch, **numbers)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"retrying"}
    quiet.carry()
    assert set(statuses(quiet, ids[:3] + ids[4:])) == {"succeeded"}


def test_without_marketos_count_the_files_are_asked(quiet: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(20)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    counted(quiet, monkeypatch, processed=None, failed=None, warned=None)
    carried(quiet)
    ended = statuses(quiet, ids)
    assert (ended[3], set(ended[:3] + ended[4:])) == ("retrying", {"succeeded"})


def counted(quiet: Inside, monkeypatch: pytest.MonkeyPatch, **numbers: int | None) -> None:
    """Marketo counts otherwise."""
    client = quiet.drain.imports._client
    status = client.import_status
    monkeypatch.setattr(client, "import_status", lambda batch: replace(status(batch), **numbers))


def test_files_that_cannot_be_fetched_are_fetched_later(quiet: Inside) -> None:
    rows = people(20)
    rows[3][1]["email"] = "no address"
    rows[5][1]["lastName"] = "Much too long"
    quiet.simulator.edit_field("lastName", length=8)
    ids = quiet.insert_all(rows)
    quiet.simulator.fault("error", FAILURES, code="1029", message="too many")
    quiet.simulator.fault("error", WARNINGS, code="603")
    carried(quiet)
    ended = statuses(quiet, ids)
    assert (ended[3], set(ended[:3] + ended[4:])) == ("retrying", {"succeeded"})
    assert "warning" in quiet.row(ids[5])["result"]
    assert quiet.calls(IMPORT) == 1


def test_an_import_that_is_refused_to_be_read_back_for_now_is_read_back_later(quiet: Inside) -> None:
    ids = quiet.insert_all(people(20))
    quiet.simulator.fault("error", READ, code="607")
    quiet.until(lambda: (quiet.drain.imports.step(), imports_of(quiet)[0]["progress"] == "Complete")[1])
    assert set(statuses(quiet, ids)) == {"sending"}
    quiet.sql("DELETE FROM quota_pause")
    times_pass(quiet)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    quiet.proven()


def test_a_lead_that_was_deleted_right_after_is_told_as_imported_and_stays_deleted(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = quiet.sql("SELECT id, email FROM lead WHERE id BETWEEN 20 AND 40 AND email <> '' ORDER BY id")
    ids = quiet.insert_all(("create_or_update", {"email": r["email"], "lastName": "Mine"}) for r in known)

    def delete() -> None:
        quiet.simulator.delete_lead(known[0]["id"])

    client = quiet.drain.imports._read_back._client
    monkeypatch.setattr(client, "leads", at_call(1, client.leads, delete))
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert quiet.row(ids[0])["result"]["id"] is None
    quiet.proven()


def test_what_somebody_else_read_meanwhile_is_read_again(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead that was new when the import read it, and that the fetcher wrote, newer, just before the import did."""
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()

    def quicker() -> None:
        lead = next(e["leadId"] for e in quiet.simulator.effects() if "many-4@" in str(e))
        quiet.simulator.edit_lead(lead, firstName="Newer")
        quiet.catch_up()

    known = books.known

    def too_early(*args: Any) -> Any:
        found: set[int] = set()
        quicker()
        monkeypatch.setattr(books, "known", known)
        return found

    monkeypatch.setattr(books, "known", too_early)
    carried(quiet)
    assert quiet.value("SELECT count(*) FROM dirty_lead") == 20
    assert set(statuses(quiet, ids)) == {"succeeded"}
    quiet.proven()


def test_fields_that_change_between_reading_and_writing_harm_nothing(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = quiet.insert_all(people(20))
    quiet.simulator.add_field("brandNew", "string")
    client = quiet.drain.imports._read_back._client

    def hide() -> None:
        quiet.sql("UPDATE lead_field SET _removed_at = now() WHERE name = 'title'")

    monkeypatch.setattr(client, "leads", at_call(1, client.leads, hide))
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    lead = quiet.lead(quiet.row(ids[0])["lead_id"])
    assert lead is not None
    assert lead["last_name"] == "Many 0"
    assert quiet.value("SELECT count(*) FROM dirty_lead") == 20
    quiet.fill()
    quiet.proven()


def test_looks_are_rare_and_a_busy_marketo_is_asked_later(quiet: Inside) -> None:
    quiet.simulator.set_options(import_seconds=0.4)
    quiet.simulator.fault("error", STATUS, code="607")
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    quiet.until(quiet.drain.imports.step)
    waits = quiet.value("SELECT extract(epoch FROM look_at - now())::float FROM outbox_import")
    assert waits > 1
    quiet.sql("UPDATE outbox_import SET look_at = now()")
    quiet.sql("DELETE FROM quota_pause")
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert quiet.calls(STATUS) < 12


def test_a_row_with_a_lock_does_not_take_an_import_of_ours_for_somebody_else(quiet: Inside) -> None:
    began = quiet.value("SELECT clock_timestamp() - interval '3 seconds'")
    known = quiet.sql("SELECT id, email FROM lead WHERE id BETWEEN 20 AND 40 AND email <> '' ORDER BY id")
    quiet.insert_all(("create_or_update", {"email": r["email"], "lastName": "Mine"}) for r in known)
    assert quiet.drain.imports.step()
    quiet.until(lambda: quiet.simulator.lead(known[-1]["id"])["lastName"] == "Mine")
    # The log tells before the import is looked at.
    quiet.catch_up()
    carried(quiet)
    locked = quiet.insert(
        "update_only", {"id": known[0]["id"], "lastName": "Again"}, if_unchanged_since=began
    )
    quiet.carry()
    assert quiet.row(locked)["status"] == "succeeded"
    quiet.proven()


class Died(BaseException):
    """The process ended here."""


def dies(before: bool) -> Callable[[Any], Callable[..., Any]]:
    def mortal(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if not before:
                work(*args, **more)
            raise Died

        return call

    return mortal


DEATHS = {
    "before its first row is claimed": (books, "gather", True, "pending", 1),
    "with its rows claimed": (books, "gather", False, "pending", 1),
    "before the file may leave": (books, "posting", True, "pending", 1),
    "just before the file leaves": (books, "posting", False, "retrying", 0),
    "before its number is written down": (books, "posted", True, "retrying", 1),
    "with its number written down": (books, "posted", False, "sending", 1),
    "after a look": (books, "seen", False, "sending", 1),
    "before what was refused is settled": (books, "sifted", True, "sending", 1),
    "before its leads are read back": (books, "mark", True, "sending", 1),
    "before its rows are settled": (books, "overtaken", True, "sending", 1),
    "before it is called done": (books, "finish", True, "succeeded", 1),
}


@pytest.mark.parametrize("place", list(DEATHS))
def test_whoever_dies_where_ever_no_row_is_lost_or_out_of_order(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    module, name, before, then, files = DEATHS[place]
    rows = people(25)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    later = quiet.insert("update_only", {"email": "many-5@example.com", "lastName": "Later"})
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dies(before)(getattr(module, name)))
        with pytest.raises(Died):
            carried(quiet)
    quiet.session.stop()
    for successor in house_of(app, quiet):
        assert successor.drain.rescue() == 0
        if then == "retrying":
            # Whoever posted it may still be waiting for the answer.
            assert successor.drain.imports.rescue() == 0
            assert statuses(successor, ids[:1]) == ["sending"]
            times_pass(successor)
        assert successor.drain.imports.rescue() in {0, 24}
        if name != "seen":  # a look may find the import running, or ended
            assert statuses(successor, ids[:1]) == [then]
        times_pass(successor)
        carried(successor)
        successor.carry()
        ended = statuses(successor, ids)
        assert (ended[3], set(ended[:3] + ended[4:])) == ("failed", {"succeeded"})
        assert successor.row(later)["status"] == "succeeded"
        assert successor.calls(IMPORT) == files
        assert values(successor, "many-5@example.com") == ["Many 5", "Later"]
        assert successor.value("SELECT count(*) FROM outbox_import WHERE finished_at IS NULL") == 0
        assert successor.value("SELECT count(*) FROM outbox_key") == 0
        successor.proven()


def times_pass(inside: Inside) -> None:
    """Let the time of a call be over, and each import be due."""
    inside.sql("UPDATE outbox_import SET posted_at = posted_at - interval '1 hour' WHERE state = 'posting'")
    inside.sql("UPDATE outbox_import SET look_at = now() WHERE state = 'running'")


def test_results_that_are_half_written_down_go_on_where_they_were(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BATCH", 10)
    rows = people(35)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    with monkeypatch.context() as patch:
        patch.setattr(books, "mark", at_call(2, books.mark, died))
        with pytest.raises(Died):
            carried(quiet)
    quiet.session.stop()
    for successor in house_of(app, quiet):
        before = statuses(successor, ids)
        assert [before.count(s) for s in ("succeeded", "retrying", "sending")] == [10, 1, 24]
        times_pass(successor)
        carried(successor)
        assert statuses(successor, ids).count("succeeded") == 34
        assert successor.calls(FAILURES) == 1
        assert {tuple(successor.attempts(n)) for n in ids} == {("succeeded",), ("retry import",)}
        successor.carry()
        successor.proven()


def died() -> None:
    raise Died


def at_call(place: int, work: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """Return the work, before whose call of that place something happens."""
    calls: list[int] = []

    def call(*args: Any, **more: Any) -> Any:
        calls.append(place)
        if len(calls) == place:
            then()
        return work(*args, **more)

    return call


def house_of(app: App, quiet: Inside) -> Iterator[Inside]:
    """Another process on the same database."""
    session = app.session(on_notify=lambda: None, lead=False)
    session.start()
    try:
        yield Inside(app, quiet.simulator, session)
    finally:
        session.stop()


def test_who_loses_the_session_while_a_file_is_on_its_way_still_writes_its_number_down(
    quiet: Inside, app: App
) -> None:
    ids = quiet.insert_all(people(20))
    taken_over: list[int] = []
    at_the_call(quiet, app, lambda successor: taken_over.append(successor.drain.imports.rescue()))
    assert quiet.drain.imports.step()
    assert taken_over == [0]
    assert [i["state"] for i in imports_of(quiet)] == ["running"]
    for successor in house_of(app, quiet):
        assert successor.drain.rescue() == 0
        carried(successor)
        assert set(statuses(successor, ids)) == {"succeeded"}
        assert successor.calls(IMPORT) == 1
        assert successor.calls(SYNC) == 0


def test_a_sleeper_that_wakes_up_late_changes_nothing(quiet: Inside, app: App) -> None:
    ids = quiet.insert_all(people(20))
    taken_over: list[int] = []

    def take_over(successor: Inside) -> None:
        times_pass(successor)
        taken_over.append(successor.drain.imports.rescue())

    at_the_call(quiet, app, take_over)
    assert quiet.drain.imports.step()
    assert taken_over == [20]
    assert set(statuses(quiet, ids)) == {"retrying"}
    assert [i["state"] for i in imports_of(quiet)] == ["unknown"]
    for successor in house_of(app, quiet):
        successor.carry()
        assert set(statuses(successor, ids)) == {"succeeded"}
        assert successor.attempts(ids[0]) == ["unknown orphaned", "succeeded"]


def test_a_sleeper_whose_file_was_given_back_hands_nothing_over(quiet: Inside, app: App) -> None:
    ids = quiet.insert_all(people(20))
    gather = books.gather

    def slowly(*args: Any, **more: Any) -> Any:
        gathered = gather(*args, **more)
        quiet.session.stop()
        for successor in house_of(app, quiet):
            assert successor.drain.imports.rescue() == 20
            successor.carry()
        return gathered

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(books, "gather", slowly)
        assert quiet.drain.imports.step()
    assert quiet.calls(IMPORT) == 0
    assert {tuple(quiet.attempts(number)) for number in ids} == {("succeeded",)}


def at_the_call(quiet: Inside, app: App, then: Callable[[Inside], None]) -> None:
    """When a file is handed over, the session ends, and a successor does something before Marketo gets it."""
    client = quiet.drain.imports._client
    hand_over = client.import_leads

    def slowly(*args: Any, **more: Any) -> Any:
        quiet.session.stop()
        for successor in house_of(app, quiet):
            then(successor)
        return hand_over(*args, **more)

    client.import_leads = slowly  # type: ignore[method-assign]


def test_two_that_collect_the_same_results_write_each_row_down_once(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BATCH", 10)
    rows = people(35)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    assert quiet.drain.imports.step()

    def collect() -> None:
        for other in house_of(app, quiet):
            times_pass(other)
            carried(other)
            assert statuses(other, ids).count("succeeded") == 34

    monkeypatch.setattr(books, "mark", at_call(1, books.mark, collect))
    carried(quiet)
    assert [i["state"] for i in imports_of(quiet)] == ["done"]
    assert {tuple(quiet.attempts(n)) for n in ids} == {("succeeded",), ("retry import",)}
    quiet.carry()
    quiet.proven()


def test_two_that_read_the_same_failures_write_them_down_once(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = people(35)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    assert quiet.drain.imports.step()

    def collect() -> None:
        for other in house_of(app, quiet):
            times_pass(other)
            carried(other)
            other.carry()

    client = quiet.drain.imports._client
    monkeypatch.setattr(client, "import_failures", at_call(1, client.import_failures, collect))
    carried(quiet)
    assert {tuple(quiet.attempts(n)) for n in ids} == {("succeeded",), ("retry import", "failed 1003")}


def test_an_import_is_not_done_while_rows_are_left_of_somebody_else_who_died(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BATCH", 10)
    ids = quiet.insert_all(people(35))
    assert quiet.drain.imports.step()

    def collect_some() -> None:
        for other in house_of(app, quiet):
            times_pass(other)
            with pytest.raises(Died):
                carried(other)

    mortal = at_call(2, books.mark, died)
    with monkeypatch.context() as patch:
        patch.setattr(books, "mark", at_call(1, mortal, collect_some))
        quiet.until(lambda: (quiet.drain.imports.step(), "succeeded" in statuses(quiet, ids))[1])
    assert [i["state"] for i in imports_of(quiet)] == ["running"]
    assert statuses(quiet, ids).count("sending") == 25
    times_pass(quiet)
    carried(quiet)
    assert {tuple(quiet.attempts(n)) for n in ids} == {("succeeded",)}
    quiet.proven()


def test_the_real_drain_carries_a_backlog_by_file_while_its_workers_go_on(quiet: Inside) -> None:
    ids = quiet.insert_all(people(400))
    odd = quiet.insert("create_only", {"email": "odd@example.com", "lastName": "Odd"})
    quiet.drain.start()
    try:
        quiet.until(lambda: outbox.unfinished(quiet.app.database) == 0)
    finally:
        quiet.drain.stop(timeout=10)
    assert set(statuses(quiet, [*ids, odd])) == {"succeeded"}
    claims = quiet.sql("SELECT claim FROM outbox_import ORDER BY claim")
    assert all(a["claim"] < b["claim"] for a, b in pairwise(claims))
    quiet.proven()


def test_a_person_is_told_that_a_row_is_in_an_import(quiet: Inside) -> None:
    ids = quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    story = operators.story(quiet.app.database, ids[0])
    assert story is not None
    assert story["row"]["import_batch"] == imports_of(quiet)[0]["batch_id"]
    carried(quiet)


def test_a_mistake_on_the_way_leaves_no_row_behind(quiet: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = quiet.insert_all(people(20))
    with monkeypatch.context() as patch:
        patch.setattr(books, "rows", dies(before=True)(books.rows))
        with pytest.raises(Died):
            quiet.drain.imports.step()
    assert set(statuses(quiet, ids)) == {"sending"}
    assert quiet.drain.imports.step()
    assert set(statuses(quiet, ids)) == {"pending"}
    with monkeypatch.context() as patch:
        patch.setattr(
            books, "posted", lambda *_, **__: (_ for _ in ()).throw(psycopg.OperationalError("gone"))
        )
        with pytest.raises(psycopg.OperationalError):
            quiet.drain.imports.step()
    assert quiet.drain.imports.step()
    quiet.carry()
    assert set(statuses(quiet, ids)) == {"succeeded"}
