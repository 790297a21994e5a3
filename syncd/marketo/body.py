"""JSON for Marketo. Pure."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from syncd.marketo.shapes import timestamp


def encode(document: Any) -> bytes:
    """Write a document as UTF-8 JSON; numbers that orjson can't hold go the long way."""
    try:
        return orjson.dumps(document, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except orjson.JSONEncodeError:
        return json.dumps(document, default=_plain, allow_nan=False).encode()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return timestamp(value)
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case _:
            raise TypeError(f"{type(value).__name__} can't be sent to Marketo")
