"""Neither secrets nor people's data reach a log, an error or a repr."""

import io
import logging
import traceback

import pytest
import structlog

from syncd.errors import MarketoError
from tests.marketo.conftest import CLIENT_ID, SECRET
from tests.marketo.wire import BEARER, CLOSE, Reset, answer, error, ok
from tests.marketo.writing import sync_leads

VALUE = "veronika.private@example.com"
SENSITIVE = [SECRET, CLIENT_ID, BEARER, VALUE, "veronika", "Holunder"]


def reset(seen):
    raise Reset


FATES = {
    "fine": lambda seen: ok([{"id": 1, "status": "created"}]),
    "reset": reset,
    "cut": lambda seen: [answer(200, VALUE.encode(), "Content-Length: 999"), CLOSE],
    "an odd header": lambda seen: [f"HTTP/1.1 200 OK\r\n{VALUE}\r\n\r\n".encode(), CLOSE],
    "HTML": lambda seen: answer(502, f"<html>{VALUE}</html>".encode(), content_type="text/html"),
    "refused": lambda seen: error("1003", f"Invalid value for field 'email' and value '{VALUE}'"),
    "refused in other words": lambda seen: error("1012", f"Invalid cookie value '{VALUE}'"),
    "rate limited": lambda seen: error("606", f"slow down, {VALUE}"),
    "revoked": lambda seen: error("601", f"token {BEARER} is invalid"),
    "misshapen": lambda seen: ok([{"id": VALUE, "status": "created"}]),
    "a token in a cookie": lambda seen: answer(200, b"{}", f"Set-Cookie: t={BEARER}", f"X-Echo: {VALUE}"),
}


@pytest.fixture
def everything_logged():
    """All logging there is, at its most talkative, in one text."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level, before = root.level, structlog.get_config()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loud = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    for logger in loud:
        logger.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(text))
    yield text
    structlog.configure(**before)
    root.removeHandler(handler)
    root.setLevel(level)
    for logger in loud:
        logger.setLevel(logging.NOTSET)


def attempt(work):
    """Return what a person could see of a failure: the message, the traceback, the repr."""
    try:
        work()
    except MarketoError as error:
        return "".join([str(error), repr(error), *traceback.format_exception(error)])
    return ""


@pytest.mark.parametrize("fate", FATES)
def test_nothing_private_is_logged_or_raised(client, server, everything_logged, fate):
    server.handler = FATES[fate]
    record = {"email": VALUE, "lastName": "Holunder"}
    shown = attempt(lambda: sync_leads(client, action="createOrUpdate", records=[record]))
    shown += attempt(lambda: client.leads("email", [VALUE]))
    shown += attempt(lambda: list(client.static_lists()))
    shown += everything_logged.getvalue() + repr(vars(client)) + repr(vars(client._calls))
    assert [secret for secret in SENSITIVE if secret in shown] == []


@pytest.mark.parametrize(
    "fate",
    [
        lambda seen: answer(401, {"error": "invalid_client", "error_description": f"{CLIENT_ID} {SECRET}"}),
        lambda seen: answer(500, {"error": f"{SECRET}"}),
        lambda seen: answer(400, {"error": f"{SECRET}"}),
        lambda seen: answer(302, b"", f"Location: /elsewhere?client_secret={SECRET}"),
        lambda seen: answer(200, {"access_token": "", "x": SECRET}),
        reset,
    ],
)
def test_a_failing_token_request_shows_no_secret(client, server, everything_logged, fate):
    server.identity = fate
    shown = attempt(client.usage)
    assert shown
    shown += everything_logged.getvalue()
    assert [secret for secret in SENSITIVE if secret in shown] == []


def test_retries_are_logged_with_what_a_person_needs(client, server, everything_logged):
    refusals = iter([error("606", "Max rate limit '100' exceeded with in '20' secs")])
    server.handler = lambda seen: next(refusals, ok([]))
    client.usage()
    line = everything_logged.getvalue()
    assert all(part in line for part in ["goes out again", "usage", "606", "e42b#14272d07d78", "15.0"])
