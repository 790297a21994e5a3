"""A replica's own session: it is alive as long as this connection is.

The session holds the advisory lock of the replica's number; every claim names that number. When the
process dies or loses the connection, PostgreSQL lets go of the lock, and anybody can see that the
claim has no owner. The same connection hears NOTIFY and may hold the lock of the feeds' leader.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

import syncd
from syncd.database.engine import LEADER_LOCK, REPLICA_CLASS, SHARED_CLASS
from syncd.errors import DatabaseProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.clock import Clock
    from syncd.database.engine import Database

RECONNECT_SECONDS = 1.0
LISTEN_SECONDS = 0.5


class ReplicaSession:
    """Keeps the session, renews it after a loss, and tells who leads.

    ``replica`` is None while there is no session: nothing may be claimed then. A renewed session has
    a new number, because claims of the old one may have been taken over.
    """

    def __init__(
        self, database: Database, clock: Clock, *, on_notify: Callable[[], None], lead: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self._on_notify = on_notify
        self._lead = lead
        self._connection: psycopg.Connection[Any] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.replica: int | None = None
        self.leading = False

    def start(self) -> None:
        """Open the session and go on listening in a thread. Raises DatabaseProblem where it can't be opened."""
        try:
            self._open()
        except psycopg.Error as problem:
            raise DatabaseProblem(self._database.sentence(problem) or type(problem).__name__) from problem
        self._thread = threading.Thread(target=self._listen, name="session", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up the session: from now on this replica's claims, if it left any, have no owner."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._close()

    def _open(self) -> None:
        connection = self._database.connect(autocommit=True)
        names = self._database.names
        row = connection.execute(
            "INSERT INTO replica (host, pid, version) VALUES (%s, %s, %s) RETURNING id",
            (socket.gethostname(), os.getpid(), syncd.__version__),
        ).fetchone()
        assert row is not None  # noqa: S101 - RETURNING has a row
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (names.lock_class(REPLICA_CLASS), row[0]))
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(names.channel)))
        self._connection = connection
        self.replica = int(row[0])

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                if self._connection is None:
                    self._open()
                    self._on_notify()
                self._hear()
            except psycopg.Error:
                self._close()
                self._stop.wait(RECONNECT_SECONDS)

    def _hear(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._lead and not self.leading:
            row = connection.execute(
                "SELECT pg_try_advisory_lock(%s, %s)",
                (self._database.names.lock_class(SHARED_CLASS), LEADER_LOCK),
            ).fetchone()
            self.leading = bool(row and row[0])
        for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
            self._on_notify()

    def _close(self) -> None:
        self.replica = None
        self.leading = False
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except psycopg.Error:
                return
