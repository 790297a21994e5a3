"""Whatever Marketo says of an import, or does not say, no row is lost or called what it is not."""

from dataclasses import replace
from typing import Any

import pytest

from syncd.database import imports as books
from syncd.settings import Outbox
from tests.sync.imports.backlog import (
    FAILURES,
    IMPORT,
    STATUS,
    WARNINGS,
    at_call,
    carried,
    imports_of,
    people,
    statuses,
    times_pass,
    values,
)
from tests.sync.inside import READ, SYNC, Inside


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


def test_a_count_of_warnings_that_cannot_be_does_not_keep_rows_waiting(
    quiet: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = quiet.insert_all(people(20))
    counted(quiet, monkeypatch, warned=2**40)
    carried(quiet)
    assert set(statuses(quiet, ids)) == {"succeeded"}
    assert [(i["state"], i["warned"]) for i in imports_of(quiet)] == [("done", 20)]


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
