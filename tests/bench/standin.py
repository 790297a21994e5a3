"""A Marketo that has one bulk file, made beforehand, and serves it as fast as the machine can.

The simulator makes its files while they are asked for; beside a bare COPY that time would be counted
as ours. Run as a process of its own: ``python -m tests.bench.standin FILE RECORDS CHECKSUM``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 1 << 20


class Server(ThreadingHTTPServer):
    """Knows the file and what a job says of it."""

    def __init__(self, place: Path, records: int, checksum: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.place = place
        self.size = place.stat().st_size
        self.done = {
            "status": "Completed", "numberOfRecords": records, "fileSize": self.size, "fileChecksum": checksum,
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.endswith("file.json"):
            self._file()
        elif "/activities/pagingtoken.json" in self.path:
            self._answer({"requestId": "1#1", "success": True, "nextPageToken": "bench"})
        else:
            self._job(self.path.split("/")[-2], **self.server.done)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/identity"):
            token = {"access_token": "x", "expires_in": 3599, "scope": "bench", "token_type": "bearer"}
            self._answer(token)
        elif self.path.endswith("create.json"):
            self._job(str(uuid.uuid4()), status="Created")
        else:
            self._job(self.path.split("/")[-2], status="Queued")

    def _job(self, export_id: str, **more: Any) -> None:
        item = {"exportId": export_id, "format": "CSV", **more}
        self._answer({"requestId": "1#1", "success": True, "result": [item]})

    def _answer(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _file(self) -> None:
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start, size = int(found[1]) if found else 0, self.server.size
        self.send_response(206 if found else 200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(size - start))
        if found:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        with self.server.place.open("rb") as file:
            file.seek(start)
            self.connection.sendfile(file)


def main() -> None:
    """Serve until the end."""
    server = Server(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    print(f"ready http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


@contextmanager
def serving(place: Path, records: int, checksum: str) -> Iterator[str]:
    """Serve a file from a process of its own; yield the address."""
    command = [sys.executable, "-m", "tests.bench.standin", str(place), str(records), checksum]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
