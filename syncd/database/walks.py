"""The books of passes over all ids: where they stand, what they found, and what the brake said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from syncd.database import staging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.database.engine import Database, Transaction

Purpose = Literal["backfill", "reconcile"]
TABLE = "staging_reconcile"


def get(database: Database, purpose: Purpose) -> Any:
    """Return how a pass stands, or None where there never was one."""
    with database.begin() as transaction:
        return transaction.row("walk_get", purpose=purpose)


def begin(database: Database, purpose: Purpose, reason: str) -> bool:
    """Begin a pass, unless one is under way or waits for a person; tell whether it was begun."""
    with database.begin() as transaction:
        return transaction.run("walk_begin", purpose=purpose, reason=reason) > 0


def choose(database: Database, purpose: Purpose, way: Literal["bulk", "pages"], token: str | None) -> None:
    """Decide how a pass is made; it begins at its start."""
    with database.begin() as transaction:
        if purpose == "reconcile":
            transaction.run("missing_forget")
        transaction.run("walk_way", purpose=purpose, way=way, token=token)


def move(
    transaction: Transaction, purpose: Purpose, *, token: str, seen: int, missing: Sequence[int] = ()
) -> None:
    """Move a pass on, with what it found."""
    if missing:
        transaction.run("missing_add", ids=list(missing))
    transaction.run("walk_move", purpose=purpose, token=token, seen=seen)


def done(transaction: Transaction, purpose: Purpose) -> None:
    """End a pass."""
    transaction.run("walk_done", purpose=purpose)


def forget(database: Database, purpose: Purpose) -> None:
    """Forget a pass: there is another way again."""
    with database.begin() as transaction:
        transaction.run("walk_forget", purpose=purpose)


def allow(database: Database) -> bool:
    """Let a reconcile that the brake stopped go on once; tell whether there was one."""
    with database.begin() as transaction:
        return transaction.run("walk_allow", purpose="reconcile") > 0


def compare_staged(database: Database) -> None:
    """Note which leads are in no file of the search, and have those read that the mirror does not hold."""
    with database.begin() as transaction:
        transaction.run("missing_from_staged")
        transaction.run("unknown_from_staged")
        staging.drop(database, transaction, TABLE)


def settle(database: Database, *, at_most: float) -> tuple[int, int, bool]:
    """End the search: mark the missing leads to be read once more, or let the brake stop it.

    at_most: share of the living leads that may be missing. Returns how many are missing, of how many,
    and whether that was too many.
    """
    with database.begin() as transaction:
        count, walk = transaction.row("missing_count"), transaction.row("walk_get", purpose="reconcile")
        assert count is not None and walk is not None  # noqa: S101, PT018 - the caller began it
        missing, living = int(count.missing), int(count.living)
        stopped = missing > max(1, living * at_most, walk.allowed or 0)
        if stopped:
            transaction.run("walk_refuse", purpose="reconcile", refused=missing)
        else:
            transaction.run("missing_mark")
            transaction.run("walk_done", purpose="reconcile")
        transaction.run("missing_forget")
        return missing, living, stopped
