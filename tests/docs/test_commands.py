"""The command line: everything that exists is in the README, and everything that the pages show exists."""

import re
import subprocess
import sys
from enum import StrEnum
from typing import Any

import pytest
import typer

from syncd.cli.feeds import Feed
from syncd.cli.main import app
from syncd.cli.outbox import Verdict
from tests.docs import pages

ROOT = typer.main.get_command(app)
OPTION = re.compile(r"--[a-z-]+")


def every_command() -> dict[str, Any]:
    """Return the commands by their full names."""
    found = {}
    for name, command in ROOT.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": one for inner, one in command.commands.items()}
        else:
            found[name] = command
    return found


def options_of(command: Any) -> set[str]:
    """Return the long options of a command, without --help."""
    flags = {flag for p in command.params if p.param_type_name == "option" for flag in p.opts}
    return {flag for flag in flags if flag.startswith("--")} - {"--help"}


def documented() -> dict[str, tuple[str, str]]:
    """Return the rows of the README's table of commands: command as it is typed, and what it does."""
    found = {}
    for cells in pages.rows(pages.section("README.md", "Commands")):
        if cells[0].startswith("`syncd "):
            typed = pages.code(cells[0])[0].removeprefix("syncd ")
            found[name_of(typed.split())[0]] = (typed, cells[1])
    return found


def name_of(words: list[str]) -> tuple[str, list[str]]:
    """Split what is typed into the command's name and the rest."""
    known = every_command()
    for length in (2, 1):
        if " ".join(words[:length]) in known:
            return " ".join(words[:length]), words[length:]
    raise AssertionError(f"there is no command {' '.join(words)!r}")


def test_the_readme_lists_every_command() -> None:
    assert set(documented()) == set(every_command())


@pytest.mark.parametrize("name", sorted(every_command()))
def test_the_readme_names_every_option_of_the_command_and_no_other(name: str) -> None:
    typed, does = documented()[name]
    assert set(OPTION.findall(f"{typed} {does}")) == options_of(every_command()[name])


def test_the_readme_names_the_options_before_the_command() -> None:
    line = next(ln for ln in pages.text("README.md").splitlines() if ln.startswith("Before the command:"))
    assert set(OPTION.findall(line)) == options_of(ROOT)


@pytest.mark.parametrize(("name", "choices"), [("pull", Feed), ("outbox resolve", Verdict)])
def test_the_readme_names_every_choice(name: str, choices: type[StrEnum]) -> None:
    typed, _ = documented()[name]
    assert "|".join(choices) in typed


@pytest.mark.parametrize(
    ("place", "words"), pages.commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_every_command_that_a_page_shows_can_be_typed(place: str, words: list[str]) -> None:
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        assert flag in {f for p in ROOT.params for f in p.opts} | {"--help", "-h"}, place
        if flag in {"--config", "-c"}:
            words.pop(0)
    if not words:
        return
    if words == ["outbox"] or (words[0] == "outbox" and "|" in words[1]):
        assert set(words[1].split("|") if words[1:] else []) <= set(ROOT.commands["outbox"].commands)
        return
    name, rest = name_of(words)
    command = every_command()[name]
    flags = {flag for p in command.params for flag in p.opts}
    if name == "simulate":
        return
    assert [word for word in rest if word.startswith("-") and word not in flags] == [], place


def test_the_simulator_has_the_options_that_the_pages_show() -> None:
    from syncd.simulator import flags

    shown = [words[1:] for _, words in pages.commands() if words[:1] == ["simulate"]]
    assert shown
    for arguments in shown:
        flags.parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["status", "--nonsense"], 2), (["status"], 2), (["check"], 1)],
)
def test_exit_codes_are_those_of_the_readme(arguments: list[str], code: int, tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "syncd", *arguments],
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
