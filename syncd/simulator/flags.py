"""The options as command line flags, and back."""

import argparse
import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from syncd.simulator.options import PROFILES, Options

ON_OFF = {"limits": "Switch off rate, concurrency, daily and bulk limits.", "gzip": "Never compress answers."}


def parser() -> argparse.ArgumentParser:
    """A parser with one flag for each option."""
    made = argparse.ArgumentParser(
        prog="python -m syncd.simulator",
        description="A Marketo that runs on a laptop. It prints 'ready http://HOST:PORT' when it serves.",
        epilog="Profiles: "
        + "; ".join(f"{name} {given or '(the defaults)'}" for name, given in PROFILES.items()),
    )
    texts = help_texts()
    for field in fields(Options):
        flag, text = "--" + field.name.replace("_", "-"), f"{texts[field.name]} (default: {field.default!r})"
        text = text.replace("%", "%%")
        if field.name == "profile":
            made.add_argument(flag, choices=list(PROFILES), help=text)
        elif field.default is True:
            made.add_argument(
                "--no-" + field.name.replace("_", "-"),
                dest=field.name,
                action="store_false",
                default=None,
                help=ON_OFF.get(field.name, text),
            )
        elif field.default is False:
            made.add_argument(flag, action="store_true", default=None, help=text)
        elif isinstance(field.default, tuple):
            made.add_argument(flag, action="append", help=text + " May be given several times.")
        else:
            made.add_argument(flag, type=type(field.default), help=text)
    return made


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options that a command line asks for."""
    given = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in vars(parser().parse_args(arguments)).items()
        if v is not None
    }
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
            for part in value:
                found += [flag, str(part)]
        else:
            found += [flag, str(value)]
    return found


def help_texts() -> dict[str, str]:
    """The line of documentation under each option."""
    source = inspect.getsource(Options)
    return {
        m[1]: m[2] for m in re.finditer(r"^    (\w+): [^\n]*\n    \"\"\"(.*?)\"\"\"", source, re.MULTILINE)
    }
