"""The options as command line flags, and back."""

import argparse
import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from syncd.simulator.clock import parse_time
from syncd.simulator.options import PROFILES, Options

CHOICES = {
    "profile": tuple(PROFILES),
    "company_fields": ("refuse", "write"),
    "overlong": ("refuse", "truncate"),
    "missing_lead": ("empty", "1004"),
}
ABOUT = """A Marketo that runs on a laptop. It prints one line, 'ready http://HOST:PORT', when it can be called,
and serves until SIGTERM or SIGINT.

The API is Marketo's own (/identity, /rest, /bulk). Under /_simulator/ it can be watched and steered: calls,
effects, faults, clock, state, and edits as a person makes them in Marketo's interface; docs/simulator.md tells how.
"""


def parser(prog: str = "syncd simulate") -> argparse.ArgumentParser:
    """A parser with one flag for each option."""
    made = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [options]",
        description=ABOUT,
        epilog=_profiles(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    texts = help_texts()
    for field in fields(Options):
        flag, text, default = (
            "--" + field.name.replace("_", "-"),
            texts[field.name].replace("%", "%%"),
            field.default,
        )
        if isinstance(default, bool):
            text += f" (default: {'on' if default else 'off'})"
            made.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif isinstance(default, tuple):
            made.add_argument(
                flag, action="append", metavar="TEXT", help=text + " May be given several times."
            )
        else:
            shown = "" if default == "" else f" (default: {default})"
            kind = type(default)
            made.add_argument(
                flag, type=kind, choices=CHOICES.get(field.name), help=text + shown,
                metavar=None if field.name in CHOICES else {int: "N", float: "X"}.get(kind, "TEXT"),
            )  # fmt: skip
    return made


def parse(arguments: Sequence[str] | None = None, prog: str = "syncd simulate") -> Options:
    """The options that a command line asks for."""
    reader = parser(prog)
    given = {k: v for k, v in vars(reader.parse_args(arguments)).items() if v is not None}
    given = {k: tuple(x for x in v if x) if isinstance(v, list) else v for k, v in given.items()}
    if given.get("start") and parse_time(given["start"]) is None:
        reader.error(f"argument --start: {given['start']!r} is no ISO 8601 time")
    if given.get("leads", 1) < 0 or not 0 <= given.get("port", 0) < 2**16:
        reader.error("argument --leads or --port: out of range")
    return Options.of(**given)


def arguments(options: Options) -> list[str]:
    """A command line that gives exactly these options."""
    found = ["--profile", options.profile]
    base = Options.of(profile=options.profile)
    for field in fields(Options):
        value: Any = getattr(options, field.name)
        if field.name == "profile" or value == getattr(base, field.name):
            continue
        flag = "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            found.append(flag if value else "--no-" + flag[2:])
        elif isinstance(value, tuple):
            found += [f"{flag}={part}" for part in value or ("",)]
        else:
            found.append(f"{flag}={value}")
    return found


def help_texts() -> dict[str, str]:
    """The line of documentation under each option."""
    source = inspect.getsource(Options)
    return {
        m[1]: m[2] for m in re.finditer(r"^    (\w+): [^\n]*\n    \"\"\"(.*?)\"\"\"", source, re.MULTILINE)
    }


def _profiles() -> str:
    lines = ["profiles (a flag given beside --profile wins over it):"]
    for name, given in PROFILES.items():
        said = ", ".join(f"{k.replace('_', '-')} {v}" for k, v in given.items()) or "the defaults"
        lines.append(f"  {name:8}{said}")
    return "\n".join(lines)
