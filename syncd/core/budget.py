"""What the telephone room asks of the ledger, without knowing that it is in PostgreSQL."""

from __future__ import annotations

from typing import Literal, Protocol

Lane = Literal["outbox", "changes", "memberships", "backfill", "verify"]
"""Who calls, most urgent first. A lane's name is also the key of its spending in the ledger."""

LANES: tuple[Lane, ...] = ("outbox", "changes", "memberships", "backfill", "verify")


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


class NoBudget:
    """No limits: for `syncd check` before there is a database."""

    def acquire(self, *, lane: Lane, endpoint: str, holds_for: float) -> int:  # noqa: ARG002
        """Permit at once."""
        return 0

    def release(self, lease: int, *, charged: bool, error: str | None) -> None:
        """Forget it."""
