"""The queue behind the outbox: claim, settle, rescue.

Three tables tell where a row stands: ``outbox`` (for people), ``outbox_queue`` (unfinished rows alone) and
``outbox_key`` (every name of every lead that an unfinished row touches). All moves in the queue are
made under one advisory lock, held for milliseconds and never across a call, so that no row can be
missed by a move that did not see it; but whoever sent a row forgets it before he takes the lock to let others go.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from syncd.core.locks import Lock
from syncd.core.outbox import FINAL, Claim, ClaimedRow, Settlement, Shape
from syncd.database import addresses
from syncd.database.documents import document
from syncd.database.engine import QUEUE_LOCK, REPLICA_CLASS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from syncd.database.engine import Database, Transaction

SORT_AT_ONCE = 3000
SORTED_AHEAD = 3 * SORT_AT_ONCE
"""So many rows are looked at before they can go, as far as there are: those of one lead may share a record."""
MOST_SORTS = 5
CALL_BYTES = 900_000
LEAST_OF_A_RUN = 100
"""So many rows of one lead a call takes at least, where they can share a record and there is room."""


def claim(database: Database, *, replica: int, most: int, coalesce: bool = False) -> Claim | None:
    """Claim rows that one call can carry, up to ``most`` records; None where no row may go now.

    coalesce: also claim the rows behind them that can share their records.

    The claim is committed before this returns: a process that dies later leaves rows in ``sending``,
    which ``orphans`` finds.
    """
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        if not addresses.ready(transaction):
            return None
        _tidy(transaction, most)
        for _ in range(50):
            candidates: list[int] = transaction.scalar("queue_candidates", most=most, bytes=CALL_BYTES)
            if not candidates:
                return None
            transaction.run("queue_resolve", ids=candidates)
            won = transaction.row("queue_claim", ids=candidates, replica=replica)
            assert won is not None  # noqa: S101 - it has one row
            if won.rows < len(candidates):
                transaction.run("queue_demote", ids=candidates)
            if won.rows:
                number = int(won.claim)
                behind = (
                    join(transaction, won.followed, claim=number, replica=replica, most_bytes=CALL_BYTES)
                    if coalesce and won.followed
                    else {}
                )
                rows = transaction.rows("outbox_sending", claim=number)
                break
        else:
            return None
    return _claim(number, sorted(rows, key=lambda row: row.id), behind)


def join(
    transaction: Transaction, heads: Sequence[int], *, claim: int, replica: int, most_bytes: int
) -> dict[int, int]:
    """Claim the rows that can share a record with these; return which one each of them follows."""
    each = max(LEAST_OF_A_RUN, SORT_AT_ONCE // len(heads))
    found = transaction.rows("queue_followers", ids=heads, most=SORT_AT_ONCE, each=each, bytes=most_bytes)
    behind = {int(row.outbox_id): int(row.head) for row in found}
    if behind:
        transaction.run("queue_join", ids=list(behind), claim=claim, replica=replica)
    return behind


def _tidy(transaction: Transaction, most: int) -> None:
    """Wake rows that are due, end those that are over, and take in new ones where a call could not be filled."""
    for _ in range(MOST_SORTS):
        look = transaction.row("queue_look", most=most, ahead=SORTED_AHEAD)
        assert look is not None  # noqa: S101 - it has one row
        if look.due:
            transaction.run("queue_wake")
            closed = transaction.rows("queue_closed")
            _reopen(transaction, [int(row.outbox_id) for row in closed if not row.finished])
            finish(transaction, [int(row.outbox_id) for row in closed if row.finished])
        fresh = sort_in(transaction) if look.sort else []
        if look.over or look.due or any(row.over for row in fresh):
            finish(transaction, ids_of(transaction.rows("queue_expire")))
        if len(fresh) < SORT_AT_ONCE:
            return


def sort_in(transaction: Transaction) -> Sequence[Any]:
    """Take in rows that were inserted since, up to a number; return them. The queue's lock must be held."""
    more_keys = addresses.have_two_names(transaction)
    fresh = transaction.rows("queue_sort", most=SORT_AT_ONCE, more_keys=more_keys)
    if fresh and more_keys:
        addresses.add_names(transaction, ids_of(fresh))
        transaction.run("queue_release", ids=ids_of(fresh))
    return fresh


def finish(transaction: Transaction, ids: Sequence[int]) -> None:
    """Take rows out of the queue and let those go that they held back. The queue's lock must be held.

    Rows that ended badly and have ``on_failure`` = ``halt`` stay, and go on holding back what is behind them.
    """
    if ids:
        _let_go(transaction, ids, _forget(transaction, ids))


def _forget(transaction: Transaction, ids: Sequence[int]) -> Any:
    """Take rows that nobody else touches out of the queue; return the keys that became free, and whether rows are left."""
    forgotten = transaction.row("queue_finish", ids=list(ids))
    assert forgotten is not None  # noqa: S101 - it has one row
    return forgotten


def _let_go(transaction: Transaction, ids: Sequence[int], forgotten: Any) -> None:
    """Let those go that forgotten rows held back, once nobody else can see these any more: the lock must be held."""
    if forgotten.are_left:
        transaction.run("queue_halt", ids=list(ids))
        transaction.run("queue_free", ids=list(ids))
    if forgotten.freed:
        transaction.run("queue_promote", keys=forgotten.freed)


def _reopen(transaction: Transaction, ids: Sequence[int]) -> None:
    """Put rows that will be sent again back in line, and open their keys for whoever is first."""
    if ids:
        transaction.run("queue_reopen", ids=list(ids))
        transaction.run("queue_free", ids=list(ids))
        keys = [row.key for row in transaction.rows("queue_keys", ids=list(ids))]
        transaction.run("queue_promote", keys=keys)


def settle(transaction: Transaction, number: int, settlement: Settlement) -> list[int]:
    """Write down what became of a claim's rows; return the ids of those that were still ours.

    A row that was given to somebody else meanwhile (because this process was taken for dead) is left
    to its new owner.
    """
    rows = [
        {
            "outbox_id": v.outbox_id,
            "outcome": v.outcome,
            "status": v.status,
            "lead_id": v.lead_id,
            "result": v.result,
            "error_code": v.error_code,
            "error_message": v.error_message,
            "due_in": v.due_in,
        }
        for v in settlement.verdicts
    ]
    written: list[int] | None = transaction.scalar(
        "settle_rows",
        rows=document(rows),
        claim=number,
        duration_ms=settlement.duration_ms,
        endpoint=settlement.endpoint,
        request_id=settlement.request_id,
    )
    ours = set(written or ())
    mine = [v for v in settlement.verdicts if v.outbox_id in ours]
    done = [v.outbox_id for v in mine if v.status in FINAL]
    forgotten = _forget(transaction, done)
    # Until here the locks of the rows are enough: nobody else touches what is being sent.
    transaction.lock(QUEUE_LOCK)
    # Marketo may be at it still: the keys stay closed until the row is due, whether it will be sent again or not.
    closing = [v for v in mine if v.outcome == "unknown"]
    again = [v for v in mine if v.status in {"retrying", "pending"} and v not in closing]
    for name, verdicts in (("queue_close", closing), ("queue_again", again)):
        if verdicts:
            told = [{"outbox_id": v.outbox_id, "due_in": v.due_in, "unknown": v.unknown} for v in verdicts]
            transaction.run(name, rows=document(told))
    _reopen(transaction, [v.outbox_id for v in again])
    _let_go(transaction, done, forgotten)
    return sorted(ours)


def orphans(database: Database) -> list[Claim]:
    """Return the claims of replicas whose session has ended: what became of their calls is unknown."""
    return _left(database, mine=None, carried=[], seconds=0.0)


def strays(database: Database, replica: int, *, carried: Collection[int], older: float) -> list[Claim]:
    """Return claims of this living replica that none of its workers carries, and that are older than so many seconds.

    A connection that is lost in the middle of a COMMIT does not tell whether there was one: such a claim may
    stand without anybody who knows of it.
    """
    return _left(database, mine=replica, carried=list(carried), seconds=older)


def _left(database: Database, *, mine: int | None, carried: list[int], seconds: float) -> list[Claim]:
    kind = _unsigned(database.names.lock_class(REPLICA_CLASS))
    with database.begin() as transaction:
        rows = transaction.rows("queue_orphans", kind=kind, mine=mine, carried=carried, seconds=seconds)
        claims = [(number, list(group)) for number, group in groupby(rows, key=lambda row: int(row.claim))]
        return [_claim(number, group, _behind(group)) for number, group in claims]


def _behind(rows: Sequence[Any]) -> dict[int, int]:
    """Return, for rows of one claim in their order, which one each of them followed: the first of its run."""
    heads: dict[int, int] = {}
    return {
        row.id: head
        for row in rows
        if row.run is not None and (head := heads.setdefault(row.run, row.id)) != row.id
    }


def held(database: Database, number: int) -> bool:
    """Tell whether a claim is still its replica's: the session lives, and nobody took a row over."""
    kind = _unsigned(database.names.lock_class(REPLICA_CLASS))
    with database.each() as transaction:
        row = transaction.row("queue_held", claim=number, kind=kind)
    return bool(row and row.held)


def leads_by_email(database: Database, emails: Sequence[str]) -> dict[str, list[int]]:
    """Return the living leads of the mirror by their address in lower case."""
    found: dict[str, list[int]] = {}
    kept = database.policy.addresses(emails)
    with database.each() as transaction:
        for row in transaction.rows("outbox_leads_by_email", emails=list(kept)):
            found.setdefault(kept[row.email], []).append(int(row.id))
    return found


def buried_by_email(database: Database, emails: Sequence[str]) -> dict[str, list[tuple[datetime, int]]]:
    """Return the deleted leads of the mirror by their last address in lower case, with the moment of their end."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    kept = database.policy.addresses(emails)
    with database.each() as transaction:
        for row in transaction.rows("outbox_leads_buried_by_email", emails=list(kept)):
            found.setdefault(kept[row.email], []).append((row.deleted_at, int(row.id)))
    return found


def next_due(database: Database) -> float | None:
    """Return the seconds until the next waiting row is due; None where none waits."""
    with database.each() as transaction:
        seconds = transaction.scalar("queue_next_due")
        return None if seconds is None else float(seconds)


def unfinished(database: Database) -> int:
    """Return how many rows have not reached their final state."""
    with database.begin() as transaction:
        row = transaction.row("outbox_counts")
        return int(row.waiting) if row else 0


def busy(database: Database) -> bool:
    """Tell whether a row is being sent or may be sent now."""
    with database.begin() as transaction:
        return bool(transaction.scalar("queue_is_busy"))


def stands_still(database: Database) -> bool:
    """Tell whether no row will go by itself, now or later: each of them waits behind one that halts it."""
    with database.begin() as transaction:
        return bool(transaction.scalar("queue_stands_still"))


def prune(
    database: Database, *, days: int, most: int = 1000, stopping: Callable[[], bool] = lambda: False
) -> int:
    """Forget finished rows older than so many days, each step in a short transaction of its own; return how many.

    stopping: asked between two steps whether to leave the rest for the next time.
    """
    total = 0
    while True:
        with database.begin() as transaction:
            gone = transaction.run("outbox_prune", days=days, most=most)
        total += gone
        if gone < most or stopping():
            return total


def _claim(number: int, rows: Sequence[Any], behind: dict[int, int] | None = None) -> Claim:
    return Claim(
        number,
        Shape(rows[0].operation, rows[0].lookup, rows[0].partition_name, rows[0].options),
        tuple(
            ClaimedRow(
                r.id,
                r.payload,
                r.attempts,
                r.unknown,
                r.on_unknown_outcome,
                r.first_sent_at,
                int(r.turned_away),
                (behind or {}).get(r.id),
                _lock(r),
            )
            for r in rows
        ),
    )


def _lock(row: Any) -> Lock | None:
    if row.if_matches is None and row.if_unchanged_since is None:
        return None
    return Lock(row.if_matches or {}, row.if_unchanged_since)


def ids_of(rows: Iterable[Any]) -> list[int]:
    """Return the first column of some rows, which holds ids."""
    return [int(row[0]) for row in rows]


def _unsigned(number: int) -> int:
    """Return a lock's key as pg_locks shows it."""
    return number & 0xFFFFFFFF
