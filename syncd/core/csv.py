"""Cuts a stream of CSV bytes into pieces that end at the end of a record."""

from __future__ import annotations

import re

PIECE = 4 * 1024 * 1024
_BARE_RETURN = re.compile(rb"\r(?!\n)")
_VALUE = re.compile(rb'"[^"]*"|[^",\n]+')


class RecordCutter:
    """Takes chunks as they come off the wire; gives back whole records, without the header.

    A newline inside quotes does not end a record. NUL characters, which PostgreSQL cannot hold, are
    taken out, and bytes that are no UTF-8 become U+FFFD; both are counted. A value with a carriage
    return that was left without quotes, which COPY refuses, gets them.
    """

    def __init__(self, piece: int = PIECE) -> None:
        self._piece = piece
        self._pending = bytearray()
        self.header: list[str] | None = None
        self.nul_characters = 0
        self.broken_pieces = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return the records that are whole by now, or nothing while they are few."""
        self._pending += chunk
        if len(self._pending) < self._piece:
            return b""
        return self._cut(end=False)

    def finish(self) -> bytes:
        """Return what is left at the end of the stream."""
        return self._cut(end=True)

    def _cut(self, *, end: bool) -> bytes:
        place = len(self._pending) if end else self._last_boundary()
        whole = bytes(self._pending[:place])
        del self._pending[:place]
        if self.header is None and whole:
            head, _, whole = whole.partition(b"\n")
            self.header = head.decode("utf-8", "replace").strip("\r\ufeff").split(",")
        return self._clean(whole)

    def _last_boundary(self) -> int:
        """Return the index after the last newline that is outside quotes; the start is outside."""
        pending = self._pending
        before = pending.count(b'"')
        place = end = len(pending)
        while (place := pending.rfind(b"\n", 0, place)) >= 0:
            before -= pending.count(b'"', place, end)
            end = place
            if before % 2 == 0:
                return place + 1
        return 0

    def _clean(self, records: bytes) -> bytes:
        if b"\0" in records:
            self.nul_characters += records.count(b"\0")
            records = records.replace(b"\0", b"")
        try:
            records.decode()
        except UnicodeDecodeError:
            self.broken_pieces += 1
            records = records.decode("utf-8", "replace").encode()
        return _VALUE.sub(_with_quotes, records) if _BARE_RETURN.search(records) else records


def _with_quotes(found: re.Match[bytes]) -> bytes:
    value = found[0]
    ends_line = value.endswith(b"\r") and found.string[found.end() : found.end() + 1] == b"\n"
    body, end = (value[:-1], b"\r") if ends_line else (value, b"")
    return value if body.startswith(b'"') or b"\r" not in body else b'"' + body + b'"' + end
