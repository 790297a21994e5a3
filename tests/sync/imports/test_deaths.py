"""Whoever dies, sleeps or comes second on the way of an import, each row is written down once."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from syncd.database import imports as books
from syncd.database import operators, outbox
from syncd.marketo import endpoints
from syncd.wiring import App
from tests.sync.imports.backlog import (
    FAILURES,
    IMPORT,
    Died,
    at_call,
    carried,
    died,
    house_of,
    imports_of,
    people,
    statuses,
    times_pass,
    values,
)
from tests.sync.inside import SYNC, Inside


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
