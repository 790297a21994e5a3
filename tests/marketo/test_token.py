"""One token for everybody, until it really ends."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncd.errors import AuthenticationFailed, Refused, Retryable
from tests.marketo.wire import answer, error, ok
from tests.marketo.writing import delete_leads, sync_leads


def token(text, expires_in=3599):
    return answer(200, {"access_token": text, "token_type": "bearer", "expires_in": expires_in})


def run_together(count, work):
    """Let many threads do the same at the same moment; return what each got."""
    start = threading.Barrier(count)

    def one(_):
        start.wait(10)
        return work()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_twenty_threads_cause_one_token_request(client, server):
    server.identity = lambda seen: [0.2, token("shared")]
    run_together(20, client.usage)
    assert len(server.identities) == 1
    assert {seen.bearer for seen in server.seen} == {"shared"}
    assert len(server.seen) == 20


def test_twenty_threads_whose_token_was_revoked_cause_one_more(client, server):
    tokens = iter(["old", "new"])
    server.identity = lambda seen: [0.2, token(next(tokens))]
    client.usage()
    server.handler = lambda seen: ok([]) if seen.bearer == "new" else error("601", "Access token invalid")
    run_together(20, client.usage)
    assert len(server.identities) == 2


def test_a_failing_token_request_is_shared_too(client, server):
    server.identity = lambda seen: [0.3, answer(401, {"error": "invalid_client", "error_description": "x"})]

    def fail():
        with pytest.raises(AuthenticationFailed, match="client_secret"):
            client.usage()

    run_together(10, fail)
    assert len(server.identities) == 1
    assert server.seen == []


@pytest.mark.parametrize("code", ["601", "602"])
def test_a_refused_token_is_replaced_and_the_call_replayed_once(client, server, code):
    tokens = iter(["old", "new"])
    server.identity = lambda seen: token(next(tokens))
    server.handler = lambda seen: ok([]) if seen.bearer == "new" else error(code)
    assert client.usage() == []
    assert [seen.bearer for seen in server.seen] == ["old", "new"]


def test_a_write_is_replayed_too_since_nothing_was_executed(client, server):
    tokens = iter(["old", "new"])
    server.identity = lambda seen: token(next(tokens))
    done = ok([{"id": 7, "status": "created"}])
    server.handler = lambda seen: done if seen.bearer == "new" else error("602")
    assert sync_leads(client, action="createOnly", records=[{"email": "a@b.c"}]).items[0].id == 7
    assert len(server.seen) == 2


def test_a_second_refusal_is_final(client, server, budget):
    server.handler = lambda seen: error("601")
    with pytest.raises(AuthenticationFailed, match="just given out"):
        client.usage()
    assert len(server.seen) == 2
    assert len(server.identities) == 2
    assert budget.released == [(False, "601")] * 2
    server.handler = lambda seen: ok([])
    client.usage()
    assert len(server.identities) == 3


def test_a_late_refusal_does_not_drop_the_newer_token(client, server):
    """A call that went out with the old token must not send its successor away."""
    tokens = iter(["old", "new", "never"])
    server.identity = lambda seen: token(next(tokens))
    slow = threading.Event()

    def handler(seen):
        if seen.bearer == "new":
            return ok([])
        if seen.path.endswith("usage.json"):
            slow.wait(10)
        return error("601")

    server.handler = handler
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(client.usage)
        while not server.seen:
            pass
        client.describe()
        slow.set()
        late.result(10)
    assert len(server.identities) == 2


def test_a_token_is_used_until_it_ends_and_not_fetched_early(client, server, clock):
    server.identity = lambda seen: token("first", expires_in=3600)
    client.usage()
    clock.skipped += 3590
    client.usage()
    assert len(server.identities) == 1
    clock.skipped += 20
    client.usage()
    assert len(server.identities) == 2


@pytest.mark.parametrize("ended", [0, -5, "nonsense", None])
def test_a_token_that_has_just_ended_is_asked_for_again(client, server, clock, ended):
    lives = iter([ended, 3600])
    server.identity = lambda seen: token("t", expires_in=next(lives))
    client.usage()
    assert len(server.identities) == 2
    assert clock.slept == [1.0]


def test_tokens_that_always_have_ended_are_given_up_after_a_few(client, server):
    server.identity = lambda seen: token("t", expires_in=0)
    with pytest.raises(Retryable, match="ended"):
        client.usage()
    assert len(server.identities) == 5


def test_wrong_credentials_say_which_settings_to_check_and_are_not_repeated(client, server, clock):
    server.identity = lambda seen: answer(401, {"error": "invalid_client", "error_description": "Bad"})
    with pytest.raises(AuthenticationFailed, match=r"marketo\.client_id") as caught:
        sync_leads(client, action="createOnly", records=[{"email": "a@b.c"}])
    assert caught.value.endpoint == "identity"
    assert clock.slept == []


def test_an_address_without_an_identity_service_is_named(client, server):
    server.identity = lambda seen: answer(404, b"nothing here", content_type="text/plain")
    with pytest.raises(Refused, match="base_url"):
        client.usage()


def test_an_identity_service_that_is_down_is_waited_for_even_before_a_write(client, server):
    answers = iter([answer(502, b"<html>"), answer(503, b""), token("t")])
    server.identity = lambda seen: next(answers)
    server.handler = lambda seen: ok([{"id": 1, "status": "deleted"}])
    delete_leads(client, [1])
    assert len(server.identities) == 3
    assert len(server.seen) == 1


def test_patience_with_the_identity_service_ends(client, server, budget):
    server.identity = lambda seen: answer(503, b"")
    with pytest.raises(Retryable) as caught:
        client.usage()
    assert caught.value.code == "HTTP 503"
    assert len(server.identities) == 7
    assert budget.acquired == []


def test_authenticate_costs_no_call_and_names_the_api_user(client, server, budget):
    assert client.authenticate() == "api@example.com"
    assert (server.seen, budget.acquired) == ([], [])
