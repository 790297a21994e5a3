"""demo: all of it on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    leads: Annotated[int, typer.Option(min=20, help="Leads that the simulated Marketo holds.")] = 5000,
    once: Annotated[
        bool, typer.Option("--once", help="End after the tour; exit code 0 only if all of it held.")
    ] = False,
) -> None:
    """Show it all on this machine: a PostgreSQL, a simulated Marketo, the service, and a tour."""
    try:
        from syncd import demo as tour  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as problem:
        raise ConfigError(f"{problem.name} is not installed; pip install 'syncd[demo]'") from None
    tour.run(leads=leads, once=once)
