"""Makes a failing history as short as it goes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.histories.draw import History

Part = TypeVar("Part")
TRIES, SECONDS = 150, 60.0


class Shrinking:
    """Leaves out what is not needed for a failure, with so many tries, and in so many seconds, at the most."""

    def __init__(self, fails: Callable[[History], bool], tries: int = TRIES) -> None:
        self._fails = fails
        self.left = tries
        self._end = time.monotonic() + SECONDS

    def shortest(self, history: History) -> History:
        """Return a history that still fails, and from which nothing more could be taken."""
        before = None
        while history != before and self.left > 0:
            before = history
            history = self._fewer_steps(history)
            history = self._fewer_cuts(history)
            history = self._fewer_options(history)
        return history

    def _holds(self, history: History) -> bool:
        self.left -= 1
        if time.monotonic() > self._end:
            self.left = 0
        return self.left > 0 and self._fails(history)

    def _fewer_steps(self, history: History) -> History:
        """Leave out runs of steps, long ones first."""
        size = max(1, len(history.steps) // 2)
        while size:
            start = 0
            while start < len(history.steps):
                shorter = replace(history, steps=_without(history.steps, start, size))
                if self._holds(shorter):
                    history = shorter
                else:
                    start += size
            size //= 2
        return history

    def _fewer_cuts(self, history: History) -> History:
        for place, step in enumerate(history.steps):
            for turn in reversed(range(len(step.cuts))):
                fewer = replace(history.steps[place], cuts=_without(history.steps[place].cuts, turn, 1))
                steps = (*history.steps[:place], fewer, *history.steps[place + 1 :])
                if self._holds(shorter := replace(history, steps=steps)):
                    history = shorter
        return history

    def _fewer_options(self, history: History) -> History:
        for name in history.options:
            fewer = {n: v for n, v in history.options.items() if n != name}
            if self._holds(shorter := replace(history, options=fewer)):
                history = shorter
        for plainer in ({"profile": "small"}, {"empty": False}):
            if self._holds(shorter := replace(history, **plainer)):
                history = shorter
        return history


def _without(parts: Sequence[Part], start: int, number: int) -> tuple[Part, ...]:
    return (*parts[:start], *parts[start + number :])
