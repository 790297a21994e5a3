"""Runs a simulator in a process of its own."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from syncd.simulator.control import Simulator
from syncd.simulator.flags import arguments
from syncd.simulator.options import Options

STOP_SECONDS = 5.0


@contextmanager
def running(options: Options | None = None) -> Iterator[Simulator]:
    """A simulator in its own process, ended when the block ends; yields its control client."""
    flags = ["--until-stdin-closes", *arguments(options or Options())]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "syncd.simulator", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Simulator(_address(process), pid=process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _address(process: "subprocess.Popen[str]") -> str:
    if process.stdout is None:
        raise RuntimeError("The simulator has no output.")
    for line in process.stdout:
        if line.startswith("ready "):
            threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
            return line.split()[1]
    raise RuntimeError(f"The simulator did not start; it ended with code {process.wait()}.")


def _drain(stream: IO[str]) -> None:
    try:
        for _ in stream:
            pass
    except ValueError:
        return
