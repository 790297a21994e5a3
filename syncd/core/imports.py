"""A file for bulk import: from outbox rows to CSV, and from Marketo's files of failures and warnings back to rows.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-import/bulk-lead-import
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.core.outbox import ClaimedRow, Shape, Verdict, key_of
from syncd.core.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CODE = "import"
"""Code of what a bulk import refused: its files give reasons in words alone."""

_PASSING = re.compile(
    r"(?i)time.?out|timed out|lock wait|try again|system error|internal error|temporar|transient"
)
"""Reasons that say nothing against the record."""


@dataclass(frozen=True)
class Told:
    """What a file of failures or warnings says: the reason of each record, and how many records it has."""

    reasons: Mapping[str, str]
    records: int


def folded(key: object) -> str:
    """Return a key as leads are told apart by it."""
    return "" if key is None else str(key).strip().lower()


def runs_by_key(shape: Shape, rows: Iterable[ClaimedRow]) -> dict[str, Run]:
    """Put the rows of one lead together, in their order: they share a line of the file."""
    found: dict[str, list[ClaimedRow]] = {}
    for row in rows:
        found.setdefault(folded(key_of(shape, row.payload)), []).append(row)
    return {key: Run(tuple(together)) for key, together in found.items()}


def file_of(runs: Iterable[Run]) -> bytes:
    """Write a file, one line a record; all of them have the same fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns: list[str] | None = None
    for run in runs:
        record = run.record
        if columns is None:
            columns = sorted(record)
            writer.writerow(columns)
        writer.writerow([_text(record[name]) for name in columns])
    return text.getvalue().encode("utf-8", "replace")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def told(file: bytes, lookup_field: str) -> Told:
    """Read a file of failures or warnings: the last column is the reason, the lookup field's tells whose it is."""
    try:
        lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig", "replace"), newline="")))
    except csv.Error:
        return Told({}, 0)
    lines = [line for line in lines if line]
    if not lines:
        return Told({}, 0)
    names = [name.strip().lower() for name in lines[0]]
    if lookup_field.lower() not in names:
        return Told({}, len(lines) - 1)
    place = names.index(lookup_field.lower())
    reasons = {folded(line[place]): line[-1].strip() for line in lines[1:] if len(line) == len(names)}
    return Told(reasons, len(lines) - 1)


def is_certain(failures: Told, runs: Mapping[str, Run], *, processed: int | None, failed: int | None) -> bool:
    """Tell whether what is not in the file of failures was imported: all numbers add up, and each failure is one of ours."""
    failed = failed or 0
    adds_up = processed is None or processed + failed == len(runs)
    return adds_up and len(failures.reasons) == failed and all(key in runs for key in failures.reasons)


def refused(run: Run, reason: str) -> list[Verdict]:
    """Decide about a record that failed.

    A row that was alone in it failed. Rows that shared it go again by calls, where the one to blame is found, and so
    does one that something passing kept from being imported.
    """
    if len(run.rows) == 1 and not _PASSING.search(reason):
        message = reason or "Marketo gave no reason"
        return [Verdict(run.rows[0].id, "failed", "failed", error_code=CODE, error_message=message)]
    return [again(row, CODE, reason) for row in run.rows]


def again(row: ClaimedRow, code: str, reason: str, due_in: float = 0.0) -> Verdict:
    """Send a row again of which nothing was executed."""
    return Verdict(row.id, "retry", "retrying", error_code=code, error_message=reason, due_in=due_in)


def imported(run: Run, batch_id: int, leads: Sequence[int], warning: str | None) -> list[Verdict]:
    """Write down that a record was imported.

    leads: those that Marketo holds under its key, read back: an import answers no ids.
    """
    lead = leads[0] if len(leads) == 1 else None
    result: dict[str, Any] = {"id": lead, "status": "imported", "import": batch_id}
    if len(leads) > 1:
        result["leads"] = list(leads)
    if warning is not None:
        result["warning"] = warning
    if len(run.rows) > 1:
        result["sent_as_one_with"] = run.rows[-1].id
    return [Verdict(row.id, "succeeded", "succeeded", lead_id=lead, result=result) for row in run.rows]
