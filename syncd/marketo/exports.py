"""Bulk lead extract: create, queue, watch, fetch.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-extract/bulk-lead-extract
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from syncd.core.codes import classify
from syncd.errors import Refused, Retryable
from syncd.marketo import endpoints, shapes
from syncd.marketo.calls import Request
from syncd.marketo.decode import Envelope, decode
from syncd.marketo.endpoints import EXPORT_FILE, Endpoint
from syncd.marketo.models import Export
from syncd.marketo.room import Room, misshapen, read
from syncd.marketo.transport import Stream

Span = tuple[datetime, datetime]
"""A first and a last moment, both included; at most 31 days apart."""


class ExportCalls(Room):
    """Bulk exports. Full queues raise Retryable (1029), the day's volume used up QuotaExhausted (1029)."""

    def create_export(
        self,
        fields: Sequence[str],
        *,
        created_at: Span | None = None,
        updated_at: Span | None = None,
        static_list_id: int | None = None,
    ) -> Export:
        """Describe an export of leads by exactly one filter; it runs once it is queued.

        Unknown fields are Refused (1003), a filter that the subscription doesn't offer too (1035).
        """
        filters: dict[str, Any] = {}
        if created_at is not None:
            filters["createdAt"] = _span(created_at)
        if updated_at is not None:
            filters["updatedAt"] = _span(updated_at)
        if static_list_id is not None:
            filters["staticListId"] = static_list_id
        if len(filters) != 1:
            raise ValueError("an export needs exactly one filter")
        body = {"fields": list(fields), "format": "CSV", "filter": filters}
        budget = self._calls.budget
        place = budget.export_begin(lane=self._lane, endpoint=endpoints.CREATE_EXPORT.name)
        made = None
        try:
            export = _one(endpoints.CREATE_EXPORT, self._ask(endpoints.CREATE_EXPORT, json=body))
            made = export.id
        finally:
            budget.export_known(place, made)
        return export

    def enqueue_export(self, export_id: str) -> Export:
        """Queue an export. One that is queued already is left as it is and its state returned."""
        try:
            envelope = self._ask(endpoints.ENQUEUE_EXPORT, export_id=export_id)
        except Refused as refusal:
            if classify(refusal.code, refusal.message, writes=False).kind != "success_equivalent":
                raise
            return self.export_status(export_id)
        return _one(endpoints.ENQUEUE_EXPORT, envelope)

    def export_status(self, export_id: str) -> Export:
        """Return an export's state. Marketo renews it once a minute; asking costs a call."""
        envelope = self._ask(endpoints.EXPORT_STATUS, export_id=export_id)
        export = _one(endpoints.EXPORT_STATUS, envelope)
        ended = export.status not in {"Created", "Queued", "Processing"}
        self._calls.budget.export_seen(export.id, lane=self._lane, size=export.size, ended=ended)
        return export

    def export_room(self) -> tuple[int, int]:
        """Return how many bytes may still be exported today, and how many on any day. Costs no call."""
        return self._calls.budget.export_room()

    def cancel_export(self, export_id: str) -> Export:
        """Cancel an export. One that has ended already stays as it is and its state is returned."""
        try:
            envelope = self._ask(endpoints.CANCEL_EXPORT, export_id=export_id)
        except (Refused, Retryable) as refusal:
            if refusal.code != "1029":
                raise
            return self.export_status(export_id)
        return _one(endpoints.CANCEL_EXPORT, envelope)

    def exports(self, statuses: Sequence[str] = ()) -> list[Export]:
        """Return this API user's exports of the last seven days, of all states or of some."""
        params = [("status", ",".join(statuses))] if statuses else []
        found: list[Export] = []
        for envelope in self._pages(endpoints.EXPORTS, params=params):
            found += read(endpoints.EXPORTS, envelope, shapes.export)
        return found

    def export_file(
        self, export_id: str, *, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Open an export's CSV and yield its bytes as they arrive, from byte ``start`` to ``end`` included.

        Source: …/rest/bulk-extract/bulk-extract. Dropped on the way it raises Retryable: go on with
        ``start`` at the bytes that came. A file that isn't there is Refused with "HTTP 404": the export is
        not completed, is older than seven days, or (seen in the field) its file comes a little later.
        """
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end}"
        request = Request(EXPORT_FILE, names={"export_id": export_id}, headers=headers)
        now = self._calls.clock.now

        def accept(stream: Stream) -> Iterator[bytes]:
            return _csv(stream, start=start, end=end, now=now())

        return self._calls.stream(request, lane=self._lane, accept=accept)


def _csv(stream: Stream, *, start: int, end: int | None, now: datetime) -> Iterator[bytes]:
    """Return the bytes that were asked for, or raise what came in their place."""
    if stream.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        return iter(())
    if stream.status == HTTPStatus.NOT_FOUND:
        message = "there is no file: the export is not completed, or is older than seven days"
        raise Refused(message, code="HTTP 404", endpoint=EXPORT_FILE.name)
    if stream.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        _refuse(stream, b"", now=now)
    first = next(stream.chunks, b"")
    if _is_json(stream, first):
        _refuse(stream, first, now=now)
    chunks = itertools.chain([first], stream.chunks)
    if stream.status == HTTPStatus.OK:
        return _cut(chunks, start=start, end=end)
    if _first_byte(stream) != start:
        raise Retryable("the file came from another position", code="answer", endpoint=EXPORT_FILE.name)
    return chunks


def _is_json(stream: Stream, first: bytes) -> bool:
    """Tell an error from a file: no header row begins with a brace, and no error comes as a part."""
    if "json" in stream.headers.get("content-type", ""):
        return True
    return stream.status == HTTPStatus.OK and first.lstrip().startswith(b"{")


def _refuse(stream: Stream, first: bytes, *, now: datetime) -> None:
    body = b"".join([first, *itertools.islice(stream.chunks, 64)])
    decode(EXPORT_FILE, stream.status, stream.headers, body, now=now)
    raise Retryable("something else came in place of the file", code="answer", endpoint=EXPORT_FILE.name)


def _first_byte(stream: Stream) -> int | None:
    found = re.match(r"bytes (\d+)-", stream.headers.get("content-range", ""))
    return int(found[1]) if found else None


def _cut(chunks: Iterator[bytes], *, start: int, end: int | None) -> Iterator[bytes]:
    """Take a part out of a whole file, for servers that don't know ranges."""
    position = 0
    for chunk in chunks:
        last = len(chunk) if end is None else max(0, end + 1 - position)
        part = chunk[max(0, start - position) : last]
        position += len(chunk)
        if part:
            yield part


def _span(span: Span) -> dict[str, str]:
    first, last = span
    return {"startAt": shapes.timestamp(first), "endAt": shapes.timestamp(last)}


def _one(endpoint: Endpoint, envelope: Envelope) -> Export:
    found = read(endpoint, envelope, shapes.export)
    if len(found) != 1:
        raise misshapen(endpoint, envelope, f"{len(found)} exports")
    return found[0]
