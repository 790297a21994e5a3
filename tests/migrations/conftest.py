"""Empty databases, and people who log in to them."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from psycopg import sql

from tests.support.postgres import Server

Login = Callable[..., str]


class Place:
    """An empty database of the test's own."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url_of(name)

    def execute(self, statement: str | sql.Composed) -> None:
        """Run a statement as the server's own user."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def rows(self, statement: str) -> list[tuple]:
        """Return what a query gives, asked by the server's own user."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def place(newest_postgres: Server) -> Iterator[Place]:
    with newest_postgres.empty() as name:
        yield Place(newest_postgres, name)


@pytest.fixture
def every_place(every_postgres: Server) -> Iterator[Place]:
    with every_postgres.empty() as name:
        yield Place(every_postgres, name)


@contextmanager
def _role(place: Place, name: str, attributes: str) -> Iterator[None]:
    place.execute(sql.SQL("CREATE ROLE {} " + attributes).format(sql.Identifier(name)))
    try:
        yield
    finally:
        place.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        place.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def login(place: Place) -> Iterator[Login]:
    """Make a person who may log in to ``place`` and is a member of some roles; returns that person's URL."""
    with ExitStack() as stack:

        def make(*roles: str, attributes: str = "") -> str:
            name, password = f"syncd_test_{secrets.token_hex(4)}", secrets.token_hex(8)
            stack.enter_context(_role(place, name, f"LOGIN PASSWORD '{password}' {attributes}"))
            for role in roles:
                place.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(name)))
            return place.server.url_of(place.name, user=name, password=password)

        yield make


@pytest.fixture
def other_names(place: Place) -> Iterator[dict[str, str]]:
    """Names of schemas and roles of a second subscription, whose roles go when the test ends."""
    mark = secrets.token_hex(4)
    roles = {f"{kind}_role": f"other_{kind}_{mark}" for kind in ("owner", "reader", "writer")}
    yield {"mirror_schema": "other_marketo", "machinery_schema": "other_syncd"} | roles
    for role in roles.values():
        if place.rows(f"SELECT FROM pg_roles WHERE rolname = '{role}'"):
            place.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
            place.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
