"""How an answer leaves: whole, cut off, or not at all."""

import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from syncd.simulator.calls import Raw
from syncd.simulator.requests import Gone

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


async def send_body(send: Send, status: int, kind: str, body: bytes, headers: Headers) -> None:
    """Send a whole body."""
    head = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": [*head, (b"server", b"nginx")]})
    await send({"type": "http.response.body", "body": body})


async def whole(send: Send, answer: Raw) -> None:
    """Send an answer that is no envelope."""
    headers = [(k.encode(), v.encode()) for k, v in answer.headers]
    if answer.stream is None:
        await send_body(send, answer.status, answer.content_type, answer.body, headers)
        return
    await _start(send, answer, headers)
    async for part in answer.stream:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def broken(send: Send, answer: Raw, *, cut: bool) -> NoReturn:
    """Send half of an answer and close the connection, or the whole of a malformed one."""
    headers = [(k.encode(), v.encode()) for k, v in answer.headers]
    if not cut:
        await send_body(send, answer.status, answer.content_type, answer.body, headers)
        raise Gone
    length = answer.length if answer.stream is not None else len(answer.body)
    left = (length or 0) // 2
    await _start(send, answer, headers)
    if answer.stream is None:
        await send({"type": "http.response.body", "body": answer.body[:left], "more_body": True})
    else:
        async for part in answer.stream:
            await send({"type": "http.response.body", "body": part[:left], "more_body": True})
            left -= len(part)
            if left <= 0:
                break
    carrier = _carrier(send)
    if carrier is not None:
        carrier.close()
    raise Gone


def reset(send: Send) -> NoReturn:
    """Reset the connection without a word."""
    carrier = _carrier(send)
    if carrier is not None:
        wire = carrier.get_extra_info("socket")
        if wire is not None:
            with contextlib.suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        carrier.abort()
    raise Gone


async def _start(send: Send, answer: Raw, headers: Headers) -> None:
    length = answer.length if answer.stream is not None else len(answer.body)
    head = [(b"content-type", answer.content_type.encode()), *headers, (b"server", b"nginx")]
    if length is not None:
        head.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": head})


def _carrier(send: Send) -> Any:
    return getattr(getattr(send, "__self__", None), "transport", None)
