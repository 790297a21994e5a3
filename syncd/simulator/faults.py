"""Fault rules: which call goes wrong, how, and whether before or after its effect."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

KINDS = (
    "error",
    "http",
    "delay",
    "timeout",
    "reset",
    "truncate",
    "malformed",
    "expire_token",
    "revoke_token",
)


@dataclass(slots=True)
class Fault:
    """A rule; it applies to calls whose endpoint fits its pattern."""

    kind: str
    endpoint: str = "*"
    phase: str = "before"
    count: int | None = 1
    skip: int = 0
    probability: float = 1.0
    code: str = "611"
    message: str = ""
    status: int = 502
    body: str = ""
    seconds: float | None = None
    for_seconds: float | None = None
    id: int = 0
    hits: int = 0
    until: float | None = None

    def show(self) -> dict[str, Any]:
        """As the control surface shows it."""
        return asdict(self)


MESSAGES = {
    "601": "Access token invalid", "602": "Access token expired", "603": "Access denied", "604": "Request timed out",
    "606": "Max rate limit '100' exceeded with in '20' secs", "607": "Daily quota reached",
    "608": "API Temporarily Unavailable", "611": "System error", "614": "Invalid subscription",
    "615": "Concurrent access limit '10' reached", "713": "Transient Error", "1029": "Too many jobs (10) in queue",
    "1035": "Unsupported filter type for target subscription: updatedAt",
}  # fmt: skip


class Faults:
    """All rules, in the order in which they were made."""

    def __init__(self, seed: int) -> None:
        self.rules: list[Fault] = []
        self._random = Random(seed)  # noqa: S311 - a simulation
        self._made = 0

    def add(self, given: Mapping[str, Any], now: float) -> Fault:
        """A new rule; ValueError says what is wrong with it."""
        known = set(Fault.__dataclass_fields__) - {"id", "hits", "until"}
        unknown = set(given) - known
        if unknown:
            raise ValueError(
                f"A fault has no {', '.join(sorted(unknown))}; it may have {', '.join(sorted(known))}."
            )
        if given.get("kind") not in KINDS:
            raise ValueError(f"A fault's kind is one of {', '.join(KINDS)}.")
        if given.get("phase", "before") not in {"before", "after"}:
            raise ValueError("A fault's phase is before or after.")
        self._made += 1
        rule = Fault(**given)
        rule.id, rule.code = self._made, str(rule.code)
        rule.message = rule.message or MESSAGES.get(rule.code, "Simulated error")
        if rule.for_seconds is not None:
            rule.until = now + rule.for_seconds
            rule.count = given.get("count")
        self.rules.append(rule)
        return rule

    def remove(self, number: int | None = None) -> None:
        """Drop one rule, or all."""
        self.rules = [r for r in self.rules if number is not None and r.id != number]

    def draw(self, endpoint: str, now: float) -> list[Fault]:
        """The rules that strike this call: all delays that fit, and the first other one."""
        struck: list[Fault] = []
        for rule in self.rules:
            if rule.until is not None and now >= rule.until:
                continue
            if rule.count is not None and rule.count <= 0:
                continue
            if not fnmatchcase(endpoint, rule.endpoint) or (struck and struck[-1].kind != "delay"):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            if rule.count is not None:
                rule.count -= 1
            rule.hits += 1
            struck.append(rule)
        return struck
