"""Bulk extracts: one job a window of creation dates, its file copied into a staging table and proven.

https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-extract/bulk-lead-extract
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.backoff import full_jitter
from syncd.core.csv import RecordCutter, ValueReplacer
from syncd.database import intake, staging
from syncd.errors import AuthenticationFailed, Refused, Retryable, WorkFailed
from syncd.marketo.shapes import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.clock import Clock
    from syncd.core.fields import LeadField
    from syncd.core.policy import FieldPolicy
    from syncd.database.engine import Database
    from syncd.errors import MarketoError
    from syncd.marketo.client import Client
    from syncd.marketo.models import Export
    from syncd.mirror.runs import Feeds

JOBS_AT_ONCE = 2
"""Marketo runs two jobs at once."""
DOWNLOADS_AT_MOST = 6
NO_FILE_YET = "HTTP 404"
"""A job can be Completed a while before its file is there."""
EARLIEST = datetime(2006, 1, 1, tzinfo=UTC)
"""Marketo was founded then: no lead is older."""


FILE_LATE_AT_MOST = timedelta(minutes=30)
"""Later than that the job is taken for lost."""
FILTER_NOT_OFFERED = "1035"
BY_CHANGE = "bulk extract by updatedAt"
"""Not every subscription has this filter."""
NO_BULK = frozenset({"603", "605", "610", "616", "703", FILTER_NOT_OFFERED, "HTTP 403", "HTTP 404"})
"""With these codes Marketo says that bulk exports are not for this API user or subscription."""
IN_DOUBT = "1003"
"""Bulk exports are refused, or one of the fields is."""


class NoFilterError(Exception):
    """Bulk exports are not available by the date of change."""


class NoBulkError(Exception):
    """Bulk exports are not available."""

    def __init__(self, refusal: MarketoError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True)
class File:
    """A file that lies whole in its staging table."""

    rows: int
    bytes: int
    checksum: str


def spans(oldest: datetime, newest: datetime, days: float) -> list[tuple[datetime, datetime]]:
    """Cut a time into windows, newest first; both ends of each belong to it, so they end a second apart.

    days: length of a window, at most 31.
    """
    second = timedelta(seconds=1)
    end, first = newest.replace(microsecond=0), oldest.replace(microsecond=0)
    found = []
    while end >= first:
        start = max(first, end - timedelta(days=days) + second)
        found.append((start, end))
        end = start - second
    return found


def oldest_lead(feeds: Feeds, client: Client) -> datetime:
    """Return a time before which no lead was created, for two or three calls.

    New Lead activities are kept without limit, so the first of them is about as old as the oldest
    lead; the lowest ids are asked too, for leads that are older than the activity log.
    """
    if feeds.conf.backfill_from is not None:
        return datetime.combine(feeds.conf.backfill_from, datetime.min.time(), UTC)
    found = [feeds.clock.now()]
    token, more = client.paging_token(EARLIEST), True
    while more and len(found) == 1 and not feeds.clock.stopping():
        page = client.activities(token, [12])
        found += [item.date for item in page.items]
        token, more = page.next_token, page.more
    for record in client.leads("id", list(range(1, 301)), ["createdAt"]):
        with suppress(AttributeError, KeyError, ValueError):  # there is none, or it can't be read
            found.append(moment(record["createdAt"]))
    return max(EARLIEST, min(found)) - timedelta(days=1)


def create(client: Client, names: Sequence[str], span: tuple[datetime, datetime]) -> Export:
    """Ask for an export of a window of creation dates. Raises NoBulkError where there are no exports at all."""
    try:
        return client.create_export(names, created_at=span)
    except (AuthenticationFailed, Refused) as problem:
        _tell_no_bulk(client, span, problem)
        raise


def create_changed(client: Client, names: Sequence[str], span: tuple[datetime, datetime]) -> Export:
    """Ask for an export of a window of dates of change.

    Raises NoFilterError where that filter is not offered, NoBulkError where there are no exports at all.
    """
    try:
        return client.create_export(names, updated_at=span)
    except (AuthenticationFailed, Refused) as problem:
        if problem.code == FILTER_NOT_OFFERED:
            raise NoFilterError from None
        _tell_no_bulk(client, span, problem)
        raise


def _tell_no_bulk(
    client: Client, span: tuple[datetime, datetime], problem: AuthenticationFailed | Refused
) -> None:
    if problem.code in NO_BULK or (problem.code == IN_DOUBT and _refused_at_all(client, span)):
        raise NoBulkError(problem) from None


def _refused_at_all(client: Client, span: tuple[datetime, datetime]) -> bool:
    try:
        client.cancel_export(client.create_export(["id"], created_at=span).id)
    except (AuthenticationFailed, Refused):
        return True
    return False


class FileLateError(Exception):
    """The job is completed, and its file is still to come."""


def load(
    client: Client,
    database: Database,
    clock: Clock,
    export: Export,
    table: str,
    fields: Sequence[LeadField],
    *,
    come_back: bool = False,
) -> File:
    """Copy a completed job's file into a staging table, and prove that it is whole.

    A dropped download goes on at the byte where it stopped. come_back: where the file is still to come, raise
    FileLateError rather than wait. Raises WorkFailed where size, checksum or
    number of records differ from what Marketo says, Retryable where the file can't be had.
    """
    staging.create(database, table, len(fields) - 1)
    cutter, digest, received = _cutter(database.policy, fields), hashlib.sha256(), 0
    attempt = 0
    with staging.Copier(database, table) as copier:
        while True:
            before = received
            try:
                with client.export_file(export.id, start=received) as chunks:
                    for chunk in chunks:
                        received += len(chunk)
                        digest.update(chunk)
                        if records := cutter.feed(chunk):
                            copier.put(records)
                            _tell_mended(cutter, export)
                if export.size is None or received >= export.size or received == before:
                    break
            except (Retryable, Refused) as problem:
                if isinstance(problem, Refused):
                    if problem.code != NO_FILE_YET:
                        raise
                    if come_back and not received and _is_fresh(export, clock):
                        raise FileLateError from None
                attempt = 1 if received > before else attempt + 1
                if attempt >= DOWNLOADS_AT_MOST or clock.stopping():
                    raise
                log.get("mirror").warning(
                    "a download goes on by range", export=export.id, byte=received, error=str(problem)
                )
                clock.sleep(full_jitter(attempt, base=2, cap=60, chance=clock.random()))
        copier.put(cutter.finish())
        copier.wait()
    _tell_mended(cutter, export)
    _tell_loose_quotes(cutter, export)
    return _proven(export, fields, cutter, copier.rows, received, digest.hexdigest())


def _is_fresh(export: Export, clock: Clock) -> bool:
    return export.finished_at is not None and clock.now() - export.finished_at < FILE_LATE_AT_MOST


def _proven(
    export: Export,
    fields: Sequence[LeadField],
    cutter: RecordCutter,
    rows: int,
    received: int,
    digest: str,
) -> File:
    checks = {
        "columns": (cutter.header, [f.name for f in fields]),
        "bytes": (received, export.size),
        "checksum": (f"sha256:{digest}", export.checksum),
        "records": (rows, export.records),
    }
    wrong = [what for what, (got, told) in checks.items() if told is not None and got != told]
    if export.records == 0 and cutter.header is None:
        wrong = [what for what in wrong if what != "columns"]
    if wrong:
        raise WorkFailed(
            f"the file of export {export.id} is not what Marketo announced ({', '.join(wrong)} differ); it will be exported again"
        )
    return File(rows, received, f"sha256:{digest}")


def _cutter(policy: FieldPolicy, fields: Sequence[LeadField]) -> RecordCutter:
    """Return a cutter that lets no value through of which only a hash may be kept."""
    hashed = {f.name: partial(policy.hashed, f.data_type) for f in fields if f.hashed}
    return RecordCutter(replacer=ValueReplacer([f.name for f in fields], hashed) if hashed else None)


def _tell_loose_quotes(cutter: RecordCutter, export: Export) -> None:
    if cutter.loose_quotes:
        message = "values hold quotes that were not doubled; they are kept"
        log.get("mirror").warning(message, export=export.id, quotes=cutter.loose_quotes)


def _tell_mended(cutter: RecordCutter, export: Export) -> None:
    if cutter.mended:
        intake.tell_mended(cutter.mended, f"export {export.id}")
        cutter.mended.clear()
