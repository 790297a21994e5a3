"""What the groups of calls have in common: a lane, paging, and reading results."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from syncd.core.budget import Lane
from syncd.errors import MarketoError
from syncd.marketo.calls import Calls, Params, Request
from syncd.marketo.decode import Envelope, unreadable
from syncd.marketo.endpoints import ASSET_BATCH, Endpoint

Model = TypeVar("Model")


class Room:
    """A group of calls that spend from one lane."""

    _calls: Calls
    _lane: Lane

    def _ask(
        self, endpoint: Endpoint, *, params: Params = (), json: Any = None, **names: str | int
    ) -> Envelope:
        return self._calls.call(Request(endpoint, names=names, params=params, json=json), lane=self._lane)

    def _pages(self, endpoint: Endpoint, *, params: Params = (), **names: str | int) -> Iterator[Envelope]:
        """Follow page tokens until there is none, or ``moreResult`` says there is no more."""
        token: str | None = None
        while True:
            turn = [*params, ("nextPageToken", token)] if token else params
            envelope = self._ask(endpoint, params=turn, **names)
            yield envelope
            if envelope.next_token is None or envelope.more is False:
                return
            if envelope.next_token == token and not envelope.result:
                raise unreadable(endpoint, "the pages go round in circles", request_id=envelope.request_id)
            token = envelope.next_token

    def _assets(self, endpoint: Endpoint) -> Iterator[Envelope]:
        """Follow offsets until a page is not full; an empty one has no result at all (page assets/assets)."""
        offset = 0
        while True:
            envelope = self._ask(endpoint, params=[("maxReturn", ASSET_BATCH), ("offset", offset)])
            yield envelope
            if len(envelope.result) < ASSET_BATCH:
                return
            offset += ASSET_BATCH


def read(endpoint: Endpoint, envelope: Envelope, shape: Callable[[Any], Model]) -> list[Model]:
    """Return the result's elements as models."""
    return _shaped(endpoint, envelope, lambda: [shape(item) for item in envelope.result])


def read_one(endpoint: Endpoint, envelope: Envelope, item: Any, shape: Callable[[Any], Model]) -> Model:
    """Return an element as a model; one that isn't as described is an answer that can't be read."""
    return _shaped(endpoint, envelope, lambda: shape(item))


def _shaped(endpoint: Endpoint, envelope: Envelope, work: Callable[[], Model]) -> Model:
    try:
        return work()
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise misshapen(endpoint, envelope, type(error).__name__) from None


def misshapen(endpoint: Endpoint, envelope: Envelope, what: str) -> MarketoError:
    """Return the error for a result that isn't as Marketo's pages describe."""
    return unreadable(
        endpoint, f"the result is not what Marketo's pages describe ({what})", request_id=envelope.request_id
    )
