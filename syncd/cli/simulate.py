"""simulate: the Marketo simulator as a server."""

from __future__ import annotations

import typer

from syncd.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command; its flags are the simulator's own."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        add_help_option=False,
    )(simulate)


def simulate(context: typer.Context) -> None:
    """Serve a Marketo on this machine (--port, --leads, --seed, …; --help lists all)."""
    try:
        from syncd import simulator  # noqa: PLC0415 - an extra
        from syncd.simulator import flags  # noqa: PLC0415
    except ModuleNotFoundError as problem:
        raise ConfigError(f"{problem.name} is not installed; pip install 'syncd[simulator]'") from None
    options = flags.parse(context.args)
    try:
        simulator.serve(options)
    except simulator.PortInUse as problem:
        raise ConfigError(str(problem)) from None
