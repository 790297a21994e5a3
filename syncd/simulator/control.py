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
        """How often each endpoint was called since the last reset, as {"POST /rest/v1/leads.json": 3}."""
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

    def set_program_status(self, program: int, status: str, leads: Iterable[int]) -> None:
        """Put leads into a program's status; "Not in Program" takes them out."""
        self.request("POST", f"programs/{program}/members", {"status": status, "leads": list(leads)})

    def create_list(self, name: str, leads: Iterable[int] = ()) -> int:
        """Create a static list; returns its id."""
        return int(self.request("POST", "lists", {"name": name, "leads": list(leads)})["id"])

    def add_field(
        self, name: str, data_type: str = "string", display_name: str | None = None
    ) -> dict[str, Any]:
        """Add a custom field, of any type."""
        body = {"name": name, "dataType": data_type, "displayName": display_name or name}
        return dict(self.request("POST", "fields", body))

    def edit_field(self, name: str, **attributes: Any) -> dict[str, Any]:
        """Change isHidden, displayName, dataType, length, readOnly, isSensitive or blocked of a field."""
        return dict(self.request("POST", f"fields/{name}", attributes))

    def edit_company(self, company: int, **fields: Any) -> list[int]:
        """Change a company's fields; returns the leads that changed with it."""
        return list(self.request("POST", f"companies/{company}", fields)["leads"])

    def visit(self, cookie: str, page_url: str = "https://www.example.com/") -> int:
        """Visit a page with a cookie; one that nobody has makes an anonymous lead. Returns the lead."""
        return int(self.request("POST", "visits", {"cookie": cookie, "pageURL": page_url})["lead"])

    def mkt_token(self, lead: int) -> str:
        """Give the mkt_tok value that a mail to this lead would carry."""
        return str(self.request("POST", f"mkttokens/{lead}")["token"])

    def set_campaign(self, campaign: int, *, active: bool) -> None:
        """Switch a campaign on or off."""
        self.request("POST", f"campaigns/{campaign}", {"active": active})

    def clock(self) -> dict[str, Any]:
        """Tell the simulated time: now (ISO 8601), epoch, frozen."""
        return dict(self.request("GET", "clock"))

    def advance(self, seconds: float) -> dict[str, Any]:
        """Set the clock forward."""
        return dict(self.request("POST", "clock", {"advance": seconds}))

    def set_clock(self, moment: str) -> dict[str, Any]:
        """Set the clock to an ISO 8601 time."""
        return dict(self.request("POST", "clock", {"set": moment}))

    def freeze(self) -> dict[str, Any]:
        """Stop the clock."""
        return dict(self.request("POST", "clock", {"freeze": True}))

    def unfreeze(self) -> dict[str, Any]:
        """Let the clock run on."""
        return dict(self.request("POST", "clock", {"freeze": False}))

    def fault(self, kind: str, endpoint: str = "*", **more: Any) -> int:
        """Add a fault rule; returns its id. The keys are those of `syncd.simulator.faults.Fault`."""
        return int(self.request("POST", "faults", {"kind": kind, "endpoint": endpoint, **more})[0]["id"])

    def faults(self) -> list[dict[str, Any]]:
        """All fault rules, with how often each struck."""
        return list(self.request("GET", "faults"))

    def clear_faults(self) -> None:
        """Drop all fault rules."""
        self.request("DELETE", "faults")

    def options(self) -> dict[str, Any]:
        """Tell the options in force."""
        return dict(self.request("GET", "options"))

    def set_options(self, **options: Any) -> dict[str, Any]:
        """Change options while the simulator runs, such as limits=False or denied=["read-asset"]."""
        return dict(self.request("POST", "options", options))

    def expire_tokens(self) -> None:
        """Let every access token expire: 602 at its next use, 601 after that."""
        self.request("POST", "tokens", {"do": "expire"})

    def revoke_tokens(self) -> None:
        """Make every access token unknown: 601."""
        self.request("POST", "tokens", {"do": "revoke"})

    def use_quota(self, calls: int, user: str = "other@example.com") -> int:
        """Count calls of another integration; returns today's calls of all."""
        return int(self.request("POST", "usage", {"calls": calls, "user": user})["today"])

    def fail_jobs(self, count: int = 1, message: str = "Export failed") -> None:
        """Let the next bulk extract jobs fail."""
        self.request("POST", "jobs", {"fail": count, "message": message})

    def fail_imports(self, count: int = 1, message: str = "Import failed") -> None:
        """Let the next bulk imports fail half-way."""
        self.request("POST", "jobs", {"fail": count, "message": message, "kind": "import"})

    def stats(self) -> dict[str, Any]:
        """Calls under way, the most at once, calls today, error codes, numbers of leads and effects, jobs."""
        return dict(self.request("GET", "stats"))

    def dump(self) -> dict[str, Any]:
        """Give the whole state."""
        return dict(self.request("GET", "state"))

    def load(self, state: dict[str, Any]) -> None:
        """Put a dumped state in the place of the present one."""
        self.request("PUT", "state", state)
