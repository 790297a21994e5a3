"""Pages, in all the shapes that Marketo gives them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from syncd.errors import Refused, Retryable
from syncd.marketo.models import Activity, FieldChange, Reason
from tests.marketo.wire import answer, error, ok
from tests.marketo.writing import delete_leads, sync_leads

CHANGE = {
    "id": 1078,
    "marketoGUID": "9078",
    "leadId": 775,
    "activityDate": "2014-09-17T22:31:49+0000",
    "activityTypeId": 13,
    "fields": [{"id": 48, "name": "firstName", "newValue": "Ada", "oldValue": None}],
    "attributes": [{"name": "Source", "value": "Web service API"}, {"name": "Lead ID", "value": 775}],
    "somethingNew": True,
}


def play(server, *answers):
    """Answer with each of these in turn."""
    left = iter(answers)
    server.handler = lambda seen: next(left)


def test_a_change_is_read_in_full(client, server):
    play(server, ok([CHANGE], nextPageToken="T2", moreResult=True))
    page = client.lead_changes("T1", ["firstName"])
    assert page.items == [
        Activity(
            guid="9078",
            lead_id=775,
            date=datetime(2014, 9, 17, 22, 31, 49, tzinfo=UTC),
            type_id=13,
            primary_value_id=None,
            primary_value=None,
            attributes={"Source": "Web service API", "Lead ID": 775},
            fields=(FieldChange("firstName", None, "Ada"),),
            campaign_id=None,
            extra={"somethingNew": True},
        )
    ]
    assert (page.next_token, page.more) == ("T2", True)
    assert page.server_time == datetime(2013, 11, 20, 0, 2, 15, 544000, UTC)
    assert server.seen[0].query["nextPageToken"] == ["T1"]
    assert server.seen[0].query["fields"] == ["firstName"]


def test_an_empty_page_without_a_result_may_have_more_behind_it(client, server):
    play(server, ok(nextPageToken="T2", moreResult=True), ok(nextPageToken="T2", moreResult=False))
    first, second = client.deleted_leads("T1"), client.deleted_leads("T2")
    assert (first.items, first.more, first.next_token) == ([], True, "T2")
    assert (second.items, second.more, second.next_token) == ([], False, "T2")


def test_a_page_that_lost_its_token_is_not_taken(client, server):
    """Without the next position its entries would be read again for ever, or their successors never."""
    play(server, ok([CHANGE], moreResult=True))
    with pytest.raises(Retryable, match="token"):
        client.activities("T1", [13])


@pytest.mark.parametrize(
    "spelling",
    [
        "2023-01-16T23:32:19Z",
        "2023-01-16T23:32:19+0000",
        "2023-01-16T23:32:19Z+0000",
        "2023-01-16T23:32:19.000Z",
        "2023-01-16T17:32:19-0600",
        "2023-01-16T17:32:19-06:00",
        "2023-01-16 23:32:19",
    ],
)
def test_dates_are_read_in_every_spelling(client, server, spelling):
    play(server, ok([{**CHANGE, "activityDate": spelling}], nextPageToken="T", moreResult=False))
    assert client.activities("T", [12, 13]).items[0].date == datetime(2023, 1, 16, 23, 32, 19, tzinfo=UTC)


def test_an_activity_without_a_guid_goes_by_its_id(client, server):
    bare = {key: CHANGE[key] for key in ("id", "leadId", "activityDate", "activityTypeId")}
    play(server, ok([bare], nextPageToken="T", moreResult=False))
    found = client.activities("T", [13]).items[0]
    assert (found.guid, found.fields, found.attributes) == ("1078", (), {})


@pytest.mark.parametrize("count", [0, 11])
def test_one_to_ten_activity_types_go_into_a_call(client, server, count):
    with pytest.raises(ValueError, match="types"):
        client.activities("T", list(range(count)))
    assert server.seen == []


def test_a_moment_becomes_a_position(client, server):
    play(server, ok(nextPageToken="GIYDAOBNGEYS2MBWKQ2DQMBQ"))
    berlin = timezone(timedelta(hours=2))
    position = client.paging_token(datetime(2026, 7, 1, 14, 0, 0, 999, tzinfo=berlin))
    assert position == "GIYDAOBNGEYS2MBWKQ2DQMBQ"
    assert server.seen[0].query == {"sinceDatetime": ["2026-07-01T12:00:00Z"]}


def test_a_moment_without_a_zone_is_a_mistake(client, server):
    with pytest.raises(ValueError, match="zone"):
        client.paging_token(datetime(2026, 7, 1))  # noqa: DTZ001
    assert server.seen == []


def test_leads_come_from_all_pages(client, server):
    play(
        server,
        ok([{"id": 1}], nextPageToken="B=", moreResult=True),
        ok([], nextPageToken="C=", moreResult=True),
        ok([{"id": 2}], moreResult=False),
    )
    assert list(client.leads("email", ["a@b.c", "d@e.f"], fields=["email"])) == [{"id": 1}, {"id": 2}]
    assert [seen.query.get("nextPageToken") for seen in server.seen] == [None, ["B="], ["C="]]


def test_leads_of_a_list_end_with_the_token_since_nothing_else_tells(client, server):
    play(server, ok([{"id": 1}], nextPageToken="B="), ok([{"id": 2}]))
    assert list(client.leads_by_list(1001, ["email"])) == [{"id": 1}, {"id": 2}]
    assert server.seen[0].path == "/rest/v1/lists/1001/leads.json"


def test_pages_that_go_round_in_circles_are_left(connect, server):
    server.handler = lambda seen: ok([], nextPageToken="same", moreResult=True)
    with pytest.raises(Retryable, match="circles"):
        list(connect(server.url).static_lists())
    assert len(server.seen) == 2


def test_asking_for_no_lead_costs_no_call(client, server):
    assert list(client.leads("id", [])) == []
    assert server.seen == []


def test_three_hundred_values_fit_into_a_call_and_no_more(client, server):
    client.leads("id", range(300))
    with pytest.raises(ValueError, match="300"):
        client.leads("id", range(301))
    assert len(server.seen) == 1


def test_a_value_with_a_comma_would_be_two_and_is_refused(client, server):
    with pytest.raises(Refused, match="comma") as caught:
        client.leads("company", ["Holunder, Inc."])
    assert "Holunder" not in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize("gone", [ok([]), error("1004", "Lead not found")])
def test_a_lead_that_is_not_there_is_none(client, server, gone):
    play(server, gone)
    assert client.lead(999, ["email"]) is None


def test_a_lead_is_returned_as_marketo_sent_it(client, server):
    play(server, ok([{"id": 5, "email": None, "score": 1.5, "ok": False}]))
    assert client.lead(5) == {"id": 5, "email": None, "score": 1.5, "ok": False}
    assert server.seen[0].target == "/rest/v1/lead/5.json"


def test_each_record_gets_its_result_by_position(client, server):
    results = [
        {"id": 7149, "status": "created"},
        {"status": "skipped", "reasons": [{"code": "1005", "message": "Lead already exists"}]},
        {"reasons": [{"code": 1003, "message": "Invalid data"}]},
        {"id": "8", "status": "updated", "leadPartition": "Default"},
    ]
    play(server, ok(results))
    sent = sync_leads(
        client,
        action="createOnly",
        records=[{"email": f"{n}@example.com"} for n in range(4)],
        lookup_field="email",
    )
    assert [(item.index, item.status, item.id) for item in sent.items] == [
        (0, "created", 7149),
        (1, "skipped", None),
        (2, "skipped", None),
        (3, "updated", 8),
    ]
    assert sent.items[1].reasons == (Reason("1005", "Lead already exists"),)
    assert sent.items[3].extra == {"leadPartition": "Default"}
    assert (sent.request_id, sent.server_time.year) == ("e42b#14272d07d78", 2013)


def test_what_is_not_given_is_not_sent(client, server):
    done = ok([{"id": 1, "status": "updated"}])
    play(server, done, done)
    sync_leads(client, action="updateOnly", records=[{"id": 1, "email": None}])
    sync_leads(client, action="createOnly", records=[{}], lookup_field="id", partition_name="Europe")
    assert server.seen[0].body == b'{"action":"updateOnly","input":[{"id":1,"email":null}]}'
    assert b'"lookupField":"id","partitionName":"Europe"' in server.seen[1].body
    assert server.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", [0, 301])
def test_one_to_three_hundred_records_go_into_a_write(client, server, count):
    with pytest.raises(ValueError, match="300"):
        delete_leads(client, list(range(count)))
    assert server.seen == []


def test_numbers_of_any_size_and_odd_text_can_be_sent(client, server):
    play(server, ok([{"id": 1, "status": "updated"}]))
    sync_leads(client, action="updateOnly", records=[{"id": 2**70, "x": "\ud83d"}])
    assert server.seen[0].body == b'{"action": "updateOnly", "input": [{"id": %d, "x": "\\ud83d"}]}' % 2**70


def test_programs_are_browsed_by_offset_until_a_page_is_short(client, server):
    full = [{"id": n, "name": f"P{n}", "updatedAt": "2021-11-23T22:57:24Z+0000"} for n in range(200)]
    play(server, ok(full, errors=[], warnings=[]), ok(full[:3]))
    assert len(list(client.programs())) == 203
    assert [seen.query["offset"] for seen in server.seen] == [["0"], ["200"]]


def test_no_campaigns_at_all_is_no_result_at_all(client, server):
    play(server, ok(errors=[], warnings=["No assets found for the given search criteria."]))
    assert list(client.smart_campaigns()) == []


def test_describe_copes_with_fields_that_the_rest_api_does_not_know(client, server):
    items = [
        {
            "id": 56,
            "displayName": "E",
            "dataType": "email",
            "length": 255,
            "rest": {"name": "email", "readOnly": False},
        },
        {"id": 57, "displayName": "Old", "dataType": "string", "soap": {"name": "Old", "readOnly": True}},
    ]
    play(server, ok(items))
    email, old = client.describe()
    assert (email.rest_name, email.length, email.read_only) == ("email", 255, False)
    assert (old.rest_name, old.length, old.extra) == (None, None, {"soap": {"name": "Old", "readOnly": True}})


def test_an_export_is_made_with_one_filter(client, server):
    play(
        server,
        ok([{"exportId": "e-1", "format": "CSV", "status": "Created", "createdAt": "2026-01-01T00:00:00Z"}]),
    )
    span = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    export = client.create_export(["id", "email"], created_at=span)
    assert (export.id, export.status, export.records) == ("e-1", "Created", None)
    assert server.seen[0].body == (
        b'{"fields":["id","email"],"format":"CSV",'
        b'"filter":{"createdAt":{"startAt":"2026-01-01T00:00:00Z","endAt":"2026-01-31T23:59:59Z"}}}'
    )
    with pytest.raises(ValueError, match="exactly one"):
        client.create_export(["id"], created_at=span, static_list_id=1)


def test_an_export_that_is_queued_already_counts_as_queued(client, server):
    play(server, error("1029", "Export job is already queued"), ok([{"exportId": "e-1", "status": "Queued"}]))
    assert client.enqueue_export("e-1").status == "Queued"


def test_a_full_queue_is_the_callers_to_wait_for(client, server, clock):
    server.handler = lambda seen: error("1029", "Too many jobs (10) in queue")
    with pytest.raises(Retryable) as caught:
        client.enqueue_export("e-1")
    assert (caught.value.after, clock.slept, len(server.seen)) == (60.0, [], 1)


def test_cancelling_what_has_ended_leaves_it_as_it_is(client, server):
    play(
        server,
        error("1029", "whatever"),
        ok([{"exportId": "e-1", "status": "Completed", "numberOfRecords": 3}]),
    )
    assert client.cancel_export("e-1").records == 3


def test_both_spellings_of_cancelled_are_one(client, server):
    play(server, ok([{"exportId": "1", "status": "Canceled"}, {"exportId": "2", "status": "Cancelled"}]))
    assert {export.status for export in client.exports(["Cancelled"])} == {"Cancelled"}
    assert server.seen[0].target == "/bulk/v1/leads/export.json?status=Cancelled"


def test_a_result_that_is_not_as_described_is_an_answer_that_cannot_be_read(client, server):
    server.handler = lambda seen: answer(200, {"requestId": "a#b", "success": True, "result": [{"id": "x"}]})
    for ask in (client.describe, client.partitions, client.activity_types, lambda: list(client.programs())):
        with pytest.raises(Retryable) as caught:
            ask()
        assert caught.value.code == "answer"
