"""Cuts a stream of CSV bytes into pieces that end at the end of a record, and puts hashes in the place of values."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

from syncd.errors import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PIECE = 4 * 1024 * 1024
LONGEST_VALUE = 2**31 - 1
_BARE_RETURN = re.compile(rb"\r(?!\n)")
_VALUE = re.compile(rb'"[^"]*"|[^",\n]+')
_LOOSE_QUOTE = re.compile(rb'"(?<=[^,\r\n"]")(?=[^,\r\n"])')
"""A quote between two characters of a value: one that should have been doubled. It comes first for the sake of speed."""
_TOKEN = re.compile(rb'"(?:[^"]|"")*"|[^,\n]+')


@dataclass(frozen=True)
class Mended:
    """A value out of which characters were taken that PostgreSQL can't hold."""

    lead: str
    field: str
    what: Literal["nul", "utf8"]


class RecordCutter:
    """Takes chunks as they come off the wire; gives back whole records, without the header.

    A newline inside quotes does not end a record. NUL characters, which PostgreSQL cannot hold, are
    taken out, and bytes that are no UTF-8 become U+FFFD; ``mended`` names each lead and field. A value with a carriage
    return that was left without quotes, which COPY refuses, gets them.
    """

    def __init__(self, piece: int = PIECE, *, replacer: ValueReplacer | None = None) -> None:
        self._piece = piece
        self._replacer = replacer
        self._pending = bytearray()
        self.header: list[str] | None = None
        self.mended: list[Mended] = []
        self.loose_quotes = 0
        """Quotes inside of values that Marketo had not doubled."""

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
        if _LOOSE_QUOTE.search(self._pending):
            # Before the cut, which goes by the number of quotes.
            doubled, count = _LOOSE_QUOTE.subn(b'""', self._pending)
            self._pending, self.loose_quotes = bytearray(doubled), self.loose_quotes + count
        place = len(self._pending) if end else self._last_boundary()
        whole = bytes(self._pending[:place])
        del self._pending[:place]
        if self.header is None and whole:
            head, _, whole = whole.partition(b"\n")
            self.header = head.decode("utf-8", "replace").strip("\r\ufeff").split(",")
            if self._replacer is not None:
                self._replacer.require(self.header)
        cleaned = self._clean(whole)
        return cleaned if self._replacer is None else self._replacer.replaced(cleaned)

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
        try:
            broken = False
            records.decode()
        except UnicodeDecodeError:
            broken = True
        if broken or b"\0" in records:
            self.mended += _found(records, self.header or [])
            records = records.replace(b"\0", b"").decode("utf-8", "replace").encode()
        if self.loose_quotes:
            records = _TOKEN.sub(_quoted, records)
        return _VALUE.sub(_with_quotes, records) if _BARE_RETURN.search(records) else records


def _quoted(found: re.Match[bytes]) -> bytes:
    """Return a value with quotes around it, where it has quotes inside and none around it."""
    value = found[0]
    if value.startswith(b'"') or b'"' not in value:
        return value
    body = value.removesuffix(b"\r")
    return b'"' + body + b'"' + value[len(body) :]


def _with_quotes(found: re.Match[bytes]) -> bytes:
    value = found[0]
    ends_line = value.endswith(b"\r") and found.string[found.end() : found.end() + 1] == b"\n"
    body, end = (value[:-1], b"\r") if ends_line else (value, b"")
    return value if body.startswith(b'"') or b"\r" not in body else b'"' + body + b'"' + end


def _found(records: bytes, header: Sequence[str]) -> list[Mended]:
    """Name the values that are to be mended. Broken bytes stand as lone surrogates meanwhile."""
    found: list[Mended] = []
    place = header.index("id") if "id" in header else 0
    text = records.decode("utf-8", "surrogateescape")
    # Python's own limit of 131,072 characters would end the load of a file with a longer text.
    csv.field_size_limit(LONGEST_VALUE)
    for row in csv.reader(StringIO(text, newline="")):
        for name, value in zip(header, row, strict=False):
            if "\0" in value:
                found.append(Mended(row[place], name, "nul"))
            if any("\udc80" <= character <= "\udcff" for character in value):
                found.append(Mended(row[place], name, "utf8"))
    return found


class ValueReplacer:
    """Replaces the values of some columns in whole CSV records, before anybody else sees them."""

    def __init__(
        self, header: Sequence[str], changes: Mapping[str, Callable[[str | None], str | None]]
    ) -> None:
        """Take the columns, and for some of them what becomes of their value; None is empty."""
        self._header = list(header)
        value = rb'(?:[^",\n]++|"[^"]*+")*+'
        parts = [b"(" + value + b")" if name in changes else value for name in header]
        self._record = re.compile(b",".join(parts) + rb"\n?")
        self._changes = [changes[name] for name in header if name in changes]

    def require(self, header: Sequence[str]) -> None:
        """Make sure that the file has these columns. Raises WorkFailed."""
        if list(header) != self._header:
            raise WorkFailed("the file has other columns than were asked for; it will be exported again")

    def replaced(self, records: bytes) -> bytes:
        """Return the records with the new values. Raises WorkFailed where one has another number of columns."""
        made, place = [], 0
        while place < len(records):
            found = self._record.match(records, place)
            if found is None or found.end() == place or not _ends(records, found.end()):
                raise WorkFailed("a record of the file has another number of columns than its header")
            for n, change in enumerate(self._changes, 1):
                made.append(records[place : found.start(n)])
                made.append(_changed(found[n], change))
                place = found.end(n)
            made.append(records[place : found.end()])
            place = found.end()
        return b"".join(made)


def _ends(records: bytes, place: int) -> bool:
    return place == len(records) or records[place - 1 : place] == b"\n"


def _changed(cell: bytes, change: Callable[[str | None], str | None]) -> bytes:
    end = b"\r" if cell.endswith(b"\r") else b""
    body = cell[: len(cell) - len(end)]
    new = change(None if body == b"null" else _unquoted(body.decode()))
    return b"null" + end if new is None else b'"' + new.replace('"', '""').encode() + b'"' + end


def _unquoted(cell: str) -> str:
    """Return the text of a cell, as COPY reads it."""
    if '"' not in cell:
        return cell
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    made, quoted, place = [], False, 0
    while place < len(cell):
        if cell[place] != '"':
            made.append(cell[place])
        elif quoted and cell[place + 1 : place + 2] == '"':
            made.append('"')
            place += 1
        else:
            quoted = not quoted
        place += 1
    return "".join(made)
