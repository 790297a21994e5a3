"""`python -m syncd.simulator`."""

import sys

from syncd.simulator.flags import parse
from syncd.simulator.server import PortInUse, serve


def main() -> int:
    """Serve as the flags say."""
    try:
        serve(parse(prog="python -m syncd.simulator"))
    except PortInUse as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
