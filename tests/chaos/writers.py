"""People and programs that write rows of the outbox at the same time."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from tests.chaos import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    Row = dict[str, Any]
    Work = queue.SimpleQueue["tuple[bool, list[Row]] | None"]

OPTIONS = "-csearch_path=marketo,syncd"
PATIENCE = 90.0


class Writers:
    """So many writers, each of which writes what it is given, in that order.

    columns: what a drawn row is in the table.
    """

    def __init__(self, url: str, columns: Callable[[Row], Row]) -> None:
        self.written: dict[int, tuple[float, float]] = {}
        """Of each row that is certainly there: when its transaction began, and when it had ended."""
        self._url, self._columns = url, columns
        self._given: list[Work] = [queue.SimpleQueue() for _ in range(draw.WRITERS)]
        self._threads = [threading.Thread(target=self._write_on, args=(given,)) for given in self._given]
        self._guard = threading.Lock()

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def give(self, writer: int, rows: list[Row], *, together: bool) -> None:
        """Give a writer rows; together: in one transaction."""
        self._given[writer].put((together, rows))

    def end(self) -> None:
        """Wait until everybody has written what they were given."""
        for given in self._given:
            given.put(None)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _write_on(self, given: Work) -> None:
        while (work := given.get()) is not None:
            together, rows = work
            for part in [rows] if together else [[row] for row in rows]:
                with suppress(psycopg.Error):
                    self._write(part)

    def _write(self, rows: list[Row]) -> None:
        """Write rows in one transaction; whether they are there is not known where the connection breaks."""
        with psycopg.connect(self._url, options=OPTIONS, application_name="writer") as connection:
            ids, began = [], time.monotonic()
            for row in rows:
                columns = self._columns(row)
                found = connection.execute(
                    f"INSERT INTO outbox ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "
                    "RETURNING id",
                    list(columns.values()),
                ).fetchone()
                assert found is not None
                ids.append(int(found[0]))
            connection.commit()
            with self._guard:
                # Rows of one transaction have an order among them: that of their numbers.
                ended = time.monotonic()
                self.written |= dict.fromkeys(ids, (began, ended))
