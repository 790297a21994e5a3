"""Who went through which smart campaign: whose turn it is to be read, and what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.core.differences import Difference
from syncd.core.numbers import HIGHEST
from syncd.database.documents import array, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from syncd.database.engine import Database, Transaction

ENTERED_AT_ONCE = 1_000


def mark(transaction: Transaction, ids: Iterable[int]) -> None:
    """Let these leads be read before all others: they have changed."""
    chosen = list(ids)
    if chosen:
        transaction.run("campaign_mark", ids=chosen)


def enter(transaction: Transaction, ids: Sequence[int]) -> None:
    """Let the turn of these leads come, where the mirror did not hold them before."""
    if ids:
        transaction.run("campaign_enter", ids=array(ids))


def calls_left(database: Database, endpoint: str, calls_a_day: int) -> tuple[int, int]:
    """Return how many calls of the day are left, and how many if they are spread evenly over it."""
    with database.begin() as transaction:
        row = transaction.row("campaign_calls", endpoint=endpoint)
    assert row is not None  # noqa: S101 - it always has one row
    return calls_a_day - int(row.calls), int(calls_a_day * row.day_over) - int(row.calls)


def waiting(database: Database, before: datetime) -> tuple[bool, bool]:
    """Tell whether leads wait that have changed, and whether leads wait that were not read since ``before``."""
    with database.begin() as transaction:
        changed = bool(transaction.scalar("campaign_changed"))
        _walk(transaction, 1)
        return changed, bool(transaction.scalar("campaign_old", before=before))


def next_leads(
    database: Database, most: int, *, before: datetime | None
) -> tuple[list[tuple[int, int | None]], int]:
    """Return the leads whose turn it is, each with its mark, and how many of them have changed.

    Changed leads come first, then those that were never read, then those whose reading is the oldest, if it
    is older than ``before``; None: changed ones only.
    """
    with database.begin() as transaction:
        found = [(int(r.lead_id), int(r.mark)) for r in transaction.rows("campaign_next_changed", most=most)]
        chosen: list[tuple[int, int | None]] = list(found)
        left = most - len(chosen)
        if before is not None and left:
            _walk(transaction, left)
            rows = transaction.rows("campaign_next_old", before=before, most=left)
            chosen += [(int(r.lead_id), None) for r in rows]
        return chosen, len(found)


def marks(database: Database, leads: Sequence[int]) -> list[tuple[int, int | None]]:
    """Return those of the leads that have a turn, each with its mark."""
    with database.begin() as transaction:
        return [(int(r.lead_id), r.mark) for r in transaction.rows("campaign_marks", ids=list(leads))]


def put(transaction: Transaction, lead: int, marked: int | None, members: Sequence[dict[str, Any]]) -> int:
    """Write what was read of a lead; return how many memberships differed.

    A lead that was marked again, or retired, since ``next_leads`` is left as it is.
    """
    return int(transaction.scalar("campaign_put", lead=lead, mark=marked, members=document(members)) or 0)


def sample(database: Database, most: int, offset: float) -> list[tuple[int, datetime]]:
    """Return at most so many leads that were read, evenly spread, and when; offset: 0 to 1, which of them."""
    if not most:
        return []
    with database.begin() as transaction:
        return [
            (int(r.lead_id), r.read_at) for r in transaction.rows("campaign_sample", most=most, offset=offset)
        ]


def compare(
    transaction: Transaction, lead: int, read_at: datetime, members: Sequence[dict[str, Any]]
) -> tuple[list[Difference], bool]:
    """Compare a lead's memberships with a fresh reading; also tell whether some moved since the mirror read them."""
    rows = transaction.rows("campaign_differences", lead=lead, read_at=read_at, members=document(members))
    differing = [
        Difference(
            lead,
            "missing" if r.missing else "extra" if r.extra else "changed",
            () if r.missing or r.extra else tuple(r.fields),
            f"campaign {r.smart_campaign_id}",
        )
        for r in rows
        if not r.stale
    ]
    return differing, any(r.stale for r in rows)


def _walk(transaction: Transaction, wanted: int) -> None:
    """Enter more leads of bulk files, until so many wait that were never read, or all are entered."""
    never = int(transaction.scalar("campaign_never", most=wanted))
    if never >= wanted:
        return
    place = transaction.row("campaign_walk_get")
    assert place is not None  # noqa: S101 - an aggregate has one row
    start = below = HIGHEST if place.below is None else int(place.below)
    while never < wanted and below:
        found = transaction.row("campaign_walk_on", below=below, most=ENTERED_AT_ONCE)
        assert found is not None  # noqa: S101 - an aggregate has one row
        # Fewer than asked for: there are no more.
        below = int(found.lowest) if found.leads == ENTERED_AT_ONCE else 0
        never += int(found.entered)
    if below != start:
        transaction.run("campaign_walk_put", below=below, stand=place.stand)
