"""What every command needs: the settings, the objects, and ways to print."""

from __future__ import annotations

import re
import sys
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from syncd import log, settings, wiring
from syncd.errors import ConfigError
from syncd.mirror.runs import no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from syncd.mirror.runs import Progress as Teller
    from syncd.settings import Settings
    from syncd.wiring import App


Words = TypeVar("Words", str | None, list[str] | None)


@dataclass
class Context:
    """What stands before the command's name."""

    config: Path | None
    debug: bool

    def settings(self, *, service: bool = False) -> Settings:
        """Read the settings and set up the log. Raises ConfigError.

        service: log what the settings say; a command in the foreground prints its own results and
        logs warnings only, unless the settings ask for debug.
        """
        loaded = settings.load(self.config)
        quiet = not service and loaded.log.level == "info"
        log.set_up(level="warning" if quiet else loaded.log.level, style=loaded.log.format)
        return loaded


def context_of(context: typer.Context) -> Context:
    """Return what stands before the command's name."""
    found = context.find_object(Context)
    return found or Context(None, debug=False)


@contextmanager
def built(context: typer.Context, *, service: bool = False) -> Iterator[App]:
    """Build everything from the settings, and close it at the end."""
    with wiring.built(context_of(context).settings(service=service)) as app:
        yield app


_SPANS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str | None, option: str) -> datetime | None:
    """Read a time that a person typed: a date, a timestamp (UTC unless it says otherwise), or 30m, 6h, 2d ago.

    Raises ConfigError.
    """
    if text is None:
        return None
    if span := re.fullmatch(r"(\d{1,6})([mhd])", text.strip()):
        with suppress(OverflowError):
            return datetime.now(UTC) - timedelta(**{_SPANS[span[2]]: int(span[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{option} {text}: it must be a date such as 2026-05-01, a time such as 2026-05-01T09:00Z, or 30m, 6h, 2d"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def one_of(names: Collection[str]) -> Callable[[Words], Words]:
    """Return a check of an option that takes one of these words, once or several times."""

    def check(given: Words) -> Words:
        for word in (given,) if isinstance(given, str) else given or ():
            if word not in names:
                raise typer.BadParameter(f"{word!r} is none of {', '.join(names)}")
        return given

    return check


def say_error(problem: object, code: int, *, debug: bool) -> int:
    """Print one sentence to standard error; with ``debug`` the traceback too. Return the exit code."""
    if debug:
        traceback.print_exc()
    typer.echo(f"syncd: {problem}", err=True)
    return code


@contextmanager
def progress() -> Iterator[Teller]:
    """Give a teller: a bar on a terminal, plain lines elsewhere, one each tenth of the way."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as bar:
        yield _Bar(bar)


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)


class _Lines:
    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        tenth = done * 10 // total if total else -(done // 10_000)
        if self._told.get(what) != tenth:
            self._told[what] = tenth
            typer.echo(f"{what}: {done}" + (f" of {total}" if total is not None else ""), err=True)


__all__ = ["Context", "built", "context_of", "moment", "no_progress", "progress", "say_error"]
