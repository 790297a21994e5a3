"""Public clients that know nothing of this project work on the simulator; each in an environment of its own.

Set SYNCD_TEST_CLIENTS=1 to run them: they are installed from the package index first.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulator.conftest import Api

HERE = Path(__file__).parent / "clients"


@pytest.mark.skipif(not os.environ.get("SYNCD_TEST_CLIENTS"), reason="set SYNCD_TEST_CLIENTS=1")
@pytest.mark.parametrize(
    ("package", "script"),
    [("marketorestpython==0.5.25", "use_marketorestpython.py"), ("tap-marketo==2.9.4", "use_tap_marketo.py")],
)
def test_public_client(start: Callable[..., Api], tmp_path: Path, package: str, script: str) -> None:
    """The client does all that it can do with leads, unchanged but for the host."""
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", package], check=True, timeout=300)
    api = start(limits=False, export_seconds=0.3, import_seconds=0.2)
    done = subprocess.run(
        [python, str(HERE / script), api.simulator.base_url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
