"""Lives many histories of the outbox, or one; `make chaos SEEDS=1000` and `make chaos SEED=7`."""

import sys

from tests.chaos.life import ONE_PROCESS
from tests.histories.tell import lives

EACH_AT_LEAST: dict[str, float] = {
    "row": 5.0,
    "fault": 1.0,
    "death": 1.0,
    "an attempt: unknown": 1.0,
    "history": 1.0,
}

if __name__ == "__main__":
    sys.exit(lives(ONE_PROCESS, EACH_AT_LEAST, __doc__))
