"""JSON as PostgreSQL takes it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""A NUL character in JSON, and not a backslash before the text u0000."""

LONGEST_NUMBER = 4_000
"""Digits; Python refuses to read more than 4,300 at once."""
_LONG = re.compile(rb"\d{19}")
"""Digits of a whole number that orjson would round."""


def document(value: Any) -> str:
    """Return a value as JSON without NUL characters, which PostgreSQL cannot hold."""
    return without_nul(encoded(value)).decode()


def parsed(raw: bytes | str) -> Any:
    """Return the value of a JSON document that PostgreSQL gave; whole numbers keep all their digits.

    One with more digits than Python reads stays text. Raises RecursionError where it is nested too deeply.
    """
    text = raw.encode() if isinstance(raw, str) else raw
    if not _LONG.search(text):
        with suppress(orjson.JSONDecodeError):  # nested more deeply than orjson goes
            return orjson.loads(text)
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < LONGEST_NUMBER else digits)


def encoded(value: Any) -> bytes:
    """Return a value as JSON, NUL characters and all."""
    # Keys that are no text take orjson twice the time for all: they are the exception.
    for option in (None, orjson.OPT_NON_STR_KEYS):
        with suppress(orjson.JSONEncodeError):
            return orjson.dumps(value, option=option)
    return json.dumps(value).encode()  # a number of more than 64 bits


def may_hold_nul(raw: bytes) -> bool:
    """Tell whether JSON may hold a NUL character; most does not, and needs no closer look."""
    # One character is found many times as fast as six.
    return b"\\" in raw and b"\\u0000" in raw


def array(numbers: Iterable[int]) -> str:
    """Return whole numbers as the text of an array; psycopg, which takes lists too, looks at each number twice."""
    return "{" + ",".join(map(str, numbers)) + "}"


def without_nul(raw: bytes) -> bytes:
    """Return JSON without its NUL characters."""
    return _NUL.sub(rb"\1", raw) if may_hold_nul(raw) else raw
