"""The figures. Each part takes a fresh database and gives ratios, so that the machine's speed cancels out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd import log
from tests.bench import bulk, calls, outbox, plans
from tests.bench.house import server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.figure import Figure


def measure(only: list[str]) -> Iterator[Figure]:
    """Measure all parts, or those whose name, or its first word, is given."""
    parts: dict[str, Callable[[str], Iterator[Figure]]] = {
        "mirror-bulk": bulk.speed,
        "mirror-memory": bulk.memory,
        "mirror-pages": bulk.pages,
        "mirror-calls": calls.calls,
        "mirror-plans": plans.large,
        "outbox-speed": outbox.speed,
        "outbox-latency": outbox.latency,
        "outbox-calls": outbox.calls,
        "outbox-claim": outbox.claim,
        "outbox-insert": outbox.insert,
        "outbox-import": outbox.imports,
    }
    log.set_up(level="warning")
    with server_of() as server:
        for name, part in parts.items():
            if not only or {name, name.partition("-")[0]} & set(only):
                database = "bench_" + name.replace("-", "_")
                server.psql(f"CREATE DATABASE {database};")
                yield from part(server.get_uri(database))
                server.psql(f"DROP DATABASE {database} WITH (FORCE);")
