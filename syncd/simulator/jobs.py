"""Bulk extract jobs: the queue they share, the files they write, and the day's volume."""

import asyncio
import hashlib
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from syncd.simulator.calls import ApiError
from syncd.simulator.clock import SECONDS_A_DAY, stamp
from syncd.simulator.limits import central_day
from syncd.simulator.world import World

ROWS_A_TURN = 250
PART = 262_144
DONE = frozenset(("Completed", "Cancelled", "Failed"))


@dataclass(slots=True)
class Job:
    """One export job."""

    id: str
    kind: str
    client: str
    rows: Iterator[list[str]]
    format: str
    header: list[str]
    created: float
    status: str = "Created"
    queued: float | None = None
    started: float | None = None
    finished: float | None = None
    records: int = 0
    size: int = 0
    checksum: str = ""
    error: str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def show(self, cancelled: str = "Cancelled") -> dict[str, Any]:
        """The job as the API shows it; what does not apply yet is left out."""
        status = cancelled if self.status == "Cancelled" else self.status
        item: dict[str, Any] = {"exportId": self.id, "format": self.format, "status": status}
        for name, moment in (
            ("createdAt", self.created), ("queuedAt", self.queued),
            ("startedAt", self.started), ("finishedAt", self.finished),
        ):  # fmt: skip
            if moment is not None:
                item[name] = stamp(moment)
        if self.status == "Completed":
            item |= {"numberOfRecords": self.records, "fileSize": self.size, "fileChecksum": self.checksum}
        if self.error:
            item["errorMsg"] = self.error
        return item


def separators(world: World) -> dict[str, str]:
    """What separates the values of a line, by format."""
    return {"csv": ",", "tsv": "\t", "ssv": " " if world.options.ssv == "space" else ";"}


class Turns:
    """Lets so many at once do their work, the others after them in their order; 0 lets all."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most, self._running = most, 0
        self._changed = asyncio.Event()
        self._waiting: deque[object] = deque()

    async def __aenter__(self) -> None:
        mark = object()
        self._waiting.append(mark)
        try:
            while self._waiting[0] is not mark or 0 < self._most() <= self._running:
                await self._changed.wait()
        finally:
            self._waiting.remove(mark)
            self.look()
        self._running += 1

    async def __aexit__(self, *_: object) -> None:
        self._running -= 1
        self.look()

    def look(self) -> None:
        """See anew who may go on."""
        self._changed.set()
        self._changed = asyncio.Event()


class Jobs:
    """All export jobs of the subscription."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, Job] = {}
        self.fail_next: list[str] = []
        self._turns = Turns(lambda: world.options.export_running)
        self.volume: dict[str, int] = {}

    def create(self, kind: str, client: str, form: str, header: list[str], rows: Iterator[list[str]]) -> Job:
        """A new job, not queued yet."""
        self._check_volume()
        job = Job(
            str(uuid.UUID(int=self.world.random.getrandbits(128), version=4)),
            kind,
            client,
            rows,
            form,
            header,
            self.world.clock.now(),
        )
        self.jobs[job.id] = job
        return job

    def find(self, kind: str, client: str, number: str) -> Job | None:
        """A job of that kind that the client made."""
        job = self.jobs.get(number)
        return job if job and job.kind == kind and job.client == client else None

    def enqueue(self, job: Job) -> "asyncio.Task[None]":
        """Put a job into the queue."""
        if job.status != "Created":
            raise ApiError(1029, f"Export job {job.id} is already queued")
        self._check_volume()
        waiting = sum(j.status in {"Queued", "Processing"} for j in self.jobs.values())
        most = self.world.options.export_queued
        if self.world.options.limits and 0 < most <= waiting:
            raise ApiError(1029, f"Too many jobs ({most}) in queue")
        job.status, job.queued = "Queued", self.world.clock.now()
        return asyncio.ensure_future(self._run(job))

    def look(self) -> None:
        """Let jobs start that other options allow."""
        self._turns.look()

    def cancel(self, job: Job) -> None:
        """Stop a job that has not ended."""
        if job.status in DONE:
            raise ApiError(1029, f"Export job {job.id} is already {job.status.lower()}")
        job.status = "Cancelled"

    def readable(self, job: Job | None) -> bool:
        """Whether a job has a file to hand out by now."""
        if job is None or job.status != "Completed" or job.finished is None:
            return False
        age, options = self.world.clock.now() - job.finished, self.world.options
        return options.file_delay <= age <= options.file_days * SECONDS_A_DAY

    async def _run(self, job: Job) -> None:
        async with self._turns:
            if job.status == "Queued":
                await self._carry_out(job)

    async def _carry_out(self, job: Job) -> None:
        clock = self.world.clock
        job.status, job.started = "Processing", clock.now()
        try:
            await self._write(job)
        except (
            Exception
        ):  # whatever it was: a job does not stay "Processing" for ever, and the error is raised all the same
            job.finished, job.error, job.status = clock.now(), "Internal error", "Failed"
            raise
        await clock.until(job.started + self.world.options.export_seconds)
        if job.status != "Processing":
            return
        job.finished = clock.now()
        if self.fail_next:
            job.error, job.status = self.fail_next.pop(0), "Failed"
            return
        day = central_day(job.finished)
        self.volume[day] = self.volume.get(day, 0) + job.size
        job.status = "Completed"

    async def _write(self, job: Job) -> None:
        digest, separator = hashlib.sha256(), separators(self.world)[job.format.lower()]
        lines = [_line(job.header, separator)]
        for row in job.rows:
            if row:
                job.records += 1
                lines.append(_line(row, separator))
            if not row or len(lines) >= ROWS_A_TURN:
                self._flush(job, lines, digest)
                await asyncio.sleep(0)
                if job.status != "Processing":
                    return
        self._flush(job, lines, digest)
        job.checksum = "sha256:" + digest.hexdigest()

    def _flush(self, job: Job, lines: list[str], digest: Any) -> None:
        part = "".join(lines).encode("utf-8", "replace")
        lines.clear()
        digest.update(part)
        job.file.write(part)
        job.size += len(part)

    def _check_volume(self) -> None:
        most, options = self.world.options.export_mb, self.world.options
        used = self.volume.get(central_day(self.world.clock.now()), 0)
        if options.limits and most and used >= most * 1_000_000:
            raise ApiError(1029, f"Export daily quota {most:g}MB exceeded.")


def read_part(job: Job, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a job's file from start to end, end included."""
    while start <= end:
        job.file.seek(start)
        part = job.file.read(min(PART, end - start + 1))
        if not part:
            return
        start += len(part)
        yield part


def _line(values: list[str], separator: str) -> str:
    line = separator.join(values)
    if '"' in line or "\n" in line or "\r" in line or line.count(separator) != len(values) - 1:
        line = separator.join(_quoted(v, separator) for v in values)
    return line + "\n"


def _quoted(value: str, separator: str) -> str:
    if separator in value or '"' in value or "\n" in value or "\r" in value:
        return '"' + value.replace('"', '""') + '"'
    return value
