"""What a comparison of the mirror with Marketo finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Difference:
    """A lead, or a membership of one, that is not the same on both sides."""

    lead_id: int
    kind: Literal["missing", "extra", "changed"]
    """missing: not in the mirror. extra: in the mirror alone."""
    fields: tuple[str, ...] = ()
    where: str = "leads"
    """leads, the list or program that it is about, such as "list 1001", or a row: "table program 1001"."""
    values: dict[str, tuple[Any, Any]] = field(default_factory=dict, compare=False, repr=False)
    """The mirror's and Marketo's value of each differing field, where they were asked for: people's data."""
