"""The life of a call: budget, token, one replay for a new token, and patience for reads."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from syncd import log
from syncd.clock import Clock
from syncd.core.budget import LOST, STOPPING, Budget, Lane
from syncd.core.codes import RATE_WINDOW
from syncd.errors import AuthenticationFailed, MarketoError, Refused, Retryable
from syncd.marketo import auth
from syncd.marketo.body import encode, multipart
from syncd.marketo.decode import Envelope, TokenRejectedError, decode
from syncd.marketo.endpoints import BODY_LIMIT, FILE_LIMIT, IDENTITY, LONG_QUERY, Endpoint
from syncd.marketo.transport import BODY_SECONDS, CONNECT_SECONDS, NotSent, Outgoing, Stream, Transport

Got = TypeVar("Got")
Params = Sequence[tuple[str, str | int]]

NETWORK_MARGIN = 5.0
"""Seconds for the way there and back, so that Marketo's own time-out is heard of before ours strikes."""

FIRST_BACK_OFF = 1.0
LONGEST_BACK_OFF = 30.0

logger = log.get("marketo")


@dataclass(frozen=True)
class Request:
    """What to ask: an endpoint, the names in its path, its parameters, its JSON body or a CSV file."""

    endpoint: Endpoint
    names: Mapping[str, str | int] = field(default_factory=dict)
    params: Params = field(default=(), repr=False)
    json: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    file: bytes | None = field(default=None, repr=False)


class Calls:
    """Carries calls out, for any number of threads."""

    def __init__(
        self,
        *,
        transport: Transport,
        credentials: auth.Credentials,
        clock: Clock,
        budget: Budget,
        timeout_scale: float,
        retries: int,
    ) -> None:
        self.clock = clock
        self._transport = transport
        self._credentials = credentials
        self.budget = budget
        self._timeout_scale = timeout_scale
        self._retries = retries
        self._tokens = auth.Tokens(fetch=self._fetch_token, clock=clock)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def token(self) -> auth.Token:
        """Return the token in use, fetching one if there is none."""
        return self._tokens.get()

    def call(self, request: Request, *, lane: Lane, may_leave: Callable[[], bool] = lambda: True) -> Envelope:
        """Carry a call out and return its envelope. Reads wait and try again; writes raise.

        may_leave: asked last of all, when nothing is left to wait for; a call that may not raises Retryable.
        """

        def attempt(token: auth.Token) -> Envelope:
            with self._leased(request.endpoint, lane):
                if not may_leave():
                    raise NotSent(
                        "its caller no longer owns what it was to send",
                        code=LOST,
                        endpoint=request.endpoint.name,
                    )
                answer = self._transport.send(self._outgoing(request, token))
                return decode(
                    request.endpoint, answer.status, answer.headers, answer.body, now=self.clock.now()
                )

        return self._patiently(request.endpoint, lambda: self._authorised(request.endpoint, attempt))

    @contextmanager
    def stream(self, request: Request, *, lane: Lane, accept: Callable[[Stream], Got]) -> Iterator[Got]:
        """Carry a call out and hand out its answer while it arrives.

        accept: looks at the beginning and raises where it isn't what was asked for.
        """
        with ExitStack() as open_call:

            def attempt(token: auth.Token) -> Got:
                with ExitStack() as trying:
                    trying.enter_context(self._leased(request.endpoint, lane))
                    stream = trying.enter_context(self._transport.stream(self._outgoing(request, token)))
                    accepted = accept(stream)
                    open_call.push(trying.pop_all())
                    return accepted

            yield self._patiently(request.endpoint, lambda: self._authorised(request.endpoint, attempt))

    def _fetch_token(self) -> auth.Token:
        timeout = self._timeout(IDENTITY)
        return self._patiently(
            IDENTITY,
            lambda: auth.ask(self._transport, self._credentials, timeout=timeout, clock=self.clock),
        )

    def _patiently(self, endpoint: Endpoint, attempt: Callable[[], Got]) -> Got:
        for tries in itertools.count():
            try:
                return attempt()
            except Retryable as error:
                if endpoint.writes or tries >= self._retries or not _worth_waiting(endpoint, error):
                    raise
                self._pause(error, tries)
                if self.clock.stopping():
                    raise
        raise AssertionError("unreachable")  # pragma: no cover

    def _pause(self, error: Retryable, tries: int) -> None:
        """Wait as long as Marketo's limit needs, else an ever longer random while."""
        if self.clock.stopping():
            return
        chance = self.clock.random()
        if error.after is None:
            seconds = chance * min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2**tries)
        else:
            seconds = error.after * (1 + chance)
        logger.warning(
            "a call to Marketo goes out again",
            endpoint=error.endpoint,
            code=error.code,
            request_id=error.request_id,
            tries=tries + 1,
            wait=round(seconds, 2),
        )
        self.clock.sleep(seconds)

    def _authorised(self, endpoint: Endpoint, attempt: Callable[[auth.Token], Got]) -> Got:
        """Attempt with the token in use and, where that is refused, once more with the next one.

        Nothing was executed when Marketo answers 601 or 602, so this holds for writes too.
        """
        token = self._tokens.get()
        try:
            return attempt(token)
        except TokenRejectedError:
            self._tokens.drop(token)
        token = self._tokens.get()
        try:
            return attempt(token)
        except TokenRejectedError as again:
            self._tokens.drop(token)
            raise AuthenticationFailed(
                "Marketo refuses even a token that it has just given out; is the API user still active?",
                code=again.code,
                endpoint=endpoint.name,
                request_id=again.request_id,
            ) from None

    @contextmanager
    def _leased(self, endpoint: Endpoint, lane: Lane) -> Iterator[None]:
        """Hold the budget's permission for one request and tell it afterwards what became of it."""
        holds_for = self._timeout(endpoint) + CONNECT_SECONDS + BODY_SECONDS
        lease = self.budget.acquire(lane=lane, endpoint=endpoint.name, holds_for=holds_for)
        charged, error = True, None
        try:
            yield
        except MarketoError as failure:
            error, charged = failure.code, _counts(failure)
            raise
        finally:
            self.budget.release(lease, charged=charged, error=error)

    def _timeout(self, endpoint: Endpoint) -> float:
        return (endpoint.timeout + NETWORK_MARGIN) * self._timeout_scale

    def _outgoing(self, request: Request, token: auth.Token) -> Outgoing:
        endpoint = request.endpoint
        names = {name: quote(str(value), safe="") for name, value in request.names.items()}
        path = endpoint.path.format(**names)
        query = urlencode(list(request.params), quote_via=quote, safe=",")
        headers = {**request.headers, "Authorization": f"Bearer {token.text}"}
        method, body = endpoint.method, None
        if request.json is not None:
            headers["Content-Type"] = "application/json"
            body = _small_enough(endpoint, encode(request.json), BODY_LIMIT)
        elif request.file is not None:
            headers["Content-Type"], body = multipart(request.file)
            body = _small_enough(endpoint, body, FILE_LIMIT)
        elif len(query) > LONG_QUERY and endpoint.long_form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            method, body, query = "POST", query.encode(), "_method=GET"
        address = f"{path}?{query}" if query else path
        return Outgoing(endpoint, method, address, self._timeout(endpoint), headers, body)


def _small_enough(endpoint: Endpoint, body: bytes, limit: int) -> bytes:
    if len(body) <= limit:
        return body
    message = f"{len(body)} bytes are more than Marketo takes; send fewer or smaller records"
    raise Refused(message, code="HTTP 413", endpoint=endpoint.name)


def _counts(failure: MarketoError) -> bool:
    """Tell whether Marketo counts a failed call: not one that it answers with a code (page error-codes)."""
    return not (isinstance(failure, NotSent) or failure.code.isdigit())


def _worth_waiting(endpoint: Endpoint, error: Retryable) -> bool:
    """Tell whether to be patient: not with a full queue, nor again where the token's fetch was."""
    own = error.endpoint == endpoint.name and error.code != STOPPING
    return own and (error.after or 0) <= RATE_WINDOW
