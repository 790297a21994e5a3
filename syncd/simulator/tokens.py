"""Access tokens: one per client till it expires, 602 once after that, 601 ever after."""

import uuid
from dataclasses import dataclass
from random import Random

from syncd.simulator.calls import ApiError
from syncd.simulator.clock import Clock
from syncd.simulator.options import Options


@dataclass(slots=True)
class Token:
    """A token that was handed out."""

    value: str
    client: str
    expires: float
    told: bool = False


class Tokens:
    """Hands out tokens and judges them."""

    def __init__(self, options: Options, clock: Clock, random: Random) -> None:
        self.options, self._clock, self._random = options, clock, random
        self.clients = {options.client_id: options.client_secret}
        for client in options.other_clients:
            name, _, secret = client.partition(":")
            self.clients[name] = secret
        self._current: dict[str, Token] = {}
        self._known: dict[str, Token] = {}

    def give(self, client: str, secret: str) -> Token | None:
        """The client's token: the same one while it lives; None for a wrong secret."""
        if self.clients.get(client) != secret:
            return None
        token, now = self._current.get(client), self._clock.now()
        if token is None or token.expires <= now:
            value = f"{uuid.UUID(int=self._random.getrandbits(128), version=4)}:ab"
            token = Token(value, client, now + self.options.token_seconds)
            self._current[client] = self._known[value] = token
        return token

    def left(self, token: Token) -> int:
        """Seconds that the token has left."""
        return max(0, int(token.expires - self._clock.now() - 0.001))

    def check(self, value: str | None) -> str:
        """The client whose token it is."""
        if value is None:
            raise ApiError(603, "Access denied")
        token = self._known.get(value)
        if token is None or token.told:
            raise ApiError(601, "Access token invalid")
        if token.expires <= self._clock.now():
            token.told = True
            raise ApiError(602, "Access token expired")
        return token.client

    def expire(self) -> None:
        """End the life of every token at once."""
        for token in self._known.values():
            token.expires = min(token.expires, self._clock.now())

    def revoke(self) -> None:
        """Make every token unknown."""
        self._known.clear()
        self._current.clear()
