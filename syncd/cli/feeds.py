"""pull and drain: one feed, or the outbox, in the foreground."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.shared import built, progress
from syncd.errors import WorkFailed
from syncd.mirror import backfill, campaigns, changes, dirty, memberships, reconcile, schema
from syncd.outbox import foreground

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from syncd.mirror.runs import Feeds
    from syncd.wiring import App


class Feed(StrEnum):
    """What can be pulled."""

    SCHEMA = "schema"
    LEADS = "leads"
    CHANGES = "changes"
    LISTS = "lists"
    PROGRAMS = "programs"
    CAMPAIGNS = "campaigns"
    RECONCILE = "reconcile"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pull)
    app.command()(drain)


def pull(
    context: typer.Context,
    feed: Annotated[Feed, typer.Argument(help="What to pull.")] = Feed.ALL,
    full: Annotated[
        bool, typer.Option("--full", help="Load all leads anew, windows that are done too.")
    ] = False,
    retire: Annotated[
        bool,
        typer.Option("--retire", help="With reconcile: let the one that the brake stopped go on, once."),
    ] = False,
) -> None:
    """Pull one feed once, or all of them in their right order.

    reconcile compares the ids of all leads, and is not among all.
    """
    if retire and feed is not Feed.RECONCILE:
        raise typer.BadParameter("--retire belongs to reconcile")
    with built(context) as app, progress() as tell:
        _stop_softly(app)
        feeds = app.feeds(tell)
        for name, work in _works(feed, full=full, retire=retire):
            counts = work(feeds)
            if app.clock.stopping():
                raise WorkFailed(f"{name} was stopped before its end; the same command goes on from there")
            typer.echo(
                f"{name}: "
                + (", ".join(f"{k.replace('_', ' ')} {v}" for k, v in counts.items() if v) or "nothing new")
            )


def _works(feed: Feed, *, full: bool, retire: bool) -> list[tuple[str, Callable[[Feeds], Counter[str]]]]:
    def leads(feeds: Feeds) -> Counter[str]:
        return backfill.pull(feeds, full=full) + dirty.pull(feeds)

    def changed(feeds: Feeds) -> Counter[str]:
        return changes.pull(feeds) + dirty.pull(feeds) + memberships.pull_members(feeds)

    def lists(feeds: Feeds) -> Counter[str]:
        return memberships.pull_lists(feeds, full=full)

    def programs(feeds: Feeds) -> Counter[str]:
        return memberships.pull_programs(feeds, full=full)

    def of_campaigns(feeds: Feeds) -> Counter[str]:
        return campaigns.pull(feeds, full=full)

    def reconciled(feeds: Feeds) -> Counter[str]:
        return reconcile.pull(feeds, retire=retire)

    if feed is Feed.RECONCILE:
        return [(feed.value, reconciled)]
    works: dict[Feed, Callable[[Feeds], Counter[str]]] = {
        Feed.SCHEMA: schema.pull,
        Feed.LEADS: leads,
        Feed.CHANGES: changed,
        Feed.LISTS: lists,
        Feed.PROGRAMS: programs,
        Feed.CAMPAIGNS: of_campaigns,
    }
    return [(name.value, work) for name, work in works.items() if feed in {name, Feed.ALL}]


def drain(
    context: typer.Context,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Wait for rows that are due later too, until none is left.")
    ] = False,
) -> None:
    """Carry what the outbox holds to Marketo, in the foreground."""
    with built(context) as app:
        _stop_softly(app)
        session = app.session(on_notify=lambda: None, lead=False)
        with progress() as tell:
            left = foreground.drain(
                app.drain(lambda: session.replica),
                session,
                app.database,
                app.clock,
                until_empty=until_empty,
                timeout=app.settings.daemon.stop_timeout_seconds,
                progress=tell,
            )
        typer.echo(f"{left} {'row is' if left == 1 else 'rows are'} left" if left else "the outbox is empty")
        if left and until_empty:
            raise typer.Exit(1)


def _stop_softly(app: App) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: app.clock.stop())
