"""Feed: the leads whose row may be old, read 300 a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd import log
from syncd.database import campaigns, leads, state
from syncd.errors import ValueRefused
from syncd.marketo.models import Leads
from syncd.mirror import schema
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from syncd.core.budget import Lane
    from syncd.core.fields import LeadField
    from syncd.mirror.runs import Feeds

FEED = "dirty"
IDS_A_CALL = 300


def due(feeds: Feeds, *, read_back_after: float) -> bool:
    """Tell whether the set should be drained now. Costs no call.

    What the outbox wrote is in the mirror already, and is read back only for what Marketo adds: it may
    wait so many seconds for company, because a call carries 300 leads.
    """
    return state.dirty_due(feeds.database, most=IDS_A_CALL, seconds=read_back_after)


def pull(feeds: Feeds, *, lane: Lane = "changes") -> Counter[str]:
    """Read every dirty lead and write its row; a lead that Marketo no longer has is retired.

    A lead that was marked again while it was being read is left dirty: what was read may be older
    than the mark.
    """
    return schema.again_with_present_fields(feeds, lambda: _pull(feeds, lane))


@dataclass(frozen=True)
class _Batch:
    """What a call asks for: leads, with their marks from before it, and the fields that the mirror has."""

    fields: Sequence[LeadField]
    ids: Sequence[int]
    marks: Sequence[int]


def _pull(feeds: Feeds, lane: Lane) -> Counter[str]:
    with recorded(feeds, FEED, alone=False) as counts:
        total = state.dirty_count(feeds.database)
        batch: _Batch | None = None
        while not feeds.clock.stopping():
            batch = batch or _first(feeds)
            if not batch.ids:
                break
            batch = _fetch(feeds, lane, batch, counts)
            feeds.progress("leads", counts["read"], max(total, counts["read"]))
    return counts


def _first(feeds: Feeds) -> _Batch:
    with feeds.database.begin() as transaction:
        return _Batch(leads.mirrored_fields(transaction), *state.next_dirty(transaction, IDS_A_CALL))


def _fetch(feeds: Feeds, lane: Lane, batch: _Batch, counts: Counter[str]) -> _Batch | None:
    """Read and write a batch; return the next one; None where the fields changed, or none is known to come."""
    records = feeds.client.on(lane).leads("id", batch.ids, [f.name for f in batch.fields])
    return _write_what_fits(feeds, batch, records, counts)


def _write_what_fits(feeds: Feeds, batch: _Batch, records: Leads, counts: Counter[str]) -> _Batch | None:
    """Write a batch; where PostgreSQL refuses it, in halves, until the lead stands alone that it has no room for."""
    try:
        return _write(feeds, batch, records, counts)
    except ValueRefused as problem:
        middle = len(batch.ids) // 2
        for part in (slice(middle), slice(middle, None)) if middle else ():
            ids = set(batch.ids[part])
            some = Leads([record for record in records if record["id"] in ids])
            _write_what_fits(feeds, _Batch(batch.fields, batch.ids[part], batch.marks[part]), some, counts)
        if not middle:
            log.get("mirror").error(
                "a lead can't be written; its row stays as it is", lead=batch.ids[0], error=str(problem)
            )
            with feeds.database.begin() as transaction:
                counts["refused"] += len(state.clear_dirty(transaction, batch.ids, batch.marks))
    return None


def _write(feeds: Feeds, batch: _Batch, records: Leads, counts: Counter[str]) -> _Batch | None:
    fields = batch.fields
    with feeds.database.begin() as transaction:
        if not leads.hold(transaction, fields):
            return None
        # What comes next is asked for here: a transaction for that alone would cost as much as a call's other end.
        ours, *following = state.turn_dirty(transaction, batch.ids, batch.marks, IDS_A_CALL)
        found = ours.intersection(records.ids)
        campaigns.enter(transaction, sorted(found))
        if len(found) == len(records):
            written = leads.upsert_page(transaction, fields, records, touch=False, answer=records.answer)
        else:
            page = [record for record in records if record["id"] in found]
            written = leads.upsert_page(transaction, fields, page, touch=False)
        missing = sorted(ours - found)
        retired = leads.retire(transaction, [(lead, None) for lead in missing])
    counts.update(read=len(records), written=written.rows, retired=retired, unparsed=written.unparsed)
    return _Batch(fields, *following) if following[0] else None
