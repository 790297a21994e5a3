"""The whole house in one process: each step is taken by hand, and both sides can be looked into."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg.rows import dict_row

from syncd.database.session import ReplicaSession
from syncd.mirror import backfill, changes, dirty, schema
from syncd.simulator.control import Simulator
from syncd.verify import compare
from syncd.wiring import App

PATIENCE = 30.0
LOOK = 0.01

SYNC = "POST /rest/v1/leads.json"
DELETE = "POST /rest/v1/leads/delete.json"
READ = "GET /rest/v1/leads.json"
CHANGES = "GET /rest/v1/activities/leadchanges.json"
EXPORT_FILE = "GET /bulk/v1/leads/export/{exportId}/file.json"

Row = dict[str, Any]


class Inside:
    """Feeds, drain and books of one house; nothing happens but what a test asks for."""

    def __init__(self, app: App, simulator: Simulator, session: ReplicaSession) -> None:
        self.app, self.simulator, self.session = app, simulator, session
        self.feeds = app.feeds()
        self.drain = app.drain(lambda: session.replica)

    def fill(self) -> Counter[str]:
        """Load fields and leads."""
        schema.pull(self.feeds)
        return backfill.pull(self.feeds) + dirty.pull(self.feeds)

    def catch_up(self) -> Counter[str]:
        """Read Marketo's log to its end, and the leads that it names."""
        return changes.pull(self.feeds) + dirty.pull(self.feeds)

    def differences(self) -> list[Any]:
        return compare.run(self.feeds).differences

    def proven(self) -> None:
        """Catch up; then the mirror equals Marketo."""
        self.catch_up()
        report = compare.run(self.feeds)
        assert report.differences == []
        assert report.leads == self.simulator.stats()["leads"]

    def sql(self, query: str, *values: Any) -> list[Row]:
        with self.app.database.begin() as transaction, transaction.raw.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any) -> Any:
        rows = self.sql(query, *values)
        return next(iter(rows[0].values())) if rows else None

    def insert(self, operation: str, payload: Any, **columns: Any) -> int:
        """Put one row into the outbox; return its id."""
        return self.insert_all([(operation, payload)], **columns)[0]

    def insert_all(self, rows: Iterable[tuple[str, Any]], **columns: Any) -> list[int]:
        """Put rows into the outbox in one transaction; return their ids."""
        names, ids = ["operation", "payload", *columns], []
        places = ", ".join(["%s"] * len(names))
        query = f"INSERT INTO outbox ({', '.join(names)}) VALUES ({places}) RETURNING id"
        with self.app.database.begin() as transaction:
            for operation, payload in rows:
                values = (operation, json.dumps(payload), *columns.values())
                made = transaction.raw.execute(query, values).fetchone()
                ids.append(int(made[0]) if made else 0)
        return ids

    def row(self, number: int) -> Row:
        return self.sql("SELECT * FROM outbox WHERE id = %s", number)[0]

    def attempts(self, number: int) -> list[str]:
        """The outcome of each attempt of a row, and its code."""
        rows = self.sql(
            "SELECT outcome || coalesce(' ' || error_code, '') AS told FROM outbox_attempt WHERE outbox_id = %s "
            "ORDER BY number",
            number,
        )
        return [row["told"] for row in rows]

    def lead(self, number: int) -> Row | None:
        rows = self.sql("SELECT * FROM lead WHERE id = %s", number)
        return rows[0] if rows else None

    def step(self) -> bool:
        """Claim, send and settle once."""
        return self.drain.step()

    def carry(self, patience: float = PATIENCE) -> None:
        """Drain until every row has its final state and no key is closed."""
        end = time.monotonic() + patience
        while self.value("SELECT count(*) FROM outbox_queue"):
            assert time.monotonic() < end, self.sql("SELECT * FROM outbox_queue")
            if not self.drain.step():
                time.sleep(LOOK)

    def carry_all(self, rows: Iterable[tuple[str, Any]], **columns: Any) -> list[Row]:
        """Insert rows, drain, and return them as they ended."""
        ids = self.insert_all(rows, **columns)
        self.carry()
        return [self.row(number) for number in ids]

    def calls(self, endpoint: str) -> int:
        return self.simulator.calls().get(endpoint, 0)

    def until(self, holds: Callable[[], Any], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not holds():
            assert time.monotonic() < end, "it takes too long"
            time.sleep(LOOK)


@contextmanager
def beside(work: Callable[[], Any]) -> Iterator[None]:
    """Do something in another thread; its error is raised at the end of the block."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as problem:  # noqa: BLE001 - raised below
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it takes too long"
    if problems:
        raise problems[0]
