"""The endpoints; importing this package puts all of them on the map."""

from syncd.simulator.endpoints import (  # noqa: F401
    browse,
    bulk_extract,
    campaigns,
    feeds,
    forms,
    identity,
    leads,
    lists,
    members,
    programs,
    schema,
    stats,
)
