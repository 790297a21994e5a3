"""One call: its parameters, its body, and the ways to answer it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from syncd.simulator.clock import parse_time
from syncd.simulator.world import Origin, World

if TYPE_CHECKING:
    from syncd.simulator.service import Service

JSON_TYPE = "application/json;charset=UTF-8"
WHOLE = re.compile(r"-?[0-9]{1,18}")
NO_LIMIT = 2**62
PAGE = 300


class ApiError(Exception):
    """A whole call is refused: HTTP 200, success false, one code."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = str(code), message


@dataclass(slots=True)
class Raw:
    """An answer that is no envelope."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None


Answer = dict[str, Any] | Raw
Handler = Callable[["Call"], Awaitable[Answer]]


def skipped(code: int, message: str, **more: Any) -> dict[str, Any]:
    """A result item of a record that was refused."""
    return {**more, "status": "skipped", "reasons": [{"code": str(code), "message": message}]}


@dataclass(slots=True)
class Call:
    """A request that has been let in."""

    service: "Service"
    method: str
    endpoint: str
    args: dict[str, str]
    params: dict[str, list[str]]
    body: bytes
    content_type: str
    headers: dict[str, str]
    request_id: str
    client: str = ""
    paused: bool = False
    _json: dict[str, Any] | None = field(default=None)

    @property
    def world(self) -> World:
        """The subscription."""
        return self.service.world

    @property
    def origin(self) -> Origin:
        """The call as the cause of a change."""
        return Origin(self.endpoint, self.request_id)

    async def pause(self) -> None:
        """Let the call's latency pass; of a write, between look-up and effect."""
        if not self.paused:
            self.paused = True
            await self.service.latency()

    def one(self, name: str) -> str | None:
        """A parameter, or None where it is missing or empty."""
        values = self.params.get(name)
        return values[0] or None if values else None

    def need(self, name: str) -> str:
        """A parameter without which there is no answer."""
        value = self.one(name)
        if value is None and "/rest/asset/" in self.endpoint:
            raise ApiError(701, f"{name} cannot be blank")
        if value is None:
            raise ApiError(1002, f"Missing value for required parameter '{name}'")
        return value

    def many(self, name: str) -> list[str]:
        """A parameter's values: separated by commas, repeated, or both."""
        return [
            part.strip() for value in self.params.get(name, ()) for part in value.split(",") if part.strip()
        ]

    def whole(self, name: str, default: int, *, low: int = 1, high: int = PAGE) -> int:
        """A whole number held within bounds."""
        text = self.one(name)
        if text is None:
            return default
        return max(low, min(high, number(name, text)))

    def whole_list(self, name: str) -> list[int]:
        """Several whole numbers."""
        return [number(name, text) for text in self.many(name)]

    def moment(self, name: str) -> float | None:
        """An ISO 8601 time."""
        text = self.one(name)
        if text is None:
            return None
        seconds = parse_time(text)
        if seconds is None:
            raise ApiError(704, f"Invalid date '{text}' for '{name}'")
        return seconds

    def arg(self, name: str) -> int:
        """A number in the path; one that is none is no resource."""
        text = self.args[name]
        if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - 64 bits
            raise ApiError(610, "Requested resource not found")
        return int(text)

    def json(self) -> dict[str, Any]:
        """The JSON body; an absent one is empty."""
        if self._json is None:
            self._json = self._parse()
        return self._json

    @property
    def most(self) -> int:
        """How many records, ids or values a call may carry."""
        return self.world.options.max_records or NO_LIMIT

    def input(self, *, limit: int | None = None) -> list[Any]:
        """The records in the body's input."""
        records = self.json().get("input")
        if not isinstance(records, list) or not records:
            raise ApiError(1002, "Missing value for required parameter 'input'")
        most = self.most if limit is None else limit
        if len(records) > most:
            raise ApiError(1003, f"The number of records {len(records)} exceeds the limit of {most}")
        return records

    def text(self, name: str) -> str | None:
        """A text in the JSON body, or None."""
        value = self.json().get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise ApiError(1001, f"Invalid value '{value}' for parameter '{name}'")
        return value

    def ok(self, result: list[Any] | None = None, **more: Any) -> dict[str, Any]:
        """A success of the Lead Database; what is None is left out."""
        answer: dict[str, Any] = {"requestId": self.request_id}
        if result is not None:
            answer["result"] = result
        answer["success"] = True
        answer.update((k, v) for k, v in more.items() if v is not None)
        return answer

    def found(self, result: list[Any]) -> dict[str, Any]:
        """A success of the asset endpoints: without a result but with a warning where nothing was found."""
        answer: dict[str, Any] = {"success": True, "errors": [], "requestId": self.request_id, "warnings": []}
        if result:
            answer["result"] = result
        else:
            answer["warnings"] = ["No assets found for the given search criteria."]
        return answer

    def _parse(self) -> dict[str, Any]:
        if not self.body.strip():
            return {}
        if "json" not in self.content_type.lower():
            raise ApiError(612, "Invalid Content Type")
        try:
            body = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise ApiError(609, "Invalid JSON") from None
        if not isinstance(body, dict):
            raise ApiError(609, "Invalid JSON")
        return body


def id_of(record: Any, name: str = "id") -> int | None:
    """The lead id in a record of a batch, or None where it has none that could be one."""
    try:
        return number(name, record.get(name) if isinstance(record, dict) else None)
    except ApiError:
        return None


def number(name: str, text: Any) -> int:
    """A whole number from a request, or error 1001."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    cleaned = str(text).strip()
    if WHOLE.fullmatch(cleaned):
        return int(cleaned)
    raise ApiError(1001, f"Invalid value '{text}' for parameter '{name}'")
