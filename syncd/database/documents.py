"""JSON as PostgreSQL takes it."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""A NUL character in JSON, and not a backslash before the text u0000."""


def document(value: Any) -> str:
    """Return a value as JSON without NUL characters, which PostgreSQL cannot hold."""
    try:
        raw = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        raw = json.dumps(value).encode()  # a number of more than 64 bits
    # The pattern looks at every byte; most documents hold nothing for it.
    return (_NUL.sub(rb"\1", raw) if b"\\u0000" in raw else raw).decode()
