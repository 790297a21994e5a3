"""The access token: fetched once for all threads, used until it really ends.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/authentication.
Until a token ends Marketo hands out the same one again, so fetching early would gain nothing.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from syncd.clock import Clock
from syncd.errors import AuthenticationFailed, Refused, Retryable
from syncd.marketo.decode import OK, decode, parse, unreadable
from syncd.marketo.endpoints import IDENTITY
from syncd.marketo.transport import Answer, Outgoing, Transport

SERVER_ERRORS = range(500, 600)

MOST_TRIES = 5
"""Requests in a row that may bring a token which has just ended."""


@dataclass(frozen=True)
class Token:
    """An access token, its end on the monotonic clock, and the API user it belongs to."""

    text: str = field(repr=False)
    ends: float
    user: str | None = None


class Tokens:
    """The token in use. ``fetch`` asks Marketo for one; it is never called by two threads at once."""

    def __init__(self, *, fetch: Callable[[], Token], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._coming: Future[Token] | None = None

    def get(self) -> Token:
        """Return a token that has not ended, fetching one if need be; waiting threads share one fetch."""
        with self._lock:
            if self._token and self._clock.monotonic() < self._token.ends:
                return self._token
            mine = self._coming is None
            coming = self._coming = self._coming or Future()
        if mine:
            self._bring(coming)
        return coming.result()

    def drop(self, token: Token) -> None:
        """Forget a token that Marketo refused, unless another thread has replaced it already."""
        with self._lock:
            if self._token is token:
                self._token = None

    def _bring(self, coming: Future[Token]) -> None:
        try:
            token = self._fetch_living()
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            self._settle(None)
            coming.set_exception(error)
        else:
            self._settle(token)
            coming.set_result(token)

    def _settle(self, token: Token | None) -> None:
        with self._lock:
            self._token, self._coming = token, None

    def _fetch_living(self) -> Token:
        for _ in range(MOST_TRIES):
            token = self._fetch()
            if token.ends > self._clock.monotonic():
                return token
            self._clock.sleep(1.0)
        raise Retryable("Marketo hands out tokens that have ended", code="602", endpoint=IDENTITY.name)


@dataclass(frozen=True)
class Credentials:
    """What a custom service in Marketo's admin screen is known by."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


def ask(transport: Transport, credentials: Credentials, *, timeout: float, clock: Clock) -> Token:
    """Ask the identity service for a token. Such calls cost nothing of the daily quota.

    Raises AuthenticationFailed where the credentials are refused, Retryable where nobody answers.
    """
    query = urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
    )
    asked = clock.monotonic()
    answer = transport.send(
        Outgoing(IDENTITY, IDENTITY.method, f"{IDENTITY.path}?{query}", timeout, headers={})
    )
    return _token(answer, asked=asked, now=clock.now())


def _token(answer: Answer, *, asked: float, now: datetime) -> Token:
    document = parse(answer.body)
    given = document if isinstance(document, dict) else {}
    text = given.get("access_token")
    if answer.status in OK and isinstance(text, str) and text:
        return Token(text, asked + _seconds(given.get("expires_in")), user=given.get("scope"))
    if answer.status == HTTPStatus.UNAUTHORIZED or ("error" in given and answer.status not in SERVER_ERRORS):
        message = (
            "the client id or the client secret is wrong; check marketo.client_id and marketo.client_secret"
        )
        raise AuthenticationFailed(message, code=f"HTTP {answer.status}", endpoint=IDENTITY.name)
    if answer.status == HTTPStatus.NOT_FOUND:
        message = "there is no identity service at this address; is marketo.base_url right?"
        raise Refused(message, code="HTTP 404", endpoint=IDENTITY.name)
    decode(IDENTITY, answer.status, answer.headers, answer.body, now=now)
    raise unreadable(IDENTITY, "the answer holds no token")


def _seconds(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
