"""Lives many histories, or one; `make histories SEEDS=500` and `make histories SEED=7`."""

import sys

from tests.histories.run import MIRROR
from tests.histories.tell import lives

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

if __name__ == "__main__":
    sys.exit(lives(MIRROR, EACH_AT_LEAST, __doc__))
