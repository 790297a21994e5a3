"""Files for bulk import: which rows go into one, and where each file stands.

A file's rows are one claim, in the state ``sending`` like those of a call, from before it is handed over
until each of them is settled. What a replica that died leaves is found here: rows whose file never left
go back at once, rows whose file may have left stay closed, and an import that has a number is looked
after by whoever is there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from syncd.core.imports import COMPANY_FIELDS
from syncd.core.outbox import ClaimedRow, Shape
from syncd.database import addresses, outbox
from syncd.database.engine import QUEUE_LOCK, REPLICA_CLASS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.database.engine import Database, Transaction

FILE_BYTES = 9_500_000
"""Bytes of payloads in one file: as CSV they are fewer, and Marketo takes files below 10 MB."""
PORTION = 3000
"""Rows that one transaction claims: the queue's lock is held for a moment."""
SORTED_AT_MOST = 100
"""Portions of rows that are looked at in one go, however many wait."""
UNDER_WAY_AT_MOST = 2
"""Marketo runs two imports at once; those of other integrations wait behind ours."""
BEHIND_AT_MOST = 100

Ended = Literal["done", "failed", "dropped", "refused", "unknown", "lost"]


@dataclass(frozen=True)
class Group:
    """Rows that may go now and can share files."""

    mark: str
    shape: Shape


@dataclass(frozen=True)
class Gathered:
    """Rows that were claimed for one file."""

    rows: int = 0
    records: int = 0
    bytes: int = 0
    """Of their payloads."""

    def worth_while(self, *, least: int) -> bool:
        """Tell whether they are enough for a file; the workers may have taken most of them meanwhile."""
        return self.records >= max(1, least // 2) or self.bytes >= FILE_BYTES // 2


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
    """A file without a number that nobody is at any more."""

    claim: int
    shape: Shape
    posted: bool
    """Whether it may have left."""
    age: float


def backlog(database: Database, *, least: int) -> bool:
    """Tell whether there is room for another import and so many rows wait; costs a look at the heads of two indexes."""
    with database.begin() as transaction:
        if not addresses.ready(transaction) or not _room(transaction):
            return False
        return bool(transaction.scalar("import_backlog", least=least))


def _room(transaction: Transaction) -> bool:
    room = transaction.row("import_room")
    return room is not None and room.under_way < UNDER_WAY_AT_MOST and not room.resting


def look_through(database: Database, *, after: int) -> tuple[int, bool]:
    """Note which of the waiting rows behind that one can go by import; return the last one, and whether there were any.

    Each portion is a transaction of its own, so that the workers go on meanwhile.
    """
    sizes: Counter[str] = Counter()
    found = False
    for _ in range(SORTED_AT_MOST):
        with database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            more = outbox.sort_in(transaction)
        with database.begin() as transaction:
            ids = _ids(transaction.rows("import_ungraded", after=after, most=PORTION))
            graded = _graded(transaction, ids)
            transaction.lock(QUEUE_LOCK)
            _note(transaction, graded)
        if not ids and not more:
            break
        for row in graded:
            sizes[row.import_as] += int(row.bytes)
        after, found = max([after, *ids]), found or bool(ids)
        if any(size >= FILE_BYTES for mark, size in sizes.items() if mark):
            break
    return after, found


def biggest(database: Database, *, least: int) -> Group | None:
    """Return the first group of so many rows, or of enough for a whole file."""
    with database.begin() as transaction:
        for group in transaction.rows("import_groups"):
            if group.rows >= least or group.bytes >= FILE_BYTES:
                shape = transaction.row("import_shape", id=group.earliest)
                assert shape is not None  # noqa: S101 - the queue's row refers to it
                return Group(group.import_as, Shape(shape.operation, shape.lookup, shape.partition_name))
    return None


def begin(database: Database, *, replica: int, shape: Shape) -> int | None:
    """Write down that a file is being gathered; return the number of its claim, None where there is no room any more."""
    with database.begin() as transaction:
        transaction.lock(QUEUE_LOCK)
        if not _room(transaction):
            return None
        claim = transaction.scalar(
            "import_begin",
            replica=replica,
            operation=shape.operation,
            lookup_field=shape.lookup_field,
            partition_name=shape.partition_name,
        )
        return int(claim)


def gather(database: Database, claim: int, *, replica: int, mark: str, coalesce: bool) -> Gathered:
    """Claim the rows of one file, a portion in each transaction.

    A row whose lead another row touches that cannot share its record is left to the calls, which are quicker.
    """
    gathered = Gathered()
    while True:
        with database.begin() as transaction:
            transaction.lock(QUEUE_LOCK)
            if transaction.row("import_hold", claim=claim) is None or not addresses.ready(transaction):
                return gathered
            room = FILE_BYTES - gathered.bytes
            found = transaction.rows("import_candidates", import_as=mark, most=PORTION, bytes=room)
            if not found:
                return gathered
            sizes = {int(row.outbox_id): int(row.bytes) for row in found}
            won = _claim(transaction, list(sizes), claim=claim, replica=replica, coalesce=coalesce)
            behind: dict[int, int] = {}
            if won and coalesce:
                room -= sum(sizes[one] for one in won)
                behind = outbox.join(transaction, won, claim=claim, replica=replica, most_bytes=room)
            if won:
                transaction.run("import_sending", ids=[*won, *behind])
                transaction.run("import_counted", claim=claim, rows=len(won) + len(behind))
            weight = int(transaction.scalar("import_weight", claim=claim))
        gathered = Gathered(gathered.rows + len(won) + len(behind), gathered.records + len(won), weight)


def _claim(
    transaction: Transaction, ids: Sequence[int], *, claim: int, replica: int, coalesce: bool
) -> list[int]:
    """Claim those of the candidates that fit; the others go by calls."""
    transaction.run("queue_resolve", ids=ids)
    others = _ids(transaction.rows("import_others", ids=ids, most=BEHIND_AT_MOST))
    _note(transaction, _graded(transaction, others))
    fit = _ids(transaction.rows("import_fit", ids=ids, coalesce=coalesce, most=BEHIND_AT_MOST + 2))
    won = _ids(transaction.rows("import_claim", ids=fit, claim=claim, replica=replica)) if fit else []
    unfit = sorted(set(ids) - set(won))
    if unfit:
        give_back(transaction, unfit)
        transaction.run("queue_demote", ids=sorted(set(fit) - set(won)))
    return won


def _graded(transaction: Transaction, ids: Sequence[int]) -> Sequence[Any]:
    """Look at rows that nobody has looked at. What a row holds never changes, so this needs no lock."""
    return transaction.rows("import_grade", ids=list(ids), never=list(COMPANY_FIELDS)) if ids else ()


def _note(transaction: Transaction, graded: Sequence[Any]) -> None:
    if graded:
        marks = [row.import_as for row in graded]
        transaction.run("import_note", ids=[int(row.outbox_id) for row in graded], marks=marks)


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
            _shape(row),
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


def sifted(transaction: Transaction, claim: int, *, failed: int, warned: int) -> bool:
    """Note, with their settlement, that all rows which Marketo refused are settled; False where somebody else did so."""
    return transaction.row("import_sifted", claim=claim, failed=failed, warned=warned) is not None


def give_back(transaction: Transaction, ids: Sequence[int]) -> None:
    """Let rows go by calls from now on. The queue's lock must be held."""
    transaction.run("import_not", ids=list(ids))


def finish(
    database: Database,
    claim: int,
    ended: Ended,
    *,
    progress: str | None = None,
    error: tuple[str, str] | None = None,
    rest: float | None = None,
) -> bool:
    """Note that all rows of a file are settled, unless some are not.

    rest: seconds before another import may begin.
    """
    code, message = error or (None, None)
    with database.begin() as transaction:
        noted = transaction.row(
            "import_finish",
            claim=claim,
            state=ended,
            progress=progress,
            error_code=code,
            error_message=message,
            rest=rest,
        )
        return noted is not None


def next_look(database: Database) -> float | None:
    """Return the seconds until an import should be looked after; None where none runs."""
    with database.begin() as transaction:
        seconds = transaction.scalar("import_next")
        return None if seconds is None else float(seconds)


def orphans(database: Database, *, mine: int | None, answers_within: float) -> list[Orphan]:
    """Return the files without a number that nobody is at any more.

    mine: this replica, which is at none when it asks. answers_within: seconds after which a call ends by itself.
    """
    kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
    with database.begin() as transaction:
        found = transaction.rows("import_orphans", mine=mine, answers_within=answers_within, kind=kind)
        return [Orphan(int(row.claim), _shape(row), row.state == "posting", float(row.age)) for row in found]


def mark(transaction: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """Mark leads that are about to be read back; return the mark of each."""
    if not ids:
        return {}
    return {int(row.lead_id): int(row.mark) for row in transaction.rows("import_mark", ids=list(ids))}


def known(transaction: Transaction, ids: Sequence[int]) -> set[int]:
    """Return those of the leads that the mirror has a row for."""
    return set(_ids(transaction.rows("import_known", ids=list(ids)))) if ids else set()


def overtaken(transaction: Transaction, ids: Sequence[int]) -> list[int]:
    """Return those of the leads, just written as new ones, that were not new any more: somebody else was quicker."""
    return _ids(transaction.rows("import_overtaken", ids=list(ids))) if ids else []


def _shape(row: Any) -> Shape:
    return Shape(row.operation, row.lookup_field, row.partition_name)


def _ids(found: Sequence[Any]) -> list[int]:
    return [int(row[0]) for row in found]
