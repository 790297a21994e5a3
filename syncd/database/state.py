"""Cursors, runs, the dirty set, windows, fields and assets: the plain bookkeeping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from syncd.database.documents import array, document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.database.engine import Database, Transaction

AssetTable = Literal[
    "partition", "static_list", "program", "smart_campaign", "channel_status", "program_member_field"
]


@dataclass(frozen=True)
class Cursor:
    """Where a feed stands in Marketo's log."""

    token: str
    """Marketo's paging token."""
    reached_at: datetime
    """By Marketo's clock: what was in the log by then was read."""


def cursor(database: Database, feed: str) -> Cursor | None:
    """Return where a feed stands, or None before its first token."""
    with database.begin() as transaction:
        row = transaction.row("cursor_get", feed=feed)
        return Cursor(row.token, row.reached_at) if row else None


def cursor_age(database: Database, feed: str) -> float:
    """Return how many seconds ago it was until when a feed has read the log; 0 before its first token."""
    with database.begin() as transaction:
        return float(transaction.scalar("cursor_age", feed=feed) or 0)


def hold_cursor(transaction: Transaction, feed: str) -> Cursor | None:
    """Return where a feed stands, and let nobody else move it before the transaction ends.

    The first lock of a transaction that holds the effects of a page, so that a sweep that sends the feed
    back and a page of that feed can't both be at the members.
    """
    row = transaction.row("cursor_hold", feed=feed)
    return Cursor(row.token, row.reached_at) if row else None


def move_cursor(transaction: Transaction, feed: str, place: Cursor) -> None:
    """Move a feed, in the transaction that holds the effects of its page."""
    transaction.run("cursor_put", feed=feed, token=place.token, reached_at=place.reached_at)


def start_cursor(database: Database, feed: str, place: Cursor) -> None:
    """Start a feed, unless it has been started before."""
    with database.begin() as transaction:
        transaction.run("cursor_first", feed=feed, token=place.token, reached_at=place.reached_at)


def start_run(database: Database, feed: str) -> int:
    """Note that a feed begins a run; return the run's number."""
    with database.begin() as transaction:
        return int(transaction.scalar("run_start", feed=feed))


def end_run(database: Database, run: int, outcome: str, counts: dict[str, int], error: str | None) -> None:
    """Note how a run ended."""
    with database.begin() as transaction:
        transaction.run("run_end", id=run, outcome=outcome, counts=document(counts), error=error)


def dirty_members(database: Database) -> int:
    """Return how many program memberships may be old."""
    with database.begin() as transaction:
        return int(transaction.scalar("members_count"))


def dirty_due(database: Database, *, most: int, seconds: float) -> bool:
    """Tell whether the dirty set fills a call, holds news from Marketo, or has waited so many seconds."""
    with database.begin() as transaction:
        return bool(transaction.scalar("dirty_due", most=most, seconds=seconds))


def seconds_since_first_run(database: Database) -> float:
    """Return how long ago the oldest run in the books began; 0 where there is none."""
    with database.begin() as transaction:
        return float(transaction.scalar("run_first_age") or 0)


def seconds_since_run(database: Database, feed: str) -> tuple[float | None, str | None]:
    """Return how long ago the last run of a feed began, and how it ended; None, None before its first."""
    with database.begin() as transaction:
        row = transaction.row("run_last", feed=feed)
        return (float(row.age), str(row.outcome)) if row else (None, None)


def mark_dirty(transaction: Transaction, ids: Sequence[int], reason: str) -> int:
    """Mark leads whose row may be old; return how many.

    A transaction that also writes leads marks them first, so that it and the fetcher take locks in
    the same order.
    """
    return transaction.run("dirty_mark", ids=array(ids), reason=reason) if ids else 0


def next_dirty(transaction: Transaction, most: int) -> tuple[list[int], list[int]]:
    """Return the leads that have been dirty for longest, and the mark of each."""
    row = transaction.row("dirty_next", most=most)
    return (list(row.ids), list(row.marks)) if row and row.ids else ([], [])


def clear_dirty(transaction: Transaction, ids: Sequence[int], marks: Sequence[int]) -> set[int]:
    """Take leads from the dirty set, except those marked again since ``next_dirty``; return the former."""
    return turn_dirty(transaction, ids, marks, 0)[0]


def turn_dirty(
    transaction: Transaction, ids: Sequence[int], marks: Sequence[int], most: int
) -> tuple[set[int], list[int], list[int]]:
    """Do what ``clear_dirty`` does, and return what it returns and what comes after these leads, as ``next_dirty`` would.

    One that another transaction marks at this moment may be left to the next ``next_dirty``.
    """
    row = transaction.row("dirty_clear", ids=array(ids), marks=array(marks), most=most)
    return set(row.cleared or ()), list(row.ids or ()), list(row.marks or ())


def dirty_count(database: Database) -> int:
    """Return how many leads are dirty."""
    with database.begin() as transaction:
        row = transaction.row("dirty_count")
        return int(row.leads) if row else 0


def windows(database: Database) -> Sequence[Any]:
    """Return the backfill's windows, newest first."""
    with database.begin() as transaction:
        return transaction.rows("windows")


def plan_windows(database: Database, spans: Sequence[tuple[datetime, datetime]], *, anew: bool) -> None:
    """Plan windows of dates of creation; anew: forget all earlier ones."""
    with database.begin() as transaction:
        if anew:
            transaction.run("windows_forget")
        transaction.run("windows_plan", filter="createdAt", windows=_plan(spans))


def plan_changed_windows(database: Database, spans: Sequence[tuple[datetime, datetime]]) -> None:
    """Plan windows of dates of change in place of earlier ones of that kind."""
    with database.begin() as transaction:
        transaction.run("windows_forget_changed")
        transaction.run("windows_plan", filter="updatedAt", windows=_plan(spans))


def _plan(spans: Sequence[tuple[datetime, datetime]]) -> str:
    return document([{"starts_at": start.isoformat(), "ends_at": end.isoformat()} for start, end in spans])


def forget_windows(database: Database) -> None:
    """Forget all windows: the next backfill plans and loads them anew, up to its own day."""
    with database.begin() as transaction:
        transaction.run("windows_forget")


def not_offered(database: Database, what: str) -> bool:
    """Tell whether Marketo said that the subscription does not have this."""
    with database.begin() as transaction:
        return bool(transaction.scalar("not_offered", what=what))


def note_not_offered(database: Database, what: str, code: str) -> None:
    """Note that Marketo refused this because the subscription does not have it."""
    with database.begin() as transaction:
        transaction.run("not_offered_put", what=what, code=code)


def forget_not_offered(database: Database) -> None:
    """Ask again for what Marketo once said the subscription does not have."""
    with database.begin() as transaction:
        transaction.run("not_offered_forget")


def window_guess(database: Database, window: int) -> int | None:
    """Return how many bytes the file of a window will have, or None where nothing is known yet."""
    with database.begin() as transaction:
        guess = transaction.scalar("window_guess", id=window)
        return None if guess is None else int(guess)


def window_created(database: Database, window: int, export_id: str, fields: Sequence[str]) -> None:
    """Note the export job of a window, and for which fields it was made."""
    with database.begin() as transaction:
        transaction.run("window_created", id=window, export_id=export_id, fields=list(fields))


def window_queued(database: Database, window: int, exported_at: datetime) -> None:
    """Note that the job was started, and the database's moment just before it."""
    with database.begin() as transaction:
        transaction.run("window_queued", id=window, exported_at=exported_at)


def window_again(database: Database, window: int) -> None:
    """Note that the job came to nothing."""
    with database.begin() as transaction:
        transaction.run("window_again", id=window)


def window_ids_only(database: Database, window: int) -> bool:
    """Let a window be exported again, of its leads no more than the ids; tell whether that is not how it was exported."""
    with database.begin() as transaction:
        return bool(transaction.run("window_ids_only", id=window))


def now(database: Database) -> datetime:
    """Return the database's present moment."""
    with database.begin() as transaction:
        moment: datetime = transaction.scalar("database_now")
        return moment


def put_assets(transaction: Transaction, table: AssetTable, items: Sequence[dict[str, Any]]) -> int:
    """Make a table of assets equal to what Marketo lists; return how many rows differed."""
    return transaction.run(f"{table}_put", items=document(list(items)))


def lead_columns(transaction: Transaction) -> set[str]:
    """Return the columns of the table of leads."""
    return {r.name for r in transaction.rows("field_columns")}


def pause(database: Database, what: Literal["calls", "export"], until: datetime, reason: str) -> None:
    """Note that Marketo told us to leave something alone until a time."""
    with database.begin() as transaction:
        transaction.run("pause_put", what=what, until=until, reason=reason)


def paused(database: Database, what: Literal["calls", "export"]) -> datetime | None:
    """Return until when something is to be left alone; None where it need not be."""
    with database.begin() as transaction:
        row = transaction.row("pause_get", what=what)
        return row.until if row else None
