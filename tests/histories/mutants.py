"""Breaks one promise at a time, and lets the histories find it; `make mirror-mutants` and `make mutants`.

A mutant is a replacement in one file, kept as data in ``mutants.toml`` beside the histories that shall find it: those of
the mirror here, those of the outbox in ``tests/chaos``. Each lives in a copy of the code.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("syncd", "migrations", "config", "tests")
SEEDS = 300


@dataclass(frozen=True)
class Mutant:
    """A change at one place, and the promise that it breaks."""

    name: str
    breaks: str
    file: str
    old: str
    new: str


def read(kind: str) -> list[Mutant]:
    """Return the mutants for a kind of histories: the name of their folder in ``tests``."""
    text = (ROOT / "tests" / kind / "mutants.toml").read_text(encoding="utf-8")
    return [Mutant(**given) for given in tomllib.loads(text)["mutant"]]


def mutated(mutant: Mutant) -> str | None:
    """Return the file with the change in it; None where its place is not there exactly once."""
    text = (ROOT / mutant.file).read_text()
    return text.replace(mutant.old, mutant.new) if text.count(mutant.old) == 1 else None


def caught(kind: str, mutant: Mutant, *, seeds: int, jobs: int) -> str | None:
    """Live histories until one fails; return what it says, or None where all hold."""
    text = mutated(mutant)
    if text is None:
        raise SystemExit(f"{mutant.name}: its place in {mutant.file} is gone; change mutants.toml")
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / mutant.file).write_text(text)
        found = _failure(kind, Path(folder), "--seeds", str(seeds), "--jobs", str(jobs), "--until-first")
    if found:
        _must_hold(kind, found[1])
    return f"seed {found[1]}: {found[0]}" if found else None


def _failure(kind: str, folder: Path, *how: str) -> tuple[str, str] | None:
    """Live histories with the code of a folder; return what the first failure says, and its seed."""
    ended = subprocess.run(
        [sys.executable, "-B", "-m", f"tests.{kind}", "--as-drawn", *how],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^FAILED (.*?)\n(?:.*\n)*?seed (\d+)", ended.stdout, re.MULTILINE)
    if found is None and ended.returncode not in {0, 1}:
        raise SystemExit(f"the histories could not be lived: {ended.stderr[-500:]}")
    return (found[1], found[2]) if found else None


def _must_hold(kind: str, seed: str) -> None:
    """See to it that the history which caught a mutant holds with the code as it is."""
    told = _failure(kind, ROOT, "--seed", seed)
    if told:
        raise SystemExit(f"seed {seed} fails without any change too: {told[0]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories.mutants", description=__doc__)
    parser.add_argument("--kind", choices=("histories", "chaos"), default="histories", help="which histories")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="histories at most, for each mutant")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    given = parser.parse_args()
    chosen = [mutant for mutant in read(given.kind) if given.only in mutant.name]
    missed = 0
    for mutant in chosen:
        started = time.monotonic()
        told = caught(given.kind, mutant, seeds=given.seeds, jobs=given.jobs)
        missed += told is None
        how = f"caught by {told[:90]}" if told else "MISSED"
        print(f"{mutant.name:55} {time.monotonic() - started:5.0f} s  {how}", flush=True)  # noqa: T201
    print(f"{len(chosen) - missed} of {len(chosen)} mutants are caught")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
