"""One claim, one call: what is sent, and what each answer means for each row.

Nothing here touches the queue: ``carry`` yields settlements, and the caller writes each of them down
before it asks for the next.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.backoff import full_jitter
from syncd.core.budget import NOT_MADE
from syncd.core.codes import record_retryable, without_values
from syncd.core.outbox import (
    ACTIONS,
    FINAL,
    Claim,
    ClaimedRow,
    Settlement,
    Shape,
    Verdict,
    after_read_back,
    after_refusal_to_work,
    after_skip,
    after_unknown_outcome,
    deleted_unseen,
    key_of,
)
from syncd.core.runs import Run, runs
from syncd.errors import (
    AuthenticationFailed,
    MarketoError,
    OutcomeUnknown,
    QuotaExhausted,
    Refused,
    Retryable,
)
from syncd.marketo import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        leads_by_email: Callable[[Sequence[str]], dict[str, list[int]]],
        buried_by_email: Callable[[Sequence[str]], dict[str, list[tuple[datetime, int]]]],
        locks: Locks,
    ) -> None:
        self._client = client.on("outbox")
        self._clock = clock
        self._conf = conf
        self._timeout_scale = timeout_scale
        self._leads_by_email = leads_by_email
        self._buried_by_email = buried_by_email
        self._locks = locks

    def carry(self, claim: Claim) -> Iterator[Settlement]:
        """Carry a claim's rows to Marketo; yield what became of them, each row once.

        A batch that is refused as a whole is halved until the culprit stands alone; rows that share a
        record are parted when it is refused, and go on in their order.
        """
        rows = claim.rows
        if claim.shape.operation == "create_only" and any(row.unknown for row in rows):
            proven, rows = self._read_back(claim.shape, rows)
            yield from proven
        if claim.shape.operation == "delete":
            unnamed, rows = self._name_by_id(claim.shape, rows)
            yield from unnamed
        checked, rows = self._locks.check(claim.shape, rows, partial(self.after_error, claim.shape))
        yield from checked
        lines = [[run] for run in runs(rows)]
        while lines:
            again: dict[int, tuple[Run, ...]] = {}
            stuck: set[int] = set()
            for settlement in self._send(claim.shape, [line[0] for line in lines], again):
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
                yield Settlement(tuple(_later(row) for line in left for run in line for row in run.rows))
            lines = kept

    def _send(
        self, shape: Shape, sent: Sequence[Run], again: dict[int, tuple[Run, ...]]
    ) -> Iterator[Settlement]:
        """Send one record a run; again: gets the parts of runs that were refused, by the run's identity."""
        started = self._clock.monotonic()
        deletes = shape.operation == "delete"
        endpoint = endpoints.DELETE_LEADS if deletes else endpoints.SYNC_LEADS
        try:
            answer = self._call(shape, sent)
        except Refused as problem:
            if len(sent) > 1:
                middle = len(sent) // 2
                yield from self._send(shape, sent[:middle], again)
                yield from self._send(shape, sent[middle:], again)
                return
            verdicts = self._part(shape, sent[0], problem.code, problem.message, again)
            if verdicts:
                yield self._settlement(tuple(verdicts), endpoint.name, problem.request_id, started)
        except MarketoError as problem:
            took = self._clock.monotonic() - started
            verdicts = [self.after_error(shape, row, problem, took) for run in sent for row in run.rows]
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

    def _call(self, shape: Shape, sent: Sequence[Run]) -> WriteAnswer:
        if shape.operation == "delete":
            return self._client.delete_leads([int(run.record["id"]) for run in sent])
        return self._client.sync_leads(
            action=ACTIONS[shape.operation],
            lookup_field=shape.lookup_field,
            partition_name=shape.partition_name,
            records=[run.record for run in sent],
        )

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
        done = [(run.record, item.id) for run, item in pairs if not item.skipped and item.id is not None]
        gone = [int(record["id"]) for record, _ in done] if shape.operation == "delete" else []
        gone += [
            v.lead_id
            for v in verdicts
            if shape.operation == "delete" and v.lead_id and v.outcome == "succeeded"
        ]
        return Settlement(
            verdicts,
            endpoint,
            answer.request_id,
            self._milliseconds(started),
            changes=tuple((lead, record) for record, lead in done if shape.operation != "delete"),
            deleted=tuple(sorted(set(gone))),
        )

    def _verdicts(
        self, shape: Shape, run: Run, item: RecordResult, again: dict[int, tuple[Run, ...]]
    ) -> list[Verdict]:
        if not item.skipped:
            return [
                Verdict(row.id, "succeeded", "succeeded", lead_id=item.id, result=result)
                for row, result in zip(run.rows, run.results(item.id, item.status), strict=True)
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

    def after_error(self, shape: Shape, row: ClaimedRow, problem: MarketoError, took: float) -> Verdict:
        """Decide about a row of a call that failed as a whole; took: seconds since the call began."""
        if isinstance(problem, OutcomeUnknown):
            return self.after_unknown(shape, row, code=problem.code, reason=problem.message, since=took)
        if problem.code in NOT_MADE:
            return Verdict(row.id, "not_sent", "pending", unknown=row.unknown)
        due_in = self._back_off(row)
        if isinstance(problem, QuotaExhausted):
            due_in = max(0.0, (problem.until - self._clock.now()).total_seconds())
            if problem.request_id is None:
                return _not_sent(row, problem, due_in)
        elif isinstance(problem, AuthenticationFailed):
            due_in = max(due_in, self._conf.retry_base_seconds)
        elif isinstance(problem, Retryable) and problem.after is not None:
            due_in = problem.after
        # The row is not to blame, however long it takes: Marketo may be away for hours.
        return after_refusal_to_work(
            row, code=problem.code, reason=problem.message, due_in=due_in, attempts_at_most=row.attempts + 1
        )

    def after_unknown(
        self, shape: Shape, row: ClaimedRow, *, code: str, reason: str, since: float
    ) -> Verdict:
        """Decide about a row whose call may have taken effect; since: seconds since the call began."""
        wait = self._conf.unknown_outcome_wait_seconds
        if wait is None:
            endpoint = endpoints.DELETE_LEADS if shape.operation == "delete" else endpoints.SYNC_LEADS
            wait = max(0.0, endpoint.timeout * self._timeout_scale - since) + NETWORK_MARGIN
        return after_unknown_outcome(
            shape, row, code=code, reason=reason, wait=wait, attempts_at_most=self._conf.retry_at_most
        )

    def _read_back(self, shape: Shape, rows: Rows) -> tuple[list[Settlement], Rows]:
        """Find out which creations of unknown outcome took place: one read for all of them."""
        asked = tuple(row for row in rows if row.unknown)
        started = self._clock.monotonic()
        keys = sorted({key_of(shape, row.payload) for row in asked})
        names = sorted({name for row in asked for name in row.payload} | {shape.lookup_field, "createdAt"})
        try:
            found = self._client.leads(shape.lookup_field, keys, names)
        except MarketoError as problem:
            took = self._clock.monotonic() - started
            verdicts = tuple(_still_unknown(self.after_error(shape, row, problem, took)) for row in asked)
            settled = [self._settlement(verdicts, endpoints.LEADS.name, problem.request_id, started)]
            return settled, tuple(row for row in rows if not row.unknown)
        # Of several leads with one key the newest: a creation makes the highest id.
        found.sort(key=lambda record: int(record["id"]))
        leads = {str(record.get(shape.lookup_field, "")).lower(): record for record in found}
        verdicts_found, changes = [], []
        for row in asked:
            record = leads.get(key_of(shape, row.payload).lower())
            if record is not None:
                verdict = after_read_back(row, int(record["id"]), _moment(record.get("createdAt")))
                verdicts_found.append(verdict)
                if verdict.lead_id is not None:
                    changes.append((verdict.lead_id, row.payload))
        proven = {v.outbox_id for v in verdicts_found}
        settlement = Settlement(
            tuple(verdicts_found),
            endpoints.LEADS.name,
            None,
            self._milliseconds(started),
            changes=tuple(changes),
        )
        return ([settlement] if proven else []), tuple(row for row in rows if row.id not in proven)

    def _name_by_id(self, shape: Shape, rows: Rows) -> tuple[list[Settlement], Rows]:
        """Give each deletion the id of its lead; those that name it by an address find it in the mirror."""
        if shape.lookup_field == "id":
            return [], rows
        emails = {row.id: key_of(shape, row.payload).strip().lower() for row in rows}
        known = self._leads_by_email(sorted(set(emails.values())))
        buried = self._buried_by_email(sorted({emails[row.id] for row in rows if row.unknown}))
        named, verdicts = [], []
        for row in rows:
            leads = known.get(emails[row.id], [])
            if len(leads) == 1:
                named.append(replace(row, payload=row.payload | {"id": leads[0]}))
                continue
            gone = [lead for end, lead in buried.get(emails[row.id], []) if _since_sent(row, end)]
            if row.unknown and not leads and gone:
                verdicts.append(deleted_unseen(row, gone[0]))
                continue
            count = "no lead" if not leads else f"{len(leads)} leads ({', '.join(map(str, leads))})"
            reason = f"field email: the mirror holds {count} with this address; name the lead by its id"
            code = "1004" if not leads else "1007"
            verdicts.append(Verdict(row.id, "failed", "failed", error_code=code, error_message=reason))
        return ([Settlement(tuple(verdicts))] if verdicts else []), tuple(named)

    def _settlement(
        self, verdicts: tuple[Verdict, ...], endpoint: str, request_id: str | None, started: float
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


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _since_sent(row: ClaimedRow, moment: datetime) -> bool:
    return row.first_sent_at is not None and moment >= row.first_sent_at


def _later(row: ClaimedRow) -> Verdict:
    """Put a row back in line whose call was not made, because an earlier row of its lead is not finished."""
    return Verdict(row.id, "not_sent", "pending", unknown=row.unknown)


def _not_sent(row: ClaimedRow, problem: QuotaExhausted, due_in: float) -> Verdict:
    return Verdict(
        row.id,
        "not_sent",
        "retrying",
        error_code=problem.code,
        error_message=problem.message,
        due_in=due_in,
        unknown=row.unknown,
    )


def _still_unknown(verdict: Verdict) -> Verdict:
    """Keep in mind, over a read that failed, that the write before it is still in doubt."""
    return Verdict(
        verdict.outbox_id,
        verdict.outcome,
        verdict.status,
        error_code=verdict.error_code,
        error_message=verdict.error_message,
        due_in=verdict.due_in,
        unknown=True,
    )
