"""The requests of the Leads page, one by one, as the page prints them."""

import pytest

from tests.simulator.conftest import Api

COOKIE = "id:287-GTJ-838%26token:_mch-marketo.com-1396310362214-46169"


def test_describe_shows_the_company_name_field(api: Api) -> None:
    """Describe Lead: the printed field, with its metadata."""
    field = next(
        f for f in api.get("/rest/v1/leads/describe.json")["result"] if f["rest"]["name"] == "company"
    )
    assert field["displayName"] == "Company Name"
    assert (field["dataType"], field["length"], field["rest"]["readOnly"]) == ("string", 255, False)


def test_lead_by_id(api: Api) -> None:
    """Get Lead by Id: John Doe with the default fields."""
    lead = api.new("jdoe@marketo.com", firstName="John", lastName="Doe")
    found = api.lead(lead)
    assert found is not None
    assert set(found) == {"id", "updatedAt", "lastName", "email", "createdAt", "firstName"}
    assert (found["firstName"], found["lastName"], found["email"]) == ("John", "Doe", "jdoe@marketo.com")


def test_leads_by_filter(api: Api) -> None:
    """Get Leads by Filter Type: Abraham and George by id; none found is an empty success."""
    a = api.new("abe@usa.gov", firstName="Abraham", lastName="Lincoln")
    g = api.new("george@usa.gov", firstName="George", lastName="Washington")
    body = api.get("/rest/v1/leads.json", filterType="id", filterValues=f"{a},{g}")
    assert [x["lastName"] for x in body["result"]] == ["Lincoln", "Washington"]
    body = api.get("/rest/v1/leads.json", filterType="id", filterValues="99999999")
    assert body["result"] == []
    assert body["success"] is True


def test_ecids_can_be_asked_for(api: Api) -> None:
    """Adobe ECID: the fields of the printed parameter."""
    found = api.lead(1, "email", "firstName", "lastName", "ecids")
    assert found is not None
    assert list(found) == ["id", "email", "firstName", "lastName", "ecids"]


KATALDAR = [
    {"email": f"kjashaedd-{n}@klooblept.com", "firstName": f"Kataldar-{n}", "postalCode": "04828"}
    for n in (1, 2, 3)
]


def test_create_only_three(api: Api) -> None:
    """Create and Update: three Kataldars are created, in order; a second time they are skipped."""
    first = api.post("/rest/v1/leads.json", action="createOnly", lookupField="email", input=KATALDAR)[
        "result"
    ]
    assert [r["status"] for r in first] == ["created"] * 3
    assert [r["id"] for r in first] == sorted(r["id"] for r in first)
    again = api.post("/rest/v1/leads.json", action="createOnly", lookupField="email", input=KATALDAR)[
        "result"
    ]
    assert [r["reasons"][0]["code"] for r in again] == ["1005"] * 3


def test_schema_fields(api: Api) -> None:
    """Query, browse, create and update fields: the printed ones."""
    field = api.get("/rest/v1/leads/schema/fields/email.json")["result"][0]
    assert (field["displayName"], field["dataType"], field["length"]) == ("Email Address", "email", 255)
    shown = {f["name"]: f for f in api.get("/rest/v1/leads/schema/fields.json")["result"]}
    printed = (
        "salutation firstName middleName lastName dateOfBirth email phone mobilePhone fax title unsubscribed"
    )
    assert set(printed.split()) <= set(shown)
    new = [
        {
            "displayName": "Acme Access Code",
            "name": "acmeAccessCode",
            "description": "Acme",
            "dataType": "string",
        },
        {
            "displayName": "Acme Mail Date",
            "name": "acmeMailDate",
            "description": "Acme",
            "dataType": "string",
        },
    ]
    made = api.post("/rest/v1/leads/schema/fields.json", input=new)["result"]
    assert made == [{"name": f["name"], "status": "created"} for f in new]
    change = {"displayName": "Acme Access Code", "description": "Acme", "isHtmlEncodingInEmail": True}
    done = api.post("/rest/v1/leads/schema/fields/acmeAccessCode.json", input=[change])["result"]
    assert done == [{"name": "acmeAccessCode", "status": "updated"}]


def test_push_lead(api: Api) -> None:
    """Push Lead to Marketo: the two printed leads, with all their fields."""
    leads = [
        {
            "email": "Theresa.May@westminister.gov.uk",
            "country": "united kingdom",
            "firstName": "Theresa",
            "website": "www.brexit.com",
            "leadScore": 45,
            "marketoSocialFacebookProfileURL": "http://www.facebook.com/id/23434456",
            "jobTitle": "Prime Minister",
        },
        {
            "email": "Justin.Trudeau@ottowa.gov.ca",
            "country": "canada",
            "firstName": "Justin",
            "website": "www.take-off-eh.com",
            "leadScore": 92,
            "marketoSocialFacebookProfileURL": "http://www.facebook.com/id/42434",
            "jobTitle": "Sonny",
        },
    ]
    about = {"source": "Cool Sales Site", "reason": "Downloaded pricing sheet", "lookupField": "email"}
    body = api.post(
        "/rest/v1/leads/push.json", programName="Big Blue Thing Product Launch", input=leads, **about
    )
    assert [r["status"] for r in body["result"]] == ["created", "created"]
    assert body["warnings"] == []
    found = api.lead(body["result"][0]["id"], "leadScore", "jobTitle", "website")
    assert found == {
        "id": body["result"][0]["id"],
        "leadScore": 45,
        "jobTitle": "Prime Minister",
        "website": "www.brexit.com",
    }


def test_push_by_mkt_token(api: Api) -> None:
    """Push Lead to Marketo: Thelma and Louise by the token of a mail's link."""
    leads = [api.new("t@example.com"), api.new("l@example.com")]
    tokens = [api.simulator.mkt_token(lead) for lead in leads]
    names = ["Thelma", "Louise"]
    records = [{"mktToken": t, "firstName": n} for t, n in zip(tokens, names, strict=True)]
    body = api.post(
        "/rest/v1/leads/push.json",
        programName="Big Blue Thing Product Launch",
        lookupField="mktToken",
        input=records,
        source="Cool Sales Site",
        reason="Downloaded pricing sheet",
    )
    assert body["result"] == [{"id": lead, "status": "updated"} for lead in leads]
    assert [(api.lead(lead) or {})["firstName"] for lead in leads] == names


def test_submit_form(api: Api) -> None:
    """Submit Form: Marge Simpson, with a program member field, a visit and a cookie."""
    record = {
        "leadFormFields": {
            "firstName": "Marge",
            "lastName": "Simpson",
            "email": "marge.simpson@fox.com",
            "pMCFField": "PMCF value",
        },
        "visitorData": {
            "pageURL": "https://na-sjst.marketo.com/lp/063-GJP-217/UnsubscribePage.html",
            "queryString": "Unsubscribed=yes",
            "leadClientIpAddress": "192.150.22.5",
            "userAgentString": "Mozilla/5.0",
        },
        "cookie": "id:063-GJP-217&token:_mch-marketo.com-1594662481190-60776",
    }
    statuses = [
        api.post("/rest/v1/leads/submitForm.json", formId=1029, input=[record])["result"][0] for _ in "12"
    ]
    assert [s["status"] for s in statuses] == ["created", "updated"]
    lead = statuses[0]["id"]
    body = api.get("/rest/v1/leads.json", filterType="cookies", filterValues=record["cookie"])
    assert [x["id"] for x in body["result"]] == [lead]
    program = api.get(f"/rest/v1/leads/{lead}/programMembership.json")["result"][0]["id"]
    members = api.get(
        f"/rest/v1/programs/{program}/members.json",
        filterType="leadId",
        filterValues=lead,
        fields="pMCFField",
    )
    assert [m["pMCFField"] for m in members["result"]] == ["PMCF value"]


def test_merge(api: Api) -> None:
    """Merge: the loser of the query goes into the winner of the path."""
    winner, loser = api.new("w@example.com"), api.new(lastName="Kept")
    body = api.call("POST", f"/rest/v1/leads/{winner}/merge.json?leadId={loser}")
    assert set(body) == {"requestId", "success"}
    assert (api.lead(winner) or {})["lastName"] == "Kept"
    assert api.lead(loser) is None


def test_associate(api: Api) -> None:
    """Associate Web Activity: the printed cookie, percent sign and all."""
    body = api.call("POST", f"/rest/v1/leads/1/associate.json?cookie={COOKIE}")
    assert set(body) == {"requestId", "success"}


def test_list_pages_of_three(api: Api) -> None:
    """Membership: a page of three from a list, and its token."""
    body = api.get("/rest/v1/list/1001/leads.json", batchSize=3)
    assert len(body["result"]) == 3
    assert body["nextPageToken"]
    assert "moreResult" not in body


def test_lists_of_a_lead(api: Api) -> None:
    """Membership: the lists of a lead, by pages of three with moreResult."""
    lead = api.new("lists@example.com")
    lists = [api.simulator.create_list(f"List of {lead} {n}", [lead]) for n in range(4)]
    path = f"/rest/v1/leads/{lead}/listMembership.json"
    first = api.get(path, batchSize=3)
    last = api.get(path, batchSize=3, nextPageToken=first["nextPageToken"])
    assert (first["moreResult"], last["moreResult"]) == (True, False)
    assert [x["listId"] for x in first["result"] + last["result"]] == lists


def test_program_pages_of_three(api: Api) -> None:
    """Programs: Meera, Jon and Lyanna, each with a membership."""
    people = [("Meera", "Reed", "mree"), ("Jon", "Umber", "jumb"), ("Lyanna", "Mormont", "lmor")]
    leads = [api.new(f"{m}@housestark.com", firstName=f, lastName=n) for f, n, m in people]
    api.simulator.set_program_status(1005, "Sent", leads)
    body = api.get("/rest/v1/leads/programs/1005.json", batchSize=3)
    assert [x["firstName"] for x in body["result"]] == ["Meera", "Jon", "Lyanna"]
    assert body["result"][0]["membership"]["progressionStatus"] == "Sent"
    items = api.get(f"/rest/v1/leads/{leads[0]}/programMembership.json")
    assert items["moreResult"] is False
    assert items["result"][0]["id"] == 1005


def test_smart_campaigns_of_a_lead(api: Api) -> None:
    """Smart campaigns: of a lead that was sent through one."""
    lead = api.new("campaign@example.com")
    body = api.post("/rest/v1/campaigns/3001/trigger.json", input={"leads": [{"id": lead}]})
    assert body["result"] == [{"id": 3001}]
    found = api.get(f"/rest/v1/leads/{lead}/smartCampaignMembership.json", batchSize=3)["result"]
    assert [x["smartCampaignId"] for x in found] == [3001]


def test_delete(api: Api) -> None:
    """Delete: two leads by the ids of the body."""
    leads = [api.new("d1@example.com"), api.new("d2@example.com")]
    body = api.post("/rest/v1/leads/delete.json", input=[{"id": lead} for lead in leads])
    assert body["result"] == [{"id": lead, "status": "deleted"} for lead in leads]


@pytest.mark.parametrize("action", ["createOrUpdate", "createOnly"])
def test_id_is_for_update_only(api: Api, action: str) -> None:
    """Create and Update: the id is the system's own key."""
    item = api.sync({"id": 1, "email": "x@example.com"}, action=action)[0]
    assert item["reasons"][0]["code"] == "1003"
