"""Every SQL block of the pages runs, with the rights that its reader has; tables of columns and states are whole."""

import re
import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from syncd import simulator as marketo
from syncd.mirror import schema
from syncd.settings import Settings
from syncd.wiring import built
from tests.docs import pages
from tests.support import postgres

READERS = {
    "For analysts: the mirror": "syncd_reader",
    "For application developers: the outbox": "syncd_writer",
}
"""The role under which a section's blocks are run, where it is not the owner's."""
ROLES = ("syncd_owner", "syncd_reader", "syncd_writer", "syncd_app", "analyst", "application")


@pytest.fixture(scope="module")
def url(newest_postgres: postgres.Server) -> Iterator[str]:
    """A migrated database that knows the fields of a simulated Marketo."""
    options = marketo.Options(leads=20, limits=False)
    with newest_postgres.migrated() as name, marketo.running(options) as simulator:
        url = newest_postgres.url_of(name)
        secret = {"client_id": "simulator", "client_secret": "simulator-secret"}
        with built(
            Settings(marketo={"base_url": simulator.base_url, **secret}, database={"url": url})
        ) as app:
            schema.pull(app.feeds())
        yield url


@pytest.fixture
def names(newest_postgres: postgres.Server) -> Iterator[dict[str, str]]:
    """Names of roles and a database that only this test uses; gone at its end."""
    mark = secrets.token_hex(4)
    chosen = {name: f"{name}_{mark}" for name in (*ROLES, "marketing")}
    yield chosen
    newest_postgres.execute(f"DROP DATABASE IF EXISTS {chosen['marketing']} WITH (FORCE)")
    for role in ROLES:
        newest_postgres.execute(f"DROP ROLE IF EXISTS {chosen[role]}")


def renamed(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\b(" + "|".join(names) + r")\b", lambda found: names[found[0]], text)


def statements(text: str) -> list[str]:
    plain = "\n".join(line for line in text.splitlines() if not line.strip().startswith("--"))
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", plain) if part.strip()]


def is_for_administrators(block: pages.Block) -> bool:
    return bool(re.search(r"\b(GRANT|CREATE ROLE|ALTER ROLE|CREATE DATABASE)\b", block.text))


@pytest.mark.parametrize("block", [b for b in pages.blocks("sql") if not is_for_administrators(b)], ids=str)
def test_every_block_runs_with_the_rights_of_its_reader(block: pages.Block, url: str) -> None:
    role = READERS.get(block.heading, "syncd_writer" if block.page == "docs/outbox.md" else "syncd_owner")
    with psycopg.connect(url) as connection:
        if "CREATE" in block.text:
            connection.execute("GRANT CREATE ON SCHEMA public TO syncd_owner")
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for statement in statements(block.text):
            if statement not in {"BEGIN", "COMMIT"}:
                connection.execute(statement)
        connection.rollback()


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_roles_that_a_page_makes_are_enough(
    page: str, newest_postgres: postgres.Server, names: dict[str, str]
) -> None:
    """Without a superuser: the blocks of the page, then a migration as the user whom they made, then the grants."""
    blocks = [b for b in pages.blocks("sql", page) if is_for_administrators(b)]
    if page != "README.md":
        newest_postgres.execute(f"CREATE DATABASE {names['marketing']}")
    for role in ("analyst", "application"):
        newest_postgres.execute(f"CREATE ROLE {names[role]}")
    run(newest_postgres, [b for b in blocks if "CREATE ROLE" in b.text], names)
    user = newest_postgres.url_of(names["marketing"], user=names["syncd_app"], password="change-me")  # noqa: S106 - the page's
    conf = {f"{kind}_role": names[f"syncd_{kind}"] for kind in ("owner", "reader", "writer")}
    with postgres.connected(user, **conf) as database:
        assert postgres.migrate.migrate(database)[1]
        postgres.migrate.require_newest(database)
    run(newest_postgres, [b for b in blocks if "CREATE ROLE" not in b.text], names)
    with psycopg.connect(newest_postgres.url_of(names["marketing"])) as connection:
        connection.execute(f"SET ROLE {names['application']}")
        connection.execute("INSERT INTO marketo.outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')")
        connection.execute(f"SET ROLE {names['analyst']}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO marketo.outbox (operation, payload) VALUES ('delete', '{\"id\": 1}')"
            )


def run(server: postgres.Server, blocks: list[pages.Block], names: dict[str, str]) -> None:
    for block in blocks:
        for statement in statements(renamed(block.text, names)):
            server.execute(statement)


def test_the_refusal_in_the_readme_is_what_postgresql_says(url: str) -> None:
    shown = next(b.text for b in pages.blocks("text", "README.md") if b.text.startswith("ERROR:"))
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute(
            "INSERT INTO marketo.outbox (operation, payload) "
            'VALUES (\'create_or_update\', \'{"email": "ada@example.com", "fistName": "Ada"}\')'
        )
    said = refused.value.diag.message_primary
    assert re.sub(r"row \d+", "row N", shown) == "ERROR:  " + re.sub(r"row \d+", "row N", said)


def first_column(page: str, heading: str) -> set[str]:
    return {name for cells in pages.rows(pages.section(page, heading)) for name in pages.code(cells[0])}


def column(url: str, query: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute(query)}


def test_the_columns_that_one_may_write_are_those_that_are_granted(url: str) -> None:
    granted = column(
        url,
        "SELECT column_name FROM information_schema.column_privileges WHERE table_schema = 'marketo' "
        "AND table_name = 'outbox' AND grantee = 'syncd_writer' AND privilege_type = 'INSERT'",
    )
    assert first_column("docs/outbox.md", "Columns that you write") == granted


def test_every_other_column_is_in_the_table_of_what_syncd_writes(url: str) -> None:
    there = column(
        url,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'marketo' AND table_name = 'outbox'",
    )
    told = first_column("docs/outbox.md", "Columns that syncd writes")
    assert told == there - first_column("docs/outbox.md", "Columns that you write")


def checked(url: str, constraint: str) -> set[str]:
    """Return the values that a CHECK constraint lists."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (constraint,)
        ).fetchone()
    assert row
    return set(re.findall(r"'(\w+)'", row[0]))


@pytest.mark.parametrize(
    ("page", "heading"),
    [("docs/outbox.md", "States"), ("README.md", "For application developers: the outbox")],
)
def test_the_tables_of_states_are_whole(page: str, heading: str, url: str) -> None:
    states = checked(url, "outbox_status_is_known")
    assert first_column(page, heading) & (states | {"conflict"}) == states


@pytest.mark.parametrize("place", [0, 1], ids=["for people", "for the drain"])
def test_the_diagrams_have_every_state(place: int, url: str) -> None:
    constraint = ("outbox_status_is_known", "outbox_queue_state_is_known")[place]
    diagram = pages.blocks("mermaid", "ARCHITECTURE.md")[place].text
    drawn = {
        word
        for line in diagram.splitlines()
        if "-->" in line
        for word in re.findall(r"\w+", line.split(":")[0])
    }
    assert drawn == checked(url, constraint)


@pytest.mark.parametrize(
    ("page", "heading"),
    [("docs/outbox.md", "Operations"), ("README.md", "For application developers: the outbox")],
)
def test_the_operations_that_are_described_are_those_that_are_taken(
    page: str, heading: str, url: str
) -> None:
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute("INSERT INTO marketo.outbox (operation, payload) VALUES ('fly', '{}')")
    sentence = refused.value.diag.message_primary.split("it must be ")[1]
    taken = set(re.findall(r"\w+", sentence)) - {"or"}
    described = first_column(page, heading) - checked(url, "outbox_status_is_known")
    assert described == taken


def test_every_table_of_the_mirror_is_described(url: str) -> None:
    there = column(url, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marketo'")
    for page in ("README.md", "docs/mirror.md"):
        assert [table for table in sorted(there - {"outbox"}) if f"`{table}`" not in pages.text(page)] == []


def test_every_column_that_the_mirror_page_names_exists(url: str) -> None:
    there = column(url, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'marketo'")
    page = pages.text("docs/mirror.md")
    prose = pages.section("docs/mirror.md", "`lead_field`").split("\n\n- ")[0]
    named = set(re.findall(r"`(_\w+)`", page)) | set(pages.code(prose))
    tables = pages.rows(
        pages.section("docs/mirror.md", "`lead_partition`, `static_list`, `program`, `smart_campaign`")
    )
    named |= {name for cells in tables for name in pages.code(cells[1])}
    assert named - there - {"lead", "_unparsed"} == set()
