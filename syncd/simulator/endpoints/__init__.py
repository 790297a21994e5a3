"""The endpoints; importing this package puts all of them on the map."""

from syncd.simulator.endpoints import (  # noqa: F401
    bulk_extract,
    feeds,
    identity,
    leads,
    lists,
    schema,
    stats,
)
