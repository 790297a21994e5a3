"""One figure: a ratio, and the goal that it has to meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    goal: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def line(self) -> str:
        sign = ">=" if self.at_least else "<="
        return (
            f"{self.name:<42} {self.value:>9.3g}  {sign} {self.goal:>7g}  {'met' if self.met else 'NOT MET'}"
        )

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "goal": self.goal,
            "at_least": self.at_least,
            "met": self.met,
        }
