"""The plans of every feed's statements with 1,000,000 leads and 10,000,000 memberships in the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.database.queries import names
from syncd.simulator import Options, running
from tests.bench.figure import Figure
from tests.bench.house import app_of
from tests.support import plans
from tests.support.rounds import every_feed

if TYPE_CHECKING:
    from collections.abc import Iterator

LEADS = 1_000_000


def large(url: str) -> Iterator[Figure]:
    """One round of every feed, and every other statement for any values; a full scan that the work does not need counts."""
    with (
        running(Options(leads=600, limits=False, export_seconds=0.2)) as simulator,
        app_of(url, simulator.base_url) as app,
    ):
        plans.fill(url, leads=LEADS)
        with plans.watched() as watch:
            every_feed(app.feeds(), simulator)
        every = plans.of_all_statements(url)
        needless = {**every.needless(), **watch.needless()}
        for name, tables in sorted(needless.items()):
            print(f"  {name}: {', '.join(sorted(tables))}", flush=True)
        yield Figure("plans: statements with a needless full scan", len(needless), 0)
        unseen = set(names()) - every.statements - watch.statements - plans.WITHOUT_PLAN.keys()
        yield Figure("plans: statements that nobody looked at", len(unseen), 0)
