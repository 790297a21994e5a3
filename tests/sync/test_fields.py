"""Fields that are left out or hashed: no plain value reaches the database, and all else goes on working."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.core.policy import FieldPolicy
from syncd.mirror import backfill, dirty, schema
from syncd.settings import Settings
from syncd.wiring import built
from tests.sync.inside import Inside

SALT = "sixteen or more characters"
HASH = {
    "email": "email",
    "lastName": "string",
    "leadScore": "integer",
    "dateOfBirth": "date",
    "unsubscribed": "boolean",
}
Conf = dict[str, dict[str, object]]


@pytest.fixture
def house(conf: Conf, simulator: Any) -> Iterator[Callable[..., Inside]]:
    """Build the house with these settings of fields; again with others, on the same database."""
    with ExitStack() as stack:

        def make(**fields: object) -> Inside:
            app = stack.enter_context(built(Settings(**{**conf, "fields": fields})))
            session = app.session(on_notify=lambda: None, lead=False)
            session.start()
            stack.callback(session.stop)
            return Inside(app, simulator, session)

        yield make


def hashing(*names: str, **more: object) -> dict[str, object]:
    return {"hash": list(names), "hash_salt": SALT, **more}


def hashed(name: str, value: object) -> str | None:
    return FieldPolicy(hash=(name,), salt=SALT.encode()).hashed(HASH[name], value)


def places(inside: Inside, text: str) -> list[str]:
    """Where in the whole database a text stands, but for the payloads that programs wrote themselves."""
    tables = inside.sql(
        "SELECT n.nspname || '.' || c.relname AS place FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN ('marketo', 'syncd') AND c.relkind IN ('r', 'm')"
    )
    found = []
    for table in (row["place"] for row in tables):
        whole = "to_jsonb(t) - 'payload'" if table == "marketo.outbox" else "to_jsonb(t)"
        if inside.value(f"SELECT count(*) FROM {table} t WHERE ({whole})::text ILIKE %s", f"%{text}%"):
            found.append(table)
    return found


def follow(inside: Inside) -> dict[str, int]:
    return schema.pull(inside.feeds) + backfill.pull(inside.feeds) + dirty.pull(inside.feeds)


def test_no_plain_value_is_anywhere_after_all_that_can_bring_one(
    house: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = house(**hashing("email", "lastName", exclude=["firstName", "mktoName", "full*"]))
    staged = []
    monkeypatch.setattr("syncd.database.staging.drop", lambda _, __, name: staged.append(name))
    sim = inside.simulator
    sim.edit_lead(5, lastName="Sesame-1", firstName="Sesame-2", email="sesame-3@example.com")
    with capture_logs() as logs:
        inside.fill()
        assert staged, "the staging tables are still there to be searched"
        sim.edit_lead(6, lastName="Sesame-4", firstName="Sesame-5", email="sesame-6@example.com")
        inside.catch_up()
        written, made = inside.carry_all(
            [
                ("update_only", {"id": 7, "lastName": "Sesame-7", "firstName": "Sesame-8"}),
                ("create_or_update", {"email": "sesame-9@example.com", "lastName": "Sesame-10"}),
            ]
        )
        inside.proven()
    assert (written["status"], made["status"]) == ("succeeded", "succeeded")
    assert sim.lead(7)["firstName"] == "Sesame-8", "what is not mirrored can be written all the same"
    assert places(inside, "sesame") == []
    assert "esame" not in str(logs)
    assert SALT not in str(logs)
    lead = inside.lead(made["lead_id"])
    assert lead is not None
    assert (lead["email"], lead["last_name"]) == (
        hashed("email", "Sesame-9@Example.com"),
        hashed("lastName", "Sesame-10"),
    )
    assert "first_name" not in lead
    assert inside.lead(6)["last_name"] == hashed("lastName", "Sesame-4")


def test_a_field_that_is_left_out_is_not_asked_for(
    house: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = house(include=["email", "*Name", "updatedAt"], exclude=["MKTO*"])
    asked: set[str] = set()
    client = type(inside.app.client)
    for name, place in (("leads", 3), ("lead_changes", 2), ("create_export", 1)):
        real = getattr(client, name)

        def spy(*args: Any, real: Any = real, place: int = place, **more: Any) -> Any:
            asked.update(args[place] if len(args) > place else ())
            return real(*args, **more)

        monkeypatch.setattr(client, name, spy)
    inside.fill()
    inside.simulator.edit_lead(5, lastName="New", city="Rome", mobilePhone="1")
    inside.proven()
    assert {"id", "createdAt", "email", "firstName", "lastName", "middleName"} <= asked
    assert not asked & {"city", "mktoName", "mobilePhone"}
    assert inside.lead(5)["last_name"] == "New"
    assert "city" not in inside.lead(5)


def test_a_change_of_a_field_that_is_left_out_is_no_reason_to_read_a_lead(
    house: Callable[..., Inside],
) -> None:
    inside = house(exclude=["city"])
    inside.fill()
    inside.simulator.set_options(strict_change_fields=False)
    inside.simulator.edit_lead(5, city="Rome")
    assert inside.catch_up()["marked"] == 0


def test_an_echo_of_our_own_hashed_write_is_no_news(house: Callable[..., Inside]) -> None:
    inside = house(**hashing("lastName", "leadScore", "unsubscribed", "dateOfBirth"))
    inside.fill()
    inside.carry_all(
        [("update_only", {"id": 7, "lastName": "N", "dateOfBirth": "1990-02-03", "unsubscribed": True})]
    )
    dirty.pull(inside.feeds)
    assert inside.catch_up()["marked"] == 0
    inside.proven()


@pytest.mark.parametrize("first", ["email", "id"])
def test_rows_that_name_a_lead_by_hashed_address_and_by_id_keep_their_order(
    house: Callable[..., Inside], first: str
) -> None:
    inside = house(**hashing("email"))
    inside.fill()
    email = inside.simulator.lead(5)["email"]
    by_email = ("create_or_update", {"email": email.upper(), "lastName": "By address"})
    by_id = ("update_only", {"id": 5, "lastName": "By id"})
    one, two = inside.insert_all([by_email, by_id] if first == "email" else [by_id, by_email])
    assert inside.step()
    assert inside.row(one)["status"] == "succeeded"
    assert inside.row(two)["status"] == "pending"
    inside.carry()
    assert inside.simulator.lead(5)["lastName"] == ("By id" if first == "email" else "By address")


def test_a_backlog_by_address_goes_as_a_file_though_the_mirror_holds_no_address(
    house: Callable[..., Inside], conf: Conf
) -> None:
    conf["outbox"] |= {"import_from": 10, "import_poll_seconds": 0.05}
    inside = house(**hashing("email"))
    inside.simulator.set_options(import_seconds=0.05)
    inside.fill()
    inside.catch_up()
    rows = [
        ("create_or_update", {"email": f"sesame-{n}@example.com", "lastName": f"N {n}"}) for n in range(12)
    ]
    rows[3][1]["email"] = inside.simulator.lead(5)["email"].upper()
    ids = inside.insert_all(rows)
    inside.until(lambda: not inside.drain.imports.step() and inside.row(ids[0])["finished_at"])
    assert [i["state"] for i in inside.sql("SELECT state FROM outbox_import")] == ["done"]
    assert {inside.row(number)["status"] for number in ids} == {"succeeded"}
    assert inside.row(ids[3])["lead_id"] == 5
    assert inside.lead(5)["last_name"] == "N 3"
    assert inside.value("SELECT count(*) FROM dirty_lead") == 0
    assert places(inside, "sesame-") == []
    inside.proven()


def test_a_deletion_by_hashed_address_finds_its_lead_and_only_one(house: Callable[..., Inside]) -> None:
    inside = house(**hashing("email"))
    inside.fill()
    email = inside.simulator.lead(5)["email"]
    gone, unknown = inside.carry_all(
        [("delete", {"email": f" {email.upper()} "}), ("delete", {"email": "nobody@example.com"})]
    )
    assert (gone["status"], gone["lead_id"]) == ("succeeded", 5)
    assert (unknown["status"], unknown["error_code"]) == ("failed", "1004")
    assert inside.lead(5)["_deleted_at"] is not None


def test_hashing_what_is_there_already_hashes_it_in_place_without_a_call_for_a_lead(
    house: Callable[..., Inside],
) -> None:
    before = house()
    before.fill()
    before.simulator.delete_lead(9)
    before.simulator.edit_lead(5, dateOfBirth="1990-02-03", leadScore=12)
    before.catch_up()
    names = list(HASH)
    plain = {n: before.simulator.lead(5)[n] for n in names} | {"email": before.lead(9)["email"]}
    waiting = before.insert("create_or_update", {"email": before.lead(6)["email"], "lastName": "First"})
    before.insert("update_only", {"id": 6, "lastName": "Second"})
    before.sql("UPDATE outbox_queue SET state = 'new'")
    after = house(**hashing(*names))
    assert schema.outdated(after.feeds)
    assert not after.step(), "the outbox waits until addresses are kept as the settings say"
    before.simulator.reset_calls()
    counts = follow(after)
    assert counts["kept_otherwise"] == len(names)
    assert not [call for call in before.simulator.calls() if "describe" not in call and "schema" not in call][
        1:
    ]
    five, nine = after.lead(5), after.lead(9)
    assert five["date_of_birth"] == hashed("dateOfBirth", "1990-02-03")
    assert five["lead_score"] == hashed("leadScore", 12)
    assert five["unsubscribed"] == hashed("unsubscribed", plain["unsubscribed"])
    assert nine["email"] == hashed("email", plain["email"])
    assert places(after, plain["email"]) == []
    assert not schema.outdated(after.feeds)
    after.carry()
    assert after.row(waiting)["status"] == "succeeded"
    assert after.simulator.lead(6)["lastName"] == "Second"
    after.proven()


def test_a_typed_column_that_a_view_holds_is_emptied_and_its_hashes_go_to_a_new_one(
    house: Callable[..., Inside],
) -> None:
    before = house()
    before.fill()
    before.simulator.edit_lead(5, dateOfBirth="1990-02-03")
    before.catch_up()
    before.sql("CREATE VIEW mine AS SELECT * FROM lead")
    after = house(**hashing("dateOfBirth"))
    follow(after)
    assert places(after, "1990-02-03") == []
    assert after.lead(5)["date_of_birth_2"] == hashed("dateOfBirth", "1990-02-03")
    assert after.value("SELECT date_of_birth FROM mine WHERE id = 5") is None
    after.proven()


def test_leaving_out_empties_and_taking_back_refills(house: Callable[..., Inside]) -> None:
    before = house()
    before.fill()
    before.simulator.edit_lead(5, lastName="Sesame", unsubscribed=True)
    before.catch_up()
    without = house(exclude=["lastname", "mktoName", "fullGreeting", "unsubscribed"])
    follow(without)
    assert without.lead(5)["last_name"] is without.lead(5)["unsubscribed"] is None
    assert places(without, "sesame") == []
    without.proven()
    back = house()
    assert follow(back)["leads_again"] == 200
    assert (back.lead(5)["last_name"], back.lead(5)["unsubscribed"]) == ("Sesame", True)
    rows = back.sql(
        "SELECT old, new FROM lead_field_change WHERE field = 'lastName' AND what = 'kept_as' ORDER BY id"
    )
    assert [tuple(r.values()) for r in rows] == [("plain", "excluded"), ("excluded", "plain")]
    back.proven()


def test_another_salt_and_no_hash_at_all_read_the_values_anew_while_the_outbox_waits(
    house: Callable[..., Inside], conf: Conf
) -> None:
    conf["outbox"]["import_from"] = 1
    first = house(**hashing("email", "dateOfBirth"))
    first.fill()
    first.simulator.edit_lead(5, dateOfBirth="1990-02-03")
    first.catch_up()
    old = first.lead(5)["email"]
    other = house(hash=["email", "dateOfBirth"], hash_salt="another salt, long enough")
    number = other.insert("update_only", {"id": 5, "lastName": "Later"})
    assert not other.step()
    schema.pull(other.feeds)
    assert not other.step(), "addresses are being read anew"
    assert not other.drain.imports.step()
    backfill.pull(other.feeds)
    dirty.pull(other.feeds)
    assert other.lead(5)["email"] not in {old, None}
    other.carry()
    assert other.row(number)["status"] == "succeeded"
    other.proven()
    plain = house()
    follow(plain)
    assert plain.lead(5)["email"] == plain.simulator.lead(5)["email"]
    assert str(plain.lead(5)["date_of_birth"]) == "1990-02-03"
    assert (
        plain.value("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attname = 'date_of_birth'")
        == "date"
    )
    plain.proven()


def test_names_that_match_nothing_are_told(house: Callable[..., Inside]) -> None:
    inside = house(exclude=["lastNme", "noSuch*"])
    with capture_logs() as logs:
        inside.fill()
    (line,) = [entry for entry in logs if "names" in entry]
    assert line["names"] == ["lastNme", "noSuch*"]
