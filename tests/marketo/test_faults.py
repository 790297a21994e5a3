"""The client against a Marketo in which things go wrong, before or after their effect."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from syncd.errors import OutcomeUnknown, QuotaExhausted, Refused, Retryable
from syncd.simulator import Options, running
from tests.marketo.writing import sync_leads

SYNC = "POST /rest/v1/leads.json"
READ = "GET /rest/v1/lead/*"


@pytest.fixture(scope="module")
def marketo():
    with running(Options(leads=300, limits=False, export_seconds=0.1)) as simulator:
        yield simulator


@pytest.fixture
def simulated(connect, marketo):
    marketo.clear_faults()
    return connect(marketo.base_url, client_id="simulator", client_secret="simulator-secret")  # noqa: S106


def create(client, name):
    """Create a lead; return its id."""
    record = {"email": f"{name}@fault-test.example.com"}
    return sync_leads(client, action="createOnly", records=[record]).items[0].id


def effects_of(marketo, work, kind=None):
    """Do something that fails; return how many changes Marketo made, and the error."""
    before = len(marketo.effects())
    with pytest.raises(kind or Exception) as caught:
        work()
    return len(marketo.effects()) - before, caught.value


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "fault", [{"kind": "reset"}, {"kind": "http", "status": 502}, {"kind": "error", "code": "611"}]
)
def test_a_write_in_doubt_is_told_as_such_whether_it_happened_or_not(simulated, marketo, fault, phase):
    """The caller can't know which it was; what counts is that it went out once."""
    marketo.fault(**fault, endpoint=SYNC, phase=phase)
    marketo.reset_calls()
    made, _ = effects_of(marketo, lambda: create(simulated, f"{fault['kind']}-{phase}"), OutcomeUnknown)
    assert (made > 0) == (phase == "after")
    assert marketo.calls()[SYNC] == 1


@pytest.mark.parametrize("kind", ["truncate", "malformed"])
def test_a_write_whose_answer_is_damaged_did_happen_and_is_in_doubt(simulated, marketo, kind):
    marketo.fault(kind, SYNC, phase="after")
    made, _ = effects_of(marketo, lambda: create(simulated, kind), OutcomeUnknown)
    assert made > 0


@pytest.mark.parametrize("code", ["606", "608", "614", "615", "713"])
def test_a_write_that_was_turned_away_has_no_effect_and_may_be_repeated(simulated, marketo, code):
    marketo.fault("error", SYNC, code=code)
    made, error = effects_of(marketo, lambda: create(simulated, f"away-{code}"), Retryable)
    assert (made, error.code) == (0, code)
    assert create(simulated, f"away-{code}")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "malformed"},
        {"kind": "http", "status": 502},
        {"kind": "http", "status": 503},
        {"kind": "error", "code": "604"},
        {"kind": "error", "code": "606"},
        {"kind": "error", "code": "615"},
    ],
)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_reads_get_there_in_the_end(simulated, marketo, clock, fault, phase):
    marketo.fault(**fault, endpoint=READ, phase=phase, count=3)
    assert simulated.lead(1, ["id"]) == {"id": 1}
    assert len(clock.slept) == 3


@pytest.mark.parametrize("how", ["expire_tokens", "revoke_tokens"])
def test_tokens_that_die_mid_run_cost_one_token_request_and_no_write(simulated, marketo, how):
    simulated.authenticate()
    getattr(marketo, how)()
    marketo.reset_calls()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create(simulated, f"{how}-{n}"), range(16)))
    assert len(set(made)) == 16
    assert marketo.calls()["POST /identity/oauth/token"] == 1


def test_a_used_up_day_names_its_end_by_marketos_clock(simulated, marketo):
    marketo.fault("error", READ, code="607")
    with pytest.raises(QuotaExhausted) as caught:
        simulated.lead(1)
    assert timedelta() < caught.value.until - datetime.now(UTC) <= timedelta(hours=25)


def finished_export(client):
    day = datetime.now(UTC)
    export = client.create_export(
        ["id", "email", "createdAt"], created_at=(day - timedelta(days=30), day + timedelta(minutes=1))
    )
    client.enqueue_export(export.id)
    for _ in range(5000):
        state = client.export_status(export.id)
        if state.status == "Completed":
            return state
    raise AssertionError("the export does not end")


def test_a_download_that_breaks_off_is_resumed_by_range(simulated, marketo):
    export = finished_export(simulated)
    with simulated.export_file(export.id) as chunks:
        whole = b"".join(chunks)
    marketo.fault("truncate", "GET /bulk/v1/leads/export/*/file.json", phase="after", count=2)
    got, breaks = bytearray(), 0
    while len(got) < export.size:
        try:
            with simulated.export_file(export.id, start=len(got)) as chunks:
                for chunk in chunks:
                    got += chunk
        except Retryable:
            breaks += 1
    assert breaks == 2
    assert bytes(got) == whole


def test_a_queue_that_is_full_and_a_day_that_is_used_up_are_told_apart(simulated, marketo):
    export = simulated.create_export(["id"], static_list_id=next(simulated.static_lists()).id)
    enqueue = "POST /bulk/v1/leads/export/*/enqueue.json"
    marketo.fault("error", enqueue, code="1029", message="Too many jobs (10) in queue")
    with pytest.raises(Retryable):
        simulated.enqueue_export(export.id)
    marketo.fault("error", enqueue, code="1029", message="Export daily quota 500MB exceeded.")
    with pytest.raises(QuotaExhausted):
        simulated.enqueue_export(export.id)
    assert simulated.enqueue_export(export.id).status in {"Queued", "Processing", "Completed"}


def test_a_file_that_is_late_although_the_export_is_complete_is_told_as_missing(simulated, marketo):
    before = marketo.options()["file_delay"]
    marketo.set_options(file_delay=3600.0)
    try:
        export = finished_export(simulated)
        with pytest.raises(Refused) as caught:
            simulated.export_file(export.id).__enter__()
        assert caught.value.code == "HTTP 404"
    finally:
        marketo.set_options(file_delay=before)
