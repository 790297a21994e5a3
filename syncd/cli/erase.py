"""erase: forget a person."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd.cli.shared import context_of
from syncd.core.numbers import HIGHEST
from syncd.database import erase as erasing
from syncd.database.engine import Database
from syncd.errors import ConfigError

LONGEST_ID = len(str(HIGHEST))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    context: typer.Context,
    lead: Annotated[str, typer.Argument(help="Id of the lead, or an e-mail address.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase all that syncd keeps of a person, for good; Marketo itself is not touched."""
    by_id = int(lead) if lead.isascii() and lead.isdigit() and len(lead) <= LONGEST_ID else None
    if "@" not in lead if by_id is None else not 1 <= by_id <= HIGHEST:
        raise ConfigError("erase: LEAD must be the id of a lead or an e-mail address")
    if not yes:
        typer.confirm("This cannot be undone. Erase everything that is kept of this person?", abort=True)
    database = Database(context_of(context).settings().database)
    done = erasing.erase(database, lead_id=by_id, email=None if by_id is not None else lead)
    numbers = ", ".join(map(str, done.leads))
    typer.echo(
        f"erased: leads {numbers}; {done.rows} rows of the mirror and its books, {done.outbox} outbox rows"
    )
