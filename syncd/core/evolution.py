"""What is to be done to the columns when fields or settings change. Pure.

A column is only ever widened, so that nothing in it is lost: a text stays text though its field has
become a number, whole numbers become numbers, and everything can become text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from syncd.core.fields import BASE_COLUMNS, ColumnType, FieldFacts, column_name, column_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from syncd.core.policy import FieldPolicy, KeptAs

Content = Literal["stays", "emptied", "hashed"]

MOST_COLUMNS = 1_580
"""PostgreSQL allows 1,600, dropped ones counted; some are left to people and to later versions."""
CALL = 300
CALLS_A_WINDOW = 4
_NUMBERS = frozenset({"bigint", "numeric", "double precision"})


@dataclass(frozen=True)
class Known:
    """A field as the mirror knows it."""

    facts: FieldFacts
    column: str | None
    column_type: str | None
    """None where there is no such column."""
    kept_as: KeptAs = "plain"
    mark: str | None = None
    removed: bool = False


@dataclass(frozen=True)
class Step:
    """What a field becomes, and what is to be done to its column."""

    facts: FieldFacts
    column: str | None
    kept_as: KeptAs
    mark: str | None = None
    add: ColumnType | None = None
    """The type of a column that is to be added."""
    content: Content = "stays"
    retype: ColumnType | None = None
    """The type that its column is to have, once the content is as it should be."""
    refill: bool = False
    """Its values must be read from Marketo."""
    old: Known | None = None


def widened(column: str, data_type: str) -> ColumnType | None:
    """Return the type that a column must have to hold what it has and a type of Marketo; None where it can stay."""
    wanted = column_type(data_type)
    if column in {wanted, "text", "numeric"} and (column != "numeric" or wanted in _NUMBERS):
        return None
    if column in _NUMBERS and wanted in _NUMBERS:
        # Neither whole numbers nor floats hold each other exactly.
        return "numeric"
    return "timestamptz" if (column, wanted) == ("date", "timestamptz") else "text"


def plan(
    facts: Sequence[FieldFacts],
    known: Mapping[str, Known],
    policy: FieldPolicy,
    taken: Iterable[str],
    room: int,
) -> list[Step]:
    """Return a step for every field, known or new.

    taken: all columns of lead, and room: how many more it can have.
    """
    names = {*taken, *BASE_COLUMNS.values(), *(k.column for k in known.values() if k.column)}
    listed = {f.name for f in facts}
    steps = []
    for fact in facts:
        step = _step(fact, known.get(fact.name), policy, column_name(fact.name, names), room)
        if step.add is not None:
            room -= 1
        names |= {step.column} if step.column else set()
        steps.append(step)
    # Marketo no longer offers these, and the settings hold for what is left of them.
    for name in known.keys() - listed:
        step = _step(known[name].facts, known[name], policy, "", 0)
        if step.kept_as != "no_room" and step.column is not None:
            steps.append(replace(step, refill=False))
    return steps


def _step(fact: FieldFacts, old: Known | None, policy: FieldPolicy, free: str, room: int) -> Step:
    kept_as, mark = policy.kept_as(fact.name), None
    wanted = column_type(fact.data_type)
    if kept_as == "hashed":
        wanted, mark = "text", policy.mark
    column = (old.column if old else None) or BASE_COLUMNS.get(fact.name)
    there = old is not None and old.column is not None and old.column_type is not None
    if kept_as == "excluded":
        had = there and old is not None and old.kept_as in {"plain", "hashed"}
        return Step(fact, column, "excluded", content="emptied" if had else "stays", old=old)
    if old is None and column is not None:
        base = "text" if column == "email" else "bigint" if column == "id" else "timestamptz"
        retype = wanted if kept_as == "hashed" and base != wanted else None
        return Step(
            fact, column, kept_as, mark, content="hashed" if mark else "stays", retype=retype, refill=True
        )
    if not there or old is None:
        if room < 1:
            return Step(fact, None, "no_room", old=old)
        return Step(fact, column or free, kept_as, mark, add=wanted, refill=True, old=old)
    return _of_column(fact, old, kept_as, mark, wanted)


def _of_column(fact: FieldFacts, old: Known, kept_as: KeptAs, mark: str | None, wanted: ColumnType) -> Step:
    refill = old.removed or old.facts.data_type != fact.data_type
    step = Step(fact, old.column, kept_as, mark, refill=refill, old=old)
    present = old.column_type or "text"
    if (old.kept_as, old.mark) == (kept_as, mark):
        return step if mark else replace(step, retype=widened(present, fact.data_type))
    retype = wanted if present != wanted else None
    if (old.kept_as, kept_as) == ("plain", "hashed"):
        return replace(step, content="hashed", retype=retype)
    return replace(step, content="emptied", retype=retype, refill=True)


def by_pages(leads: int, windows: int) -> bool:
    """Tell whether reading so many leads 300 a call costs no more calls than exporting so many windows."""
    return -(-leads // CALL) <= windows * CALLS_A_WINDOW
