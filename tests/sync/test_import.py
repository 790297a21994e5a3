"""Big backlogs go as one file by bulk import; each row still gets its own result, whoever dies on the way."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from syncd import simulator as marketo
from syncd.database import imports as books
from syncd.database import outbox
from syncd.marketo import endpoints
from syncd.outbox import imports as importing
from syncd.wiring import App
from tests.sync.inside import READ, SYNC, Inside, Row

IMPORT = "POST /bulk/v1/leads.json"
STATUS = "GET /bulk/v1/leads/batch/{batchId}.json"
FAILURES = "GET /bulk/v1/leads/batch/{batchId}/failures.json"


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=60, history_days=20, limits=False, export_seconds=0.05, import_seconds=0.05, race_ms=0
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["outbox"] |= {"import_from": 10, "import_poll_seconds": 0.05}
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
    rows[11][1]["lastName"] = 'Long, and "quoted"\non two lines'
    quiet.simulator.edit_field("lastName", length=10)
    ids = quiet.insert_all(rows)
    carried(quiet)
    ended = [quiet.row(number) for number in ids]
    assert [n for n, row in enumerate(ended) if row["status"] != "succeeded"] == [3, 7]
    for number in (3, 7):
        row = ended[number]
        assert (row["status"], row["error_code"], row["lead_id"]) == ("failed", "import", None)
        assert "email" in row["error_message"]
        assert quiet.attempts(row["id"]) == ["failed import"]
    assert [n for n, row in enumerate(ended) if "warning" in (row["result"] or {})] == [11]
    assert "lastName" in ended[11]["result"]["warning"]
    mirrored = quiet.lead(ended[11]["lead_id"])
    assert mirrored is not None
    assert mirrored["last_name"] == "Long, and "
    assert [(i["failed"], i["warned"]) for i in imports_of(quiet)] == [(2, 1)]
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
    assert set(statuses(quiet, [*by_id, *by_key])) == {"succeeded"}
    assert [quiet.row(number)["lead_id"] for number in by_id] == list(range(1, 21))
    assert quiet.row(missing)["status"] == "failed"
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
    assert outbox.cancel(quiet.app.database, [ids[6]]) == []
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


def test_without_another_setting_such_leads_stay_closed_for_an_hour(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = quiet.app.settings.outbox.model_copy(update={"unknown_outcome_wait_seconds": None})
    monkeypatch.setattr(quiet.drain.imports, "_conf", unset)
    quiet.simulator.fault("reset", IMPORT, phase="after")
    quiet.insert_all(people(20))
    assert quiet.drain.imports.step()
    left = quiet.value("SELECT extract(epoch FROM min(due_at) - now())::float FROM outbox_queue")
    assert importing.LINGERS - 60 < left <= importing.LINGERS


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


def test_numbers_that_do_not_add_up_are_no_success(quiet: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(20)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    client = quiet.drain.imports._client
    monkeypatch.setattr(client, "import_failures", lambda batch: b"email,lastName,Import Failure Reason\n")
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"retrying"}
    quiet.carry()
    ended = statuses(quiet, ids)
    assert (ended[3], set(ended[:3] + ended[4:])) == ("failed", {"succeeded"})
    assert quiet.attempts(ids[0]) == ["unknown import", "succeeded"]


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
        assert successor.drain.imports.rescue() in {0, 24}
        if name != "seen":  # a look may find the import running, or ended
            assert statuses(successor, ids[:1]) == [then]
        successor.sql(
            "UPDATE outbox_import SET look_at = now() WHERE finished_at IS NULL AND batch_id IS NOT NULL"
        )
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


def test_results_that_are_half_written_down_go_on_where_they_were(
    quiet: Inside, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BATCH", 10)
    rows = people(35)
    rows[3][1]["email"] = "no address"
    ids = quiet.insert_all(rows)
    with monkeypatch.context() as patch:
        patch.setattr(books, "seen", dies(before=True)(books.seen))
        with pytest.raises(Died):
            quiet.until(lambda: (quiet.drain.imports.step(), False)[1])
        if "succeeded" not in statuses(quiet, ids):
            # It was looked at before it had ended.
            quiet.sql("UPDATE outbox_import SET look_at = now()")
            with pytest.raises(Died):
                quiet.until(lambda: (quiet.drain.imports.step(), False)[1])
    quiet.session.stop()
    for successor in house_of(app, quiet):
        before = statuses(successor, ids)
        assert before.count("succeeded") == 10
        assert before.count("failed") == 1
        carried(successor)
        assert statuses(successor, ids).count("succeeded") == 34
        assert successor.calls(FAILURES) == 1
        assert {tuple(successor.attempts(n)) for n in ids} == {("succeeded",), ("failed import",)}
        successor.proven()


def house_of(app: App, quiet: Inside) -> Iterator[Inside]:
    """Another process on the same database."""
    session = app.session(on_notify=lambda: None, lead=False)
    session.start()
    try:
        yield Inside(app, quiet.simulator, session)
    finally:
        session.stop()


def test_a_sleeper_that_wakes_up_late_changes_nothing(quiet: Inside, app: App) -> None:
    ids = quiet.insert_all(people(20))
    asleep: list[Any] = []
    client = quiet.drain.imports._client
    hand_over = client.import_leads

    def slowly(*args: Any, **more: Any) -> Any:
        # Its session ends while it is at the call, and somebody else takes over.
        quiet.session.stop()
        for successor in house_of(app, quiet):
            asleep.append(successor.drain.imports.rescue())
        return hand_over(*args, **more)

    client.import_leads = slowly
    assert quiet.drain.imports.step()
    assert asleep == [20]
    assert set(statuses(quiet, ids)) == {"retrying"}
    assert [i["state"] for i in imports_of(quiet)] == ["unknown"]
    for successor in house_of(app, quiet):
        successor.carry()
        assert set(statuses(successor, ids)) == {"succeeded"}
        assert successor.attempts(ids[0]) == ["unknown orphaned", "succeeded"]


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
    story = outbox.story(quiet.app.database, ids[0])
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
