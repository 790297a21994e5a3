"""Bulk import of leads: files are read, rows upserted, failures and warnings kept."""

import asyncio
import csv
import email.parser
import email.policy
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from syncd.simulator import changes
from syncd.simulator.calls import ApiError, Call
from syncd.simulator.clock import SECONDS_A_DAY
from syncd.simulator.fields import Field
from syncd.simulator.jobs import Turns
from syncd.simulator.syncing import Upsert
from syncd.simulator.world import Origin, World

RUNNING, QUEUED, KEEP_DAYS, ROWS_A_TURN = 2, 10, 7, 100
ENDED = frozenset(("Complete", "Failed"))


@dataclass(slots=True)
class Batch:
    """One import."""

    id: int
    header: list[str]
    rows: list[list[str]]
    separator: str
    lookup: Field
    partition: int | None
    list_id: int | None
    origin: Origin
    made: float
    status: str = "Queued"
    done: int = 0
    members: int = 0
    error: str | None = None
    failures: list[list[str]] = field(default_factory=list)
    warnings: list[list[str]] = field(default_factory=list)

    def show(self) -> dict[str, Any]:
        """The batch as the API shows it."""
        item: dict[str, Any] = {"batchId": self.id, "importId": str(self.id), "status": self.status}
        if self.status == "Queued":
            return item
        item |= {
            "numOfLeadsProcessed": self.done,
            "numOfRowsFailed": len(self.failures),
            "numOfRowsWithWarning": len(self.warnings),
        }
        if self.status == "Complete":
            people = f"{self.done} records imported ({self.members} members)"
            how = "completed with errors" if self.failures else "succeeded"
            item["message"] = f"Import {how}, {people}" + (
                f", {len(self.failures)} failed" if self.failures else ""
            )
        if self.error:
            item["message"] = self.error
        return item

    def file(self, rows: list[list[str]], column: str) -> bytes:
        """Rows in the format of the import, with one more column."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        writer.writerow([*self.header, column])
        writer.writerows(rows)
        return text.getvalue().encode()


class Imports:
    """All imports of the subscription."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.batches: dict[int, Batch] = {}
        self.fail_next: list[str] = []
        self._next = 1001
        self._turns = Turns(lambda: RUNNING)

    def find(self, number: int) -> Batch | None:
        """A batch that is not older than a week."""
        batch = self.batches.get(number)
        if batch is None or batch.made < self.world.clock.now() - KEEP_DAYS * SECONDS_A_DAY:
            return None
        return batch

    def add(
        self, call: Call, text: str, separator: str, lookup: Field, partition: int | None, list_id: int | None
    ) -> Batch:
        """A new import from a file's text."""
        busy = [b for b in self.batches.values() if b.status not in ENDED]
        if len(busy) >= QUEUED and self.world.options.limits:
            raise ApiError(
                1016, f"There are {QUEUED} imports currently being processed. Please try again later"
            )
        if list_id is not None and any(b.list_id == list_id for b in busy):
            raise ApiError(1019, "Import in progress")
        rows = _rows(text, separator)
        if not rows:
            raise ApiError(1003, "The file is empty")
        for name in rows[0]:
            if self.world.field(name) is None:
                raise ApiError(1006, f"Field '{name}' not found")
        if lookup.name.lower() not in [name.lower() for name in rows[0]]:
            raise ApiError(1003, f"The file has no column for lookup field '{lookup.name}'")
        origin = Origin(call.endpoint, call.request_id, "List import", "List import", "List import")
        batch = Batch(
            self._next,
            rows[0],
            rows[1:],
            separator,
            lookup,
            partition,
            list_id,
            origin,
            self.world.clock.now(),
        )
        self._next += 1
        self.batches[batch.id] = batch
        return batch

    async def run(self, batch: Batch) -> None:
        """Carry an import out."""
        async with self._turns:
            started = self.world.clock.now()
            batch.status = "Importing"
            batch.error = self.fail_next.pop(0) if self.fail_next else None
            await self.world.leads.prepare(batch.lookup)
            # One that fails has come half-way: what it has written stays.
            rows = batch.rows[: len(batch.rows) // 2] if batch.error else batch.rows
            for part in _parts(rows):
                self._import(batch, part)
                await asyncio.sleep(0)
            await self.world.clock.until(started + self.world.options.import_seconds)
            batch.status = "Failed" if batch.error else "Complete"

    def _import(self, batch: Batch, rows: list[list[str]]) -> None:
        action = "updateOnly" if batch.lookup.name == "id" else "createOrUpdate"
        upsert = Upsert(self.world, batch.origin, action, batch.lookup, batch.partition, company=True)
        for row in rows:
            if len(row) != len(batch.header):
                batch.failures.append([*row, f"Expected {len(batch.header)} columns, found {len(row)}"])
                continue
            record = dict(zip(batch.header, (None if v in {"", "null"} else v for v in row), strict=True))
            if warning := self._shorten(record):
                batch.warnings.append([*row, warning])
            item = upsert.apply([upsert.plan(record)])[0]
            if "id" not in item:
                batch.failures.append([*row, item["reasons"][0]["message"]])
                continue
            batch.done += 1
            if batch.list_id is not None and batch.list_id in self.world.assets.lists:
                changes.add_to_list(self.world, batch.list_id, item["id"], batch.origin)
                batch.members += 1

    def _shorten(self, record: dict[str, Any]) -> str:
        shortened = []
        for name, value in record.items():
            found = self.world.field(name)
            if (
                found
                and found.length
                and isinstance(value, str)
                and len(value) > found.length
                and found.type != "email"
            ):
                record[name] = value[: found.length]
                shortened.append(name)
        return f"Value truncated: {', '.join(shortened)}" if shortened else ""


def _rows(text: str, separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    except csv.Error:
        raise ApiError(1003, "The file cannot be read") from None


def _parts(rows: list[list[str]]) -> Iterator[list[list[str]]]:
    for start in range(0, len(rows), ROWS_A_TURN):
        yield rows[start : start + ROWS_A_TURN]


def uploaded(content_type: str, body: bytes) -> bytes:
    """The part called "file" of a multipart form."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise ApiError(612, "Invalid Content Type")
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise ApiError(613, "Invalid Multipart Request")
    for part in message.iter_parts():
        if part.get_param("name", header="content-disposition") == "file":
            payload = part.get_payload(decode=True)
            return payload if isinstance(payload, bytes) else b""
    raise ApiError(613, "Invalid Multipart Request")
