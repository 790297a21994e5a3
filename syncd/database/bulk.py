"""A loaded bulk file goes into the table of leads: in parts, several at once.

Each part is a transaction, so that nobody waits for a million rows; writing a part again changes
nothing. An id that comes twice in a part is seen by PostgreSQL itself, and that part is sorted first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

from syncd.database import leads, staging
from syncd.errors import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.core.fields import LeadField
    from syncd.database.engine import Database

PAGES_A_PART = 1_000
"""Of 8 KB."""
WRITERS = 2


def upsert(
    database: Database, fields: Sequence[LeadField], table: str, *, exported_at: datetime
) -> leads.Written:
    """Write the leads of a staging table, except those whose row is newer than the export.

    Raises WorkFailed where the fields are no longer what they were.
    """
    size = staging.pages(database, table)
    parts = [(start, min(start + PAGES_A_PART, size)) for start in range(0, size, PAGES_A_PART)]

    def write(part: tuple[int, int]) -> leads.Written:
        try:
            return _part(database, fields, table, exported_at, part, unique=True)
        except psycopg.errors.CardinalityViolation:
            return _part(database, fields, table, exported_at, part, unique=False)

    with ThreadPoolExecutor(WRITERS, thread_name_prefix="upsert") as pool:
        written = list(pool.map(write, parts))
    return leads.Written(sum(w.rows for w in written), sum(w.unparsed for w in written))


def _part(
    database: Database,
    fields: Sequence[LeadField],
    table: str,
    exported_at: datetime,
    part: tuple[int, int],
    *,
    unique: bool,
) -> leads.Written:
    with database.begin() as transaction:
        transaction.run("part_settings")
        if not leads.hold(transaction, fields):
            raise WorkFailed("fields changed while the file was loaded; it will be exported again")
        return leads.upsert_staged(
            transaction, fields, table, exported_at=exported_at, pages=part, unique=unique
        )
