"""Serves a simulator over HTTP until it is told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import uvicorn

from syncd.simulator import endpoints as _endpoints  # noqa: F401 - puts the endpoints on the map
from syncd.simulator import surface, surface_machine, surface_people  # noqa: F401 - they fill it
from syncd.simulator.options import Options
from syncd.simulator.service import Service
from syncd.simulator.state import load


class PortInUse(Exception):  # noqa: N818 - its message is the whole error
    """The port that was asked for is taken."""


def listen(options: Options) -> socket.socket:
    """A socket on the port that was asked for."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as problem:
        listener.close()
        raise PortInUse(
            f"Port {options.port} on {options.host} cannot be used ({problem.strerror}); "
            "choose another with --port."
        ) from None
    listener.listen(2048)
    return listener


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; prints `ready http://HOST:PORT` once it can be called."""
    listener = listen(options)
    service = Service(options)
    service.surface = surface.answer
    if options.load:
        service.begin = lambda: load(service, orjson.loads(Path(options.load).read_bytes()))
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    gc.set_threshold(50_000, 20, 100)
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        service, log_level="critical", access_log=False, http="httptools", loop="asyncio", lifespan="on",
        server_header=False, ws="none", timeout_keep_alive=75, timeout_graceful_shutdown=1, backlog=2048,
    )  # fmt: skip
    server = _Server(config, f"http://{options.host}:{listener.getsockname()[1]}")
    asyncio.run(server.serve(sockets=[listener]))


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the server, and nothing more."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"ready {self._address}\n")
        sys.stdout.flush()
