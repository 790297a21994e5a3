"""Bulk imports: the file on the wire, the answers, and a whole one against the simulator."""

import time

import pytest

from syncd.errors import OutcomeUnknown, Refused, Retryable
from syncd.marketo.endpoints import FILE_LIMIT
from syncd.simulator import Options, running
from tests.marketo.wire import Reset, answer, error, ok

FILE = 'email,lastName\na@example.com,"Ō, ""quoted""\nand on two lines"\n'.encode()
QUEUED = {"batchId": 3404, "importId": "3404", "status": "Queued"}
PATH = "/bulk/v1/leads.json"


def test_a_file_travels_as_the_only_part_of_a_form(client, server):
    server.handler = lambda seen: ok([QUEUED])
    made = client.import_leads(FILE, lookup_field="email", partition_name="Europe")
    assert (made.id, made.status, made.processed, made.request_id) == (
        3404,
        "Queued",
        None,
        "e42b#14272d07d78",
    )
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", PATH)
    assert seen.query == {"format": ["csv"], "lookupField": ["email"], "partitionName": ["Europe"]}
    kind, boundary = seen.headers["content-type"].split("; boundary=")
    assert kind == "multipart/form-data"
    head, _, rest = seen.body.partition(b"\r\n\r\n")
    assert head.startswith(f"--{boundary}\r\n".encode())
    assert b'name="file"' in head
    assert rest == FILE + f"\r\n--{boundary}--\r\n".encode()


def test_a_file_that_is_too_large_never_leaves(client, server):
    with pytest.raises(Refused) as problem:
        client.import_leads(b"x" * FILE_LIMIT, lookup_field="email")
    assert problem.value.code == "HTTP 413"
    assert server.seen == []


@pytest.mark.parametrize(
    ("handler", "expected", "code"),
    [
        (lambda seen: error("1016", "There are 10 imports currently being processed"), Retryable, "1016"),
        (lambda seen: error("1006", "Field 'x' not found"), Refused, "1006"),
        (lambda seen: error("604", "Request timed out"), OutcomeUnknown, "604"),
        (lambda seen: answer(502, b"bad gateway", content_type="text/plain"), OutcomeUnknown, "HTTP 502"),
        (lambda seen: ok([]), OutcomeUnknown, "answer"),
        (lambda seen: ok([QUEUED | {"batchId": 10**20}]), OutcomeUnknown, "answer"),
        (lambda seen: ok([QUEUED | {"batchId": None}]), OutcomeUnknown, "answer"),
    ],
)
def test_a_file_is_handed_over_once_whatever_comes_back(client, server, handler, expected, code):
    server.handler = handler
    with pytest.raises(expected) as problem:
        client.import_leads(FILE, lookup_field="email")
    assert problem.value.code == code
    assert len(server.seen) == 1


def test_odd_words_and_counts_do_not_hide_how_an_import_stands(client, server):
    odd = {
        "status": "Comp\0lete",
        "message": "all\0 done",
        "numOfRowsFailed": "many",
        "numOfRowsWithWarning": 10**20,
    }
    server.handler = lambda seen: ok([QUEUED | odd])
    state = client.import_status(3404)
    assert (state.status, state.message, state.failed, state.warned) == ("Complete", "all done", None, None)


def test_a_connection_that_breaks_leaves_the_outcome_open(client, server):
    def handler(seen):
        raise Reset

    server.handler = handler
    with pytest.raises(OutcomeUnknown):
        client.import_leads(FILE, lookup_field="email")
    assert len(server.seen) == 1


def test_a_file_of_failures_that_breaks_off_is_fetched_again_and_an_error_is_none(client, server):
    whole = answer(200, FILE, content_type="text/csv")
    answers = [[whole[:-10], "close"], whole, error("1013", "Import batch 7 not found")]
    server.handler = lambda seen: answers.pop(0)
    assert client.import_failures(7) == FILE
    assert [seen.path for seen in server.seen] == ["/bulk/v1/leads/batch/7/failures.json"] * 2
    with pytest.raises(Refused) as problem:
        client.import_warnings(7)
    assert problem.value.code == "1013"


def test_an_import_of_the_simulator_is_watched_to_its_end(connect):
    service = {"client_id": "simulator", "client_secret": "simulator-secret"}
    with running(Options(leads=10, limits=False, import_seconds=0.05)) as simulator:
        client = connect(simulator.base_url, **service)

        def ended(file):
            batch = client.import_leads(file, lookup_field="email").id
            while (state := client.import_status(batch)).status not in {"Complete", "Failed"}:
                time.sleep(0.01)
            return state

        made = ended(b"email,firstName\nnew@example.com,New\nno address,Bad\n")
        assert (made.status, made.processed, made.failed, made.warned) == ("Complete", 1, 1, 0)
        header, row, _ = client.import_failures(made.id).decode().split("\n")
        assert header == "email,firstName,Import Failure Reason"
        assert row.startswith("no address,Bad,")
        assert client.import_warnings(made.id) == b"email,firstName,Import Warning Reason\n"
        simulator.fail_imports()
        failed = ended(b"email\nhalf@example.com\nway@example.com\n")
        assert (failed.status, failed.message) == ("Failed", "Import failed")
        emails = ["half@example.com", "way@example.com"]
        assert [r["email"] for r in client.leads("email", emails, ["email"])] == emails[:1]
        with pytest.raises(Refused):
            client.import_status(999_999)
