"""A server made of bare sockets: it counts what arrives and answers with any bytes, or none, or a reset."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

BEARER = "the-bearer:sj"


@dataclass(frozen=True)
class Seen:
    """A request that arrived in full."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class Reset(Exception):  # noqa: N818 - an instruction, not an error
    """Break the connection without an answer."""


class Close(Exception):  # noqa: N818 - an instruction, not an error
    """End the connection in good order."""


CLOSE = "close"

Handler = Callable[[Seen], bytes | list[bytes | float | str]]
"""Returns the answer's bytes; in a list, numbers are pauses in seconds and CLOSE ends the connection."""


def ok(result: object = None, **more: object) -> bytes:
    """Marketo's envelope of a success."""
    body = {"requestId": "e42b#14272d07d78", "success": True, **more}
    return answer(200, body if result is None else {**body, "result": result})


def error(code: str, message: str = "no") -> bytes:
    """Marketo's envelope of a refusal."""
    return answer(
        200,
        {
            "requestId": "e42b#14272d07d78",
            "success": False,
            "errors": [{"code": code, "message": message}],
        },
    )


def answer(status: int, body: object, *headers: str, content_type: str = "application/json") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", *headers]
    if not any(line.lower().startswith("content-length") for line in headers):
        lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


@dataclass
class Wire:
    """The running server: what it saw, and the handler that answers everything but identity calls."""

    handler: Handler = field(default=lambda seen: ok([]))
    identity: Handler = field(
        default=lambda seen: answer(
            200, {"access_token": BEARER, "expires_in": 3599, "scope": "api@example.com"}
        )
    )
    seen: list[Seen] = field(default_factory=list)
    identities: list[Seen] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    url: str = ""
    going: threading.Event = field(default_factory=threading.Event)

    def calls(self, path: str) -> list[Seen]:
        return [one for one in self.seen if one.path == path]

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            stream = connection.makefile("rb")
            while request := _read(stream):
                is_identity = request.path == "/identity/oauth/token"
                (self.identities if is_identity else self.seen).append(request)
                try:
                    self._answer(connection, (self.identity if is_identity else self.handler)(request))
                except Reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                except Close:
                    return

    def _answer(self, connection: socket.socket, parts: bytes | list[bytes | float | str]) -> None:
        for part in [parts] if isinstance(parts, bytes) else parts:
            if isinstance(part, bytes):
                connection.sendall(part)
            elif part == CLOSE or self.going.wait(part):
                raise Close


def _read(stream: object) -> Seen | None:
    start = stream.readline()
    if not start:
        return None
    method, target, _ = start.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (line := stream.readline().decode().strip()) != "":
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body)


@contextlib.contextmanager
def wire(handler: Handler | None = None) -> Iterator[Wire]:
    """Listen on a free port until the block ends."""
    state = Wire(handler) if handler else Wire()

    def serve(connection: socket.socket) -> None:
        state.serve(connection)
        state.ended += 1

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                state.connections += 1
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield state
        finally:
            state.going.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    acceptor.join(5)
