"""verify: the mirror beside Marketo itself."""

from __future__ import annotations

import secrets
import signal
from collections import Counter
from typing import Annotated, Any

import orjson
import typer

from syncd.cli.shared import built, progress
from syncd.database import migrate as migrations
from syncd.errors import ConfigError
from syncd.verify import compare, cost

SHOWN = 50
LARGEST_SEED = 2**31


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Read every lead that differs anew.")] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare only about so many leads, chosen at random.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Choose the same sample as the run that told this number.")
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Print both values of what differs: people's data.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Begin even where the day has too few calls left for it.")
    ] = False,
) -> None:
    """Compare every mirrored field of every lead, and all memberships, with Marketo and list every difference."""
    if seed is not None and sample is None:
        raise ConfigError("verify: --seed chooses a sample; give --sample N too")
    with built(context) as app, progress() as tell:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: app.clock.stop())
        # Before the first call: calls are dear.
        migrations.require_newest(app.database)
        feeds = app.feeds(tell)
        if sample is None:
            if not force:
                cost.refuse_what_is_too_dear(cost.CALLS_TO_FIND_THE_OLDEST, app.ledger.standing())
            plan = cost.whole(feeds)
        else:
            seed = secrets.randbelow(LARGEST_SEED) if seed is None else seed
            plan = cost.sample(feeds, sample, seed)
        standing = app.ledger.standing()
        typer.echo(_cost(plan, standing.left("verify"), seed), err=True)
        if not force:
            cost.refuse_what_is_too_dear(plan.calls, standing)
        report = compare.run(feeds, plan, repair=repair, values=show_values)
    if as_json:
        document = _document(report, plan, sample, seed, show_values=show_values)
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _say(report, plan, show_values=show_values)
    if report.differences and not repair:
        raise typer.Exit(1)


def _cost(plan: cost.Plan, left: int, seed: int | None) -> str:
    told = f"this takes {plan.calls} calls or a few more; {left} are left for it today"
    if plan.sample is not None:
        return f"{told}; a sample of {len(plan.sample)} pages of ids, --seed {seed}"
    return f"{told}; {plan.campaign_leads} of them compare the campaigns of a sample of leads"


def _document(
    report: compare.Report, plan: cost.Plan, sample: int | None, seed: int | None, *, show_values: bool
) -> dict[str, Any]:
    differences = []
    for d in report.differences:
        one: dict[str, Any] = {
            "where": d.where,
            "lead": d.lead_id or None,
            "kind": d.kind,
            "fields": list(d.fields),
        }
        if show_values:
            one["values"] = {
                name: {"mirror": ours, "marketo": theirs} for name, (ours, theirs) in d.values.items()
            }
        differences.append(one)
    return {
        "calls_planned": plan.calls,
        "sample": None if plan.sample is None else {"leads": sample, "seed": seed, "pages": len(plan.sample)},
        "leads": report.leads,
        "fields": report.fields,
        "lists_and_programs": report.containers,
        "campaign_sample": {"leads": report.campaign_leads, "moved_since_read": report.campaigns_stale},
        "differences": differences,
        "repaired": report.repaired,
    }


def _say(report: compare.Report, plan: cost.Plan, *, show_values: bool) -> None:
    for difference in report.differences[:SHOWN]:
        names = f" in {', '.join(difference.fields)}" if difference.fields else ""
        place = "" if difference.where == "leads" else f" in {difference.where}"
        what = f"lead {difference.lead_id}{place}" if difference.lead_id else difference.where
        typer.echo(f"{what}: {difference.kind}{names}")
        for name, (ours, theirs) in difference.values.items() if show_values else ():
            typer.echo(f"  {name}: {_value(ours)} here, {_value(theirs)} in Marketo")
    if len(report.differences) > SHOWN:
        typer.echo(f"… and {len(report.differences) - SHOWN} more; --json lists them all")
    if report.campaigns_stale:
        typer.echo(
            f"campaigns: {report.campaigns_stale} of {report.campaign_leads} leads went through one since they were read; "
            "that is age, no difference"
        )
    kinds = Counter(d.kind for d in report.differences)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no difference"
    rest = (
        ", a sample,"
        if plan.sample is not None
        else f", the members of {report.containers} lists and programs, and the campaigns of a sample of "
        f"{report.campaign_leads} leads"
    )
    repaired = f"; {report.repaired} repaired" if report.repaired else ""
    typer.echo(f"{report.leads} leads of {report.fields} fields{rest} compared: {told}{repaired}")


def _value(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
