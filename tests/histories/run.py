"""Lives histories, in this process or in several; what fails is made as short as it goes."""

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Any

from tests.histories import draw, quiet, shrink
from tests.histories.house import Ground

Answer = tuple[int, dict[str, int], str | None, float]
"""A seed, what was reached, what went wrong, and the seconds that it took."""


@dataclass(frozen=True)
class Kind:
    """A kind of histories: how they are drawn, where they happen, and what must hold in the end."""

    command: str
    """How one of them is lived again."""
    draw: Callable[[int], draw.History]
    ground: type[Ground]
    live: Callable[[Any, draw.History], dict[str, int]]
    """Raises BrokenError where a promise does not hold."""


MIRROR = Kind("make histories", draw.history, Ground, quiet.live)


def lived(
    kind: Kind, ground: Ground, seed: int, *, shorter: bool = True
) -> tuple[dict[str, int], str | None]:
    """Live the history of a seed; return what was reached, and in words what went wrong."""
    history = kind.draw(seed)
    problem = _problem(kind, ground, history)
    if isinstance(problem, dict):
        return problem, None
    if not shorter:
        return {}, f"{problem}\n{history}"
    print(f"seed {seed} fails: {problem}\n  it is made shorter …", file=sys.stderr, flush=True)  # noqa: T201
    what = _what(problem)
    shortest = shrink.Shrinking(lambda h: _what(_problem(kind, ground, h)) == what).shortest(history)
    told = _problem(kind, ground, shortest)
    return {}, f"{told}\n{shortest}"


def _problem(kind: Kind, ground: Ground, history: draw.History) -> str | dict[str, int]:
    try:
        return kind.live(ground, history)
    except quiet.BrokenError as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001 - whatever nobody foresaw is a failure too
        where = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__} at {where.name}, line {where.lineno}: {problem}"


def _what(problem: str | dict[str, int]) -> str | None:
    """Return what kind of failure it is: the words before the first colon."""
    return problem.partition(":")[0] if isinstance(problem, str) else None


def _work(kind: Kind, seeds: Any, answers: Any, shorter: bool) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with kind.ground() as ground:
        while (seed := seeds.get()) is not None:
            started = time.monotonic()
            answers.put((seed, *lived(kind, ground, seed, shorter=shorter), time.monotonic() - started))


def all_of(kind: Kind, seeds: list[int], jobs: int, *, shorter: bool = True) -> Iterator[Answer]:
    """Live the histories of these seeds, so many at once; yield what became of each as it ends."""
    context = multiprocessing.get_context("spawn")
    waiting, answers = context.Queue(), context.Queue()
    for seed in [*seeds, *[None] * jobs]:
        waiting.put(seed)
    workers = [context.Process(target=_work, args=(kind, waiting, answers, shorter)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        for _ in seeds:
            yield _next(answers, workers)
    finally:
        for worker in workers:
            # They put their servers away before they end.
            worker.terminate()
            worker.join()


def _next(answers: Any, workers: Sequence[Any]) -> Answer:
    while True:
        try:
            found: Answer = answers.get(timeout=5)
        except Empty:
            if not any(worker.is_alive() for worker in workers):
                raise SystemExit("the workers ended before their work was done") from None
        else:
            return found
