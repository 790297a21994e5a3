"""Random operations on the simulator and on a plain dictionary model of leads and lists: they agree."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.simulator.conftest import Api

NAMES = st.none() | st.sampled_from(["Ann", "Bob", "Zoë", "null", 'q"uote', "new\nline", " blank "])
SCORES = st.none() | st.integers(-5, 5)
FIELDS = ("firstName", "lastName", "leadScore", "customerTier", "newsletterOptIn")
RECORD = st.fixed_dictionaries(
    {},
    optional={
        "firstName": NAMES,
        "lastName": NAMES,
        "leadScore": SCORES,
        "customerTier": NAMES,
        "newsletterOptIn": st.booleans() | st.none(),
    },
)
WHO = st.integers(0, 5)


class Model(RuleBasedStateMachine):
    """Leads by id as plain dictionaries, list members as sets."""

    api: Api
    runs = 0

    leads = Bundle("leads")

    def __init__(self) -> None:
        super().__init__()
        Model.runs += 1
        self.tag = f"m{Model.runs}"
        self.known: dict[int, dict[str, Any]] = {}
        self.gone: set[int] = set()
        self.list_id = self.api.simulator.create_list(
            f"Model {self.tag}-{self.api.simulator.stats()['effects']}"
        )
        self.members: set[int] = set()
        self.before = len(self.api.simulator.effects())

    def email(self, who: int) -> str:
        return f"{self.tag}-{self.list_id}-{who}@example.com"

    def by_email(self, email: str) -> list[int]:
        return [i for i, r in self.known.items() if r["email"] == email]

    def keep(self, lead: int, record: dict[str, Any]) -> None:
        held = self.known.setdefault(lead, dict.fromkeys(FIELDS) | {"newsletterOptIn": False, "email": None})
        for name, value in record.items():
            held[name] = False if name == "newsletterOptIn" and value is None else value

    @rule(
        target=leads,
        who=WHO,
        record=RECORD,
        action=st.sampled_from(["createOrUpdate", "createOnly", "updateOnly"]),
    )
    def sync(self, who: int, record: dict[str, Any], action: str) -> Any:
        full = {"email": self.email(who), **record}
        matches = self.by_email(full["email"])
        item = self.api.sync(full, action=action)[0]
        code = item["reasons"][0]["code"] if "reasons" in item else item["status"]
        if not matches:
            expected = "1004" if action == "updateOnly" else "created"
        elif action == "createOnly":
            expected = "1005"
        else:
            expected = "1007" if len(matches) > 1 else "updated"
        assert code == expected
        if "id" not in item:
            return multiple()
        if expected == "updated":
            assert item["id"] == matches[0]
        else:
            assert item["id"] not in self.known
        self.keep(item["id"], full)
        return item["id"]

    @rule(target=leads, who=WHO, record=RECORD)
    def create_duplicate(self, who: int, record: dict[str, Any]) -> int:
        full = {"email": self.email(who), **record}
        item = self.api.sync(full, action="createDuplicate")[0]
        assert item["status"] == "created"
        self.keep(item["id"], full)
        return int(item["id"])

    @rule(lead=leads, record=RECORD)
    def update_by_id(self, lead: int, record: dict[str, Any]) -> None:
        item = self.api.sync({"id": lead, **record}, action="updateOnly", lookupField="id")[0]
        if lead in self.known:
            assert item == {"id": lead, "status": "updated"}
            self.keep(lead, record)
        else:
            assert item["reasons"][0]["code"] == "1004"

    @rule(lead=leads, record=RECORD)
    def edit_in_the_interface(self, lead: int, record: dict[str, Any]) -> None:
        if lead in self.known:
            self.api.simulator.edit_lead(lead, **record)
            self.keep(lead, record)

    @rule(lead=consumes(leads))
    def delete(self, lead: int) -> None:
        item = self.api.post("/rest/v1/leads/delete.json", input=[{"id": lead}])["result"][0]
        assert item["status"] == ("deleted" if lead in self.known else "skipped")
        self.forget(lead)

    @rule(winner=leads, loser=leads)
    def merge(self, winner: int, loser: int) -> None:
        body = self.api.call("POST", f"/rest/v1/leads/{winner}/merge.json", params={"leadId": loser})
        possible = winner != loser and {winner, loser} <= set(self.known)
        assert body["success"] is possible
        if not possible:
            return
        for name, value in self.known[loser].items():
            held = self.known[winner][name]
            if (held is None or held is False) and value is not None and value is not False:
                self.known[winner][name] = value
        if loser in self.members:
            self.members.add(winner)
        self.forget(loser)

    @rule(lead=leads)
    def add_to_list(self, lead: int) -> None:
        body = self.api.post(f"/rest/v1/lists/{self.list_id}/leads.json", input=[{"id": lead}])
        assert body["result"][0]["status"] == ("added" if lead in self.known else "skipped")
        if lead in self.known:
            self.members.add(lead)

    @rule(lead=leads)
    def remove_from_list(self, lead: int) -> None:
        item = self.api.call("DELETE", f"/rest/v1/lists/{self.list_id}/leads.json", params={"id": lead})[
            "result"
        ][0]
        code = item["reasons"][0]["code"] if "reasons" in item else item["status"]
        assert code == ("1004" if lead not in self.known else "removed" if lead in self.members else "1015")
        self.members.discard(lead)

    def forget(self, lead: int) -> None:
        self.known.pop(lead, None)
        self.members.discard(lead)
        self.gone.add(lead)

    @invariant()
    def leads_agree(self) -> None:
        everyone = sorted({*self.known, *self.gone})
        if not everyone:
            return
        query = {
            "filterType": "id",
            "filterValues": ",".join(map(str, everyone)),
            "fields": ",".join(("email", *FIELDS)),
        }
        shown = {x.pop("id"): x for x in self.api.get("/rest/v1/leads.json", **query)["result"]}
        assert shown == self.known

    @invariant()
    def lists_agree(self) -> None:
        body = self.api.get(f"/rest/v1/lists/{self.list_id}/leads.json")
        assert {x["id"] for x in body["result"]} == self.members

    def teardown(self) -> None:
        effects = self.api.simulator.effects(self.before)
        assert [e["seq"] for e in effects] == list(range(self.before + 1, self.before + 1 + len(effects)))
        replayed: dict[int, dict[str, Any]] = {}
        for effect in effects:
            if effect["kind"] == "created":
                replayed[effect["leadId"]] = {}
            for name, change in effect["fields"].items():
                replayed.setdefault(effect["leadId"], {})[name] = change["new"]
            for loser in effect.get("losers", []):
                replayed.pop(loser, None)
            if effect["kind"] == "deleted":
                replayed.pop(effect["leadId"], None)
        for lead, record in self.known.items():
            for name, value in record.items():
                assert (replayed[lead].get(name) or None) == (value or None)
        super().teardown()


@pytest.mark.parametrize("_", ["random operations"])
def test_simulator_and_model_agree(api: Api, _: str) -> None:
    """Whatever is done, reads show what the model holds, and the effects replay to it."""
    Model.api = api
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
