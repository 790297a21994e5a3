"""Lives many histories of a kind, or one, and tells what was reached and what failed."""

import argparse
import signal
import sys
import time
from collections import Counter

from tests.histories.run import Kind, all_of

ENOUGH = 100


def lives(kind: Kind, at_least: dict[str, float], described: str | None) -> int:
    """Live what the command line asks for; return the exit code: 1 where one failed, or too little was reached.

    at_least: how often a history reaches each of these, on average: one in which nothing happens proves nothing.
    """
    parser = argparse.ArgumentParser(description=described)
    parser.add_argument("--seeds", type=int, default=500, help="how many histories")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--until-first", action="store_true", help="end with the first that fails")
    parser.add_argument("--as-drawn", action="store_true", help="tell a history that fails as it was drawn")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seeds = [given.seed] if given.seed is not None else list(range(given.first, given.first + given.seeds))
    started, reached, failed, slowest = time.monotonic(), Counter[str](), [], 0.0
    if given.seed is not None:
        print(kind.draw(given.seed), flush=True)  # noqa: T201
    for done, (seed, counts, problem, took) in enumerate(
        all_of(kind, seeds, min(given.jobs, len(seeds)), shorter=not given.as_drawn), 1
    ):
        reached.update(counts)
        slowest = max(slowest, took)
        if problem is not None:
            failed.append(seed)
            print(f"\nFAILED {problem}\nagain: {kind.command} SEED={seed}\n", flush=True)  # noqa: T201
            if given.until_first:
                break
        if done % 25 == 0:
            print(f"{done} of {len(seeds)}, {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201
    return _tell(
        seeds, failed, reached, at_least, f"{time.monotonic() - started:.0f} s, the slowest {slowest:.1f} s"
    )


def _tell(
    seeds: list[int], failed: list[int], reached: Counter[str], at_least: dict[str, float], took: str
) -> int:
    for what, times in sorted(reached.items()):
        print(f"{times:8}  {what}")  # noqa: T201
    names = f": {', '.join(map(str, failed))}" if failed else ""
    print(f"{len(seeds)} histories in {took}; {len(failed)} failed{names}")  # noqa: T201
    few = [what for what, often in at_least.items() if reached[what] < often * len(seeds)]
    if not failed and few and len(seeds) >= ENOUGH:
        print(f"reached too seldom: {', '.join(few)}")  # noqa: T201
        return 1
    return 1 if failed else 0
