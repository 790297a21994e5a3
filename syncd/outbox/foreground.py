"""The drain in the foreground, for `syncd drain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from syncd.database import outbox

if TYPE_CHECKING:
    from syncd.clock import SystemClock
    from syncd.database.engine import Database
    from syncd.database.session import ReplicaSession
    from syncd.outbox.drain import Drain

LOOK_SECONDS = 0.1


class Progress(Protocol):
    """Told how far the drain is."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Note that ``done`` of ``total`` are done."""
        ...


def drain(
    drain: Drain,
    session: ReplicaSession,
    database: Database,
    clock: SystemClock,
    *,
    until_empty: bool,
    timeout: float,
    progress: Progress,
) -> int:
    """Drain until no row may go now, or with ``until_empty`` until none is left; return how many are left.

    Rows that a halted one holds back are left in any case: only a person lets them go.

    timeout: seconds for calls in flight when the command is stopped.
    """
    session.start()
    try:
        drain.rescue()
        drain.start()
        total = left = outbox.unfinished(database)
        while left and not clock.stopping():
            progress("rows", total - left, total)
            clock.sleep(LOOK_SECONDS)
            left = outbox.unfinished(database)
            total = max(total, left)
            if left and (outbox.stands_still(database) if until_empty else not outbox.busy(database)):
                break
        progress("rows", total - left, total)
        return left
    finally:
        clock.stop()
        drain.stop(timeout=timeout)
        session.stop()
