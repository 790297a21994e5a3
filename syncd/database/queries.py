"""Loads the named blocks of the .sql files beside it.

A block is ``-- name: WORD``, a line of comment that says what it is for, and one statement. Tables
are named without their schema: the connection's search path holds both schemas.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text

_HEAD = re.compile(r"^-- name: (\w+)\n-- (.+)\n", re.MULTILINE)


@cache
def _blocks() -> dict[str, TextClause]:
    found: dict[str, TextClause] = {}
    for file in files("syncd.database").joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        content = file.read_text(encoding="utf-8")
        heads = list(_HEAD.finditer(content))
        ends = [head.start() for head in heads[1:]] + [len(content)]
        for head, end in zip(heads, ends, strict=True):
            if head[1] in found:
                raise ValueError(f"two blocks of SQL are named {head[1]}")
            found[head[1]] = text(content[head.end() : end].strip().rstrip(";"))
    return found


def query(name: str) -> TextClause:
    """Return the statement of that name. Raises KeyError where there is none."""
    return _blocks()[name]


def names() -> list[str]:
    """Return the names of all blocks."""
    return sorted(_blocks())
