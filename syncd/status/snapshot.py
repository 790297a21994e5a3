"""How things stand, as one document: what `syncd status` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd import metrics
from syncd.database.engine import REPLICA_CLASS
from syncd.mirror import reconcile
from syncd.status import forecast

if TYPE_CHECKING:
    from datetime import datetime

    from syncd import settings
    from syncd.database.engine import Database

FORMAT = 1
"""Raised when a key of the document changes its meaning or goes."""


def take(
    database: Database, budget: settings.Budget, mirror: settings.Mirror | None = None
) -> dict[str, Any]:
    """Return the document: only JSON's own types, times as ISO 8601 in UTC, durations in seconds.

    mirror: tells what is due, for the forecast; without it there is none.
    """
    kind = database.names.lock_class(REPLICA_CLASS) & 0xFFFFFFFF
    with database.begin() as transaction:
        outbox, leads, dirty = (
            transaction.row(name) for name in ("outbox_counts", "lead_count", "dirty_count")
        )
        members = transaction.row("member_counts")
        campaigns = transaction.row("campaign_coverage")
        assets, now = transaction.row("asset_count"), transaction.scalar("database_now")
        windows = transaction.rows("windows")
        usage = transaction.rows("usage_today")
        runs = transaction.rows("runs_last")
        pauses = transaction.rows("pauses")
        exports = transaction.row("export_state", kind=kind)
        imports = transaction.row("import_counts")
        walks = {w.purpose: w for w in transaction.rows("walks")}
        replicas = transaction.rows("replicas_alive", kind=kind)
        spent = forecast.spending(transaction, budget)
        ahead = forecast.forecast(transaction, budget, mirror) if mirror else None
    assert outbox is not None and leads is not None and dirty is not None and assets is not None  # noqa: S101, PT018
    calls = sum(int(u.calls) for u in usage)
    return {
        "format": FORMAT,
        "at": _time(now),
        "leads": {"living": leads.living, "retired": leads.retired, "with_unparsed_values": leads.unparsed},
        "memberships": members._asdict() if members else {},
        "campaigns": _coverage(campaigns, leads.living, now),
        "assets": assets._asdict(),
        "dirty": {"leads": dirty.leads, "oldest_seconds": dirty.oldest_seconds},
        "backfill": {
            "windows": len(windows),
            "done": sum(w.state == "done" for w in windows),
            "by_pages": _walk(walks.get("backfill")),
        },
        "reconcile": _walk(walks.get("reconcile")),
        "outbox": {
            "waiting": outbox.waiting,
            "sending": outbox.sending,
            "retrying": outbox.retrying,
            "failed": outbox.failed,
            "uncertain": outbox.uncertain,
            "conflict": outbox.conflict,
            "halted": outbox.halted,
            "imports_under_way": imports.under_way if imports else 0,
            "rows_in_imports": imports.rows if imports else 0,
            "oldest_seconds": outbox.oldest_seconds,
        },
        "api": {
            "calls_today": calls,
            "calls_per_day": budget.calls_per_day,
            "export_mb_today": round((exports.today if exports else 0) / 1_000_000, 1),
            "export_mb_per_day": budget.export_mb_per_day,
            "exports_under_way": exports.under_way if exports else 0,
            **spent,
            "errors_today": sum(int(u.errors) for u in usage),
            "by_endpoint": [
                {
                    "lane": u.lane,
                    "feed": u.feed,
                    "endpoint": u.endpoint,
                    "calls": u.calls,
                    "errors": u.errors,
                }
                for u in usage
            ],
            "paused": [{"what": p.what, "until": _time(p.until), "reason": p.reason} for p in pauses],
        },
        "forecast": ahead,
        "feeds": [
            {
                "feed": r.feed,
                "outcome": r.outcome,
                "started_at": _time(r.started_at),
                "finished_at": _time(r.finished_at),
                "last_done_at": _time(r.last_done_at),
                "fresh_seconds": (now - r.last_done_at).total_seconds() if r.last_done_at else None,
                "counts": r.counts,
                "error": r.error,
            }
            for r in runs
        ],
        "replicas": [
            {
                "id": r.id,
                "host": r.host,
                "pid": r.pid,
                "version": r.version,
                "started_at": _time(r.started_at),
                "rows_sending": r.rows,
                "oldest_sending_seconds": r.oldest,
            }
            for r in replicas
        ],
    }


def _walk(row: Any) -> dict[str, Any] | None:
    """Return how a pass over all ids stands, and what lets it go on where the brake stopped it."""
    if row is None:
        return None
    return {
        "state": row.state,
        "way": row.way,
        "reason": row.reason,
        "seen": row.seen,
        "would_retire": row.refused,
        "command": reconcile.COMMAND if row.state == "refused" else None,
        "started_at": _time(row.started_at),
        "changed_at": _time(row.changed_at),
    }


def _coverage(row: Any, living: int, now: datetime) -> dict[str, Any]:
    """Return how far the campaign memberships go: of how many leads they were read, and how old that is."""
    return {
        "memberships": row.memberships,
        "leads_read": row.leads_read,
        "share_of_leads": round(min(1.0, row.leads_read / living), 4) if living else None,
        "changed_since": row.changed_since,
        "oldest_read_at": _time(row.oldest_read_at),
        "oldest_read_seconds": (now - row.oldest_read_at).total_seconds() if row.oldest_read_at else None,
    }


def measure(database: Database) -> None:
    """Set the gauges that are read off the database; cheap enough for every scrape."""
    with database.begin() as transaction:
        outbox, dirty = transaction.row("outbox_counts"), transaction.row("dirty_count")
        usage = transaction.rows("usage_today")
    metrics.OUTBOX_WAITING.set(outbox.waiting if outbox else 0)
    metrics.OUTBOX_HALTED.set(outbox.halted if outbox else 0)
    metrics.DIRTY_LEADS.set(dirty.leads if dirty else 0)
    metrics.CALLS_TODAY.set(sum(int(u.calls) for u in usage))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
