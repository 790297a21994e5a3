"""A file for bulk import: from outbox rows to CSV, and from Marketo's files of failures and warnings back to rows.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-import/bulk-lead-import
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.core.outbox import ClaimedRow, Shape, Verdict, key_of
from syncd.core.runs import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

CODE = "import"
"""Code of what a bulk import refused: its files give reasons in words alone."""

COMPANY_FIELDS = (
    *(
        "company",
        "site",
        "billingStreet",
        "billingCity",
        "billingState",
        "billingCountry",
        "billingPostalCode",
    ),
    *(
        "website",
        "mainPhone",
        "annualRevenue",
        "numberOfEmployees",
        "industry",
        "sicCode",
        "mktoCompanyNotes",
    ),
)
"""Fields of a lead's company. Sync Leads refuses them (1021) and an import writes them, for every lead of the company:
what becomes of a row must not depend on how many others wait (…/rest/lead-database/leads#create-and-update)."""


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
    return text.getvalue().encode()


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


def is_certain(
    failures: Told, keys: Collection[str], *, records: int, processed: int | None, failed: int | None
) -> bool:
    """Tell whether what is not in the file of failures was imported: all numbers add up, and each failure is one of ours.

    records: lines of the file that was handed over. processed, failed: Marketo's own count, where it gives one.
    """
    refused = failures.records if failed is None else failed
    adds_up = processed is None or processed + refused == records
    return (
        adds_up
        and len(failures.reasons) == failures.records == refused
        and set(keys) >= set(failures.reasons)
    )


def again(row: ClaimedRow, code: str, reason: str) -> Verdict:
    """Send a row by a call of which nothing was executed.

    So it goes with what an import refused, too: Marketo's answer to a call has a code, tells which of several rows of a
    record is to blame, and is the same as without an import, which reads some values more strictly.
    """
    return Verdict(row.id, "retry", "retrying", error_code=code, error_message=reason)


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
