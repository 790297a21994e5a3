"""outbox list, show, retry, cancel, resolve, release."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from syncd.cli.shared import context_of, moment, one_of
from syncd.core.numbers import HIGHEST
from syncd.core.operations import CATALOGUE
from syncd.core.outbox import STATUSES, Shape
from syncd.core.story import told
from syncd.database import operators
from syncd.database.engine import Database
from syncd.errors import ConfigError, WorkFailed
from syncd.marketo import writes

if TYPE_CHECKING:
    from collections.abc import Sequence


class Verdict(StrEnum):
    """What a person found out about a row of unknown outcome."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESEND = "resend"


Ids = Annotated[list[int], typer.Argument(help="Ids of outbox rows.", min=1, max=HIGHEST)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only rows from then on: 2026-05-01, 2026-05-01T09:00Z, or 30m, 6h, 2d ago."),
]
Until = Annotated[str | None, typer.Option(help="Only rows before then, in the same forms.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Look after outbox rows.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command()(retry)
    group.command()(cancel)
    group.command()(resolve)
    group.command()(release)
    app.add_typer(group, name="outbox")


def _database(context: typer.Context) -> Database:
    return Database(context_of(context).settings().database)


def list_(
    context: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only rows of this status; may be given several times.", callback=one_of(STATUSES)),
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option(help="Only rows of this operation.", callback=one_of(CATALOGUE)),
    ] = None,
    error_code: Annotated[str | None, typer.Option(help="Only rows with this code of Marketo.")] = None,
    lead: Annotated[
        int | None, typer.Option(help="Only rows that changed or name this lead.", min=1, max=HIGHEST)
    ] = None,
    since: Since = None,
    until: Until = None,
    halted: Annotated[
        bool, typer.Option("--halted", help="Only rows that hold back the later rows of their lead.")
    ] = False,
    most: Annotated[int, typer.Option("--limit", min=1, max=HIGHEST, help="Rows at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rows, newest first; --since and --until go by when they were inserted."""
    found = operators.listed(
        _database(context),
        statuses=status or None,
        operation=operation,
        error_code=error_code,
        lead_id=lead,
        since=moment(since, "--since"),
        until=moment(until, "--until"),
        halted=halted,
        most=most,
    )
    if as_json:
        typer.echo(_json(found))
        return
    table = Table("id", "operation", "status", "lead", "attempts", "code", "reason", box=None)
    for row in found:
        cells = (
            row["id"],
            row["operation"],
            row["status"],
            row["lead_id"],
            row["attempts"],
            row["error_code"],
        )
        table.add_row(*("" if cell is None else str(cell) for cell in cells), row["error_message"] or "")
    # What Marketo says may look like markup.
    Console(markup=False).print(table)


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="Id of the row.", min=1, max=HIGHEST)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the call that would carry it, and send nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell a row's whole story."""
    story = operators.story(_database(context), number)
    if story is None:
        raise WorkFailed(f"there is no outbox row {number}; `syncd outbox list` shows those that there are")
    if dry_run:
        typer.echo(_json(_call(story["row"])))
    elif as_json:
        typer.echo(_json(story))
    else:
        for line in told(story):
            typer.echo(line)


def _call(row: dict[str, Any]) -> dict[str, Any]:
    """Return the call that would carry a row alone."""
    shape = Shape(row["operation"], row["lookup"], row["partition_name"], row["options"])
    named = row["payload"].get("id", f"(looked up by {row['lookup']})")
    return writes.build(shape, [row["payload"]], [named]).described()


def retry(
    context: typer.Context,
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Ids of outbox rows.", min=1, max=HIGHEST)
    ] = None,
    error_code: Annotated[str | None, typer.Option(help="All failed rows with this code of Marketo.")] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Queue failed, expired or cancelled rows again; waiting ones that are named go at once.

    Without ids: all rows that failed with a code, or between two times, or both.
    """
    if not numbers and error_code is None and since is None and until is None:
        raise ConfigError("outbox retry: name the rows by id, or give --error-code, --since or --until")
    done = operators.retry(
        _database(context),
        ids=numbers or None,
        error_code=error_code,
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )
    _say(done, numbers, "queued again", "only failed, expired, cancelled and retrying rows can be")


def cancel(context: typer.Context, numbers: Ids) -> None:
    """End rows that are not being sent."""
    done = operators.cancel(_database(context), numbers)
    _say(done, numbers, "cancelled", "rows that are being sent or are finished can't be")


def resolve(
    context: typer.Context,
    numbers: Ids,
    verdict: Annotated[Verdict, typer.Option("--as", help="succeeded, failed, or resend: send it again.")],
    lead: Annotated[
        int | None, typer.Option(help="The lead that it changed, where it succeeded.", min=1, max=HIGHEST)
    ] = None,
) -> None:
    """Close rows of unknown outcome, now that a person has looked into Marketo."""
    done = operators.resolve(_database(context), numbers, as_status=verdict.value, lead_id=lead)
    _say(done, numbers, "resolved", "only uncertain rows whose keys are open again can be")


def release(context: typer.Context, numbers: Ids) -> None:
    """Let the later rows of a lead go that a row with on_failure = halt holds back since it ended badly."""
    done = operators.release(_database(context), numbers)
    _say(done, numbers, "released", "only rows that `syncd outbox list --halted` shows can be")


def _say(done: Sequence[int], wanted: Sequence[int] | None, what: str, rule: str) -> None:
    typer.echo(f"{len(done)} {'row' if len(done) == 1 else 'rows'} {what}")
    left = sorted(set(wanted or ()) - set(done))
    if left:
        raise WorkFailed(f"not {what}: {', '.join(map(str, left))}; {rule}")


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
