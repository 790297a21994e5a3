"""/healthz for a supervisor and /metrics for Prometheus, from the daemon itself."""

from __future__ import annotations

import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from syncd.errors import ConfigError, DatabaseProblem
from syncd.status import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncd.database.engine import Database


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: supervisors ask each few seconds."""


class StatusPage:
    """Serves where ``daemon.status_listen`` says; nowhere where it is empty."""

    def __init__(self, listen: str, database: Database) -> None:
        self._listen = listen
        self._database = database
        self._metrics = make_wsgi_app()
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Serve in a thread. Raises ConfigError where the address is wrong or taken."""
        if not self._listen:
            return
        host, _, port = self._listen.rpartition(":")
        try:
            self._server = make_server(host or "127.0.0.1", int(port), self._answer, _Server, _Quiet)
        except (OSError, ValueError, OverflowError) as problem:
            raise ConfigError(
                f"daemon.status_listen = {self._listen!r} can't be served: {problem}; give a free host:port"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="status", daemon=True).start()

    def stop(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            with suppress(DatabaseProblem):
                # The counters are told all the same: a scrape must not fail with the database.
                snapshot.measure(self._database)
            page: Iterable[bytes] = self._metrics(environ, start_response)
            return page
        if path != "/healthz":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are /healthz and /metrics\n"]
        try:
            with self._database.begin() as transaction:
                transaction.scalar("database_now")
        except DatabaseProblem as problem:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{problem}\n".encode()]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok\n"]
