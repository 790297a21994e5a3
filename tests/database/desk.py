"""What the tests do by hand: write outbox rows, leads and fields, and look at what became of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from syncd.core import evolution
from syncd.core.fields import FieldFacts
from syncd.core.outbox import Claim, Settlement, Verdict
from syncd.database import columns, leads, outbox, state
from syncd.database.engine import QUEUE_LOCK, Database

STANDARD = (
    FieldFacts("id", "Id", "integer", read_only=True, updateable=False, searchable=True),
    FieldFacts("email", "Email Address", "email", length=255, searchable=True),
    FieldFacts("createdAt", "Created At", "datetime", read_only=True, updateable=False),
    FieldFacts("updatedAt", "Updated At", "datetime", read_only=True, updateable=False),
    FieldFacts("firstName", "First Name", "string", length=12),
    FieldFacts("externalId", "External Id", "string", length=40, searchable=True),
    FieldFacts("leadScore", "Lead Score", "score"),
    FieldFacts("unsubscribed", "Unsubscribed", "boolean"),
)


class Desk:
    """A database, and the hands of the people and the worker around it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def run(self, statement: str, *values: Any) -> list[tuple]:
        """Run a statement in a transaction of its own; return its rows, if it has any."""
        with self.database.begin() as transaction:
            cursor = transaction.raw.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: Any) -> Any:
        """Return the only value of a query."""
        ((found,),) = self.run(statement, *values)
        return found

    def fields(self, facts: Sequence[FieldFacts] = STANDARD, *, room: int = 1_000) -> tuple[int, list[str]]:
        """Let Marketo have these fields; return how many differ from before, and which are gone."""
        with self.database.begin() as transaction:
            known, there = columns.known(transaction), state.lead_columns(transaction)
            steps = evolution.plan(facts, known, transaction.policy, there, room)
            return columns.note(transaction, columns.carry_out(transaction, steps), ())

    def page(
        self,
        records: Sequence[dict[str, Any]],
        *names: str,
        touch: bool = False,
        answer: bytes | None = None,
    ) -> leads.Written:
        """Write a page of leads as the fetcher does; names: the fields that were asked for, all of them if none."""
        with self.database.begin() as transaction:
            fields = [f for f in leads.mirrored_fields(transaction) if not names or f.name in {"id", *names}]
            return leads.upsert_page(transaction, fields, records, touch=touch, answer=answer)

    def lead(self, number: int) -> dict[str, Any]:
        """Return a lead's row."""
        with self.database.begin() as transaction:
            cursor = transaction.raw.execute("SELECT * FROM lead WHERE id = %s", [number])
            assert cursor.description is not None
            (row,) = cursor.fetchall()
            return dict(zip([c.name for c in cursor.description], row, strict=True))

    def mirror(self, *pairs: tuple[int, str | None]) -> None:
        """Put leads with these addresses into the mirror."""
        for number, email in pairs:
            self.run(
                "INSERT INTO lead (id, email) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email",
                number,
                email,
            )

    def insert(self, operation: str = "create_or_update", payload: Any = None, **columns: Any) -> int:
        """Write an outbox row as a program would; return its id."""
        given = {"operation": operation, "payload": Jsonb(payload), **columns}
        if "options" in given:
            given["options"] = Jsonb(given["options"])
        statement = sql.SQL("INSERT INTO outbox ({}) VALUES ({}) RETURNING id").format(
            sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
        )
        with self.database.begin() as transaction:
            row = transaction.raw.execute(statement, given).fetchone()
            assert row is not None
            return int(row[0])

    def email(self, address: str, operation: str = "create_or_update", **columns: Any) -> int:
        """Write an outbox row for the lead with this address."""
        return self.insert(operation, {"email": address}, **columns)

    def lead_id(self, number: int, operation: str = "update_only", **columns: Any) -> int:
        """Write an outbox row for the lead with this id."""
        return self.insert(operation, {"id": number}, **columns)

    def claim(self, most: int = 300, *, replica: int = 1) -> Claim | None:
        """Claim as a worker would."""
        return outbox.claim(self.database, replica=replica, most=most)

    def claimed(self, most: int = 300) -> list[int]:
        """Claim; return the ids of the rows."""
        claim = self.claim(most)
        return [row.id for row in claim.rows] if claim else []

    def settle(
        self, claim: Claim, outcome: str = "succeeded", status: str | None = None, **more: Any
    ) -> list[int]:
        """Write down the same outcome for every row of a claim."""
        verdict = Verdict(
            0, outcome, status or outcome, **({"error_message": "no"} if outcome == "failed" else {}), **more
        )
        return self.settle_each(claim, [replace(verdict, outbox_id=row.id) for row in claim.rows])

    def settle_each(self, claim: Claim, verdicts: Iterable[Verdict]) -> list[int]:
        """Write down an outcome for each row."""
        with self.database.begin() as transaction:
            return outbox.settle(
                transaction, claim.number, Settlement(tuple(verdicts), "Sync Leads", "req#1", 12)
            )

    def unknown(self, due_in: float = 3600.0, status: str = "retrying") -> list[int]:
        """Claim, and learn nothing of what became of it."""
        claim = self.claim()
        assert claim is not None
        return self.settle(
            claim, "unknown", status, due_in=due_in, unknown=True, error_code="604", error_message="timed out"
        )

    def send_next(self) -> list[int]:
        """Claim and succeed once; return the rows."""
        claim = self.claim()
        return self.settle(claim) if claim else []

    def send_all(self) -> list[list[int]]:
        """Claim and succeed until nothing may go; return the rows of each call."""
        calls = []
        while sent := self.send_next():
            calls.append(sent)
        return calls

    def row(self, number: int) -> dict[str, Any]:
        """Return an outbox row."""
        with self.database.begin() as transaction:
            row = transaction.row("outbox_row", id=number)
            assert row is not None
            return row._asdict()

    def status(self, number: int) -> str:
        return str(self.row(number)["status"])

    def state(self, number: int) -> str | None:
        """Return where the row stands in the queue; None where it is not in it."""
        found = self.row(number)["queue_state"]
        return None if found is None else str(found)

    def due(self, *numbers: int) -> None:
        """Let the waiting time of rows be over."""
        self.run(
            "UPDATE outbox_queue SET due_at = now() - interval '1 second' WHERE outbox_id = ANY(%s)",
            list(numbers),
        )

    def unfinished(self) -> int:
        return outbox.unfinished(self.database)

    def tidy(self) -> None:
        """Look at new rows, wake and end others, as each claim does, without claiming."""
        with self.database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            outbox._tidy(transaction, 300)
