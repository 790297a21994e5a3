"""The command line: options common to all commands, errors as one sentence, exit codes.

0 done, 1 the work failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import syncd
from syncd import log
from syncd.cli import demonstration, erase, feeds, outbox, report, service, simulate, verify
from syncd.cli.shared import Context, say_error
from syncd.errors import ConfigError, SyncdError

app = typer.Typer(
    name="syncd",
    help="Keeps Adobe Marketo Engage and PostgreSQL in step, both ways.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"syncd {syncd.__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Settings file; else SYNCD_CONFIG, ./syncd.toml, /etc/syncd/syncd.toml."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001 - read by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read the options that all commands share."""
    context.obj = Context(config, debug)


demonstration.register(app)
service.register(app)
feeds.register(app)
outbox.register(app)
erase.register(app)
report.register(app)
verify.register(app)
simulate.register(app)


def main() -> None:
    """Run a command and end the process with its exit code."""
    debug = "--debug" in sys.argv
    log.set_up(level="warning")
    try:
        app(prog_name="syncd")
    except ConfigError as problem:
        code = say_error(problem, 2, debug=debug)
    except SyncdError as problem:
        code = say_error(problem, 1, debug=debug)
    except KeyboardInterrupt:
        code = 130
    except Exception as problem:  # noqa: BLE001 - the last door before a person
        code = say_error(
            f"something that nobody foresaw: {type(problem).__name__}: {problem}; --debug shows where",
            1,
            debug=debug,
        )
    sys.exit(code)
