"""Looks at the plans of all statements, or of those that a piece of work runs, and fills the mirror for it."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from syncd.database.engine import Transaction
from syncd.database.queries import for_driver, names, query

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LARGE = frozenset({"lead", "list_membership", "program_membership", "campaign_membership", "campaign_read"})
"""The tables that ``fill`` makes large."""
WHOLE = {
    "backlog": "tells how many there are",
    "campaign_coverage": "tells how many there are",
    "campaign_walk_on": "enters all leads, once for each load",
    "erase_whom": "a person's command: no index has an address without the spaces around it",
    "lead_count": "tells how many there are",
    "lead_pages": "plans a comparison of a sample of all",
    "lead_purge": "looks for the retired once a day, where they are purged",
    "member_counts": "tells how many there are",
    "missing_count": "tells how many there are",
    "missing_from_staged": "compares all",
    "pages_of_leads": "plans a comparison of all",
    "pages_of_members": "plans a comparison of all",
    "refill_by_pages": "marks all leads, when fields have to be read again",
    "refill_facts": "tells how many there are, when fields have to be read again",
    "unknown_from_staged": "compares all",
}
"""Statements whose work is the whole table."""
WITHOUT_PLAN = {"erase_close": "locks tables", "short_lock_wait": "sets a time"}
PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
_COMMENT = re.compile(r"--.*\n")
_VALUE = re.compile(r"(?<![:\w]):(\w+)")
FIRST_ID = 10_000_000
CONTAINERS = 40
"""Lists, and programs, among which ``fill`` shares the memberships out."""


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
                f"INSERT INTO {table} ({container}, lead_id) SELECT {FIRST_ID} + (n * {share} + c) % {CONTAINERS}, n "
                f"FROM generate_series({first}, {last}) n, generate_series(1, {share}) c"
            )
        connection.execute("INSERT INTO campaign_read (lead_id, read_at) SELECT id, now() FROM lead")
        connection.execute(
            f"INSERT INTO campaign_membership (smart_campaign_id, lead_id) SELECT {FIRST_ID}, id FROM lead"
        )
        connection.execute("VACUUM ANALYZE")


class Plans:
    """Every full scan of a large table, by the statement that makes it."""

    def __init__(self, partial: Collection[str] = ()) -> None:
        self.partial = partial
        """Indexes of a few rows; to read one of them from end to end is no full scan."""
        self.scans: defaultdict[str, set[str]] = defaultdict(set)
        self.statements: set[str] = set()

    def look(self, name: str, plan: Any, *, stops: bool = False) -> None:
        """Note the full scans of a plan. stops: somebody above takes no more rows than it needs."""
        self.statements.add(name)
        if plan.get("Relation Name") in LARGE and self._is_full(plan, stops=stops):
            self.scans[name].add(plan["Relation Name"])
        for inner in plan.get("Plans", ()):
            self.look(name, inner, stops=stops or plan["Node Type"] == "Limit")

    def _is_full(self, plan: Any, *, stops: bool) -> bool:
        if plan["Node Type"] == "Seq Scan":
            return True
        through_all = plan["Node Type"] in {"Index Scan", "Index Only Scan"} and "Index Cond" not in plan
        return through_all and not stops and plan["Index Name"] not in self.partial

    def needless(self) -> dict[str, set[str]]:
        return {name: tables for name, tables in self.scans.items() if name not in WHOLE}


def of_all_statements(url: str) -> Plans:
    """Explain every named statement for whatever values it may get, as PostgreSQL plans what it is often asked."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = marketo, syncd")
        # Bulk files of ids, which a reconcile compares.
        connection.execute("CREATE TABLE staging_reconcile AS SELECT id::text FROM lead")
        connection.execute("ANALYZE staging_reconcile")
        partial = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
        )
        plans = Plans({name for (name,) in partial})
        for name in names():
            sentence = query(name)
            if _has_plan(sentence):
                statement = "EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + _numbered(sentence)
                row = connection.execute(statement.encode()).fetchone()
                assert row is not None
                plans.look(name, row[0][0]["Plan"])
        connection.rollback()
    return plans


def _has_plan(sentence: str) -> bool:
    return _COMMENT.sub("", sentence).lstrip().upper().startswith(PLANNED)


def _numbered(sentence: str) -> str:
    """Return a statement with numbers in the place of its values' names."""
    numbers: dict[str, int] = {}
    return _VALUE.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", sentence)


@contextmanager
def watched() -> Iterator[Plans]:
    """Explain each statement just before it runs."""
    plans = Plans()
    named, composed = Transaction._execute, Transaction.composed

    def execute(self: Transaction, name: str, values: dict[str, Any]) -> Any:
        if _has_plan(query(name)):
            row = self.raw.execute(b"EXPLAIN (FORMAT JSON) " + for_driver(name), values).fetchone()
            assert row is not None
            plans.look(name, row[0][0]["Plan"])
        return named(self, name, values)

    def compose(self: Transaction, statement: Any, values: Any = None) -> Any:
        sentence = statement.as_string(self.raw)
        if sentence.startswith(PLANNED):
            row = self.raw.execute("EXPLAIN (FORMAT JSON) " + sentence, values).fetchone()
            assert row is not None
            plans.look("upsert" if "INSERT INTO lead AS l" in sentence else sentence[:60], row[0][0]["Plan"])
        return composed(self, statement, values)

    Transaction._execute, Transaction.composed = execute, compose  # type: ignore[method-assign]
    try:
        yield plans
    finally:
        Transaction._execute, Transaction.composed = named, composed  # type: ignore[method-assign]
