"""Bulk lead import: hand a file over, watch it, fetch what failed.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-import/bulk-lead-import
"""

from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from syncd.errors import Retryable
from syncd.marketo import shapes
from syncd.marketo.calls import Request
from syncd.marketo.decode import Envelope, decode
from syncd.marketo.endpoints import (
    IMPORT_FAILURES,
    IMPORT_LEADS,
    IMPORT_STATUS,
    IMPORT_WARNINGS,
    Endpoint,
)
from syncd.marketo.models import Import
from syncd.marketo.room import Room, misshapen, read
from syncd.marketo.transport import Stream


class ImportCalls(Room):
    """Bulk imports of leads. Marketo runs two at once and queues ten; it answers no ids of leads."""

    def import_leads(self, file: bytes, *, lookup_field: str, partition_name: str | None = None) -> Import:
        """Hand over a CSV file of leads to create or update; by ``id`` it only updates.

        file: UTF-8, the first line names the fields as the API does; below 10 MB, or it is Refused
        ("HTTP 413") without being sent. Never repeats itself, except once for a new token. Raises
        Retryable where nothing was taken (1016: ten imports are in the queue), OutcomeUnknown where that is
        not certain: without the answer nobody learns the import's number, and nobody can ask for it.
        """
        params = [("format", "csv"), ("lookupField", lookup_field)]
        if partition_name is not None:
            params.append(("partitionName", partition_name))
        request = Request(IMPORT_LEADS, params=params, file=file)
        return _one(IMPORT_LEADS, self._calls.call(request, lane=self._lane))

    def import_status(self, batch_id: int) -> Import:
        """Return an import's state; Adobe asks to look every 5 to 30 seconds. It is kept for seven days."""
        return _one(IMPORT_STATUS, self._ask(IMPORT_STATUS, batch_id=batch_id))

    def import_failures(self, batch_id: int) -> bytes:
        """Return the rows that failed, as CSV with one more column, "Import Failure Reason"."""
        return self._import_file(IMPORT_FAILURES, batch_id)

    def import_warnings(self, batch_id: int) -> bytes:
        """Return the rows imported with a warning, as CSV with one more column, "Import Warning Reason"."""
        return self._import_file(IMPORT_WARNINGS, batch_id)

    def _import_file(self, endpoint: Endpoint, batch_id: int) -> bytes:
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        request = Request(endpoint, names={"batch_id": batch_id}, headers=headers)
        now = self._calls.clock.now

        def accept(stream: Stream) -> bytes:
            return _whole(endpoint, stream, now=now())

        with self._calls.stream(request, lane=self._lane, accept=accept) as body:
            return body


def _whole(endpoint: Endpoint, stream: Stream, *, now: datetime) -> bytes:
    """Return the whole file, or raise what came in its place."""
    body = b"".join(stream.chunks)
    is_json = "json" in stream.headers.get("content-type", "") or body.lstrip().startswith(b"{")
    if stream.status == HTTPStatus.OK and not is_json:
        return body
    decode(endpoint, stream.status, stream.headers, body, now=now)
    raise Retryable("something else came in place of the file", code="answer", endpoint=endpoint.name)


def _one(endpoint: Endpoint, envelope: Envelope) -> Import:
    found = read(endpoint, envelope, shapes.bulk_import)
    if len(found) != 1:
        raise misshapen(endpoint, envelope, f"{len(found)} imports")
    return replace(found[0], request_id=envelope.request_id)
