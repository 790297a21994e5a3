"""The drain: workers that claim, send and settle, and the rescue of what a dead replica was sending."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from syncd import log, metrics
from syncd.core.outbox import Claim, Settlement, Verdict, not_sent
from syncd.core.runs import runs
from syncd.database import effects, locks, outbox, state
from syncd.errors import DatabaseProblem, SyncdError, ValueRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd import settings
    from syncd.clock import Clock
    from syncd.database.engine import Database
    from syncd.outbox.imports import Imports
    from syncd.outbox.send import Sender

LONGEST_NAP = 5.0
"""Seconds after which an idle worker looks by itself, should a NOTIFY be lost."""
RESCUE_EVERY = 2.0
STRAY_SECONDS = 10.0
"""Age of a claim that no worker carries, from which it is taken for one that nobody knows of."""
RETRY_SECONDS = 0.5
AFTER_SURPRISE_SECONDS = 2.0


class Bell:
    """Wakes one sleeper a ring; a ring that nobody hears is kept for the next who lies down."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = self._for_good = False

    def ring(self) -> None:
        """Wake one."""
        with self._changed:
            self._rung = True
            self._changed.notify()

    def ring_for_good(self) -> None:
        """Wake all, and let nobody sleep any more."""
        with self._changed:
            self._for_good = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Sleep until a ring, at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung or self._for_good, seconds)
            self._rung = False


class Drain:
    """Carries outbox rows to Marketo with several workers.

    ``replica`` tells the number under which to claim, or None while there is no session: then nothing
    is claimed.
    """

    def __init__(
        self,
        *,
        database: Database,
        sender: Sender,
        imports: Imports,
        clock: Clock,
        conf: settings.Outbox,
        replica: Callable[[], int | None],
    ) -> None:
        self._database = database
        self._sender = sender
        self.imports = imports
        self._clock = clock
        self._conf = conf
        self._replica = replica
        self._bell = Bell()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._flying: dict[int, Claim] = {}
        self._stray_seconds = STRAY_SECONDS
        self._dropped: set[int] = set()
        """Claims that a worker took up, and whose end it could not write down."""
        self._taken: set[int] = set()
        """Claims that no worker had taken up when they were found, and that none may take up any more."""
        self._guard = threading.Lock()

    def start(self) -> None:
        """Start the workers, the rescuer, and who looks after imports."""
        jobs = [("rescue", self._rescuing), ("import", self._importing)] + [
            (f"drain-{n}", self._working) for n in range(self._conf.workers)
        ]
        self._threads = [threading.Thread(target=job, name=name, daemon=True) for name, job in jobs]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Tell a worker that there may be something to do; one that finds a call wakes the next."""
        self._bell.ring()

    def stop(self, *, timeout: float) -> None:
        """Claim no more, wait so many seconds for calls in flight, then write down that the rest is unknown."""
        self._stop.set()
        self._bell.ring_for_good()
        deadline = self._clock.monotonic() + timeout
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - self._clock.monotonic()))
        with self._guard:
            left = list(self._flying.values())
        for claim in left:
            self._settle(
                claim, self._unknown(claim, "stopped", "the service was stopped before Marketo answered")
            )

    def step(self) -> bool:
        """Claim once, and send and settle what was claimed; False where no row may go now."""
        replica = self._replica()
        if replica is None:
            return False
        claim = outbox.claim(
            self._database, replica=replica, most=self._conf.batch_size, coalesce=self._conf.coalesce
        )
        if claim is None:
            return False
        self._bell.ring()
        self._carry(claim)
        return True

    def rescue(self) -> int:
        """Write down that the outcome of what dead replicas were sending is unknown; return how many rows."""
        count = 0
        for claim in outbox.orphans(self._database):
            reason = "the process that sent it ended before it could write down Marketo's answer"
            count += len(self._settle(claim, self._unknown(claim, "orphaned", reason)) or ())
        if count:
            log.get("outbox").warning("rows of a replica that ended were taken over", rows=count)
        found = self._gather_strays()
        if count or found:
            self.wake()
        return count + found

    def _gather_strays(self) -> int:
        """See to rows that this replica claimed, and that none of its workers is at; return how many."""
        replica = self._replica()
        if replica is None or self._stop.is_set():
            return 0
        with self._guard:
            carried = list(self._flying)
        count = 0
        for claim in outbox.strays(self._database, replica, carried=carried, older=self._stray_seconds):
            with self._guard:
                if claim.number in self._flying:
                    continue
                sent = claim.number in self._dropped
                if not sent:
                    self._taken.add(claim.number)
            if sent:
                settlement = self._unknown(
                    claim, "internal", "the worker that sent it could not write down Marketo's answer"
                )
            else:
                settlement = Settlement(tuple(not_sent(row) for row in claim.rows))
            count += len(self._settle(claim, settlement) or ())
        if count:
            log.get("outbox").warning("rows that a worker had lost sight of go on", rows=count)
        return count

    def _unknown(self, claim: Claim, code: str, reason: str) -> Settlement:
        return Settlement(
            tuple(self._sender.after_unknown(claim.shape, runs(claim.rows), code=code, reason=reason))
        )

    def _carry(self, claim: Claim) -> None:
        with self._guard:
            if claim.number in self._taken:
                # This worker heard of its claim too late: the rows are back in line.
                return
            self._flying[claim.number] = claim
        metrics.OUTBOX_CALLS.labels(operation=claim.shape.operation).inc()
        settled = False
        try:
            settled = self._carry_through(claim)
        finally:
            with self._guard:
                if not settled:
                    self._dropped.add(claim.number)
                del self._flying[claim.number]

    def _carry_through(self, claim: Claim) -> bool:
        """Send a claim and write down what became of it; False where that could not be written down."""
        try:
            return all(
                self._settle(claim, settlement) is not None for settlement in self._sender.carry(claim)
            )
        except Exception as problem:  # noqa: BLE001 - told, and the rows are settled
            # A mistake in our own code must not leave rows in `sending`: whether they took effect is open.
            log.get("outbox").exception("a claim could not be carried", rows=len(claim.rows))
            unknown = self._unknown(claim, "internal", f"{type(problem).__name__} in syncd")
            return self._settle(claim, unknown) is not None

    def _settle(self, claim: Claim, settlement: Settlement) -> list[int] | None:
        """Write a settlement down, with its effect on the mirror, in one transaction; try until it is done.

        Where the database is gone for long, the session is gone too, and others will take the rows
        over as unknown: then this finds nothing of its own any more. None: given up, since the service stops.
        """
        while True:
            try:
                ours = self._write(claim, settlement)
            except DatabaseProblem as problem:
                log.get("outbox").warning("an answer could not be written down yet", error=str(problem))
                if self._stop.wait(RETRY_SECONDS):
                    return None
                continue
            except ValueRefused as problem:
                bare = settlement.effects.to_be_read()
                if bare == settlement.effects:
                    raise
                log.get("outbox").warning("the mirror can't hold what was written", error=str(problem))
                settlement = replace(settlement, effects=bare)
                continue
            self._count(claim, settlement.verdicts, set(ours))
            return ours

    def _write(self, claim: Claim, settlement: Settlement) -> list[int]:
        with self._database.begin() as transaction:
            effects.apply(transaction, settlement.effects)
            known = {c.lead_id for c in settlement.conflicts if c.lead_id is not None}
            state.mark_dirty(transaction, sorted(known), "conflict")
            locks.note_conflicts(transaction, settlement.conflicts)
            return outbox.settle(transaction, claim.number, settlement)

    def _count(self, claim: Claim, verdicts: tuple[Verdict, ...], ours: set[int]) -> None:
        counted = Counter(verdict.status for verdict in verdicts if verdict.outbox_id in ours)
        for status, rows in counted.items():
            metrics.OUTBOX_ROWS.labels(operation=claim.shape.operation, status=status).inc(rows)

    def _working(self) -> None:
        while not self._stop.is_set():
            try:
                if not self.step():
                    self._nap()
            except DatabaseProblem as problem:
                log.get("outbox").warning("the outbox can't be read", error=str(problem))
                self._stop.wait(RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - told, and the worker goes on
                log.get("outbox").exception("the outbox can't be carried in a way that nobody foresaw")
                self._stop.wait(AFTER_SURPRISE_SECONDS)

    def _nap(self) -> None:
        due = outbox.next_due(self._database)
        self._bell.wait(LONGEST_NAP if due is None else min(max(due, 0.01), LONGEST_NAP))

    def _rescuing(self) -> None:
        while not self._stop.is_set():
            try:
                self.rescue()
            except DatabaseProblem as problem:
                log.get("outbox").warning("orphaned claims can't be looked for", error=str(problem))
            except Exception:  # noqa: BLE001 - told, and the rescuer goes on
                log.get("outbox").exception("orphaned claims can't be rescued in a way that nobody foresaw")
            self._stop.wait(RESCUE_EVERY)

    def _importing(self) -> None:
        while not self._stop.is_set():
            try:
                if self.imports.step():
                    self.wake()
                else:
                    self._stop.wait(self.imports.nap())
            except SyncdError as problem:
                log.get("outbox").warning("imports can't be looked after", error=str(problem))
                self._stop.wait(AFTER_SURPRISE_SECONDS)
            except Exception:  # noqa: BLE001 - told, and the thread goes on
                log.get("outbox").exception("imports can't be looked after in a way that nobody foresaw")
                self._stop.wait(AFTER_SURPRISE_SECONDS)
