"""A client of the control surface, for tests and demonstrations; it needs the standard library alone."""

import json
from collections.abc import Iterable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit


class ControlError(Exception):
    """The control surface refused; the message says why."""


class Simulator:
    """Watches and steers a running simulator."""

    def __init__(self, base_url: str, *, pid: int | None = None) -> None:
        self.base_url, self.pid = base_url.rstrip("/"), pid

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the control surface."""
        parts = urlsplit(self.base_url)
        connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=120)
        target = f"/_simulator/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, target, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        if response.status != 200:  # noqa: PLR2004 - HTTP
            raise ControlError(answer.get("error", f"HTTP {response.status}"))
        return answer

    def calls(self) -> dict[str, int]:
        """How often each endpoint was called since the last reset, such as {"POST /rest/v1/leads.json": 3}."""
        return dict(self.request("GET", "calls"))

    def reset_calls(self) -> None:
        """Count the calls anew."""
        self.request("DELETE", "calls")

    def effects(self, since: int = 0) -> list[dict[str, Any]]:
        """The changes that were applied after the first `since`, in order."""
        return list(self.request("GET", "effects", since=since)["effects"])

    def lead(self, lead: int) -> dict[str, Any]:
        """A whole lead, whatever its state on the API."""
        return dict(self.request("GET", f"leads/{lead}"))

    def create_lead(self, **fields: Any) -> int:
        """Create a lead as a person would in Marketo's own interface; returns its id."""
        return int(self.request("POST", "leads", fields)["id"])

    def edit_lead(self, lead: int, **fields: Any) -> dict[str, Any]:
        """Change a lead as a person would."""
        return dict(self.request("POST", f"leads/{lead}", fields))

    def delete_lead(self, lead: int) -> None:
        """Delete a lead as a person would."""
        self.request("DELETE", f"leads/{lead}")

    def merge_leads(self, winner: int, losers: Iterable[int], *, source: str = "leaddb") -> None:
        """Merge leads as a person would; source "form" leaves out what such merges leave out."""
        self.request("POST", f"leads/{winner}/merge", {"losers": list(losers), "source": source})

    def add_to_list(self, number: int, leads: Iterable[int]) -> None:
        """Put leads on a static list as a person would."""
        self.request("POST", f"lists/{number}/leads", {"leads": list(leads)})

    def remove_from_list(self, number: int, leads: Iterable[int]) -> None:
        """Take leads off a static list as a person would."""
        self.request("DELETE", f"lists/{number}/leads", {"leads": list(leads)})
