"""Watches the plans of all statements that a piece of work runs, and fills the mirror for it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import text

from syncd.database.engine import Transaction
from syncd.database.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = frozenset({"lead", "list_membership", "program_membership", "campaign_read"})
"""The tables that ``fill`` makes large."""
WHOLE = {
    "lead_count": "tells how many there are",
    "campaign_walk_on": "enters all leads, once for each load",
    "missing_count": "tells how many there are",
    "missing_from_staged": "compares all",
    "member_counts": "tells how many there are",
    "pages_of_leads": "plans a comparison of all",
    "pages_of_members": "plans a comparison of all",
}
"""Statements whose work is the whole table."""
FIRST_ID = 10_000_000


def fill(url: str, *, leads: int, memberships_each: int = 10) -> None:
    """Add so many leads, each with so many memberships, none of which Marketo knows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = marketo, syncd")
        first, last = FIRST_ID, FIRST_ID + leads - 1
        connection.execute(
            "INSERT INTO lead (id, email, created_at, updated_at) SELECT n, 'lead' || n || '@example.com', "
            f"now() - interval '1 year', now() FROM generate_series({first}, {last}) n"
        )
        of_programs = memberships_each // 2
        of_lists = memberships_each - of_programs
        for table, container, share in (
            ("list_membership", "list_id", of_lists),
            ("program_membership", "program_id", of_programs),
        ):
            connection.execute(
                f"INSERT INTO {table} ({container}, lead_id) SELECT {FIRST_ID} + c, n "
                f"FROM generate_series({first}, {last}) n, generate_series(1, {share}) c"
            )
        connection.execute("INSERT INTO campaign_read (lead_id, read_at) SELECT id, now() FROM lead")
        connection.execute("VACUUM ANALYZE")


class Plans:
    """Every full scan of a large table, by the statement that makes it."""

    def __init__(self) -> None:
        self.scans: defaultdict[str, set[str]] = defaultdict(set)
        self.statements: set[str] = set()

    def look(self, name: str, plan: Any) -> None:
        self.statements.add(name)
        if plan.get("Node Type") == "Seq Scan" and plan.get("Relation Name") in LARGE:
            self.scans[name].add(plan["Relation Name"])
        for inner in plan.get("Plans", ()):
            self.look(name, inner)

    def needless(self) -> dict[str, set[str]]:
        return {name: tables for name, tables in self.scans.items() if name not in WHOLE}


@contextmanager
def watched() -> Iterator[Plans]:
    """Explain each statement just before it runs."""
    plans = Plans()
    named, composed = Transaction._execute, Transaction.composed

    def execute(self: Transaction, name: str, values: dict[str, Any]) -> Any:
        sentence = query(name).text
        if sentence.lstrip().upper().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            found = self.connection.execute(text("EXPLAIN (FORMAT JSON) " + sentence), values).scalar()
            plans.look(name, found[0]["Plan"])
        return named(self, name, values)

    def compose(self: Transaction, statement: Any, values: Any = None) -> Any:
        sentence = statement.as_string(self.raw)
        if sentence.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            row = self.raw.execute("EXPLAIN (FORMAT JSON) " + sentence, values).fetchone()
            assert row is not None
            plans.look("upsert" if "INSERT INTO lead AS l" in sentence else sentence[:60], row[0][0]["Plan"])
        return composed(self, statement, values)

    Transaction._execute, Transaction.composed = execute, compose  # type: ignore[method-assign]
    try:
        yield plans
    finally:
        Transaction._execute, Transaction.composed = named, composed  # type: ignore[method-assign]
