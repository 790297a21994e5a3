"""A running simulator for the tests, and a small client for its API."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from syncd.simulator import Options, running
from syncd.simulator.control import Simulator


class Api:
    """Calls the simulated Marketo, and fetches a token when it needs one."""

    def __init__(self, simulator: Simulator, client_id: str = "simulator") -> None:
        self.simulator, self.client_id = simulator, client_id
        self.http = httpx.Client(base_url=simulator.base_url, timeout=20)
        self.token = ""
        self.authenticate()

    def authenticate(self) -> dict[str, Any]:
        query = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": "simulator-secret",
        }
        body: dict[str, Any] = self.http.get("/identity/oauth/token", params=query).json()
        self.token = body["access_token"]
        return body

    def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **more)

    def call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        response = self.raw(method, path, **more)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self.call("GET", path, params=params)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self.call("POST", path, json=body)

    def code(self, method: str, path: str, **more: Any) -> str:
        body = self.call(method, path, **more)
        assert body["success"] is False, body
        return str(body["errors"][0]["code"])

    def sync(self, *records: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        return list(self.post("/rest/v1/leads.json", input=list(records), **options)["result"])

    def new(self, email: str | None = None, **fields: Any) -> int:
        record = {"email": email, **fields} if email else fields
        return int(self.sync(record, action="createDuplicate")[0]["id"])

    def lead(self, lead: int, *fields: str) -> dict[str, Any] | None:
        params = {"fields": ",".join(fields)} if fields else {}
        found = self.get(f"/rest/v1/lead/{lead}.json", **params)["result"]
        return found[0] if found else None

    def since(self, moment: str) -> str:
        return str(self.get("/rest/v1/activities/pagingtoken.json", sinceDatetime=moment)["nextPageToken"])

    def feed(self, path: str, token: str, **params: Any) -> tuple[list[dict[str, Any]], str]:
        items: list[dict[str, Any]] = []
        while True:
            body = self.get(f"/rest/v1/activities{path}.json", nextPageToken=token, **params)
            items += body.get("result", [])
            token = body["nextPageToken"]
            if not body["moreResult"]:
                return items, token


@pytest.fixture(scope="session")
def shared() -> Iterator[Api]:
    """One simulator without limits; tests must not depend on what others did to it."""
    with running(Options(limits=False, export_seconds=0.2, import_seconds=0.1)) as simulator:
        api = Api(simulator)
        yield api
        api.http.close()


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    yield shared
    shared.simulator.clear_faults()


@pytest.fixture
def start() -> Iterator[Callable[..., Api]]:
    """Starts simulators with options of their own."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Api:
            api = Api(stack.enter_context(running(Options.of(**options))))
            stack.callback(api.http.close)
            return api

        yield begin
