"""status and verify."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from syncd.cli.shared import built, context_of, progress
from syncd.database import migrate as migrations
from syncd.database.engine import Database
from syncd.status import snapshot
from syncd.verify import compare

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(verify)


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how fresh each feed is, what waits, what failed, and what the day's calls were spent on."""
    settings = context_of(context).settings()
    taken = snapshot.take(Database(settings.database), settings.budget)
    if as_json:
        typer.echo(orjson.dumps(taken, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    for line in _lines(taken):
        console.print(line, highlight=False)
    table = Table("feed", "last run", "fresh", "did", "error", box=None)
    for feed in taken["feeds"]:
        did = ", ".join(f"{k} {v}" for k, v in feed["counts"].items() if v)
        table.add_row(feed["feed"], feed["outcome"], _age(feed["fresh_seconds"]), did, feed["error"] or "")
    console.print(table)


def _lines(taken: dict[str, Any]) -> list[str]:
    leads, outbox, api, backfill, campaigns = (
        taken[key] for key in ("leads", "outbox", "api", "backfill", "campaigns")
    )
    lines = [
        (
            f"mirror    {leads['living']} leads, {leads['retired']} retired, "
            f"{leads['with_unparsed_values']} with values that do not fit"
        ),
        (
            f"campaigns {campaigns['leads_read']} leads read ({100 * (campaigns['share_of_leads'] or 0):.0f} %), the oldest "
            f"{_age(campaigns['oldest_read_seconds'])} ago; {campaigns['changed_since']} changed since"
        ),
        f"backfill  {backfill['done']} of {backfill['windows']} windows done; {taken['dirty']['leads']} leads to read again",
        (
            f"outbox    {outbox['waiting']} waiting (oldest {_age(outbox['oldest_seconds'])}), {outbox['retrying']} retrying, "
            f"{outbox['failed']} failed, {outbox['uncertain']} uncertain"
        ),
        f"calls     {api['calls_today']} of {api['calls_per_day']} today, {api['errors_today']} failed",
    ]
    lines.insert(
        4,
        f"exports   {api['export_mb_today']} of {api['export_mb_per_day']} MB today, {api['exports_under_way']} under way",
    )
    if walk := backfill["by_pages"]:
        lines.insert(
            2, f"          by pages ({walk['reason']}): {walk['state']}, {walk['seen']} leads of the log seen"
        )
    if (walk := taken["reconcile"]) and walk["state"] != "done":
        lines.insert(2, f"reconcile {walk['state']}, {walk['seen']} leads seen: {walk['reason']}")
        if walk["command"]:
            lines.insert(
                3,
                f"          it would retire {walk['would_retire']} leads; `{walk['command']}` lets it go on once",
            )
    lines += [f"paused    {p['what']} until {p['until']}: {p['reason']}" for p in api["paused"]]
    lines += [
        f"replica   {r['id']} on {r['host']}, process {r['pid']}, since {r['started_at']}"
        for r in taken["replicas"]
    ]
    return lines if taken["replicas"] else [*lines, "replica   none runs"]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def verify(
    context: typer.Context,
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="Read every lead that differs anew.")] = False,
) -> None:
    """Compare every mirrored field of every lead with Marketo and list every difference."""
    with built(context) as app, progress() as tell:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: app.clock.stop())
        # Before the first call: calls are dear.
        migrations.require_newest(app.database)
        feeds = app.feeds(tell)
        plan = compare.plan(feeds)
        typer.echo(
            f"this takes {plan.calls} calls or a few more, of {app.settings.budget.calls_per_day} a day; {plan.campaign_leads} "
            "of them compare the campaigns of a sample of leads",
            err=True,
        )
        report = compare.run(feeds, plan, repair=repair)
    if as_json:
        document = {
            "leads": report.leads,
            "fields": report.fields,
            "lists_and_programs": report.containers,
            "campaign_sample": {"leads": report.campaign_leads, "moved_since_read": report.campaigns_stale},
            "differences": [
                {"where": d.where, "lead": d.lead_id, "kind": d.kind, "fields": list(d.fields)}
                for d in report.differences
            ],
            "repaired": report.repaired,
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _say(report)
    if report.differences and not repair:
        raise typer.Exit(1)


def _say(report: compare.Report) -> None:
    for difference in report.differences[:SHOWN]:
        names = f" in {', '.join(difference.fields)}" if difference.fields else ""
        place = "" if difference.where == "leads" else f" in {difference.where}"
        typer.echo(f"lead {difference.lead_id}{place}: {difference.kind}{names}")
    if len(report.differences) > SHOWN:
        typer.echo(f"… and {len(report.differences) - SHOWN} more; --json lists them all")
    if report.campaigns_stale:
        typer.echo(
            f"campaigns: {report.campaigns_stale} of {report.campaign_leads} leads went through one since they were read; "
            "that is age, no difference"
        )
    kinds = Counter(d.kind for d in report.differences)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no difference"
    typer.echo(
        f"{report.leads} leads of {report.fields} fields, the members of {report.containers} lists and programs, and the "
        f"campaigns of a sample of {report.campaign_leads} leads compared: {told}"
        + (f"; {report.repaired} repaired" if report.repaired else "")
    )
