"""What each field type takes, and how it is kept: always in the form in which it is read back."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from syncd.simulator.clock import parse_time, stamp
from syncd.simulator.fields import TEXT_BYTES, Field

EMAIL = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
WHOLE = re.compile(r"^[+-]?\d{1,19}$")
INTEGER_LIMIT = 2**63


class BadValue(Exception):  # noqa: N818 - it is a value that is bad, not a program
    """The value does not fit its field."""


def _boolean(value: Any) -> bool:
    if value is None or value == "":
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)):
        text = str(value).strip().lower()
        if text in {"true", "1", "yes"}:
            return True
        if text in {"false", "0", "no"}:
            return False
    raise BadValue


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise BadValue
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and WHOLE.match(value.strip()):
        value = int(value)
    if isinstance(value, int) and -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        return value
    raise BadValue


def _number(value: Any) -> float | int:
    if isinstance(value, bool):
        raise BadValue
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadValue from None
    if isinstance(value, (int, float)) and abs(value) < INTEGER_LIMIT:
        return value
    raise BadValue


def _date(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue
    try:
        return date.fromisoformat(value.strip()[:10]).isoformat()
    except ValueError:
        raise BadValue from None


def _datetime(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue
    seconds = parse_time(value)
    if seconds is None:
        raise BadValue
    try:
        if datetime.fromtimestamp(seconds, UTC).year < 1000:  # noqa: PLR2004 - four digits
            raise BadValue
        return stamp(seconds)
    except (OverflowError, ValueError, OSError):
        raise BadValue from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise BadValue


def _email(value: Any) -> str:
    if isinstance(value, str) and EMAIL.match(value.strip()):
        return value.strip()
    raise BadValue


COERCE: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "score": _integer,
    "reference": _integer,
    "float": _number,
    "currency": _number,
    "percent": _number,
    "date": _date,
    "datetime": _datetime,
    "email": _email,
}


def fit(field: Field, value: Any, *, overlong: str = "refuse") -> Any:
    """The value as it is kept, or BadValue. None and empty text clear a field; a boolean becomes false."""
    kind = field.type
    if value is None or value == "":
        return False if kind == "boolean" else None
    coerce = COERCE.get(kind)
    if coerce is not None:
        kept = coerce(value)
        if kind != "email":
            return kept
    else:
        kept = _text(value)
    length = field.length
    if length is not None:
        if len(kept) <= length:
            return kept
        if overlong == "truncate":
            return kept[:length]
        raise BadValue
    if len(kept) * 4 > TEXT_BYTES and len(kept.encode("utf-8", "replace")) > TEXT_BYTES:
        if overlong == "truncate":
            return kept.encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore")
        raise BadValue
    return kept


def as_text(value: Any) -> str | None:
    """A value as an activity shows it: booleans True and False, numbers as digits, empty as null."""
    if value is None:
        return None
    return str(value)
