"""A person is erased everywhere, once and for all."""

import pytest

from syncd.database import erase, leads, operators, outbox, state
from syncd.errors import WorkFailed
from tests.database.desk import Desk

KEPT = {"outbox", "outbox_conflict", "erased_lead"}
"""Tables with a lead_id and without the door: rows of the outbox are an application's own, and conflicts hang on them."""


@pytest.fixture
def desk(database):
    desk = Desk(database)
    desk.fields()
    return desk


def everything(desk: Desk) -> str:
    """All rows of both schemas, as text."""
    names = desk.run(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('marketo', 'syncd')"
    )
    return "\n".join(str(desk.run(f"SELECT t::text FROM {name} t")) for (name,) in names)


def live(desk: Desk) -> None:
    """Let there be a person of two leads, in every place that there is, and somebody else."""
    desk.page(
        [{"id": 4242, "email": "Ada@Example.com", "firstName": "Adalovel"}, {"id": 7, "email": "g@h.com"}]
    )
    desk.page([{"id": 4243, "email": "old@example.com"}])
    desk.run("UPDATE lead SET _deleted_at = now(), _merged_into_id = 4242 WHERE id = 4243")
    for lead in (4242, 4243, 7):
        desk.run("INSERT INTO list_membership (list_id, lead_id) VALUES (1, %s) ON CONFLICT DO NOTHING", lead)
        desk.run(
            "INSERT INTO program_membership (program_id, lead_id) VALUES (1, %s) ON CONFLICT DO NOTHING", lead
        )
        desk.run("INSERT INTO foreign_change VALUES (%s, now()) ON CONFLICT DO NOTHING", lead)
        with desk.database.begin() as transaction:
            state.mark_dirty(transaction, [lead], "test")
    desk.run("CREATE UNLOGGED TABLE syncd.staged_file (id text, c0 text)")
    desk.run("INSERT INTO syncd.staged_file VALUES ('4242', 'ada@example.com'), ('7', 'g@h.com')")


def test_nothing_of_the_person_is_left_but_a_number(desk):
    live(desk)
    rows = [
        desk.lead_id(4242),
        desk.email("ada@example.com"),
        desk.email("g@h.com", if_matches='{"firstName": "ADA@example.com"}'),
        desk.email("old@example.com", "delete"),
        desk.insert("submit_form", {"leadFormFields": {"email": "Form@example.com"}}, options={"formId": 1}),
        desk.email("form@example.com"),
    ]
    other = desk.email("g@h.com")
    desk.send_all()
    desk.run("UPDATE outbox SET lead_id = 4242 WHERE operation = 'submit_form'")
    done = erase.erase(desk.database, email="ADA@example.com ")
    assert (done.leads, done.outbox) == ((4242, 4243), len(rows))
    left = everything(desk).lower()
    assert "adalovel" not in left
    assert "@example.com" not in left
    assert desk.run("SELECT lead_id FROM erased_lead ORDER BY 1") == [(4242,), (4243,)]
    for table in ("list_membership", "program_membership", "foreign_change", "dirty_lead"):
        assert desk.run(f"SELECT lead_id FROM {table}") == [(7,)]
    assert desk.run("SELECT id FROM syncd.staged_file") == [("7",)]
    assert desk.status(other) == "succeeded"


def test_no_feed_brings_the_person_back_and_a_comparison_does_not_miss_them(desk):
    live(desk)
    erase.erase(desk.database, lead_id=4242)
    desk.run("DROP TABLE syncd.staged_file")
    live(desk)
    page = [{"id": 4242, "email": "ada@example.com", "firstName": "Adalovel"}, {"id": 7, "email": "x@h.com"}]
    with desk.database.begin() as transaction:
        leads.bury(transaction, [(4242, None)])
        fields = leads.mirrored_fields(transaction)
        found = leads.compare_page(transaction, fields, page)
    assert [difference.lead_id for difference in found] == [7]
    assert desk.run("SELECT id FROM lead ORDER BY 1") == [(7,)]
    assert desk.run("SELECT lead_id FROM dirty_lead") == [(7,)]
    assert desk.run("SELECT lead_id FROM list_membership") == [(7,)]


def test_every_table_that_holds_something_by_lead_has_the_door(desk):
    there = desk.run(
        "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' "
        "WHERE a.attname = 'lead_id' AND NOT a.attisdropped AND c.relnamespace::regnamespace::text IN ('marketo', 'syncd')"
    )
    doors = desk.run("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'erased_stay_out'")
    assert {name for (name,) in there} - KEPT == {name for (name,) in doors} - {"lead"}


def test_rows_that_are_not_finished_are_named_and_nothing_is_erased(desk):
    live(desk)
    number = desk.email("ada@example.com")
    with pytest.raises(WorkFailed, match=f"not finished: {number};"):
        erase.erase(desk.database, lead_id=4242)
    assert desk.value("SELECT count(*) FROM lead WHERE id = 4242") == 1
    operators.cancel(desk.database, [number])
    assert erase.erase(desk.database, lead_id=4242).outbox == 1


def test_an_address_that_nobody_has_is_told(desk):
    with pytest.raises(WorkFailed, match="knows no lead of this address"):
        erase.erase(desk.database, email="nobody@example.com")
    assert erase.erase(desk.database, lead_id=5).leads == (5,)


def test_what_a_person_must_still_resolve_is_not_pruned(desk):
    number = desk.email("a@b.com", "create_duplicate")
    desk.settle(desk.claim(), "unknown", "uncertain", unknown=True, error_message="timed out")
    desk.tidy()
    desk.run("UPDATE outbox SET finished_at = now() - interval '1 year'")
    assert outbox.prune(desk.database, days=90) == 0
    assert desk.status(number) == "uncertain"


def test_pruning_in_steps_does_not_let_the_table_grow(desk):
    sizes = []
    for _ in range(4):
        desk.run(
            "INSERT INTO outbox (operation, payload) SELECT 'create_or_update', jsonb_build_object('email', n || '@b.com') "
            "FROM generate_series(1, 2500) n"
        )
        desk.run("DELETE FROM outbox_queue")
        desk.run("UPDATE outbox SET status = 'cancelled', finished_at = now() - interval '1 year'")
        assert outbox.prune(desk.database, days=90) == 2500
        with desk.database.connect(autocommit=True) as connection:
            connection.execute("VACUUM outbox")
        sizes.append(desk.value("SELECT pg_relation_size('outbox')"))
    assert max(sizes[1:]) <= sizes[0] * 1.1 + 65536
