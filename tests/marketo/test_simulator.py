"""The client against a whole Marketo: every endpoint over real HTTP, in a process of its own."""

import csv
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from syncd.clock import SystemClock
from syncd.errors import AuthenticationFailed, OutcomeUnknown, QuotaExhausted, Refused, Retryable
from syncd.simulator import Options, running
from tests.marketo.conftest import HurriedClock
from tests.marketo.writing import delete_leads, sync_leads

SERVICE = {"client_id": "simulator", "client_secret": "simulator-secret"}
MOST = 40
"""Pages after which a feed that never ends is given up."""


@pytest.fixture(scope="module")
def marketo():
    with running(Options(leads=700, limits=False, export_seconds=0.1)) as simulator:
        yield simulator


@pytest.fixture
def simulated(connect, marketo):
    return connect(marketo.base_url, **SERVICE)


def follow(feed, token):
    """Read a feed to its end; return its entries and the position behind them."""
    found = []
    for _ in range(MOST):
        page = feed(token)
        found += page.items
        token = page.next_token
        if not page.more:
            return found, token
    raise AssertionError("the feed does not end")


def address(name):
    return f"{name}@client-test.example.com"


def create(client, *names, **fields):
    """Create leads by e-mail; return their ids."""
    records = [{"email": address(name), **fields} for name in names]
    return [item.id for item in sync_leads(client, action="createOnly", records=records).items]


def test_the_schema_is_told_three_times_and_agrees(simulated):
    described = {field.rest_name: field for field in simulated.describe()}
    description = simulated.describe2()
    schema = {field.name: field for field in simulated.schema_fields(batch_size=50)}
    assert described["email"].data_type == schema["email"].data_type == "email"
    assert {field.name for field in description.fields} <= set(schema)
    assert ["email"] in description.searchable_fields
    assert described["createdAt"].read_only
    assert not described["email"].read_only
    assert described["email"].length == 255


def test_leads_are_created_read_changed_and_deleted(simulated):
    (lead,) = create(simulated, "life", firstName="Ada")
    assert simulated.lead(lead, ["email", "firstName"]) == {
        "id": lead,
        "email": address("life"),
        "firstName": "Ada",
    }
    sync_leads(simulated, action="updateOnly", records=[{"id": lead, "firstName": None}], lookup_field="id")
    assert list(simulated.leads("email", [address("life")], ["firstName"])) == [
        {"id": lead, "firstName": None}
    ]
    gone = delete_leads(simulated, [lead, lead + 1_000_000])
    assert [(item.status, [r.code for r in item.reasons]) for item in gone.items] == [
        ("deleted", []),
        ("skipped", ["1004"]),
    ]
    assert simulated.lead(lead) is None


def test_a_refused_record_leaves_its_neighbours_alone(simulated):
    records = [{"email": address("good")}, {"email": "bademail"}, {"email": address("fine")}]
    answer = sync_leads(simulated, action="createOrUpdate", records=records)
    assert [item.status for item in answer.items] == ["created", "skipped", "created"]
    assert answer.items[1].reasons[0].code == "1003"
    assert answer.items[1].id is None
    assert abs(answer.server_time - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("missing", [10**9])
def test_what_is_not_there_is_simply_absent(simulated, missing):
    assert list(simulated.leads("id", [missing])) == []
    assert simulated.lead(missing) is None


def test_unknown_and_unsearchable_fields_are_refused(simulated):
    for filter_type, code in (("noSuchField", "1006"), ("createdAt", "1011")):
        with pytest.raises(Refused) as caught:
            simulated.leads(filter_type, ["x"])
        assert caught.value.code == code


def test_three_hundred_long_addresses_and_all_fields_go_through_in_one_call(simulated, marketo):
    names = [field.name for field in simulated.describe2().fields]
    (lead,) = create(simulated, "x" * 30)
    values = [address(f"{n:03}" + "y" * 40) for n in range(299)] + [address("x" * 30)]
    marketo.reset_calls()
    found = simulated.leads("email", values, names)
    assert [one["id"] for one in found] == [lead]
    assert set(names) <= set(found[0])
    assert sum(marketo.calls().values()) == 1


def test_changes_and_deletions_are_fed_from_a_moment_on(simulated, marketo):
    token = simulated.paging_token(datetime.now(UTC) - timedelta(seconds=5))
    lead, doomed = create(simulated, "fed", "doomed", firstName="Before")
    sync_leads(
        simulated, action="updateOnly", lookup_field="id", records=[{"id": lead, "firstName": "After"}]
    )
    marketo.delete_lead(doomed)
    changes, later = follow(lambda at: simulated.lead_changes(at, ["firstName"]), token)
    mine = [change for change in changes if change.lead_id == lead and change.type_id == 13]
    assert [(f.name, f.old, f.new) for change in mine for f in change.fields] == [
        ("firstName", "Before", "After")
    ]
    assert mine[0].attributes["Source"] == "Web service API"
    deleted, _ = follow(simulated.deleted_leads, token)
    assert doomed in {entry.lead_id for entry in deleted}
    assert follow(lambda at: simulated.lead_changes(at, ["firstName"]), later)[0] == []


def test_merges_show_in_the_log(simulated, marketo):
    merge = next(kind.id for kind in simulated.activity_types() if kind.name == "Merge Leads")
    token = simulated.paging_token(datetime.now(UTC) - timedelta(seconds=5))
    winner, loser = create(simulated, "winner", "loser")
    marketo.merge_leads(winner, [loser])
    entries, _ = follow(lambda at: simulated.activities(at, [merge, 12]), token)
    (entry,) = [entry for entry in entries if entry.type_id == merge and entry.lead_id == winner]
    assert str(loser) in str(entry.attributes["Merge IDs"])


def create_many(client):
    for n in range(8):
        create(client, f"rated{n}")


def wait_for(client, export):
    for _ in range(2000):
        state = client.export_status(export.id)
        if state.status in {"Completed", "Failed", "Cancelled"}:
            return state
    raise AssertionError("the export does not end")


def test_an_export_is_made_queued_watched_and_fetched_in_parts(simulated):
    (lead,) = create(simulated, "exported", firstName='Quote "and", comma\nline')
    day = datetime.now(UTC)
    export = simulated.create_export(
        ["id", "email", "firstName"], created_at=(day - timedelta(days=1), day + timedelta(days=1))
    )
    assert export.status == "Created"
    assert simulated.enqueue_export(export.id).status == "Queued"
    simulated.enqueue_export(export.id)
    done = wait_for(simulated, export)
    assert done.status == "Completed"
    content = b""
    while len(content) < done.size:
        with simulated.export_file(export.id, start=len(content), end=len(content) + 999) as chunks:
            content += b"".join(chunks)
    assert len(content) == done.size
    assert done.checksum == f"sha256:{hashlib.sha256(content).hexdigest()}"
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert rows[0] == ["id", "email", "firstName"]
    assert [str(lead), address("exported"), 'Quote "and", comma\nline'] in rows
    assert done.records == len(rows) - 1
    assert export.id in {one.id for one in simulated.exports(["Completed"])}
    assert simulated.cancel_export(export.id).status == "Completed"


def test_an_export_that_is_not_done_has_no_file(simulated):
    export = simulated.create_export(
        ["id"], created_at=(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC))
    )
    with pytest.raises(Refused) as caught, simulated.export_file(export.id) as chunks:
        next(chunks)
    assert caught.value.code == "HTTP 404"
    assert simulated.cancel_export(export.id).status == "Cancelled"


def test_an_export_by_a_filter_that_is_not_offered_says_so(connect):
    with running(Options(leads=10, updated_at_filter=False)) as simulator:
        client = connect(simulator.base_url, **SERVICE)
        span = (datetime.now(UTC) - timedelta(days=1), datetime.now(UTC))
        with pytest.raises(Refused) as caught:
            client.create_export(["id"], updated_at=span)
        assert caught.value.code == "1035"


def test_lists_and_their_members_are_listed_in_full(simulated, marketo):
    lists = list(simulated.static_lists(batch_size=2))
    assert len({one.id for one in lists}) == len(lists) == 5
    members = create(simulated, "m1", "m2", "m3")
    marketo.add_to_list(lists[0].id, members)
    found = [lead["id"] for lead in simulated.leads_by_list(lists[0].id, ["id"], batch_size=50)]
    assert len(set(found)) == len(found)
    assert set(members) <= set(found)


def test_programs_and_campaigns_are_listed_in_full(simulated):
    programs, campaigns = list(simulated.programs()), list(simulated.smart_campaigns())
    assert len({program.id for program in programs}) == len(programs) == 5
    assert all(program.updated_at for program in programs)
    assert {campaign.type for campaign in campaigns} >= {"trigger", "batch"}


def test_partitions_and_usage(simulated):
    assert "Default" in {partition.name for partition in simulated.partitions()}
    assert simulated.usage()[0]["total"] >= 0


def test_twenty_threads_cause_one_token_request(connect, marketo):
    client = connect(marketo.base_url, **SERVICE)
    marketo.reset_calls()
    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(lambda _: client.lead(1, ["email"])["id"], range(20)))) == 1
    calls = marketo.calls()
    assert sum(count for name, count in calls.items() if "identity" in name) <= 1
    assert sum(count for name, count in calls.items() if "identity" not in name) == 20


def test_wrong_credentials_and_missing_permissions_say_what_to_do(connect):
    with running(
        Options(leads=10, denied=("read-asset", "read-write-asset", "read-only-asset"))
    ) as simulator:
        wrong = connect(simulator.base_url, **{**SERVICE, "client_secret": "wrong"})
        with pytest.raises(AuthenticationFailed, match="client_secret"):
            wrong.usage()
        limited = connect(simulator.base_url, **SERVICE)
        with pytest.raises(AuthenticationFailed, match="permission") as caught:
            list(limited.static_lists())
        assert caught.value.code == "603"


def test_tokens_that_end_mid_run_are_renewed_without_anybody_noticing(connect):
    with running(Options(leads=10, token_seconds=1.2, limits=False)) as simulator:
        client = connect(simulator.base_url, clock=SystemClock(), **SERVICE)
        start = datetime.now(UTC)
        while datetime.now(UTC) - start < timedelta(seconds=2.5):
            assert client.lead(1, ["id"]) == {"id": 1}
        identity = sum(count for name, count in simulator.calls().items() if "identity" in name)
    assert 2 <= identity <= 12


def test_a_used_up_day_is_told_with_the_moment_it_ends(connect):
    with running(Options(leads=10, daily_quota=3)) as simulator:
        client = connect(simulator.base_url, **SERVICE)
        for _ in range(3):
            client.lead(1, ["id"])
        with pytest.raises(QuotaExhausted) as caught:
            client.lead(1, ["id"])
        assert caught.value.code == "607"
        assert timedelta() < caught.value.until - datetime.now(UTC) <= timedelta(hours=25)


class SharedClock(HurriedClock):
    """Sleeps pass on the simulator's clock too."""

    def __init__(self, simulator):
        super().__init__()
        self.simulator = simulator
        simulator.freeze()

    def sleep(self, seconds):
        super().sleep(seconds)
        self.simulator.advance(seconds)


def test_a_rate_limit_is_waited_out_by_reads_and_told_to_writes(connect):
    """Three calls in twenty seconds: eight reads take two waits, and get through."""
    with running(Options(leads=10, rate=3)) as simulator:
        clock = SharedClock(simulator)
        client = connect(simulator.base_url, clock=clock, **SERVICE)
        for _ in range(8):
            assert client.lead(1, ["id"]) == {"id": 1}
        assert sum(clock.slept) >= 40
        with pytest.raises(Retryable) as caught:
            create_many(client)
        assert (caught.value.code, caught.value.after) == ("606", 10.0)


def test_a_write_that_marketo_gave_up_on_is_unknown_and_may_well_have_happened(connect, clock):
    """Marketo answers 604 while the work goes on: such a write must be looked up before it is repeated."""
    with running(Options(leads=10, latency_ms=150, time_out_scale=0.0005)) as simulator:
        client = connect(simulator.base_url, **SERVICE)
        with pytest.raises(OutcomeUnknown) as caught:
            create(client, "in-doubt")
        assert caught.value.code == "604"
        while not simulator.effects():
            pass
    assert clock.slept == []
