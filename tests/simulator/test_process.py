"""The simulator as a program: flags, ready line, signals, a taken port, a loaded state."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from syncd.simulator import PROFILES, Options, PortInUse, running, serve
from syncd.simulator.flags import arguments, help_texts, parse, parser
from tests.simulator.conftest import Api

COMMAND = [sys.executable, "-m", "syncd.simulator"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_ready_line_and_signals(stop: signal.Signals) -> None:
    """One line on standard output, then it serves; a signal ends it cleanly and fast."""
    process = subprocess.Popen([*COMMAND, "--leads", "10"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready http://127.0.0.1:")
    begun = time.monotonic()
    process.send_signal(stop)
    rest, _ = process.communicate(timeout=5)
    assert (process.returncode, rest) == (0, "")
    assert time.monotonic() - begun < 3


def test_no_simulator_outlives_its_parent() -> None:
    """With standard input closed, a simulator that was told to ends."""
    process = subprocess.Popen(
        [*COMMAND, "--leads", "10", "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready ")
    process.communicate(timeout=5)
    assert process.returncode == 0


def test_port_in_use() -> None:
    """A taken port is one plain sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} "):
            serve(Options(port=port))
        done = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_flags_say_what_options_hold(profile: str) -> None:
    """A command line and options are the same thing said twice."""
    options = Options.of(
        profile=profile, limits=False, leads=77, denied=("read-asset", "read-lead"), latency_ms=2.5
    )
    assert parse(arguments(options)) == options
    plain = Options(profile=profile)
    assert parse(arguments(plain)) == plain


def test_help_tells_every_option() -> None:
    """Each option has its line of documentation in --help."""
    assert set(help_texts()) == {f.name for f in fields(Options)}
    assert "midnight US Central" in " ".join(parser().format_help().split())


def test_load_a_state_at_the_start(start: Callable[..., Api], tmp_path: Path) -> None:
    """--load begins where a dump ended."""
    api = start(leads=20)
    api.simulator.edit_lead(3, firstName="Dumped")
    file = tmp_path / "state.json"
    file.write_text(json.dumps(api.simulator.dump()))
    with running(Options(leads=5, load=str(file))) as other:
        assert other.lead(3)["firstName"] == "Dumped"
        assert other.lead(20)["id"] == 20


def test_large_profile_is_lazy(start: Callable[..., Api]) -> None:
    """A hundred thousand leads are there at once, and a page of them comes quickly."""
    begun = time.monotonic()
    api = start(profile="large", leads=100_000, limits=False)
    assert time.monotonic() - begun < 15
    ids = ",".join(str(n) for n in range(50_000, 50_300))
    begun = time.monotonic()
    body = api.get("/rest/v1/leads.json", filterType="id", filterValues=ids)
    assert len(body["result"]) == 300
    assert time.monotonic() - begun < 1
