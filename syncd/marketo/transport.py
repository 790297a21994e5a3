"""HTTP, in the one file that knows httpx.

A request leaves this machine at most once: httpx repeats nothing by itself here (``retries=0``; a
pooled connection that turns out to be dead raises, and redirects are not followed).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from syncd.clock import Clock
from syncd.errors import ConfigError, MarketoError, OutcomeUnknown, Retryable
from syncd.marketo.endpoints import Endpoint

CONNECT_SECONDS = 10.0
POOL_SECONDS = 30.0
BODY_SECONDS = 60.0
"""Seconds that an answer's body may take on top of the endpoint's own time-out."""

KEEP_ALIVE_SECONDS = 15.0
"""Idle connections are dropped before a gateway does it: the race would leave a write in doubt."""

MOST_CONNECTIONS = 32

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LIBRARY_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")


class NotSent(Retryable):
    """Nothing left this machine: Marketo can't have counted or executed it."""


@dataclass(frozen=True)
class Outgoing:
    """A request, ready to go. ``path`` includes its query; ``timeout`` is in seconds."""

    endpoint: Endpoint
    method: str
    path: str
    timeout: float
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What came back, in full."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Stream:
    """What is coming back; ``chunks`` are the body's bytes as they were sent."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    chunks: Iterator[bytes] = field(repr=False)


def normalised(base_url: str) -> str:
    """Return the root of an address as Marketo's admin screen shows it, with or without /rest."""
    try:
        parts = urlsplit(base_url.strip())
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.username or parts.query:
        raise ConfigError("marketo.base_url must look like https://123-ABC-456.mktorest.com")
    path = parts.path.rstrip("/")
    for tail in ("/rest", "/identity"):
        path = path.removesuffix(tail).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


class Transport:
    """Connections to one Marketo instance, shared by all threads."""

    def __init__(self, *, base_url: str, user_agent: str, clock: Clock) -> None:
        _silence_libraries()
        self.base_url = normalised(base_url)
        self._clock = clock
        limits = httpx.Limits(
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        self._http = httpx.Client(
            headers={"User-Agent": user_agent, "Accept-Encoding": "gzip", "Accept": "application/json"},
            follow_redirects=False,
            limits=limits,
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def send(self, request: Outgoing) -> Answer:
        """Send a request and return the whole answer."""
        deadline = self._clock.monotonic() + CONNECT_SECONDS + request.timeout + BODY_SECONDS
        with _translated(request.endpoint), self._open(request) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if self._clock.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer trickles")
            return Answer(response.status_code, response.headers, bytes(body))

    @contextmanager
    def stream(self, request: Outgoing) -> Iterator[Stream]:
        """Send a request and hand out the answer while it arrives."""
        with _translated(request.endpoint), self._open(request) as response:
            chunks = _translated_chunks(request.endpoint, response.iter_raw())
            yield Stream(response.status_code, response.headers, chunks)

    @contextmanager
    def _open(self, request: Outgoing) -> Iterator[httpx.Response]:
        timeout = httpx.Timeout(request.timeout, connect=CONNECT_SECONDS, pool=POOL_SECONDS)
        with self._http.stream(
            request.method,
            self.base_url + request.path,
            headers=dict(request.headers),
            content=request.body,
            timeout=timeout,
        ) as response:
            yield response


@contextmanager
def _translated(endpoint: Endpoint) -> Iterator[None]:
    """Turn httpx's errors into syncd's.

    The original is not chained: it holds the request, whose URL may hold the secret or e-mail addresses.
    """
    try:
        yield
    except _NEVER_SENT as error:
        message = f"not reached: {str(error) or _in_words(error)}"
        raise NotSent(message, code="transport", endpoint=endpoint.name) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise broken(endpoint, _in_words(error)) from None


def _translated_chunks(endpoint: Endpoint, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _translated(endpoint):
        yield from chunks


def broken(endpoint: Endpoint, message: str) -> MarketoError:
    """Return the error for a call that may have arrived but whose answer didn't."""
    if endpoint.writes:
        return OutcomeUnknown(message, code="transport", endpoint=endpoint.name)
    return Retryable(message, code="transport", endpoint=endpoint.name)


def _in_words(error: Exception) -> str:
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    return f"the connection failed ({type(error).__name__})"


_WORDS: dict[type[Exception], str] = {
    httpx.PoolTimeout: "no free connection",
    httpx.ConnectTimeout: "no connection in time",
    httpx.WriteTimeout: "the request could not be sent in time",
    httpx.TimeoutException: "no answer in time",
    httpx.DecodingError: "the answer's compression is damaged",
    httpx.RemoteProtocolError: "the connection ended before the answer did",
    httpx.NetworkError: "the connection broke",
}


def _silence_libraries() -> None:
    """Stop httpx's and httpcore's own log lines: they print URLs, and with them secrets and addresses."""
    for name in _LIBRARY_LOGGERS:
        logger = logging.getLogger(name)
        if _never not in logger.filters:
            logger.addFilter(_never)


def _never(_record: logging.LogRecord) -> bool:
    return False
