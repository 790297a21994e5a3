"""One claim, one call: what is sent, and what each answer means for each row.

Nothing here touches the queue: ``carry`` yields settlements, and the caller writes each of them down
before it asks for the next.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.backoff import full_jitter
from syncd.core.budget import NOT_MADE
from syncd.core.codes import record_retryable, without_values
from syncd.core.effects import NOTHING, Effects, of_record, together
from syncd.core.operations import CATALOGUE
from syncd.core.outbox import (
    FINAL,
    Claim,
    ClaimedRow,
    Settlement,
    Shape,
    Verdict,
    after_refusal_to_work,
    after_skip,
    not_sent,
)
from syncd.core.runs import Run, in_doubt, runs
from syncd.errors import (
    AuthenticationFailed,
    DatabaseProblem,
    MarketoError,
    OutcomeUnknown,
    QuotaExhausted,
    Refused,
    Retryable,
    SyncdError,
    ValueRefused,
)
from syncd.marketo import endpoints, writes
from syncd.outbox import proof
from syncd.outbox.naming import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from syncd import settings
    from syncd.clock import Clock
    from syncd.marketo.client import Client
    from syncd.marketo.models import RecordResult, WriteAnswer
    from syncd.outbox.locks import Locks

    Rows = tuple[ClaimedRow, ...]

NETWORK_MARGIN = 1.0


class Sender:
    """Sends claims with the outbox's lane of the client."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        conf: settings.Outbox,
        *,
        timeout_scale: float,
        held: Callable[[int], bool],
        leads_by_email: Callable[[Sequence[str]], dict[str, list[int]]],
        buried_by_email: Callable[[Sequence[str]], dict[str, list[tuple[datetime, int]]]],
        locks: Locks,
    ) -> None:
        self._client = client.on("outbox")
        self._clock = clock
        self._conf = conf
        self._timeout_scale = timeout_scale
        self._held = held
        self._names = Names(self._client, leads_by_email, buried_by_email)
        self._locks = locks

    def carry(self, claim: Claim) -> Iterator[Settlement]:
        """Carry a claim's rows to Marketo; yield what became of them, each row once.

        A batch that is refused as a whole is halved until the culprit stands alone; rows that share a
        record are parted when it is refused, and go on in their order.
        """
        try:
            settled, rows = self._prepared(claim)
        except (DatabaseProblem, ValueRefused) as problem:
            yield self._settlement(
                tuple(self._unready(row, problem) for row in claim.rows), None, None, self._clock.monotonic()
            )
            return
        yield from settled
        if CATALOGUE[claim.shape.operation].repeat == "look" and any(row.unknown for row in rows):
            settled, rows = self._look(claim.shape, rows)
            yield from settled
        lines = [[run] for run in runs(rows)]
        while lines:
            again: dict[int, tuple[Run, ...]] = {}
            stuck: set[int] = set()
            for settlement in self._send(claim, [line[0] for line in lines], again):
                stuck |= {v.outbox_id for v in settlement.verdicts if v.status not in FINAL}
                yield settlement
            kept: list[list[Run]] = []
            left: list[list[Run]] = []
            for line in lines:
                rest = [*again.get(id(line[0]), ()), *line[1:]]
                held = any(row.id in stuck for row in line[0].rows)
                if rest:
                    (left if held else kept).append(rest)
            if left:
                # Their calls were not made, because an earlier row of their lead is not finished.
                yield Settlement(tuple(not_sent(row) for line in left for run in line for row in run.rows))
            lines = kept

    def _prepared(self, claim: Claim) -> tuple[list[Settlement], Rows]:
        """Find the leads that a call names by id, and check locks; return what is settled by that, and the rows that may go.

        Raises DatabaseProblem and ValueRefused; then nothing was sent.
        """
        unnamed, rows = (
            self._named(claim.shape, claim.rows)
            if CATALOGUE[claim.shape.operation].by_id
            else ([], claim.rows)
        )
        checked, rows = self._locks.check(claim.shape, rows, partial(self.after_error, claim.shape))
        return [*unnamed, *checked], rows

    def _unready(self, row: ClaimedRow, problem: SyncdError) -> Verdict:
        """Decide about a row for which the mirror could not be asked: that is not its fault where the database is away."""
        for_ever = isinstance(problem, DatabaseProblem) or row.unknown
        return after_refusal_to_work(
            row,
            code="database",
            reason=f"the mirror could not be asked for its lead: {problem}",
            due_in=self._back_off(row),
            attempts_at_most=row.attempts + 1 if for_ever else self._conf.retry_at_most,
        )

    def _send(
        self, claim: Claim, sent: Sequence[Run], again: dict[int, tuple[Run, ...]]
    ) -> Iterator[Settlement]:
        """Send one record a run; again: gets the parts of runs that were refused, by the run's identity.

        A worker may wait for the budget, or be paused, for longer than its session lives; then others have taken
        the rows over, and a call that left now would be one too many. So it asks last of all whether they are its own.
        """
        shape = claim.shape
        started = self._clock.monotonic()
        endpoint = _endpoint(shape)

        def may_leave() -> bool:
            nonlocal started
            try:
                ours = self._held(claim.number)
            except DatabaseProblem:
                return False
            started = self._clock.monotonic()
            return ours

        try:
            leads = [run.rows[0].lead_id for run in sent]
            answer = self._client.write(
                writes.build(shape, [run.record for run in sent], leads), may_leave=may_leave
            )
        except Refused as problem:
            if len(sent) > 1 and problem.code not in CATALOGUE[shape.operation].whole:
                middle = len(sent) // 2
                yield from self._send(claim, sent[:middle], again)
                yield from self._send(claim, sent[middle:], again)
                return
            verdicts = [
                verdict
                for run in sent
                for verdict in self._part(shape, run, problem.code, problem.message, again)
            ]
            if verdicts:
                yield self._settlement(tuple(verdicts), endpoint.name, problem.request_id, started)
        except MarketoError as problem:
            took = self._clock.monotonic() - started
            verdicts = self._after_errors(shape, sent, problem, took)
            yield self._settlement(tuple(verdicts), endpoint.name, problem.request_id, started)
        else:
            yield self._answered(shape, sent, answer, endpoint.name, started, again)

    def _part(
        self, shape: Shape, run: Run, code: str, message: str, again: dict[int, tuple[Run, ...]]
    ) -> list[Verdict]:
        refused, rest = run.parted(shape, code, message)
        if rest:
            again[id(run)] = rest
        return [after_skip(shape, row, code=code, reason=message) for row in refused]

    def _answered(
        self,
        shape: Shape,
        sent: Sequence[Run],
        answer: WriteAnswer,
        endpoint: str,
        started: float,
        again: dict[int, tuple[Run, ...]],
    ) -> Settlement:
        pairs = list(zip(sent, answer.items, strict=True))
        verdicts = tuple(v for run, item in pairs for v in self._verdicts(shape, run, item, again))
        effects = together([self._effects(shape, run, item, verdicts) for run, item in pairs])
        return Settlement(verdicts, endpoint, answer.request_id, self._milliseconds(started), effects)

    def _effects(self, shape: Shape, run: Run, item: RecordResult, verdicts: Sequence[Verdict]) -> Effects:
        row = run.rows[0]
        if not item.skipped:
            return of_record(shape, run.record, item.id if item.id is not None else row.lead_id)
        if not any(v.outbox_id == row.id and v.outcome == "succeeded" for v in verdicts):
            return NOTHING
        return of_record(shape, run.record, row.lead_id, already=True)

    def _verdicts(
        self, shape: Shape, run: Run, item: RecordResult, again: dict[int, tuple[Run, ...]]
    ) -> list[Verdict]:
        if not item.skipped:
            lead = item.id if item.id is not None else run.rows[0].lead_id
            return [
                Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=result)
                for row, result in zip(run.rows, run.results(lead, item.status), strict=True)
            ]
        reason = item.reasons[0] if item.reasons else None
        code, words = (reason.code, reason.message) if reason else ("skipped", "Marketo gave no reason")
        if not record_retryable(code):
            return self._part(shape, run, code, words, again)
        due_in = self._back_off(run.rows[0])
        return [
            after_refusal_to_work(
                row, code=code, reason=words, due_in=due_in, attempts_at_most=self._conf.retry_at_most
            )
            for row in run.rows
        ]

    def _back_off(self, row: ClaimedRow) -> float:
        return full_jitter(
            row.attempts,
            base=self._conf.retry_base_seconds,
            cap=self._conf.retry_cap_seconds,
            chance=self._clock.random(),
        )

    def _after_errors(
        self, shape: Shape, sent: Sequence[Run], problem: MarketoError, took: float
    ) -> list[Verdict]:
        if isinstance(problem, OutcomeUnknown):
            return self.after_unknown(shape, sent, code=problem.code, reason=problem.message, since=took)
        return [self.after_error(shape, row, problem, took) for run in sent for row in run.rows]

    def after_error(self, shape: Shape, row: ClaimedRow, problem: MarketoError, took: float) -> Verdict:
        """Decide about a row of a call that failed as a whole; took: seconds since the call began."""
        if isinstance(problem, OutcomeUnknown):
            (verdict,) = self._after_errors(shape, [Run((row,))], problem, took)
            return verdict
        if problem.code in NOT_MADE:
            return not_sent(row)
        due_in = self._back_off(row)
        if isinstance(problem, QuotaExhausted):
            due_in = max(0.0, (problem.until - self._clock.now()).total_seconds())
            if problem.request_id is None:
                return _parked(row, problem, due_in)
        elif isinstance(problem, AuthenticationFailed):
            due_in = max(due_in, self._conf.retry_base_seconds)
        elif isinstance(problem, Retryable) and problem.after is not None:
            due_in = problem.after
        # The row is not to blame, however long it takes: Marketo may be away for hours.
        return after_refusal_to_work(
            row, code=problem.code, reason=problem.message, due_in=due_in, attempts_at_most=row.attempts + 1
        )

    def after_unknown(
        self, shape: Shape, sent: Iterable[Run], *, code: str, reason: str, since: float = 0.0
    ) -> list[Verdict]:
        """Decide about the rows of a call that may have taken effect.

        since: seconds since the call began; 0 where that is not known, for it may have waited long before it left.
        """
        wait = self._conf.unknown_outcome_wait_seconds
        if wait is None:
            wait = max(0.0, _endpoint(shape).timeout * self._timeout_scale - since) + NETWORK_MARGIN
        return in_doubt(
            shape, sent, code=code, reason=reason, wait=wait, attempts_at_most=self._conf.retry_at_most
        )

    def _named(self, shape: Shape, rows: Rows) -> tuple[list[Settlement], Rows]:
        """Give each row the id of its lead, which its call needs."""
        started = self._clock.monotonic()
        try:
            verdicts, named = self._names.by_id(shape, rows, partial(self._refused, shape))
        except MarketoError as problem:
            return [self._unread(shape, rows, problem, endpoints.LEADS.name, started)], ()
        gone = tuple(v.lead_id for v in verdicts if v.outcome == "succeeded" and v.lead_id)
        settled = [Settlement(tuple(verdicts), effects=Effects(deleted=gone))]
        return (settled if verdicts else []), named

    def _look(self, shape: Shape, rows: Rows) -> tuple[list[Settlement], Rows]:
        """Find out which rows in doubt were carried out; return those that were, and the rows that are to be sent."""
        asked = tuple(row for row in rows if row.unknown)
        others = tuple(row for row in rows if not row.unknown)
        started, endpoint = self._clock.monotonic(), proof.endpoint_of(shape).name
        try:
            findings = proof.look(self._client, shape, asked)
        except MarketoError as problem:
            if isinstance(problem, Refused) and len(asked) > 1:
                # One of them can't be looked for: it shall not keep the others in doubt.
                middle = len(asked) // 2
                halves = [self._look(shape, half) for half in (asked[:middle], asked[middle:])]
                left = [row for _, still_open in halves for row in still_open]
                return [s for settled, _ in halves for s in settled], _in_order(left, others)
            return [self._unread(shape, asked, problem, endpoint, started)], others
        verdicts = tuple(f.verdict for f in findings if f.verdict is not None)
        effects = together([f.effects for f in findings])
        settled = [Settlement(verdicts, endpoint, None, self._milliseconds(started), effects)]
        open_ = tuple(f.row for f in findings if f.verdict is None)
        found = settled if verdicts or effects != NOTHING else []
        return found, _in_order(open_, others)

    def _unread(
        self, shape: Shape, rows: Rows, problem: MarketoError, endpoint: str, started: float
    ) -> Settlement:
        """Decide about rows for which a read was needed that failed; whatever was in doubt still is."""
        took = self._clock.monotonic() - started
        verdicts = tuple(
            self._refused(shape, row, problem)
            if isinstance(problem, Refused)
            else replace(self.after_error(shape, row, problem, took), unknown=row.unknown)
            for row in rows
        )
        return self._settlement(verdicts, endpoint, problem.request_id, started)

    def _refused(self, shape: Shape, row: ClaimedRow, problem: Refused) -> Verdict:
        """Decide about a row for which a read was needed that Marketo refuses: what was in doubt stays so, and not for ever."""
        if row.unknown:
            (verdict,) = self.after_unknown(shape, [Run((row,))], code=problem.code, reason=problem.message)
            return verdict
        return after_skip(shape, row, code=problem.code, reason=problem.message)

    def _settlement(
        self, verdicts: tuple[Verdict, ...], endpoint: str | None, request_id: str | None, started: float
    ) -> Settlement:
        failed = next((v for v in verdicts if v.error_code), None)
        if failed is not None:
            log.get("outbox").warning(
                "a call failed",
                endpoint=endpoint,
                rows=len(verdicts),
                outcome=failed.outcome,
                code=failed.error_code,
                reason=without_values(failed.error_message or ""),
                request_id=request_id,
            )
        return Settlement(verdicts, endpoint, request_id, self._milliseconds(started))

    def _milliseconds(self, started: float) -> int:
        return round((self._clock.monotonic() - started) * 1000)


def _endpoint(shape: Shape) -> endpoints.Endpoint:
    return endpoints.WRITES[CATALOGUE[shape.operation].endpoint]


def _parked(row: ClaimedRow, problem: QuotaExhausted, due_in: float) -> Verdict:
    return Verdict(
        row.id,
        "not_sent",
        "retrying",
        error_code=problem.code,
        error_message=problem.message,
        due_in=due_in,
        unknown=row.unknown,
    )


def _in_order(*groups: Iterable[ClaimedRow]) -> Rows:
    return tuple(sorted(chain.from_iterable(groups), key=lambda row: row.id))
