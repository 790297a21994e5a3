"""Big backlogs: thousands of upserts go as one file by bulk import.

One step does one thing and returns: it takes over what a dead replica left, looks once at an import that is
due, or gathers a file and hands it over. Nobody waits for an import: where it stands is in
``outbox_import``, and any replica takes the next look.

A file that may have left without an answer has no number, and Marketo has no list of imports: nobody can ask what
became of it. Its rows stay closed for as long as an import may wait in Marketo's queue; then they go by calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd import log, metrics
from syncd.core import imports as core
from syncd.core.budget import NOT_MADE, OWN_BUDGET
from syncd.core.codes import without_values
from syncd.core.outbox import Settlement, Verdict, not_sent
from syncd.core.runs import Run, in_doubt
from syncd.database import imports, outbox
from syncd.errors import (
    AuthenticationFailed,
    DatabaseProblem,
    MarketoError,
    OutcomeUnknown,
    QuotaExhausted,
    Refused,
    Retryable,
)
from syncd.marketo import endpoints
from syncd.outbox.imported import SomebodyElseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from syncd import settings
    from syncd.clock import Clock
    from syncd.core.outbox import ClaimedRow, Shape
    from syncd.database.engine import Database
    from syncd.marketo.client import Client
    from syncd.marketo.models import Import
    from syncd.outbox.imported import ReadBack

YOUNG = 600.0
"""Seconds for which an import's number may be unknown to Marketo after it was given out."""
REST = 60.0
"""Seconds before another file after one that was not taken; rows go by calls meanwhile."""
REST_DENIED = 3600.0
LOOK_EVERY = 5.0
"""Seconds between two looks at the backlog."""
COLLECTS = 60.0
"""Seconds for which others leave an import alone whose results are being fetched; each part of them renews it."""
GONE = frozenset({"1013", "610", "HTTP 404"})
ROWS_AT_ONCE = 3000
NAMED = 20
OF_THE_DAY = frozenset({"607", OWN_BUDGET})
"""Codes of a day whose calls are used up: its rows wait, since calls would fare no better."""
NETWORK_MARGIN = 60.0
"""Seconds on top of Marketo's own time-out after which a call that nobody has heard of has ended."""


class Imports:
    """Gathers files, hands them over, watches them, and brings results back row by row.

    One thread of a process takes the steps. after_error: decides about a row of a call that was turned away as
    a whole (seconds that it took).
    """

    def __init__(
        self,
        *,
        database: Database,
        client: Client,
        clock: Clock,
        conf: settings.Outbox,
        replica: Callable[[], int | None],
        timeout_scale: float,
        after_error: Callable[[Shape, ClaimedRow, MarketoError, float], Verdict],
        read_back: ReadBack,
    ) -> None:
        self._database = database
        self._client = client.on("outbox")
        self._clock = clock
        self._conf = conf
        self._replica = replica
        self._answers_within = endpoints.IMPORT_LEADS.timeout * timeout_scale + NETWORK_MARGIN
        self._after_error = after_error
        self._read_back = read_back
        self._looked_at = 0
        self._too_few = False

    def step(self) -> bool:
        """Do one thing, if there is one to do; False where there is none for now. Raises DatabaseProblem."""
        if self.rescue():
            return True
        running = imports.due(self._database, seconds=max(self._conf.import_poll_seconds, LOOK_EVERY))
        if running is not None:
            self._look(running)
            return True
        return self._begin()

    def nap(self) -> float:
        """Return for how many seconds there is nothing to do."""
        due = imports.next_look(self._database)
        return LOOK_EVERY if due is None else min(max(due, 0.05), LOOK_EVERY)

    def rescue(self) -> int:
        """Settle the rows of files that never got a number, and that nobody is at any more; return how many."""
        count = 0
        left = imports.orphans(self._database, mine=self._replica(), answers_within=self._answers_within)
        for orphan in left:
            rows = imports.rows(self._database, orphan.claim)
            if orphan.posted:
                reason = (
                    "the process that handed its file over ended before it could write down Marketo's answer"
                )
                error = ("orphaned", reason)
                count += self._unknown(orphan.claim, orphan.shape, rows, error, since=orphan.age)
                self._finish(orphan.claim, "unknown", error=error, rest=REST)
            else:
                verdicts = [not_sent(row) for row in rows]
                count += self._settle(orphan.claim, orphan.shape, verdicts, by_calls=False)
                self._finish(orphan.claim, "dropped")
        return count

    def _begin(self) -> bool:
        least, replica = self._conf.import_from, self._replica()
        if not least or replica is None:
            return False
        if not imports.backlog(self._database, least=least):
            self._looked_at = 0
            return False
        self._looked_at, more = imports.look_through(self._database, after=self._looked_at)
        if self._too_few and not more:
            return False
        group = imports.biggest(self._database, least=least)
        self._too_few = group is None
        if group is None:
            return False
        claim = imports.begin(self._database, replica=replica, shape=group.shape)
        if claim is None:
            return False
        gathered = imports.gather(
            self._database, claim, replica=replica, mark=group.mark, coalesce=self._conf.coalesce
        )
        if gathered.worth_while(least=least) and self._replica() == replica:
            self._hand_over(claim, group.shape)
        # Else the workers have taken the others meanwhile: calls are quicker for what is left, which the next step gives back.
        return True

    def _hand_over(self, claim: int, shape: Shape) -> None:
        rows = imports.rows(self._database, claim)
        runs = core.runs_by_key(shape, rows)
        file = core.file_of(runs.values())
        if not imports.posting(self._database, claim, records=len(runs), size=len(file)):
            return
        started = self._clock.monotonic()
        try:
            made = self._client.import_leads(
                file, lookup_field=shape.lookup_field, partition_name=shape.partition_name
            )
        except MarketoError as problem:
            self._turned_away(claim, shape, rows, problem, self._clock.monotonic() - started)
            return
        log.get("outbox").info(
            "a file was handed over for bulk import",
            batch=made.id,
            rows=len(rows),
            records=len(runs),
            bytes=len(file),
        )
        noted = self._insist(
            lambda: imports.posted(
                self._database,
                claim,
                batch_id=made.id,
                request_id=made.request_id,
                progress=made.status,
                seconds=self._conf.import_poll_seconds,
            )
        )
        if not noted:
            log.get("outbox").warning("a file was taken for lost before Marketo took it", batch=made.id)

    def _insist(self, write: Callable[[], bool]) -> bool:
        """Write an answer down; where the database is gone for long, so is the session, and others take over."""
        while True:
            try:
                return write()
            except DatabaseProblem as problem:
                log.get("outbox").warning(
                    "an import's number could not be written down yet", error=str(problem)
                )
                if self._clock.stopping():
                    raise
                self._clock.sleep(0.5)

    def _turned_away(
        self, claim: int, shape: Shape, rows: Sequence[ClaimedRow], problem: MarketoError, took: float
    ) -> None:
        """Settle the rows of a file that was not taken, or perhaps was."""
        log.get("outbox").warning("a file was not taken for bulk import", rows=len(rows), error=str(problem))
        error = (problem.code, problem.message)
        if isinstance(problem, OutcomeUnknown):
            self._unknown(claim, shape, rows, error, since=took)
            self._finish(claim, "unknown", error=error, rest=REST)
            return
        if problem.code in NOT_MADE | OF_THE_DAY:
            verdicts = [self._after_error(shape, row, problem, took) for row in rows]
        else:
            verdicts = [core.again(row, problem.code, problem.message) for row in rows]
        # Where Marketo was merely too busy, what is left may go by a later file.
        by_calls = isinstance(problem, Refused | AuthenticationFailed)
        self._settle(claim, shape, verdicts, by_calls=by_calls, request_id=problem.request_id)
        self._finish(claim, "refused", error=error, rest=self._rest(problem))

    def _rest(self, problem: MarketoError) -> float:
        if isinstance(problem, QuotaExhausted):
            return max(REST, (problem.until - self._clock.now()).total_seconds())
        if isinstance(problem, AuthenticationFailed):
            return REST_DENIED
        return max(REST, (problem.after or 0.0) if isinstance(problem, Retryable) else 0.0)

    def _look(self, running: imports.Running) -> None:
        try:
            state = self._client.import_status(running.batch_id)
            if state.status in {"Complete", "Failed"}:
                self._collect(running, state)
            else:
                wait = self._conf.import_poll_seconds
                imports.seen(self._database, running.claim, progress=state.status, seconds=wait)
        except SomebodyElseError:
            # Another replica is at it too, and goes on; should it end, the next look is due.
            return
        except MarketoError as problem:
            self._unseen(running, problem)

    def _unseen(self, running: imports.Running, problem: MarketoError) -> None:
        gone = isinstance(problem, Refused) and problem.code in GONE and running.age > YOUNG
        log.get("outbox").warning(
            "an import can't be looked after", batch=running.batch_id, gone=gone, error=str(problem)
        )
        if gone:
            error = ("lost", f"Marketo no longer knows import {running.batch_id}")
            rows = imports.rows(self._database, running.claim)
            self._unknown(running.claim, running.shape, rows, error)
            self._finish(running.claim, "lost", error=error)
            return
        wait = self._conf.import_poll_seconds
        if isinstance(problem, QuotaExhausted):
            wait = max(wait, (problem.until - self._clock.now()).total_seconds())
        imports.seen(self._database, running.claim, progress=None, seconds=wait)

    def _collect(self, running: imports.Running, state: Import) -> None:
        """Settle an import that has ended. What was imported is read back, since an import answers no ids."""
        claim, shape = running.claim, running.shape
        imports.seen(self._database, claim, progress=state.status, seconds=COLLECTS)
        if state.status == "Failed":
            error = (core.CODE, state.message or "the import failed")
            log.get("outbox").warning(
                "an import failed half-way", batch=running.batch_id, reason=without_values(error[1])
            )
            # Marketo is no longer at it, but what it wrote before stays.
            self._unknown(claim, shape, imports.rows(self._database, claim), error)
            self._finish(claim, "failed", error=error)
            return
        if not running.sifted:
            self._sift(running, state)
        warned = self._client.import_warnings(running.batch_id) if state.warned != 0 else b""
        warnings = core.told(warned, shape.lookup_field)
        runs = core.runs_by_key(shape, imports.rows(self._database, claim))
        for settled in self._read_back.settle(running, runs, warnings):
            self._count(shape, settled)
            imports.seen(self._database, claim, progress=state.status, seconds=COLLECTS)
        self._finish(claim, "done")

    def _sift(self, running: imports.Running, state: Import) -> None:
        """Settle in one transaction what Marketo refused, and what it does not account for; both go by calls."""
        claim, shape = running.claim, running.shape
        file = self._client.import_failures(running.batch_id) if state.failed != 0 else b""
        failures = core.told(file, shape.lookup_field)
        runs = core.runs_by_key(shape, imports.rows(self._database, claim))
        verdicts = [
            core.again(row, core.CODE, failures.reasons[key] or "Marketo gave no reason")
            for key in failures.reasons.keys() & runs.keys()
            for row in runs[key].rows
        ]
        if not core.is_certain(
            failures, runs, records=running.records, processed=state.processed, failed=state.failed
        ):
            reason = f"import {running.batch_id} does not account for all of its records"
            log.get("outbox").warning(
                "an import does not account for all of its records; they go again by calls",
                batch=running.batch_id,
                records=running.records,
                processed=state.processed,
                failed=state.failed,
                told=failures.records,
            )
            told_of = [run for key, run in runs.items() if key not in failures.reasons]
            verdicts += self._doubted(shape, told_of, (core.CODE, reason), wait=0.0)
        settlement = Settlement(tuple(verdicts), endpoints.IMPORT_LEADS.name, running.request_id)
        with self._database.begin() as transaction:
            ours = outbox.settle(transaction, claim, settlement)
            imports.give_back(transaction, ours)
            # A count that can't be is no reason to leave rows unsettled.
            warned = min(max(state.warned or 0, 0), running.records)
            if not imports.sifted(transaction, claim, failed=failures.records, warned=warned):
                raise SomebodyElseError
        self._count(shape, verdicts)

    def _unknown(
        self,
        claim: int,
        shape: Shape,
        rows: Sequence[ClaimedRow],
        error: tuple[str, str],
        *,
        since: float | None = None,
    ) -> int:
        """Settle rows of which nobody knows what became; since: seconds for which Marketo may be at them, None: it is not."""
        wait = 0.0 if since is None else max(0.0, self._conf.import_unknown_wait_seconds - since)
        runs = core.runs_by_key(shape, rows).values()
        return self._settle(claim, shape, self._doubted(shape, runs, error, wait=wait))

    def _doubted(
        self, shape: Shape, runs: Iterable[Run], error: tuple[str, str], *, wait: float
    ) -> list[Verdict]:
        code, reason = error
        return in_doubt(
            shape, runs, code=code, reason=reason, wait=wait, attempts_at_most=self._conf.retry_at_most
        )

    def _settle(
        self,
        claim: int,
        shape: Shape,
        verdicts: Sequence[Verdict],
        *,
        by_calls: bool = True,
        request_id: str | None = None,
    ) -> int:
        count = 0
        for start in range(0, len(verdicts), ROWS_AT_ONCE):
            part = tuple(verdicts[start : start + ROWS_AT_ONCE])
            settlement = Settlement(part, endpoints.IMPORT_LEADS.name, request_id)
            with self._database.begin() as transaction:
                ours = set(outbox.settle(transaction, claim, settlement))
                if by_calls:
                    imports.give_back(transaction, sorted(ours))
            self._count(shape, [v for v in part if v.outbox_id in ours])
            count += len(ours)
        return count

    def _count(self, shape: Shape, verdicts: Sequence[Verdict]) -> None:
        """Count rows by what became of them, and tell of warnings, which a row's result holds in full."""
        for verdict in verdicts:
            metrics.OUTBOX_ROWS.labels(operation=shape.operation, status=verdict.status).inc()
        warned = [v for v in verdicts if v.result and "warning" in v.result]
        if warned:
            metrics.OUTBOX_WARNINGS.labels(operation=shape.operation).inc(len(warned))
            log.get("outbox").warning(
                "Marketo took records with a warning",
                rows=len(warned),
                some=[
                    {"row": v.outbox_id, "lead": v.lead_id, "reason": without_values(v.result["warning"])}
                    for v in warned[:NAMED]
                    if v.result
                ],
            )

    def _finish(
        self,
        claim: int,
        ended: imports.Ended,
        *,
        error: tuple[str, str] | None = None,
        rest: float | None = None,
    ) -> None:
        if imports.finish(self._database, claim, ended, error=error, rest=rest):
            metrics.OUTBOX_IMPORTS.labels(state=ended).inc()
