"""make bench: figures that are ratios, all measured in one run, each with its goal.

One line a figure: name, value, goal, met or not. BENCH_JSON=file writes the same as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import measure

if TYPE_CHECKING:
    from tests.bench.figure import Figure


def main() -> int:
    figures: list[Figure] = []
    print(f"{'figure':<42} {'value':>9}  {'goal':>10}", flush=True)
    for figure in measure(only=sys.argv[1:]):
        figures.append(figure)
        print(figure.line(), flush=True)
    if place := os.environ.get("BENCH_JSON"):
        Path(place).write_text(json.dumps([figure.document() for figure in figures], indent=2) + "\n")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
