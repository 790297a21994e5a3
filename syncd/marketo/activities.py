"""The activity log: what changed since a position.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/activities
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from syncd import log
from syncd.errors import Retryable
from syncd.marketo import endpoints, shapes
from syncd.marketo.decode import Envelope, unreadable
from syncd.marketo.endpoints import ACTIVITY_TYPES, BATCH, Endpoint
from syncd.marketo.models import Activity, ActivityPage, ActivityType
from syncd.marketo.room import Room, misshapen, read, read_one


class ActivityCalls(Room):
    """Each feed returns one page; the caller goes on while ``more`` and keeps ``next_token`` for later."""

    def paging_token(self, since: datetime) -> str:
        """Return the log's position at a moment, for the three feeds below.

        Source: …/rest/paging-tokens. Entries may be committed later than their date, so a position by
        date needs an overlap; positions that the feeds return don't.
        """
        params = [("sinceDatetime", shapes.timestamp(since))]
        envelope = self._ask(endpoints.PAGING_TOKEN, params=params)
        if envelope.next_token is None:
            raise misshapen(endpoints.PAGING_TOKEN, envelope, "no token")
        return envelope.next_token

    def activity_types(self) -> list[ActivityType]:
        """Return the subscription's kinds of activity; some of the documented ones may be absent."""
        envelope = self._ask(endpoints.ACTIVITY_TYPE_LIST)
        return read(endpoints.ACTIVITY_TYPE_LIST, envelope, shapes.activity_type)

    def lead_changes(self, token: str, fields: Sequence[str], *, batch_size: int = BATCH) -> ActivityPage:
        """Return a page of changed values (type 13) and new leads (type 12).

        At least one field is needed. Marketo may return changes of other fields as well, and none of
        anonymous leads.
        """
        if not fields:
            raise ValueError("lead_changes needs at least one field")
        return self._page(
            endpoints.LEAD_CHANGES, token, ("fields", ",".join(fields)), ("batchSize", batch_size)
        )

    def deleted_leads(self, token: str, *, batch_size: int = BATCH) -> ActivityPage:
        """Return a page of deletions (type 37), of the last 14 days for certain. Trust ``lead_id`` only."""
        return self._page(endpoints.DELETED_LEADS, token, ("batchSize", batch_size))

    def activities(self, token: str, type_ids: Sequence[int], *, batch_size: int = BATCH) -> ActivityPage:
        """Return a page of the log, of one to ten types."""
        if not 0 < len(type_ids) <= ACTIVITY_TYPES:
            raise ValueError(f"{len(type_ids)} types in a call that takes 1 to {ACTIVITY_TYPES}")
        types = ",".join(str(type_id) for type_id in type_ids)
        return self._page(endpoints.ACTIVITIES, token, ("activityTypeIds", types), ("batchSize", batch_size))

    def _page(self, endpoint: Endpoint, token: str, *params: tuple[str, str | int]) -> ActivityPage:
        """Read a page; an empty one has no ``result``, and may still say that there is more."""
        envelope = self._ask(endpoint, params=[("nextPageToken", token), *params])
        items = [
            item for told in envelope.result if (item := _activity(endpoint, envelope, told)) is not None
        ]
        if envelope.next_token is None and (items or envelope.more):
            raise misshapen(endpoint, envelope, "no token")
        if envelope.more and not items and envelope.next_token == token:
            raise unreadable(endpoint, "the pages go round in circles", request_id=envelope.request_id)
        return ActivityPage(items, envelope.next_token or token, bool(envelope.more), envelope.server_time)


def _activity(endpoint: Endpoint, envelope: Envelope, told: Any) -> Activity | None:
    """Read an entry of the log; one that tells not even of whom it speaks is named, and left out: the others go on."""
    try:
        return read_one(endpoint, envelope, told, shapes.activity)
    except Retryable as problem:
        guid = str(told.get("marketoGUID") or told.get("id")) if isinstance(told, dict) else None
        log.get("marketo").warning("an entry of the log can't be read", entry=guid, error=str(problem))
        return None
