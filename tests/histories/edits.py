"""What people and other programs do in Marketo, by every means that the simulator has."""

import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from syncd.simulator.control import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.histories.house import House

FORM = {"Content_Type": "application/x-www-form-urlencoded"}
LONGEST_JOB = 60.0


class Edits:
    """Each method is a step of that name; one that Marketo refuses did not happen."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.simulator, self.other = house.simulator, house.other

    def take(self, name: str, given: dict[str, Any]) -> bool:
        """Take a step; tell whether it was one of ours."""
        act: Callable[..., None] | None = None if name == "take" else getattr(self, name, None)
        if act is None:
            return False
        try:
            act(**given)
            self.house.reached[f"edit: {name}"] += 1
            self.house.reached["edit"] += 1
        except (ControlError, OSError, HTTPException, ValueError):
            self.house.reached["edit refused"] += 1
        return True

    def change_a_lead(self, lead: int, values: dict[str, Any]) -> None:
        before = self.simulator.lead(lead)
        for name, value in values.items():
            seen = self.house.values_seen[lead, name]
            same = before.get(name) == value
            self.house.reached["a touch"] += same
            self.house.reached["back to an earlier value"] += not same and value in seen
            seen += [before.get(name), value]
        self.simulator.edit_lead(lead, **values)

    def create_a_lead(self, email: str, name: str | None) -> None:
        self.simulator.create_lead(email=email, firstName=name)

    def delete_a_lead(self, lead: int) -> None:
        self.simulator.delete_lead(lead)

    def merge_leads(self, winner: int, losers: list[int], how: str) -> None:
        merged = self.house.merged
        if self.simulator.lead(winner).get("isAnonymous"):
            raise ValueError("a visitor whom nobody knows becomes part of a lead, and no lead part of him")
        self.house.reached["a chain of merges"] += any(loser in merged.values() for loser in losers)
        if how == "api":
            ids = ",".join(map(str, losers))
            self.other.ask("POST", f"/rest/v1/leads/{winner}/merge.json?leadIds={ids}")
        else:
            self.simulator.merge_leads(winner, losers, source=how)
        merged.update(dict.fromkeys(losers, winner))

    def change_a_list(self, place: int, leads: list[int], *, add: bool, by_api: bool) -> None:
        number = self.house.lists[place % len(self.house.lists)]
        if by_api:
            ids = "&".join(f"id={lead}" for lead in leads)
            self.other.ask("POST" if add else "DELETE", f"/rest/v1/lists/{number}/leads.json?{ids}")
        else:
            (self.simulator.add_to_list if add else self.simulator.remove_from_list)(number, leads)

    def change_a_program(self, place: int, leads: list[int], status: int) -> None:
        program, statuses = self.house.programs[place]
        self.simulator.set_program_status(program, statuses[status % len(statuses)], leads)

    def change_a_member(self, place: int, lead: int, values: dict[str, Any]) -> None:
        program, _ = self.house.programs[place]
        answer = self.other.ask(
            "POST", f"/rest/v1/programs/{program}/members.json", {"input": [{"leadId": lead, **values}]}
        )
        if answer["result"][0]["status"] != "updated":
            raise ControlError("the lead is no member")

    def change_a_company(self, lead: int, values: dict[str, Any]) -> None:
        company = self.simulator.lead(lead)["contactCompany"]
        if company is None:
            raise ControlError("the lead has no company")
        self.simulator.request("POST", f"companies/{company}", values)

    def move_to_a_partition(self, lead: int, place: int) -> None:
        name = self.house.partitions[place]
        self.other.ask(
            "POST", "/rest/v1/leads/partitions.json", {"input": [{"id": lead, "partitionName": name}]}
        )

    def request_a_campaign(self, place: int, leads: list[int]) -> None:
        campaign = self.house.campaigns[place]
        body = {"input": {"leads": [{"id": lead} for lead in leads]}}
        self.other.ask("POST", f"/rest/v1/campaigns/{campaign}/trigger.json", body)

    def import_leads(self, rows: list[list[Any]], place: int | None) -> None:
        text = "\n".join(["email,firstName", *(f"{email},{name or ''}" for email, name in rows)])
        head = 'Content-Disposition: form-data; name="file"; filename="few.csv"\r\nContent-Type: text/csv'
        body = f"--few\r\n{head}\r\n\r\n{text}\r\n--few--\r\n".encode()
        target = "" if place is None else f"&listId={self.house.lists[place]}"
        self.other.ask(
            "POST",
            f"/bulk/v1/leads.json?format=csv{target}",
            body,
            Content_Type="multipart/form-data; boundary=few",
        )

    def write_by_api(self, action: str, email: str, name: str | None) -> None:
        body: dict[str, Any] = {"action": action, "input": [{"email": email, "firstName": name}]}
        self.other.ask("POST", "/rest/v1/leads.json", body)

    def submit_a_form(self, email: str, name: str, cookie: str) -> None:
        record = {
            "leadFormFields": {"email": email, "firstName": name},
            "visitorData": {"pageURL": "https://www.example.com/"},
            "cookie": cookie_of(cookie),
        }
        self._unlogged_cookies()
        self.other.ask("POST", "/rest/v1/leads/submitForm.json", {"formId": 1001, "input": [record]})

    def visit(self, cookie: str, lead: int | None) -> None:
        if lead is None:
            self.simulator.visit(cookie_of(cookie))
            return
        self._unlogged_cookies()
        query = urlencode({"cookie": cookie_of(cookie)})
        self.other.ask("POST", f"/rest/v1/leads/{lead}/associate.json?{query}")

    def make_a_list(self, name: str, leads: list[int]) -> None:
        self.simulator.create_list(name, leads)

    def end_a_list(self, place: int) -> None:
        self.other.ask("POST", f"/rest/asset/v1/staticList/{self._made(place)}/delete.json")

    def rename_a_list(self, place: int, name: str) -> None:
        body = urlencode({"name": name}).encode()
        self.other.ask("POST", f"/rest/asset/v1/staticList/{self._made(place)}.json", body, **FORM)

    def add_a_field(self, name: str, type: str, lead: int) -> None:  # noqa: A002 - Marketo's word
        self.simulator.add_field(name, type, f"{name} told")
        value = {"string": "new", "integer": 7, "boolean": True, "date": "2024-02-29", "float": 1.5}[type]
        self.simulator.edit_lead(lead, **{name: value})

    def change_a_field(self, name: str, **change: Any) -> None:
        self.simulator.edit_field(name, **change)

    def _made(self, place: int) -> int:
        return self.house.lists[place] if place < len(self.house.lists) else 1000 + place

    def _unlogged_cookies(self) -> None:
        """No log tells of a new cookie: only a comparison finds it."""
        self.house.unlogged.add("cookies")


def cookie_of(name: str) -> str:
    return f"id:123-ABC-456&token:_mch-example.com-{json.dumps(name)[1:-1]}-1"
