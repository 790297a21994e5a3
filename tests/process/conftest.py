"""A house of real processes for each test, with settings in a hurry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd import simulator as marketo
from syncd.simulator.control import Simulator
from tests.process.house import House


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=400, history_days=60, export_seconds=0.2, limits=False, race_ms=5)


@pytest.fixture
def processes_conf() -> dict[str, str]:
    """Settings of the processes; a test file may have its own fixture of this name."""
    return {}


@pytest.fixture
def house(
    database_url: str, simulator: Simulator, tmp_path: Path, processes_conf: dict[str, str]
) -> Iterator[House]:
    hurried = {
        "SYNCD_BUDGET__CALLS_PER_20_SECONDS": "1000",
        "SYNCD_BUDGET__CONCURRENT_CALLS": "10",
        "SYNCD_BUDGET__CALLS_PER_DAY": "1000000",
        "SYNCD_BUDGET__OUTBOX_SHARE": "0",
        "SYNCD_BUDGET__CHANGES_SHARE": "0",
        "SYNCD_BUDGET__MEMBERSHIPS_SHARE": "0",
        "SYNCD_BUDGET__BACKFILL_SHARE": "0",
        "SYNCD_BUDGET__VERIFY_SHARE": "0",
        "SYNCD_MIRROR__EXPORT_POLL_SECONDS": "0.1",
        # Each row is to show its own effect; what shares a record is the business of the outbox's histories.
        "SYNCD_OUTBOX__COALESCE": "false",
        "SYNCD_OUTBOX__RETRY_BASE_SECONDS": "0.1",
        "SYNCD_OUTBOX__RETRY_CAP_SECONDS": "0.5",
        "SYNCD_OUTBOX__UNKNOWN_OUTCOME_WAIT_SECONDS": "0.5",
        "SYNCD_SCHEDULE__CHANGES": "1",
        "SYNCD_SCHEDULE__READ_BACK": "1",
        "SYNCD_SCHEDULE__BACKFILL": "0.2",
        "SYNCD_LOG__LEVEL": "debug",
        "SYNCD_LOG__FORMAT": "json",
    }
    with House(database_url, simulator, tmp_path, hurried | processes_conf) as house:
        yield house
