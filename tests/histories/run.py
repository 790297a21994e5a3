"""Lives histories, in this process or in several; what fails is made as short as it goes."""

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from queue import Empty
from typing import Any

from tests.histories import draw, quiet, shrink
from tests.histories.house import Ground

Answer = tuple[int, dict[str, int], str | None, float]
"""A seed, what was reached, what went wrong, and the seconds that it took."""


def lived(ground: Ground, seed: int, *, shorter: bool = True) -> tuple[dict[str, int], str | None]:
    """Live the history of a seed; return what was reached, and in words what went wrong."""
    history = draw.history(seed)
    problem = _problem(ground, history)
    if isinstance(problem, dict):
        return problem, None
    if not shorter:
        return {}, f"{problem}\n{history}"
    print(f"seed {seed} fails: {problem}\n  it is made shorter …", file=sys.stderr, flush=True)  # noqa: T201
    kind = problem[:40]
    shortest = shrink.Shrinking(lambda h: str(_problem(ground, h))[:40] == kind).shortest(history)
    told = _problem(ground, shortest)
    return {}, f"{told}\n{shortest}"


def _problem(ground: Ground, history: draw.History) -> str | dict[str, int]:
    try:
        return quiet.live(ground, history)
    except quiet.BrokenError as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001 - whatever nobody foresaw is a failure too
        where = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__} at {where.name}, line {where.lineno}: {problem}"


def _work(seeds: Any, answers: Any, shorter: bool) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Ground() as ground:
        while (seed := seeds.get()) is not None:
            started = time.monotonic()
            answers.put((seed, *lived(ground, seed, shorter=shorter), time.monotonic() - started))


def all_of(seeds: list[int], jobs: int, *, shorter: bool = True) -> Iterator[Answer]:
    context = multiprocessing.get_context("spawn")
    waiting, answers = context.Queue(), context.Queue()
    for seed in [*seeds, *[None] * jobs]:
        waiting.put(seed)
    workers = [context.Process(target=_work, args=(waiting, answers, shorter)) for _ in range(jobs)]
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
