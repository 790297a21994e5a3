"""Lives many histories, or one; `make histories SEEDS=500` and `make histories SEED=7`."""

import argparse
import signal
import sys
import time
from collections import Counter

from tests.histories import draw
from tests.histories.run import all_of

EACH_AT_LEAST: dict[str, float] = {
    "edit": 2.0,
    "row": 0.5,
    "fault": 0.3,
    "death": 0.2,
    "back to an earlier value": 0.05,
    "a touch": 0.03,
    "a chain of merges": 0.01,
    "history": 1.0,
}
"""How often a history reaches each of these, on average: one in which nothing happens proves nothing."""
ENOUGH = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
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
        print(draw.history(given.seed), flush=True)  # noqa: T201
    for done, (seed, counts, problem, took) in enumerate(
        all_of(seeds, min(given.jobs, len(seeds)), shorter=not given.as_drawn), 1
    ):
        reached.update(counts)
        slowest = max(slowest, took)
        if problem is not None:
            failed.append(seed)
            print(f"\nFAILED {problem}\nagain: make histories SEED={seed}\n", flush=True)  # noqa: T201
            if given.until_first:
                break
        if done % 25 == 0:
            print(f"{done} of {len(seeds)}, {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201
    return _tell(seeds, failed, reached, time.monotonic() - started, slowest)


def _tell(seeds: list[int], failed: list[int], reached: Counter[str], seconds: float, slowest: float) -> int:
    for what, times in sorted(reached.items()):
        print(f"{times:8}  {what}")  # noqa: T201
    told = f"{len(seeds)} histories in {seconds:.0f} s, the slowest {slowest:.1f} s"
    print(f"{told}; {len(failed)} failed{': ' if failed else ''}{', '.join(map(str, failed))}")  # noqa: T201
    few = [what for what, often in EACH_AT_LEAST.items() if reached[what] < often * len(seeds)]
    if not failed and few and len(seeds) >= ENOUGH:
        print(f"reached too seldom: {', '.join(few)}")  # noqa: T201
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
