"""Reads a request off the wire, and what `_method` makes of it."""

import posixpath
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

KEEP = 24 * 1024 * 1024
KEEP_STATE = 4 * 1024 * 1024 * 1024
FORM = "application/x-www-form-urlencoded"


class Gone(Exception):  # noqa: N818 - nothing is wrong, there is just nobody to answer
    """The connection is closed."""


@dataclass(slots=True)
class Incoming:
    """A request, as it came."""

    method: str
    path: str
    params: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    body_length: int
    uri_length: int


async def read(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]]) -> Incoming:
    """The whole request; of a body beyond all limits only the length is kept."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    query: bytes = scope["query_string"]
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        length += len(part)
        if length <= (KEEP_STATE if scope["path"].startswith("/_simulator/") else KEEP):
            parts.append(part)
        if not message.get("more_body"):
            break
    params = parse(query)
    incoming = Incoming(
        scope["method"],
        _path(scope["path"]),
        params,
        headers,
        b"".join(parts),
        length,
        len(raw_path) + len(query) + 1,
    )
    _override(incoming)
    return incoming


def parse(text: bytes) -> dict[str, list[str]]:
    """A query or form as lists of values by name."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="replace"):
        found.setdefault(name, []).append(value)
    return found


def _override(incoming: Incoming) -> None:
    """`_method` in the query or in a form's body gives the method; a form's values are parameters."""
    form = incoming.headers.get("content-type", "").lower().startswith(FORM)
    if incoming.path.startswith("/rest/asset/"):
        if form:
            _merge(incoming)
        return
    if incoming.method != "POST":
        return
    wanted = incoming.params.get("_method", [""])[0].upper()
    if form and (wanted or b"_method=" in incoming.body):
        _merge(incoming)
        wanted = incoming.params.get("_method", [""])[0].upper()
        incoming.body = b""
    if wanted in {"GET", "DELETE"}:
        incoming.method = wanted
    if form and incoming.path == "/identity/oauth/token":
        _merge(incoming)


def _merge(incoming: Incoming) -> None:
    for name, values in parse(incoming.body).items():
        incoming.params.setdefault(name, []).extend(values)


def _path(path: str) -> str:
    if "//" not in path and "/." not in path:
        return path
    return "/" + posixpath.normpath(path).lstrip("/")
