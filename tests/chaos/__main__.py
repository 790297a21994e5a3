"""Lives many histories of the outbox, or one; `make chaos SEEDS=1000`, `make chaos SEED=7`, and the same with PROCESSES=1."""

import sys

from tests.chaos.life import ONE_PROCESS
from tests.chaos.processes import PROCESSES
from tests.histories.tell import lives

EACH_AT_LEAST: dict[str, float] = {
    "row": 5.0,
    "fault": 1.0,
    "death": 1.0,
    "an attempt: unknown": 1.0,
    "proven by a look": 0.05,
    "a person: resend": 0.01,
    "a row uncertain": 0.05,
    "loss of the database": 0.2,
    "loss of the session": 0.4,
    "loss of the connection": 0.1,
    "overlapping transactions": 0.4,
    "time passes over a row in doubt": 0.1,
    "told: a file was handed over for bulk import": 0.05,
    "history": 1.0,
}
OF_PROCESSES = {
    "row": 20.0,
    "fault": 1.0,
    "a kill": 1.0,
    "a pause": 0.5,
    "a crash of PostgreSQL": 0.3,
    "dropped connections": 0.3,
    "an attempt: unknown": 1.0,
    "history": 1.0,
}
FLAG = "--processes"


def main() -> int:
    if FLAG in sys.argv:
        sys.argv.remove(FLAG)
        return lives(PROCESSES, OF_PROCESSES, __doc__)
    return lives(ONE_PROCESS, EACH_AT_LEAST, __doc__)


if __name__ == "__main__":
    sys.exit(main())
