"""How long to wait before the next attempt."""

from __future__ import annotations


def full_jitter(attempt: int, *, base: float, cap: float, chance: float) -> float:
    """Return seconds in [0, min(cap, base * 2^(attempt-1))), spread evenly.

    attempt: 1 after the first failure. chance: a number in [0, 1).
    """
    return min(cap, base * 2.0 ** min(attempt - 1, 40)) * chance
