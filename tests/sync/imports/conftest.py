"""Small imports, soon looked at."""

import pytest

from syncd import simulator as marketo
from tests.sync.inside import Inside


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(
        leads=60, history_days=20, limits=False, export_seconds=0.05, import_seconds=0.05, race_ms=0
    )


@pytest.fixture
def conf(conf: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    conf["outbox"] |= {"import_from": 10, "import_poll_seconds": 0.05, "import_unknown_wait_seconds": 0.2}
    return conf


@pytest.fixture
def quiet(filled: Inside) -> Inside:
    filled.catch_up()
    return filled
