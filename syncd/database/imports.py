"""Files for bulk import: which rows go into one, and where each file stands.

A file's rows are one claim, in the state ``sending`` like those of a call, from before it is handed over
until each of them is settled. What a replica that died leaves is found here: rows whose file never left
go back at once, rows whose file may have left stay closed, and an import that has a number is looked
after by whoever is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from syncd.core.outbox import ClaimedRow, Shape
from syncd.database import outbox
from syncd.database.engine import QUEUE_LOCK, REPLICA_CLASS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.database.engine import Database, Transaction

FILE_BYTES = 9_500_000
"""Bytes of payloads in one file: as CSV they are fewer, and Marketo takes files below 10 MB."""
PORTION = 3000
"""Rows that one transaction claims: the queue's lock is held for milliseconds."""
SORTED_AT_MOST = 100
"""Portions of rows that are looked at for one file, however many wait."""
UNDER_WAY_AT_MOST = 2
"""Marketo runs two imports at once; those of other integrations wait behind ours."""
BEHIND_AT_MOST = 100

Ended = Literal["done", "failed", "dropped", "refused", "unknown", "lost"]


@dataclass(frozen=True)
class Gathered:
    """Rows that were claimed for one file."""

    claim: int
    shape: Shape
    records: int
    rows: int


@dataclass(frozen=True)
class Running:
    """An import that Marketo has given a number."""

    claim: int
    shape: Shape
    batch_id: int
    request_id: str | None
    records: int
    age: float
    """Seconds since it was handed over."""
    sifted: bool
    """Whether what Marketo refused of it is settled, and only what was imported is left."""


@dataclass(frozen=True)
class Orphan:
    """A file without a number, whose replica's session has ended."""

    claim: int
    shape: Shape
    posted: bool
    """Whether it may have left."""
    age: float


def may_begin(database: Database, *, least: int) -> bool:
    """Tell whether there is room for another import and a backlog of so many rows; costs two looks at indexes."""
    with database.begin() as transaction:
        room = transaction.row("import_room")
        if room is None or room.under_way >= UNDER_WAY_AT_MOST or room.resting:
            return False
        return bool(transaction.scalar("import_backlog", least=least))


def look_through(database: Database, *, least: int) -> tuple[str, str] | None:
    """Look through the backlog for so many rows that can share a file; return their mark and their shape.

    Each step is a transaction of its own, so that the workers go on meanwhile.
    """
    after = 0
    for _ in range(SORTED_AT_MOST):
        with database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            more = outbox.sort_in(transaction)
            ids = _ids(transaction.rows("import_ungraded", after=after, most=PORTION))
            if ids:
                transaction.run("import_grade", ids=ids)
                after = ids[-1]
        if not more and not ids:
            break
        with database.begin() as transaction:
            groups = transaction.rows("import_groups")
        if any(group.bytes >= FILE_BYTES for group in groups):
            break
    with database.begin() as transaction:
        for group in transaction.rows("import_groups"):
            if group.rows >= least or group.bytes >= FILE_BYTES:
                return group.import_as, group.shape
    return None


def begin(database: Database, *, replica: int, shape: str) -> int:
    """Write down that a file is being gathered; return the number of its claim."""
    with database.begin() as transaction:
        claim = int(transaction.scalar("next_claim"))
        transaction.run("import_begin", claim=claim, shape=shape, replica=replica)
    return claim


def gather(
    database: Database, claim: int, *, replica: int, mark: str, shape: str, coalesce: bool
) -> Gathered:
    """Claim the rows of one file, a portion in each transaction.

    A row whose lead another row touches that cannot share its record is left to the calls, which are quicker.
    """
    rows = records = 0
    while True:
        with database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            held = transaction.row("import_hold", claim=claim)
            room = FILE_BYTES - int(transaction.scalar("import_weight", claim=claim))
            found = (
                transaction.rows("import_candidates", import_as=mark, most=PORTION, bytes=room)
                if held
                else ()
            )
            if not found:
                return Gathered(claim, Shape.parse(shape), records, rows)
            sizes = {int(row.outbox_id): int(row.bytes) for row in found}
            won = _claim(transaction, list(sizes), claim=claim, replica=replica, coalesce=coalesce)
            behind: dict[int, int] = {}
            if won and coalesce:
                room -= sum(sizes[one] for one in won)
                behind = outbox.join(transaction, won, claim=claim, replica=replica, most_bytes=room)
            if won:
                transaction.run("queue_busy", ids=[*won, *behind])
                transaction.run("import_sending", ids=[*won, *behind])
                transaction.run("import_counted", claim=claim, rows=len(won) + len(behind))
        rows, records = rows + len(won) + len(behind), records + len(won)


def _claim(
    transaction: Transaction, ids: Sequence[int], *, claim: int, replica: int, coalesce: bool
) -> list[int]:
    """Claim those of the candidates that fit; the others go by calls."""
    transaction.run("queue_resolve", ids=ids)
    others = _ids(transaction.rows("import_others", ids=ids, most=BEHIND_AT_MOST))
    if others:
        transaction.run("import_grade", ids=others)
    fit = _ids(transaction.rows("import_fit", ids=ids, coalesce=coalesce))
    won = _ids(transaction.rows("queue_claim", ids=fit, claim=claim, replica=replica)) if fit else []
    unfit = sorted(set(ids) - set(won))
    if unfit:
        transaction.run("import_not", ids=unfit)
        transaction.run("queue_demote", ids=sorted(set(fit) - set(won)))
    return won


def rows(database: Database, claim: int) -> list[ClaimedRow]:
    """Return the rows of a file that are not settled yet, in their order."""
    with database.begin() as transaction:
        return [
            ClaimedRow(
                id=r.id,
                payload=r.payload,
                attempts=r.attempts,
                unknown=r.unknown,
                on_unknown_outcome=r.on_unknown_outcome,
                first_sent_at=r.first_sent_at,
                turned_away=int(r.turned_away),
            )
            for r in transaction.rows("import_rows", claim=claim)
        ]


def posting(database: Database, claim: int, *, records: int, size: int) -> bool:
    """Write down that the file is about to leave; False where the claim was taken away meanwhile."""
    with database.begin() as transaction:
        return transaction.row("import_posting", claim=claim, records=records, bytes=size) is not None


def posted(
    database: Database, claim: int, *, batch_id: int, request_id: str | None, progress: str, seconds: float
) -> bool:
    """Write down the number of an import, and when somebody looks; False where it was given up meanwhile."""
    with database.begin() as transaction:
        noted = transaction.row(
            "import_posted",
            claim=claim,
            batch_id=batch_id,
            request_id=request_id,
            progress=progress,
            seconds=seconds,
        )
        return noted is not None


def due(database: Database, *, seconds: float) -> Running | None:
    """Take an import that is due to be looked after; other replicas let it be for so many seconds."""
    with database.begin() as transaction:
        row = transaction.row("import_due", seconds=seconds)
        if row is None:
            return None
        return Running(
            int(row.claim),
            Shape.parse(row.shape),
            int(row.batch_id),
            row.request_id,
            row.records,
            float(row.age),
            row.failed is not None,
        )


def seen(database: Database, claim: int, *, progress: str | None, seconds: float) -> None:
    """Note how an import stands; nobody looks again before so many seconds."""
    with database.begin() as transaction:
        transaction.run("import_seen", claim=claim, progress=progress, seconds=seconds)


def sifted(transaction: Transaction, claim: int, *, failed: int, warned: int) -> None:
    """Note, with their settlement, that all rows which Marketo refused are settled."""
    transaction.run("import_sifted", claim=claim, failed=failed, warned=warned)


def give_back(transaction: Transaction, ids: Sequence[int]) -> None:
    """Let rows go by calls from now on."""
    transaction.run("import_not", ids=list(ids))


def finish(
    database: Database,
    claim: int,
    ended: Ended,
    *,
    progress: str | None = None,
    error: tuple[str, str] | None = None,
    rest: float | None = None,
) -> None:
    """Note that all rows of a file are settled; rest: seconds before another import may begin."""
    code, message = error or (None, None)
    with database.begin() as transaction:
        transaction.run(
            "import_finish",
            claim=claim,
            state=ended,
            progress=progress,
            error_code=code,
            error_message=message,
            rest=rest,
        )


def next_look(database: Database) -> float | None:
    """Return the seconds until an import should be looked after; None where none runs."""
    with database.begin() as transaction:
        seconds = transaction.scalar("import_next")
        return None if seconds is None else float(seconds)


def orphans(database: Database, *, left: Sequence[int]) -> list[Orphan]:
    """Return the files without a number that nobody is at any more; left: claims that this process left over."""
    kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
    with database.begin() as transaction:
        return [
            Orphan(int(row.claim), Shape.parse(row.shape), row.state == "posting", float(row.age))
            for row in transaction.rows("import_orphans", left=list(left), kind=kind)
        ]


def mark(transaction: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """Mark leads that are about to be read back; return the mark of each."""
    if not ids:
        return {}
    return {int(row.lead_id): int(row.mark) for row in transaction.rows("import_mark", ids=list(ids))}


def known(transaction: Transaction, ids: Sequence[int]) -> set[int]:
    """Return those of the leads that the mirror has a row for."""
    return set(_ids(transaction.rows("import_known", ids=list(ids)))) if ids else set()


def _ids(found: Sequence[Any]) -> list[int]:
    return [int(row[0]) for row in found]
