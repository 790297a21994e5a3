"""Who is on which list and in which program: sweeps, events, and the dirty memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from syncd.core.differences import Difference
from syncd.database import state
from syncd.database.documents import document
from syncd.errors import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from syncd.database.engine import Database, Transaction

Kind = Literal["list", "program"]
FOLLOWING = (
    "campaign_turns_of_retired",
    "members_of_retired",
    "campaign_members_of_retired",
    "list_members_merged",
    "program_members_merged",
    "campaign_members_merged",
)
"""What happens to the memberships of retired leads, in this order."""


def due(database: Database, kind: Kind, seconds: float) -> list[int]:
    """Return the lists or programs whose members were never read, or longer ago than so many seconds."""
    with database.begin() as transaction:
        return [int(r.id) for r in transaction.rows(f"sweep_due_{kind}s", seconds=seconds)]


def start_sweep(database: Database) -> int:
    """Return the number of a new sweep."""
    with database.begin() as transaction:
        return int(transaction.scalar("sweep_next"))


def clear_left_over(database: Database, owner: str) -> None:
    """Clear away what an earlier run of a feed left when its process died. Only under the feed's lock."""
    with database.begin() as transaction:
        transaction.run("swept_left_over", owner=owner)


def keep_page(
    database: Database,
    sweep: int,
    members: Sequence[dict[str, Any]],
    *,
    program: int | None,
    owner: str = "lists",
) -> int:
    """Keep a page of a sweep, of a program if one is named; nobody sees it before ``swap``. Return how many rows.

    owner: the feed that reads.
    """
    with database.begin() as transaction:
        return transaction.run(
            "swept_add", sweep=sweep, members=document(members), program=program, owner=owner
        )


def prove(transaction: Transaction, sweep: int, rows: int) -> None:
    """Make sure that all pages of a sweep are there: PostgreSQL empties unlogged tables when it crashes.

    Raises WorkFailed where they are not.
    """
    kept = int(transaction.scalar("swept_count", sweep=sweep))
    if kept != rows:
        raise WorkFailed(
            f"{rows} members were read and {kept} are left of them, perhaps because PostgreSQL was restarted; "
            "they will be read again"
        )


def member_fields(database: Database) -> list[str]:
    """Return the API names of the fields that members of programs have; none before they were asked for."""
    with database.begin() as transaction:
        return [str(r.name) for r in transaction.rows("member_fields")]


def swap(transaction: Transaction, kind: Kind, container: int, sweep: int, reached_at: datetime) -> int:
    """Make a list's or program's members what a sweep found; return how many rows differed.

    Members whose lead the mirror does not hold are kept, and their leads marked dirty.
    reached_at: until when the log of activities had been read before the sweep began.
    """
    unknown = [int(r.lead_id) for r in transaction.rows("swept_unknown_leads", sweep=sweep)]
    state.mark_dirty(transaction, sorted(unknown), "member")
    changed = transaction.run(f"{kind}_swap_out", container=container, sweep=sweep, reached_at=reached_at)
    changed += transaction.run(f"{kind}_swap_in", container=container, sweep=sweep)
    if kind == "program" and transaction.rows("member_fields"):
        transaction.run("members_without_fields", container=container)
    transaction.run("sweep_done", kind=kind, container=container, sweep=sweep, reached_at=reached_at)
    transaction.run("swept_forget", sweep=sweep)
    return changed


def compare(transaction: Transaction, kind: Kind, container: int, sweep: int) -> list[Difference]:
    """Return the memberships that differ from what a sweep found, and forget the sweep."""
    found = transaction.rows(f"{kind}_differences", container=container, sweep=sweep)
    transaction.run("swept_forget", sweep=sweep)
    where = f"{kind} {container}"
    return [
        Difference(
            int(r.lead_id),
            "missing" if r.missing else "extra" if r.extra else "changed",
            tuple(r.fields),
            where,
            {name: ((r.ours or {}).get(name), (r.theirs or {}).get(name)) for name in r.fields},
        )
        for r in found
    ]


def forget_sweep(database: Database, sweep: int) -> None:
    """Forget a sweep that came to nothing."""
    with database.begin() as transaction:
        transaction.run("swept_forget", sweep=sweep)


def apply_list_events(transaction: Transaction, events: Sequence[dict[str, Any]]) -> int:
    """Apply additions and removals (place, list_id, lead_id, added, at) in the order of ``place``.

    Return of how many the log leaves open what is true now: those are marked, and Marketo is asked.
    """
    return transaction.run("list_events", events=document(events)) if events else 0


def mark_members(transaction: Transaction, members: Iterable[tuple[int, int]]) -> int:
    """Mark program memberships (program, lead) whose row may be old; return how many."""
    rows = [{"program_id": program, "lead_id": lead} for program, lead in members]
    return transaction.run("members_dirty", members=document(rows)) if rows else 0


def next_members(database: Database, most: int, *, above: int = 0) -> tuple[int | None, list[int], list[int]]:
    """Return the first program above an id with dirty memberships, some of their leads, and the mark of each."""
    with database.begin() as transaction:
        rows = transaction.rows("members_next", most=most, above=above)
        program = int(rows[0].program_id) if rows else None
        return program, [int(r.lead_id) for r in rows], [int(r.mark) for r in rows]


def put_members(
    transaction: Transaction,
    program: int,
    read: tuple[Sequence[int], Sequence[int]],
    members: Sequence[dict[str, Any]],
) -> None:
    """Write what was read of some leads (ids and marks) in a program; those that are absent are no members.

    A membership that was marked again meanwhile is left for the next read.
    """
    ids, marks = read
    ours = {
        int(r.lead_id)
        for r in transaction.rows("members_clear", program=program, ids=list(ids), marks=list(marks))
    }
    there = [m for m in members if m["lead_id"] in ours]
    transaction.run("members_put", program=program, members=document(there))
    transaction.run("members_gone", program=program, ids=sorted(ours - {m["lead_id"] for m in there}))


def next_list_members(
    database: Database, most: int, *, above: int = 0
) -> tuple[int | None, list[int], list[int]]:
    """Return the first list above an id with leads of which it is open whether they are on it; these, and the mark of each."""
    with database.begin() as transaction:
        rows = transaction.rows("list_members_next", most=most, above=above)
        found = int(rows[0].list_id) if rows else None
        return found, [int(r.lead_id) for r in rows], [int(r.mark) for r in rows]


def put_list_members(
    transaction: Transaction,
    container: int,
    read: tuple[Sequence[int], Sequence[int]],
    members: Iterable[int],
) -> None:
    """Write which of some leads (ids and marks) are on a list; those that were marked again meanwhile are left."""
    ids, marks = read
    transaction.run(
        "list_members_answered", container=container, ids=list(ids), marks=list(marks), members=list(members)
    )


def follow_retired(transaction: Transaction, leads: str) -> None:
    """End the memberships of deleted leads, and move those of merged ones to the last winner."""
    rows = [r._asdict() for r in transaction.rows("retired_resolved", leads=leads)]
    for name in FOLLOWING:
        transaction.run(name, leads=document(rows))
