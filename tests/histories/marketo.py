"""Marketo in a history: the simulator's control surface on one connection, and another integration's calls."""

import json
import threading
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

from syncd.clock import SystemClock
from syncd.simulator.control import ControlError, Simulator
from tests.histories.hours import Hands

SHORTEST, LONGEST = 0.05, 14 * 86_400.0
"""Seconds that a sleep takes at the least, and all sleeps of a history at the most."""


class Wire:
    """One connection that lasts, for one thread at a time."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=120)
        self._guard = threading.Lock()

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Return status and JSON of an answer."""
        payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        with self._guard:
            try:
                self._connection.request(method, target, payload, given)
                answer = self._connection.getresponse()
                return answer.status, json.loads(answer.read() or b"{}")
            except (OSError, HTTPException, ValueError):
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()


class Control(Simulator):
    """The control surface, on one connection."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.wire = Wire(base_url)

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        target = f"/_simulator/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            status, answer = self.wire.ask(method, target, body)
        except ConnectionError:
            # A connection that nobody used for long is closed by the other side.
            status, answer = self.wire.ask(method, target, body)
        if status != 200:
            raise ControlError(answer.get("error", f"HTTP {status}"))
        return answer


class Other:
    """Another integration of the company: it writes by the API, and shares Marketo's faults."""

    def __init__(self, base_url: str) -> None:
        self.wire = Wire(base_url)
        self._token = ""

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """Call an endpoint, with a new token where the old one has ended."""
        for _ in range(3):
            given = {"Authorization": f"Bearer {self._token}"} | {
                k.replace("_", "-"): v for k, v in headers.items()
            }
            _, answer = self.wire.ask(method, target, body, given)
            if {str(e.get("code")) for e in answer.get("errors", [])} & {"601", "602"} or not self._token:
                self._token = self._new_token()
                continue
            if not answer.get("success"):
                raise ControlError(str(answer.get("errors")))
            return dict(answer)
        raise ControlError("no token is taken")

    def _new_token(self) -> str:
        query = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": "simulator",
                "client_secret": "simulator-secret",
            }
        )
        return str(self.wire.ask("GET", f"/identity/oauth/token?{query}")[1].get("access_token", "none"))


class Hurried(SystemClock):
    """Time that passes in no time: a sleep sets Marketo's frozen clock forward, and PostgreSQL's, and this one."""

    def __init__(self, control: Control, hands: Hands, start: float, chance: Random) -> None:
        super().__init__()
        self._control, self._hands, self._start, self._chance = control, hands, start, chance
        self._passed = self._slept = 0.0
        self._pace = threading.Lock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start + self._passed, UTC)

    def monotonic(self) -> float:
        return self._passed

    def random(self) -> float:
        return self._chance.random()

    def sleep(self, seconds: float) -> None:
        seconds = max(seconds, SHORTEST)
        self.pass_on(seconds)
        self._slept += seconds
        if self._slept > LONGEST:
            raise AssertionError("something is waited for that never comes")

    def pass_on(self, seconds: float) -> None:
        """Let time pass on all sides."""
        with self._pace:
            self._control.advance(seconds)
            self._hands.forward(seconds)
            self._passed += seconds
