"""What the telephone room asks of the ledger, without knowing that it is in PostgreSQL."""

from __future__ import annotations

import sys
from typing import Literal, Protocol

Lane = Literal["outbox", "changes", "memberships", "backfill", "verify"]
"""Who calls, most urgent first. A lane's name is also the key of its spending in the ledger."""

LANES: tuple[Lane, ...] = ("outbox", "changes", "memberships", "backfill", "verify")


OWN_BUDGET = "budget"
"""Code of the QuotaExhausted that a budget raises where the configured share of a day is used up."""
EXPORT_PLACES = "places"
"""Code of the Retryable that a budget raises where all places for exports are taken."""
STOPPING, LEDGER = "stopping", "ledger"
"""Codes of the Retryable that a budget raises when the service stops, or when the ledger is out of reach."""
NOT_MADE = frozenset({STOPPING, LEDGER})
"""With these codes the call never left."""


class Budget(Protocol):
    """Permission for calls, shared by every replica."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:
        """Wait until one call may go out and return its lease.

        holds_for: seconds after which the lease of a caller that died no longer counts.
        Raises QuotaExhausted where the configured share of the day is used up.
        """
        ...

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """End a lease.

        charged: False where Marketo does not count the call (a response-level error).
        error: Marketo's code where the call failed.
        """
        ...

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:
        """Lend a place for one bulk export.

        Raises Retryable where all are taken, QuotaExhausted where the day's volume is used up.
        """
        ...

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Note the job that a place was taken for; None: there is none, and the place is free again."""
        ...

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Note that somebody looks after a job, or that it has ended, with a file of so many bytes."""
        ...

    def export_room(self) -> tuple[int, int]:
        """Return how many bytes may still be exported today, and how many on any day."""
        ...


class NoBudget:
    """No limits: for `syncd check` before there is a database."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:  # noqa: ARG002
        """Permit at once."""
        return 0

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """Forget it."""

    def export_begin(self, *, lane: Lane, endpoint: str) -> int:  # noqa: ARG002
        """Permit at once."""
        return 0

    def export_known(self, lease: int, export_id: str | None) -> None:
        """Forget it."""

    def export_seen(self, export_id: str, *, lane: Lane, size: int | None, ended: bool) -> None:
        """Forget it."""

    def export_room(self) -> tuple[int, int]:
        """Tell of no end."""
        return sys.maxsize, sys.maxsize
