"""Loads the named blocks of the .sql files beside it.

A block is ``-- name: WORD``, a line of comment that says what it is for, and one statement with its values as
``:name``. Tables are named without their schema: the connection's search path holds both schemas.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- name: (\w+)\n-- (.+)\n", re.MULTILINE)
_VALUE = re.compile(r"(?<![:\w]):(\w+)")


@cache
def _blocks() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files("syncd.database").joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        content = file.read_text(encoding="utf-8")
        heads = list(_HEAD.finditer(content))
        ends = [head.start() for head in heads[1:]] + [len(content)]
        for head, end in zip(heads, ends, strict=True):
            if head[1] in found:
                raise ValueError(f"two blocks of SQL are named {head[1]}")
            found[head[1]] = content[head.end() : end].strip().rstrip(";")
    return found


def query(name: str) -> str:
    """Return the statement of that name, as it is in its file. Raises KeyError where there is none."""
    return _blocks()[name]


@cache
def for_driver(name: str) -> bytes:
    """Return the statement of that name with its values as psycopg writes them. Raises KeyError where there is none."""
    return _VALUE.sub(r"%(\1)s", query(name).replace("%", "%%")).encode()


def values_of(name: str) -> set[str]:
    """Return the names of a statement's values."""
    return set(_VALUE.findall(query(name)))


def names() -> list[str]:
    """Return the names of all blocks."""
    return sorted(_blocks())
