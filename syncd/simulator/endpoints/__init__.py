"""The endpoints; importing this package puts all of them on the map."""

from syncd.simulator.endpoints import (  # noqa: F401
    browse,
    bulk_extract,
    bulk_import,
    bulk_more,
    campaigns,
    feeds,
    forms,
    identity,
    leads,
    lists,
    members,
    others,
    programs,
    schema,
    stats,
)
