"""Every metric, by name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("syncd_feed_runs", "Runs of each feed, by how they ended", ["feed", "outcome"])
RUN_SECONDS = Histogram(
    "syncd_feed_run_seconds",
    "Duration of a feed's run",
    ["feed"],
    buckets=(0.1, 0.5, 1, 5, 30, 120, 600, 3600),
)
UNPARSED = Counter("syncd_unparsed_leads", "Leads with a value that does not fit its column")
MENDED = Counter(
    "syncd_mended_values", "Values with characters that PostgreSQL can't hold, which were taken out"
)
FIELDS_WITHOUT_ROOM = Gauge(
    "syncd_fields_without_room", "Fields that are not mirrored because PostgreSQL allows no more columns"
)
OUTBOX_ROWS = Counter(
    "syncd_outbox_rows", "Outbox rows, by what an attempt made of them", ["operation", "status"]
)
OUTBOX_CALLS = Counter("syncd_outbox_calls", "Calls that carried outbox rows", ["operation"])
OUTBOX_IMPORTS = Counter(
    "syncd_outbox_imports", "Files of outbox rows for bulk import, by how they ended", ["state"]
)
OUTBOX_WARNINGS = Counter(
    "syncd_outbox_warnings", "Outbox rows that Marketo carried out with a warning", ["operation"]
)
OUTBOX_CONFLICTS = Counter(
    "syncd_outbox_conflicts", "Fields in which a lead was not as a row with a lock believed", ["resolution"]
)
OUTBOX_WAITING = Gauge("syncd_outbox_waiting", "Outbox rows that have not reached their final state")
OUTBOX_HALTED = Gauge("syncd_outbox_halted", "Outbox rows that ended badly and hold back what is behind them")
DIRTY_LEADS = Gauge("syncd_dirty_leads", "Leads whose row in the mirror may be old")
CALLS_TODAY = Gauge("syncd_api_calls_today", "Calls that all replicas made on Marketo's present day")
CALLS_OF_OTHERS = Gauge(
    "syncd_api_calls_of_others", "Calls of other integrations on Marketo's present day, as of the last look"
)
LEADING = Gauge("syncd_leading", "1 where this replica runs the feeds")
