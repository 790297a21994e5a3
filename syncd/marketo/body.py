"""JSON and files for Marketo. Pure."""

import hashlib
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


def multipart(file: bytes) -> tuple[str, bytes]:
    """Return the content type and the body of a form whose only part, "file", is a CSV file.

    Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-import/bulk-lead-import
    """
    # No file holds its own checksum.
    boundary = hashlib.sha256(file).hexdigest()
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="leads.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    return f"multipart/form-data; boundary={boundary}", head.encode() + file + tail.encode()
