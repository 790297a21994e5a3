"""The bulk path and the page path beside what the machine can do without us."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import httpx
import orjson
import psycopg

from syncd.database import state
from syncd.mirror import backfill, dirty
from syncd.simulator import Options, running
from tests.bench import files, standin
from tests.bench.figure import Figure
from tests.bench.house import app_of, value_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from syncd.core.fields import LeadField
    from syncd.simulator.control import Simulator

RECORDS = 500_000
LOOPED = 20_000
SMALL, LARGE = 100_000, 1_000_000
PAGES = 200


def speed(url: str) -> Iterator[Figure]:
    """500,000 leads of 60 fields from a file that is served as it lies there: HTTP, COPY, cast, upsert.

    Beside it: one COPY of the same file into a table with the same columns and indexes, before and
    after; and a loop that parses the file and inserts by executemany, on a part of it, scaled.
    """
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        fields, seed = _sample(url)
        names = [f.name for f in fields]
        file = files.make(Path(folder) / "leads.csv", seed, RECORDS)
        bare = [_copy(url, file, fields)]
        counts, ours = _load(url, file, names)
        assert counts["written"] == RECORDS == value_of(url, "SELECT count(*) FROM marketo.lead")
        bare.append(_copy(url, file, fields))
        looped = _loop(url, file, fields) * RECORDS / LOOPED
        size = file.place.stat().st_size / 1e6
        print(
            f"  {size:.0f} MB: syncd {ours:.1f} s, COPY {bare[0]:.1f} and {bare[1]:.1f} s, the loop {looped:.0f} s",
            flush=True,
        )
        yield Figure("bulk: bare COPY's seconds over ours", sum(bare) / 2 / ours, 0.5, at_least=True)
        yield Figure("bulk: a plain loop's seconds over ours", looped / ours, 8, at_least=True)
        before = value_of(url, "SELECT pg_current_wal_lsn()")
        counts, _ = _load(url, file, names, again=True)
        written = float(value_of(url, f"SELECT pg_current_wal_lsn() - '{before}'::pg_lsn"))
        assert counts["written"] == 0
        yield Figure("bulk: bytes of WAL for an unchanged row", written / RECORDS, 1)


def memory(url: str) -> Iterator[Figure]:
    """Peak memory of a process that loads 100,000 leads, and of one that loads 1,000,000."""
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        fields, seed = _sample(url)
        peaks = []
        for records in (SMALL, LARGE):
            file = files.make(Path(folder) / "leads.csv", seed, records)
            command = [
                sys.executable,
                "-m",
                "tests.bench.bulk",
                url,
                str(file.place),
                str(records),
                file.checksum,
                *(f.name for f in fields),
            ]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks.append(float(told.split()[-1]))
            assert value_of(url, "SELECT count(*) FROM marketo.lead") == records
        yield Figure("memory: 1,000,000 leads over 100,000", peaks[1] / peaks[0], 1.2)
        yield Figure("memory: megabytes at 1,000,000 leads", peaks[1], 250)


def pages(url: str) -> Iterator[Figure]:
    """The processor time of this process for pages of 300 leads, over that of httpx and a JSON parser alone."""
    with (
        running(Options(leads=PAGES * 300, limits=False)) as simulator,
        app_of(url, simulator.base_url, fields=_chosen(url, simulator)) as app,
    ):
        fields, _ = files.sample(app)
        names = [f.name for f in fields]
        ids = list(range(1, PAGES * 300 + 1))
        with httpx.Client(base_url=simulator.base_url) as client:
            credentials = {"client_id": "simulator", "client_secret": "simulator-secret"}
            token = client.get(
                "/identity/oauth/token", params={"grant_type": "client_credentials", **credentials}
            ).json()
            client.headers["Authorization"] = f"Bearer {token['access_token']}"
            bare = [_bare(client, ids, names)]
            with app.database.begin() as transaction:
                state.mark_dirty(transaction, ids, "bench")
            began = time.process_time()
            dirty.pull(app.feeds())
            ours = time.process_time() - began
            bare.append(_bare(client, ids, names))
        assert value_of(url, "SELECT count(*) FROM marketo.lead") == len(ids)
        a_page, before, after = (seconds / PAGES * 1000 for seconds in (ours, *bare))
        print(
            f"  a page: syncd {a_page:.1f} ms of processor, bare {before:.1f} and {after:.1f} ms", flush=True
        )
        yield Figure("pages: processor over httpx and JSON alone", ours / mean(bare), 2)


def _bare(client: httpx.Client, ids: Sequence[int], names: Sequence[str]) -> float:
    """Seconds of processor for reading all leads and parsing the answers."""
    began = time.process_time()
    for start in range(0, len(ids), 300):
        form = {
            "filterType": "id",
            "filterValues": ",".join(map(str, ids[start : start + 300])),
            "fields": ",".join(names),
        }
        answer = client.post("/rest/v1/leads.json?_method=GET", data=form)
        assert len(orjson.loads(answer.content)["result"]) == 300
    return time.process_time() - began


def main() -> None:
    """Load a file in this process, and tell its peak memory in megabytes."""
    url, place, records, checksum, *names = sys.argv[1:]
    file = files.BulkFile(Path(place), int(records), checksum)
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE marketo.lead")
    _load(url, file, names, again=True)
    print(_peak())


def _peak() -> float:
    """Return the peak memory of this process; getrusage would tell the parent's where that was higher."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _chosen(url: str, simulator: Simulator) -> list[str]:
    with app_of(url, simulator.base_url) as app:
        return files.choose(app.client)


def _sample(url: str) -> tuple[list[LeadField], bytes]:
    options = Options(leads=files.SAMPLE, limits=False, history_days=25)
    with (
        running(options) as simulator,
        app_of(url, simulator.base_url, fields=_chosen(url, simulator)) as app,
    ):
        return files.sample(app)


def _load(
    url: str, file: files.BulkFile, names: Sequence[str], *, again: bool = False
) -> tuple[Counter[str], float]:
    """Let the backfill load the file; return its counts and seconds."""
    mirror = {"backfill_from": (datetime.now(UTC) - timedelta(days=20)).date(), "export_poll_seconds": 0.01}
    with (
        standin.serving(file.place, file.records, file.checksum) as address,
        app_of(url, address, mirror, fields=names) as app,
    ):
        began = time.perf_counter()
        counts = backfill.pull(app.feeds(), full=again)
        return counts, time.perf_counter() - began


def _copy(url: str, file: files.BulkFile, fields: list[LeadField]) -> float:
    """Seconds for one COPY of the file into a table like that of leads."""
    columns = ", ".join(f'"{f.column}"' for f in fields)
    with psycopg.connect(url) as connection, file.place.open("rb") as source:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("CREATE TABLE bare (LIKE marketo.lead INCLUDING ALL)")
        connection.commit()
        began = time.perf_counter()
        statement = f"COPY bare ({columns}) FROM STDIN (FORMAT csv, NULL 'null', HEADER)"
        with connection.cursor().copy(statement) as sink:
            while part := source.read(1 << 20):
                sink.write(part)
        connection.commit()
        took = time.perf_counter() - began
        connection.execute("DROP TABLE bare")
        return took


def _loop(url: str, file: files.BulkFile, fields: list[LeadField]) -> float:
    """Seconds for the first records of the file, parsed by csv and inserted by executemany."""
    columns, places = ", ".join(f'"{f.column}"' for f in fields), ", ".join(["%s"] * len(fields))
    with psycopg.connect(url) as connection, file.place.open(newline="") as source:
        connection.execute("CREATE TABLE looped (LIKE marketo.lead INCLUDING ALL)")
        connection.commit()
        began = time.perf_counter()
        rows = csv.reader(source)
        next(rows)
        batch: list[list[str | None]] = []
        cursor = connection.cursor()
        for _, row in zip(range(LOOPED), rows, strict=False):
            batch.append([None if text == "null" else text for text in row])
            if len(batch) == 1_000:
                cursor.executemany(f"INSERT INTO looped ({columns}) VALUES ({places})", batch)
                batch.clear()
        connection.commit()
        took = time.perf_counter() - began
        (count,) = connection.execute("SELECT count(*) FROM looped").fetchone() or (0,)
        assert count == LOOPED
        connection.execute("DROP TABLE looped")
        return took


if __name__ == "__main__":
    main()
