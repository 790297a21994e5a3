"""From an answer's bytes to an envelope or an error. Pure.

Marketo answers HTTP 200 for nearly every failure, so the body's codes are read first and the status
only where the body has none (page error-codes).
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import msgspec
import orjson

from syncd.core.codes import UNREADABLE, classify, next_reset, without_values
from syncd.errors import (
    AuthenticationFailed,
    MarketoError,
    OutcomeUnknown,
    QuotaExhausted,
    Refused,
    Retryable,
)
from syncd.marketo.endpoints import Endpoint
from syncd.marketo.models import Leads

OK = range(200, 300)
LONGEST_NUMBER = 1_000
"""Digits; Python refuses to read many more."""


class TokenRejectedError(MarketoError):
    """Marketo doesn't take this token any more; nothing was executed."""


@dataclass(frozen=True)
class Envelope:
    """What is common to all JSON answers; ``more`` is None where the answer doesn't say."""

    request_id: str | None
    result: Sequence[Any]
    next_token: str | None
    more: bool | None
    warnings: list[Any]
    body: bytes | None = field(default=None, repr=False)
    """The answer as Marketo wrote it, where it is JSON without flaw."""

    @property
    def server_time(self) -> datetime | None:
        """When Marketo took the request, by its own clock."""
        return server_time(self.request_id)


def server_time(request_id: str | None) -> datetime | None:
    """Return the moment in a request id ("<hex>#<hex of epoch milliseconds>"), if there is one."""
    found = re.fullmatch(r"[^#]*#([0-9a-fA-F]{1,12})", request_id or "")
    if not found:
        return None
    try:
        return datetime.fromtimestamp(int(found[1], 16) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def decode(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Envelope:
    """Return the envelope of a good answer; raise the error that fits any other.

    now: this machine's time, for the next quota reset where the answer doesn't carry Marketo's.
    """
    if endpoint.skimmed and status in OK and (skimmed := skim(endpoint, body)):
        return skimmed
    document, flawless = _read(body)
    if isinstance(document, dict):
        request_id = _request_id(document, headers)
        code, message = _first_error(document)
        if code:
            if classify(code, message, writes=endpoint.writes).kind == "empty":
                return Envelope(request_id, [], None, None, [])
            fail(endpoint, code, message, request_id=request_id, now=now)
        if status in OK and document.get("success") is True:
            return _envelope(document, request_id, body if flawless else None)
    if status in OK:
        raise unreadable(endpoint, "the answer is not what Marketo's pages describe")
    return fail(endpoint, f"HTTP {status}", _STATUS_TEXT.get(status, "no usable answer"), now=now)


def skim(endpoint: Endpoint, body: bytes) -> Envelope | None:
    """Return the envelope of a good answer without its leads' values; None where a closer look is needed.

    What passes is JSON without flaw, as it would be if all of it were read; only numbers are not looked at.
    """
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body.decode()  # what is passed over is not looked at for this
        found = _SKIMMED.decode(body)
        if found.success and found.request_id and not found.errors:
            return Envelope(
                request_id=found.request_id.replace("\0", "")[:100],
                result=Leads.unread([one.id for one in found.result], body, lambda: _values(endpoint, body)),
                next_token=found.next_page_token or None,
                more=found.more_result,
                warnings=found.warnings,
                body=body,
            )
    return None


def _values(endpoint: Endpoint, body: bytes) -> list[Any]:
    document = parse(body)
    if not isinstance(document, dict):
        raise unreadable(endpoint, "the answer is nested too deeply")
    found: list[Any] = document["result"]
    return found


def parse(body: bytes) -> Any:
    """Return the JSON document in a body, None where there is none; half a surrogate pair is mended."""
    return _read(body)[0]


def _read(body: bytes) -> tuple[Any, bool]:
    """Return the document in a body, and whether it was there without anything to mend."""
    try:
        return orjson.loads(body), True
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8-sig", "replace")
        return _mend(json.loads(text, parse_constant=lambda _: None, parse_int=_whole)), False
    except (ValueError, RecursionError):
        return None, False


def _whole(digits: str) -> int | None:
    """Read a whole number; one that no field of Marketo's could hold is none, as an infinite one is."""
    return int(digits) if len(digits) <= LONGEST_NUMBER else None


def fail(
    endpoint: Endpoint, code: str, message: str, *, now: datetime, request_id: str | None = None
) -> NoReturn:
    """Raise the error of a code's class."""
    verdict = classify(code, message, writes=endpoint.writes)
    text = without_values(message) or "no message"
    if verdict.advice:
        text = f"{text}; {verdict.advice}"
    where: dict[str, Any] = {"code": code, "endpoint": endpoint.name, "request_id": request_id}
    match verdict.kind:
        case "retry":
            raise Retryable(text, after=verdict.after, **where)
        case "reauthenticate":
            raise TokenRejectedError(text, **where)
        case "wait_for_reset":
            raise QuotaExhausted(text, until=next_reset(server_time(request_id) or now), **where)
        case "denied":
            raise AuthenticationFailed(text, **where)
        case "unknown":
            raise OutcomeUnknown(text, **where)
        case "permanent" | "success_equivalent" | "empty":
            raise Refused(text, **where)


def unreadable(endpoint: Endpoint, message: str, *, request_id: str | None = None) -> MarketoError:
    """Return the error for an answer that can't be used: after a write its outcome is unknown."""
    if endpoint.writes:
        return OutcomeUnknown(message, code=UNREADABLE, endpoint=endpoint.name, request_id=request_id)
    return Retryable(message, code=UNREADABLE, endpoint=endpoint.name, request_id=request_id)


class _Identified(msgspec.Struct, gc=False):
    id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Skimmed(msgspec.Struct, rename="camel"):
    success: bool
    result: list[_Identified]
    request_id: str | None = None
    next_page_token: str | None = None
    more_result: bool | None = None
    warnings: list[Any] = []
    errors: list[Any] = []


_SKIMMED = msgspec.json.Decoder(_Skimmed)


def _envelope(document: dict[str, Any], request_id: str | None, body: bytes | None) -> Envelope:
    result = document.get("result")
    token = document.get("nextPageToken")
    more = document.get("moreResult")
    warnings = document.get("warnings")
    return Envelope(
        request_id=request_id,
        result=result if isinstance(result, list) else [] if result is None else [result],
        next_token=token if isinstance(token, str) and token else None,
        more=more if isinstance(more, bool) else None,
        warnings=warnings if isinstance(warnings, list) else [],
        body=body,
    )


def _first_error(document: dict[str, Any]) -> tuple[str, str]:
    """Return code and text of the first error, ("", "") where the answer reports none."""
    errors = document.get("errors")
    if document.get("success") is True or not isinstance(errors, list):
        return "", ""
    for error in errors:
        if isinstance(error, dict) and error.get("code") is not None:
            return str(error["code"]), str(error.get("message") or "")
    return "", ""


def _request_id(document: dict[str, Any], headers: Mapping[str, str]) -> str | None:
    found = document.get("requestId") or headers.get("x-request-id")
    return str(found).replace("\0", "")[:100] if found else None


def _mend(value: Any) -> Any:
    """Replace lone surrogates, which neither UTF-8 nor PostgreSQL can hold."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_mend(item) for item in value]
        case dict():
            return {_mend(key): _mend(item) for key, item in value.items()}
        case _:
            return value


_STATUS_TEXT = {
    401: "unauthorised",
    403: "forbidden",
    404: "not found",
    408: "the request took too long to arrive",
    413: "the body is larger than Marketo takes",
    414: "the URI is longer than Marketo takes",
    429: "too many requests",
    500: "Marketo had an internal error",
    502: "Marketo's gateway got no answer",
    503: "Marketo is not available",
    504: "Marketo's gateway waited too long",
}
