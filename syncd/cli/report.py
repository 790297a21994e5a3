"""status."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from syncd.cli.shared import context_of
from syncd.database.engine import Database
from syncd.status import snapshot

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
SHOWN = 50
LONGEST_CALL_SECONDS = 300.0
"""No call takes so long: Marketo gives up before, and so does syncd."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how fresh each feed is, what waits, what failed, and what the day's calls were spent on."""
    settings = context_of(context).settings()
    database = Database(settings.database)
    try:
        taken = snapshot.take(database, settings.budget, settings.mirror)
    finally:
        database.close()
    if as_json:
        typer.echo(orjson.dumps(taken, option=orjson.OPT_INDENT_2).decode())
        return
    # What Marketo says may look like markup.
    console = Console(markup=False)
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
            f"{outbox['failed']} failed, {outbox['uncertain']} uncertain, {outbox['conflict']} in conflict"
            + (f", {outbox['halted']} halting what is behind them" if outbox["halted"] else "")
        ),
        *_imports(outbox),
        _calls(api),
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
    lines += _lanes(api)
    lines += _ahead(taken["forecast"], api["resets_at"]) if taken["forecast"] else []
    lines += [f"paused    {p['what']} until {p['until']}: {p['reason']}" for p in api["paused"]]
    lines += [
        f"replica   {r['id']} on {r['host']}, process {r['pid']}, since {r['started_at']}{_sending(r)}"
        for r in taken["replicas"]
    ]
    return lines if taken["replicas"] else [*lines, "replica   none runs"]


def _sending(replica: dict[str, Any]) -> str:
    """Tell of rows that a replica has been sending for longer than any call takes: it is paused, or cut off."""
    age = replica["oldest_sending_seconds"] or 0.0
    if age < LONGEST_CALL_SECONDS:
        return ""
    rows = replica["rows_sending"]
    return f"; {rows} rows in flight for {_age(age)}: is it paused? end it, and others take them over"


def _imports(outbox: dict[str, Any]) -> list[str]:
    if not outbox["imports_under_way"]:
        return []
    return [
        f"imports   {outbox['imports_under_way']} under way, with {outbox['rows_in_imports']} rows of the outbox"
    ]


def _calls(api: dict[str, Any]) -> str:
    others = api["others"]
    told = "" if others is None else f"; other integrations made {others['calls']}"
    return (
        f"calls     {api['calls_today']} of {api['calls_allowed']} today, {api['errors_today']} failed; {api['calls_left']} left "
        f"until {_when(api['resets_at'])}{told}"
    )


def _lanes(api: dict[str, Any]) -> list[str]:
    spent = [f"{lane['lane']} {lane['calls']}" for lane in api["by_lane"] if lane["calls"]]
    lines = [f"spent     {', '.join(spent)}"] if spent else []
    return lines + [
        f"parked    {lane['lane']} until {_when(lane['parked_until'])}"
        for lane in api["by_lane"]
        if lane["parked_until"]
    ]


def _ahead(forecast: dict[str, Any], resets_at: str) -> list[str]:
    lines = [
        f"forecast  {work['what']}: {work['items']} wait, about {work['calls']} calls, "
        + (
            f"done by {_when(work['done_at'])}"
            if work["done_at"]
            else "not to be done within the day's calls"
        )
        for work in forecast["backlog"]
        if work["items"]
    ]
    if forecast["lasts"]:
        enough = f"forecast  the day's calls last: about {forecast['calls_by_reset']} by {_when(resets_at)}"
    else:
        enough = f"forecast  the day's calls do not last: they are used up by {_when(forecast['used_up_at'])}"
    return [*lines, enough]


def _when(moment: str | None) -> str:
    return "-" if moment is None else f"{moment[:16].replace('T', ' ')} UTC"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
