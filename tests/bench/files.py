"""Bulk files of any size: a simulated export, its rows repeated with other ids and addresses."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from syncd.core.fields import BASE_COLUMNS
from syncd.database import leads
from syncd.mirror import schema

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.core.fields import LeadField
    from syncd.marketo.client import Client
    from syncd.wiring import App

FIELDS = 60
SAMPLE = 2_000


@dataclass(frozen=True)
class BulkFile:
    place: Path
    records: int
    checksum: str


def choose(client: Client) -> list[str]:
    """Return 60 fields that bulk files can have, as the setting ``fields.include`` names them."""
    names = [f.rest_name for f in client.describe() if f.rest_name and f.data_type != "formula"]
    return sorted(names, key=lambda name: name not in BASE_COLUMNS)[:FIELDS]


def sample(app: App) -> tuple[list[LeadField], bytes]:
    """Give the mirror the fields of its settings, and return them with an export of them from the simulator."""
    schema.pull(app.feeds())
    with app.database.begin() as transaction:
        fields = leads.mirrored_fields(transaction)
    assert len(fields) == FIELDS
    now = app.clock.now()
    export = app.client.create_export(
        [f.name for f in fields], created_at=(now - timedelta(days=30), now + timedelta(minutes=1))
    )
    app.client.enqueue_export(export.id)
    while (export := app.client.export_status(export.id)).status != "Completed":
        app.clock.sleep(0.2)
    with app.client.export_file(export.id) as chunks:
        return fields, b"".join(chunks)


def make(place: Path, seed: bytes, records: int) -> BulkFile:
    """Write a file of so many records."""
    rows = list(csv.reader(io.StringIO(seed.decode(), newline="")))
    header, body = rows[0], rows[1:]
    number, address = header.index("id"), header.index("email")
    lines = []
    for row in body:
        text = io.StringIO()
        marked = [*row]
        marked[number], marked[address] = "\x01", "\x02@example.com"
        csv.writer(text, lineterminator="\n").writerow(marked)
        lines.append(text.getvalue())
    digest = hashlib.sha256()
    with place.open("wb") as file:
        part = (",".join(header) + "\n").encode()
        for start in range(1, records + 1, SAMPLE):
            several = range(start, min(start + SAMPLE, records + 1))
            part += "".join(
                lines[n % len(lines)].replace("\x01", str(n)).replace("\x02", f"lead{n}") for n in several
            ).encode()
            digest.update(part)
            file.write(part)
            part = b""
    return BulkFile(place, records, "sha256:" + digest.hexdigest())
