"""A process that makes calls: python -m tests.sync.caller SETTINGS LANE THREADS CALLS, the settings as JSON.

It prints, as JSON, how long each call waited for its lease.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from syncd.settings import Settings
from syncd.wiring import built


def main() -> None:
    conf, lane, threads, calls = sys.argv[1:]
    with built(Settings(**json.loads(conf))) as app:
        client = app.client.on(lane)
        client.authenticate()
        sys.stdout.write("ready\n")
        sys.stdout.flush()

        def call(_: int) -> float:
            started = time.monotonic()
            client.leads("id", [1], ["id"])
            return time.monotonic() - started

        with ThreadPoolExecutor(int(threads)) as pool:
            sys.stdout.write(json.dumps(list(pool.map(call, range(int(calls))))))


if __name__ == "__main__":
    main()
