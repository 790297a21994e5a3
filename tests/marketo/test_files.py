"""An export's file: streamed, resumed by range, never confused with an error."""

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.errors import AuthenticationFailed, QuotaExhausted, Refused, Retryable
from syncd.marketo.exports import _cut
from tests.marketo.wire import CLOSE, answer, error, ok

FILE = b"id,email\n" + b"".join(b"%d,x%d@example.com\n" % (n, n) for n in range(15_000))
PATH = "/bulk/v1/leads/export/e-1/file.json"


def ranged(seen, content=FILE):
    """Serve a file as Marketo does."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", ""))
    if not asked:
        return answer(200, content, content_type="text/csv")
    first, last = int(asked[1]), int(asked[2] or len(content) - 1)
    if first >= len(content):
        return answer(416, b"", content_type="text/plain")
    part = content[first : last + 1]
    where = f"Content-Range: bytes {first}-{first + len(part) - 1}/{len(content)}"
    return answer(206, part, where, content_type="text/csv")


def fetch(client, **options):
    with client.export_file("e-1", **options) as chunks:
        return b"".join(chunks)


def test_the_whole_file_comes_byte_for_byte(client, server, budget):
    server.handler = ranged
    assert fetch(client) == FILE
    assert "range" not in server.seen[0].headers
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert budget.released == [(True, None)]


@pytest.mark.parametrize(("start", "end"), [(1, None), (100_000, None), (0, 9), (5, 5), (7, 99_999)])
def test_a_part_comes_by_range(client, server, start, end):
    server.handler = ranged
    assert fetch(client, start=start, end=end) == FILE[start : None if end is None else end + 1]


@pytest.mark.parametrize(("start", "end"), [(1, None), (100_000, None), (0, 9), (5, 5), (7, 99_999)])
def test_a_server_that_does_not_know_ranges_gives_the_same_bytes(client, server, start, end):
    server.handler = lambda seen: answer(200, FILE, content_type="text/csv")
    assert fetch(client, start=start, end=end) == FILE[start : None if end is None else end + 1]


def test_resuming_at_the_end_brings_nothing(client, server):
    server.handler = ranged
    assert fetch(client, start=len(FILE)) == b""


def test_a_dropped_file_is_resumed_where_it_broke_off(client, server, budget):
    """Each connection breaks after a while; what came is kept, and the next one goes on."""

    def handler(seen):
        whole = ranged(seen)
        head = whole.index(b"\r\n\r\n") + 4
        return whole if len(whole) - head < 70_000 else [whole[: head + 70_000], CLOSE]

    server.handler = handler
    got, breaks = bytearray(), 0
    while len(got) < len(FILE):
        try:
            with client.export_file("e-1", start=len(got)) as chunks:
                for chunk in chunks:
                    got += chunk
        except Retryable:
            breaks += 1
    assert breaks == len(FILE) // 70_000
    assert hashlib.sha256(got).digest() == hashlib.sha256(FILE).digest()
    assert budget.released == [(True, "transport")] * breaks + [(True, None)]


def test_a_part_from_another_place_is_not_taken(connect, server):
    server.handler = lambda seen: answer(206, b"x", "Content-Range: bytes 0-0/9", content_type="text/csv")
    with pytest.raises(Retryable, match="another position"):
        fetch(connect(server.url, retries=0), start=5)


def test_a_file_that_is_not_there_is_told_from_every_other_failure(client, server, clock):
    """Not completed, too old, or not to be had for a while although completed: the caller's to decide."""
    server.handler = lambda seen: answer(404, b"Not found", content_type="text/plain")
    with pytest.raises(Refused) as caught:
        fetch(client)
    assert caught.value.code == "HTTP 404"
    assert clock.slept == []


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", "text/csv", "text/plain"])
@pytest.mark.parametrize("start", [0, 9])
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (error("603", "Access denied"), AuthenticationFailed),
        (error("607", "Daily quota reached"), QuotaExhausted),
        (error("1029", "Export daily quota 500MB exceeded."), QuotaExhausted),
        (error("610", "Requested resource not found"), Refused),
        (ok([{"surprise": 1}]), Retryable),
    ],
)
def test_an_error_in_place_of_the_file_is_recognised(connect, server, content_type, start, refusal, kind):
    server.handler = lambda seen: refusal.replace(b"application/json", content_type.encode())
    with pytest.raises(kind):
        fetch(connect(server.url, retries=0), start=start)


def test_a_token_that_ends_before_a_download_is_renewed(client, server, budget):
    tokens = iter(["old", "new"])
    server.identity = lambda seen: answer(200, {"access_token": next(tokens), "expires_in": 3600})
    server.handler = lambda seen: error("602") if seen.bearer == "old" else ranged(seen)
    assert fetch(client) == FILE
    assert budget.released == [(False, "602"), (True, None)]


def test_a_busy_server_is_waited_for_before_a_download(client, server, clock):
    busy = iter([error("606"), answer(502, b"")])
    server.handler = lambda seen: next(busy, None) or ranged(seen)
    assert fetch(client) == FILE
    assert len(clock.slept) == 2


def test_an_empty_file_is_a_file(client, server):
    server.handler = lambda seen: answer(200, b"", content_type="text/csv")
    assert fetch(client) == b""


def test_leaving_a_download_early_gives_the_connection_and_the_lease_back(client, server, budget):
    server.handler = ranged
    for _ in range(40):
        with client.export_file("e-1") as chunks:
            next(chunks)
    assert budget.out == set()
    assert client.on("outbox").authenticate()


def test_the_callers_own_failure_passes_through(client, server, budget):
    server.handler = ranged

    def use():
        with client.export_file("e-1") as chunks:
            return len(next(chunks)) / 0

    with pytest.raises(ZeroDivisionError):
        use()
    assert budget.out == set()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5)), st.integers(0, 30), st.none() | st.integers(0, 30))
def test_a_part_of_a_whole_file_is_the_same_however_the_file_arrives(chunks, start, end):
    whole = b"".join(chunks)
    wanted = whole[start : None if end is None else end + 1]
    assert b"".join(_cut(iter(chunks), start=start, end=end)) == wanted
