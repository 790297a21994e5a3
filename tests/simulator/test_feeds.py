"""The change feeds: pages, tokens, filters, and what a filtered page looks like."""

from collections.abc import Callable

from tests.simulator.conftest import Api

EARLY = "2020-01-01T00:00:00Z"


def test_empty_pages_with_more_to_come(start: Callable[..., Api]) -> None:
    """A page may be empty, without a result, though more results follow."""
    api = start(limits=False, scan_block=50, leads=300)
    token, pages, found = api.since(EARLY), [], []
    while True:
        body = api.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds="13", leadIds="7")
        pages.append(body)
        found += body.get("result", [])
        token = body["nextPageToken"]
        if not body["moreResult"]:
            break
    empty = [p for p in pages if "result" not in p]
    assert any(p["moreResult"] for p in empty)
    assert len(found) <= 2
    assert all(p["success"] for p in pages)


def test_sparse_pages_lose_nothing(start: Callable[..., Api]) -> None:
    """Whatever the pages look like, all of the log comes by."""
    plain, sparse = (
        start(limits=False, leads=200, sparse_pages=s, scan_block=b) for s, b in ((False, 3000), (True, 7))
    )
    ids = [
        [i["marketoGUID"] for i in a.feed("", a.since(EARLY), activityTypeIds="12,13,24,104")[0]]
        for a in (plain, sparse)
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) == len(set(ids[0])) > 200


def test_pages_by_batch_size(api: Api) -> None:
    """Small pages give the same as large ones, and the last token goes on from there."""
    token = api.since("2030-01-01T00:00:00Z")
    leads = [api.new(f"feed-{n}@example.com") for n in range(5)]
    large, last = api.feed("", token, activityTypeIds=12)
    small, _ = api.feed("", token, activityTypeIds=12, batchSize=2)
    assert [i["leadId"] for i in large] == leads
    assert small == large
    assert api.feed("", last, activityTypeIds=12)[0] == []
    more = api.new("feed-more@example.com")
    assert [i["leadId"] for i in api.feed("", last, activityTypeIds=12)[0]] == [more]


def test_seeded_log_agrees_with_the_leads(api: Api) -> None:
    """Every seeded lead has its New Lead activity, dated as the lead is."""
    items, _ = api.feed("", api.since(EARLY), activityTypeIds=12)
    dates = {i["leadId"]: i["activityDate"] for i in items}
    found = api.get("/rest/v1/leads.json", filterType="id", filterValues=",".join(map(str, range(100, 200))))
    for lead in found["result"]:
        assert dates[lead["id"]] == lead["createdAt"]


def test_changes_by_list_and_lead(api: Api) -> None:
    """listId and leadIds narrow the feed; an unknown list is 1013, 31 leads are too many."""
    token = api.since("2030-01-01T00:00:00Z")
    a, b = (api.new(f"narrow-{n}@example.com", firstName="Old") for n in "ab")
    target = api.simulator.create_list(f"Narrow {a}", [a])
    for n in "ab":
        api.sync({"email": f"narrow-{n}@example.com", "firstName": "New"})
    changed = [i["leadId"] for i in api.feed("/leadchanges", token, fields="firstName", listId=target)[0]]
    assert changed == [a, a]
    changed = [i["leadId"] for i in api.feed("/leadchanges", token, fields="firstName", leadIds=b)[0]]
    assert changed == [b, b]
    path = "/rest/v1/activities/leadchanges.json"
    query = {"nextPageToken": token, "fields": "firstName"}
    assert api.code("GET", path, params={**query, "listId": "9"}) == "1013"
    assert api.code("GET", path, params={**query, "leadIds": ",".join(map(str, range(31)))}) == "1003"


def test_score_change_has_two_activities(api: Api) -> None:
    """A changed score leaves a Change Score beside the Change Data Value."""
    token = api.since("2030-01-01T00:00:00Z")
    api.new("score@example.com", leadScore=5)
    api.sync({"email": "score@example.com", "leadScore": 15})
    items, _ = api.feed("", token, activityTypeIds="13,22")
    attributes = [{a["name"]: a["value"] for a in i["attributes"]} for i in items]
    assert [i["activityTypeId"] for i in items] == [13, 22]
    assert (attributes[0]["Old Value"], attributes[0]["New Value"]) == ("5", "15")
    assert attributes[1]["Change Value"] == "+10"
