"""What can happen between syncd and Marketo, on real sockets."""

import gzip
import json
import socket
import threading

import pytest

from syncd.errors import ConfigError, MarketoError, OutcomeUnknown, Refused, Retryable
from tests.marketo.wire import CLOSE, Close, Reset, answer, error, ok, wire
from tests.marketo.writing import sync_leads

RECORD = {"email": "private.person@example.com", "firstName": "Veronika"}


def sync(client):
    return sync_leads(client, action="createOrUpdate", records=[RECORD])


def reset(seen):
    raise Reset


def hang_up(seen):
    raise Close


def healthy(seen):
    return ok([{"date": "today"}])


LOST = {
    "reset": reset,
    "hung up": hang_up,
    "half a head": lambda seen: [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
    "half a body": lambda seen: [answer(200, b'{"success":', "Content-Length: 500"), CLOSE],
    "broken gzip": lambda seen: answer(200, b"not gzip at all", "Content-Encoding: gzip"),
    "not HTTP": lambda seen: [b"SSH-2.0-OpenSSH\r\n\r\n", CLOSE],
}
UNREADABLE = {
    "not JSON": lambda seen: answer(200, b"<html>maintenance</html>", content_type="text/html"),
    "cut JSON": lambda seen: answer(200, b'{"requestId":"a#b","success":true,"result":['),
    "no success": lambda seen: answer(200, {"requestId": "a#b"}),
    "refused without a code": lambda seen: answer(200, {"requestId": "a#b", "success": False}),
    "a list": lambda seen: answer(200, []),
    "500": lambda seen: answer(500, b"oops", content_type="text/plain"),
    "502": lambda seen: answer(502, b"<html>", content_type="text/html"),
    "503": lambda seen: answer(503, b""),
    "504": lambda seen: answer(504, b""),
    "604": lambda seen: error("604", "Request timed out"),
    "611": lambda seen: error("611", "System error"),
    "a code nobody knows": lambda seen: error("9999"),
}
MISSHAPEN = {
    "too few results": lambda seen: ok([]),
    "too many results": lambda seen: ok([{"id": 1, "status": "created"}] * 2),
    "a strange result": lambda seen: ok(["created"]),
    "no status": lambda seen: ok([{"id": 5}]),
    "a reason without a code": lambda seen: ok([{"status": "skipped", "reasons": [{}]}]),
}


@pytest.mark.parametrize("name", LOST | UNREADABLE | MISSHAPEN)
def test_a_write_without_a_usable_answer_has_an_unknown_outcome_and_was_sent_once(client, server, name):
    server.handler = (LOST | UNREADABLE | MISSHAPEN)[name]
    with pytest.raises(OutcomeUnknown) as caught:
        sync(client)
    assert caught.value.endpoint == "sync_leads"
    assert len(server.seen) == 1


def test_a_write_on_a_kept_connection_that_dies_under_it_was_sent_once(client, server):
    """The connection is alive when it is picked and breaks when the request is on it."""
    server.handler = lambda seen: ok([]) if seen.method == "GET" else hang_up(seen)
    client.usage()
    with pytest.raises(OutcomeUnknown):
        sync(client)
    assert len(server.calls("/rest/v1/leads.json")) == 1
    assert server.connections == 1


def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced_before_a_write(client, server):
    done = [ok([{"id": 1, "status": "updated"}]), CLOSE]
    server.handler = lambda seen: done
    client.authenticate()
    for count in range(5):
        assert sync(client).items[0].status == "updated"
        while server.ended <= count:
            pass
    assert len(server.seen) == 5


@pytest.mark.parametrize("name", sorted(set(LOST | UNREADABLE) - {"a code nobody knows"}))
def test_a_read_goes_out_again_after_the_same_damage(client, server, clock, name):
    damage = iter([(LOST | UNREADABLE)[name]] * 2)
    server.handler = lambda seen: next(damage, healthy)(seen)  # noqa: PLW0108 - another one each time
    assert client.usage() == [{"date": "today"}]
    assert len(server.seen) == 3
    assert len(clock.slept) == 2


def test_nobody_listening_is_safe_to_repeat_even_for_writes(connect, budget, server):
    client = connect(server.url)
    client.authenticate()
    with wire() as gone:
        address = gone.url
    elsewhere = connect(address, retries=0)
    with pytest.raises(Retryable, match="not reached"):
        sync(elsewhere)
    assert budget.released == []


def test_a_write_to_nobody_is_not_charged(connect, server, budget):
    client = connect(server.url, retries=0)
    client.authenticate()
    client._calls._transport.base_url = "http://127.0.0.1:1"
    with pytest.raises(Retryable, match="not reached"):
        sync(client)
    assert budget.released == [(False, "transport")]


def test_reads_back_off_ever_longer_and_give_up_after_their_retries(client, server, clock, budget):
    server.handler = lambda seen: answer(502, b"")
    with pytest.raises(Retryable) as caught:
        client.usage()
    assert caught.value.code == "HTTP 502"
    assert len(server.seen) == 7
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert budget.released == [(True, "HTTP 502")] * 7
    assert budget.out == set()


def test_patience_ends_when_the_service_stops(client, server, clock):
    server.handler = lambda seen: error("608")
    clock.stop_after = 2
    with pytest.raises(Retryable):
        client.usage()
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("code", "message", "wait"),
    [
        ("606", "Max rate limit '100' exceeded with in '20' secs", 15.0),
        ("615", "Concurrent access limit '10' reached", 1.5),
    ],
)
def test_reads_wait_as_long_as_a_limit_needs(client, server, clock, budget, code, message, wait):
    refusals = iter([error(code, message)])
    server.handler = lambda seen: next(refusals, ok([]))
    client.usage()
    assert clock.slept == [wait]
    assert budget.released == [(False, code), (True, None)]


@pytest.mark.parametrize("code", ["606", "608", "614", "615", "713"])
def test_writes_never_wait_inside_but_say_that_nothing_was_executed(client, server, clock, code):
    server.handler = lambda seen: error(code)
    with pytest.raises(Retryable) as caught:
        sync(client)
    assert caught.value.request_id == "e42b#14272d07d78"
    assert (len(server.seen), clock.slept) == (1, [])
    assert caught.value.after == {"606": 10.0, "615": 1.0}.get(code)


@pytest.mark.parametrize("kind", ["silent", "trickling"])
def test_no_answer_in_time_ends_a_call(connect, server, budget, kind):
    """2.1 s for a write that Marketo works on for 90 s, scaled down."""
    pieces = {"silent": [60.0], "trickling": [answer(200, b"{", "Content-Length: 999"), 60.0]}
    server.handler = lambda seen: pieces[kind]
    client = connect(server.url, timeout_scale=0.003)
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        sync(client)
    assert len(server.seen) == 1
    assert budget.released == [(True, "transport")]


def test_an_answer_that_never_ends_is_cut_off(connect, server, clock):
    """Each byte comes in time, the whole doesn't."""

    class Skipping(list):
        def __iter__(self):
            yield answer(200, b"{", "Content-Length: 999")
            while True:
                clock.skipped += 50
                yield b" "
                yield 0.01

    server.handler = lambda seen: Skipping()
    client = connect(server.url, retries=0)
    client.authenticate()
    with pytest.raises(Retryable, match="no answer in time"):
        client.usage()


def test_each_endpoint_waits_for_its_own_time_and_the_lease_covers_it(client, server, budget):
    client.describe()
    with pytest.raises(OutcomeUnknown):
        sync(client)
    holds = {endpoint: seconds for _, endpoint, seconds in budget.acquired}
    assert holds["sync_leads"] - holds["describe"] == 60


def test_many_threads_share_a_few_kept_connections(client, server):
    for _ in range(30):
        client.usage()
    assert server.connections == 1


def test_answers_may_be_compressed(client, server):
    body = json.dumps({"requestId": "a#b", "success": True, "result": [{"n": "x" * 5000}]}).encode()
    server.handler = lambda seen: answer(200, gzip.compress(body), "Content-Encoding: gzip")
    assert client.usage() == [{"n": "x" * 5000}]
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_redirects_are_not_followed(client, server):
    server.handler = lambda seen: answer(302, b"", "Location: /elsewhere")
    with pytest.raises(Refused) as caught:
        sync(client)
    assert caught.value.code == "HTTP 302"
    assert len(server.seen) == 1


def test_short_parameters_travel_in_the_uri(client, server):
    client.leads("id", [1, 2], fields=["id", "email"])
    seen = server.seen[0]
    assert (seen.method, seen.body) == ("GET", b"")
    assert seen.target == "/rest/v1/leads.json?filterType=id&filterValues=1,2&fields=id,email"


@pytest.mark.parametrize("count", [120, 1000, 3000])
def test_long_parameters_travel_in_a_form(client, server, count):
    names = [f"field{n}" for n in range(count)]
    client.leads("email", ["ü+&=@example.com"], fields=names)
    seen = server.seen[0]
    assert (seen.method, seen.target) == ("POST", "/rest/v1/leads.json?_method=GET")
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    form = dict(part.split("=") for part in seen.body.decode().split("&"))
    assert form["fields"] == ",".join(names)
    assert form["filterValues"] == "%C3%BC%2B%26%3D%40example.com"


def test_no_uri_passes_8_kb_at_any_length(client, server):
    """Around both limits every length goes well, and what a GET carries stays far under 8,192 bytes."""
    for size in (*range(800, 1100, 20), *range(7700, 8300, 50)):
        client.lead_changes("T" * 40 + "=", ["f" * size])
    whole = [len(server.url) + len(seen.target) for seen in server.seen if seen.method == "GET"]
    assert whole
    assert 1000 < max(whole) < 2000
    assert {seen.method for seen in server.seen} == {"GET", "POST"}


@pytest.mark.parametrize("tail", ["", "/", "/rest", "/rest/", "/identity", "//"])
def test_the_address_may_be_written_as_the_admin_screen_shows_it(connect, server, tail):
    connect(server.url + tail).usage()
    assert server.seen[0].path == "/rest/v1/stats/usage.json"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://u:p@example.com",
        "https://example.com:x",
        "https://[::1",
    ],
)
def test_an_address_that_is_none_is_refused_at_once(connect, address):
    with pytest.raises(ConfigError, match="base_url"):
        connect(address)


def test_a_body_over_a_megabyte_is_refused_without_being_sent(client, server):
    with pytest.raises(Refused) as caught:
        sync_leads(client, action="createOnly", records=[{"email": "a@b.c", "notes": "x" * 1_100_000}])
    assert caught.value.code == "HTTP 413"
    assert server.seen == []


def test_lanes_share_the_token_and_the_connections(client, server, budget):
    client.on("outbox").usage()
    client.on("verify").usage()
    client.on("outbox").close()
    client.usage()
    assert [lane for lane, _, _ in budget.acquired] == ["outbox", "verify", "changes"]
    assert (len(server.identities), server.connections) == (1, 1)


def test_every_lease_is_given_back_whatever_happens(client, server, budget):
    for handler in (LOST | UNREADABLE | MISSHAPEN).values():
        server.handler = handler
        with pytest.raises(MarketoError):
            sync(client)
    assert budget.out == set()
    assert len(budget.released) == len(LOST | UNREADABLE | MISSHAPEN)


def test_a_server_that_refuses_connections_for_a_while_is_waited_for(connect, clock):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}", retries=2)
    with pytest.raises(Retryable, match="refused"):
        client.usage()
    assert len(clock.slept) == 2


def test_threads_are_not_held_up_by_each_other(client, server):
    """A slow call must not keep another from being answered."""
    gate = threading.Event()

    def handler(seen):
        if seen.path.endswith("describe.json"):
            gate.wait(10)
        return ok([])

    server.handler = handler
    slow = threading.Thread(target=client.describe)
    slow.start()
    assert client.usage() == []
    gate.set()
    slow.join(10)
