"""Which function answers which path."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from syncd.simulator.calls import Handler

ASSET_TIME_OUT = 300.0


@dataclass(frozen=True, slots=True)
class Route:
    """A path with a method, and what holds for it."""

    method: str
    template: str
    handler: Handler
    permissions: tuple[str, ...]
    time_out: float

    @property
    def key(self) -> str:
        """The endpoint's name in counts, effects and fault rules."""
        return f"{self.method} {self.template}"


class Routes:
    """All routes, found by method and path."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        self._by_template: dict[str, dict[str, Route]] = {}

    def add(self, route: Route) -> None:
        """Take in a route; paths without variables win."""
        methods = self._by_template.get(route.template)
        if methods is None:
            methods = self._by_template[route.template] = {}
            if "{" in route.template:
                pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route.template))
                self._patterns.append((re.compile(pattern), methods))
            else:
                self._exact[route.template] = methods
        methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        """The routes of a path by method, and the path's variables."""
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        for pattern, found in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return found, match.groupdict()
        return {}, {}

    def all(self) -> list[Route]:
        """Every route."""
        return [route for methods in self._by_template.values() for route in methods.values()]


ROUTES = Routes()


def route(
    method: str, template: str, *permissions: str, time_out: float = 30.0
) -> Callable[[Handler], Handler]:
    """Make a function the answer to a path; the API user needs one of the permissions."""

    def keep(handler: Handler) -> Handler:
        ROUTES.add(Route(method, template, handler, permissions, time_out))
        return handler

    return keep


READ_LEAD = ("read-lead", "read-write-lead")
WRITE_LEAD = ("read-write-lead",)
READ_ASSET = ("read-asset", "read-write-asset")
WRITE_ASSET = ("read-write-asset",)
READ_ACTIVITY = ("read-activity", "read-write-activity")
READ_CAMPAIGN = ("read-campaign", "read-write-campaign")
EXECUTE_CAMPAIGN = ("execute-campaign",)
SCHEMA = ("read-write-schema-standard-field", "read-write-schema-custom-field")
