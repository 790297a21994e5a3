"""The way of a call through the simulator: counts, faults, sizes, token, permission, limits, handler."""

import asyncio
import contextlib
import gzip
import random
import traceback
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from syncd.simulator import transport
from syncd.simulator.calls import JSON_TYPE, Answer, ApiError, Call, Raw
from syncd.simulator.faults import Fault, Faults
from syncd.simulator.limits import Limits
from syncd.simulator.options import Options
from syncd.simulator.requests import Gone, Incoming, read
from syncd.simulator.routing import ROUTES, Route
from syncd.simulator.tokens import Tokens
from syncd.simulator.world import World

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
GZIP_FROM = 1024
ASSET_URI = 65_536
FILE_BODY = 10_485_760
IDENTITY = "/identity/oauth/token"


class Service:
    """One running simulator, as an ASGI application."""

    def __init__(self, options: Options, world: World | None = None) -> None:
        self.options = options
        self.world = world or World(options)
        self.tokens = Tokens(options, self.world.clock, random.Random(uuid.uuid4().int))  # noqa: S311 - not a secret
        self.limits = Limits(options, self.world.clock)
        self.faults = Faults(options.seed)
        self.calls: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.background: set[asyncio.Task[Any]] = set()
        self.surface: Callable[[Service, Incoming], Awaitable[Answer]] | None = None
        self.begin: Callable[[], None] = lambda: None
        self.jobs: Any = None
        self.imports: Any = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(Gone):
                await self._answer(await read(scope, receive), send)

    def use(self, options: Options) -> None:
        """Let other options hold from now on."""
        self.options = self.world.options = self.limits.options = self.tokens.options = options
        self.world.denied = set(options.denied)
        self.world.blocked = {name.lower() for name in options.blocked_fields}
        self.world.log.hold(options.commit_lag)
        self.tokens.clients[options.client_id] = options.client_secret

    async def latency(self) -> None:
        """The time that every call takes."""
        await asyncio.sleep(self.options.latency_ms / 1000)

    def spawn(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Run something beside the calls."""
        task = asyncio.ensure_future(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    def request_id(self) -> str:
        """A new request id: some hex digits, and the time in milliseconds."""
        return f"{random.getrandbits(18):x}#{int(self.world.clock.now() * 1000):x}"

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.begin()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                for task in self.background:
                    task.cancel()
                return

    async def _answer(self, incoming: Incoming, send: Send) -> None:  # noqa: C901, PLR0912 - one way through
        if incoming.path.startswith("/_simulator/"):
            if self.surface is None:
                raise RuntimeError("no control surface")
            await self._send(await self.surface(self, incoming), incoming, send)
            return
        routes, args = ROUTES.find(incoming.path)
        route = routes.get(incoming.method)
        key = (
            route.key
            if route
            else f"{incoming.method} {next(iter(routes.values())).template if routes else incoming.path}"
        )
        self.calls[key] += 1
        struck = self.faults.draw(key, self.world.clock.now())
        for fault in struck:
            if fault.kind == "delay" and fault.phase == "before":
                await asyncio.sleep(fault.seconds or 0)
        rule = next((f for f in struck if f.kind != "delay"), None)
        request_id = self.request_id()
        if rule and rule.kind == "expire_token":
            self.tokens.expire()
        elif rule and rule.kind == "revoke_token":
            self.tokens.revoke()
        elif rule and rule.phase == "before":
            if rule.kind in {"truncate", "malformed"}:
                await self._break(rule, self._failed(request_id, ApiError(611, "System error")), send)
            await self._strike(rule, route, request_id, incoming, send)
            return
        answer = await self._handle(incoming, route, routes, args, request_id)
        for fault in struck:
            if fault.kind == "delay" and fault.phase == "after":
                await asyncio.sleep(fault.seconds or 0)
        if rule and rule.kind in {"truncate", "malformed"}:
            await self._break(rule, answer, send)
        elif rule and rule.phase == "after" and rule.kind not in {"expire_token", "revoke_token"}:
            await self._strike(rule, route, request_id, incoming, send)
        else:
            await self._send(answer, incoming, send)

    async def _handle(
        self,
        incoming: Incoming,
        route: Route | None,
        routes: dict[str, Route],
        args: dict[str, str],
        request_id: str,
    ) -> Answer:
        if refused := self._too_long(incoming):
            return refused
        call = Call(
            self, incoming.method, route.key if route else "", args, incoming.params, incoming.body,
            incoming.headers.get("content-type", ""), incoming.headers, request_id,
        )  # fmt: skip
        if incoming.path == IDENTITY and route:
            return await route.handler(call)
        entered, user, error = None, self.options.user, None
        try:
            call.client = self.tokens.check(self._token(incoming))
            if route is None:
                raise self._no_route(incoming, routes)
            if route.permissions and set(route.permissions) <= self.world.denied:
                raise ApiError(603, "Access denied")
            entered = self.limits.enter(user)
            answer = await self._run(route, call)
        except ApiError as problem:
            error = problem.code
            self.codes[error] += 1
            self.limits.failed(error)
            answer = self._failed(request_id, problem, asset=incoming.path.startswith("/rest/asset/"))
        except Exception:  # noqa: BLE001 - a mistake of ours is told and ends no connection
            traceback.print_exc()
            answer = Raw(500, b"The simulator made a mistake; see its standard error.")
        finally:
            if entered is not None:
                self.limits.leave(entered, user, error)
        return answer

    async def _run(self, route: Route, call: Call) -> Answer:
        limit = route.time_out * self.options.time_out_scale
        work = self.spawn(self._work(route, call))
        done, _ = await asyncio.wait({work}, timeout=limit or None)
        if not done:
            work.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise ApiError(604, "Request timed out")
        return work.result()  # type: ignore[no-any-return]

    async def _work(self, route: Route, call: Call) -> Answer:
        if route.method != "GET":
            return await route.handler(call)
        answer = await route.handler(call)
        await call.pause()
        return answer

    def _too_long(self, incoming: Incoming) -> Raw | None:
        longest = ASSET_URI if incoming.path.startswith("/rest/asset/") else self.options.max_uri
        if self.options.max_uri and incoming.uri_length > longest:
            return Raw(414, b"<html><body><h1>414 Request-URI Too Large</h1></body></html>", "text/html")
        multipart = incoming.headers.get("content-type", "").startswith("multipart/")
        largest = FILE_BODY if multipart else self.options.max_body
        if self.options.max_body and incoming.body_length > largest:
            return Raw(413, b"<html><body><h1>413 Request Entity Too Large</h1></body></html>", "text/html")
        return None

    def _token(self, incoming: Incoming) -> str | None:
        scheme, _, value = incoming.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return value.strip()
        given = incoming.params.get("access_token")
        return given[0] if given and self.options.query_token else None

    def _no_route(self, incoming: Incoming, routes: dict[str, Route]) -> ApiError:
        if routes:
            return ApiError(605, f"Request method '{incoming.method}' not supported")
        return ApiError(610, "Requested resource not found")

    def _failed(self, request_id: str, problem: ApiError, *, asset: bool = False) -> dict[str, Any]:
        errors = [{"code": problem.code, "message": problem.message}]
        if asset:
            return {"success": False, "errors": errors, "requestId": request_id, "warnings": []}
        return {"requestId": request_id, "success": False, "errors": errors}

    async def _strike(
        self, rule: Fault, route: Route | None, request_id: str, incoming: Incoming, send: Send
    ) -> None:
        if rule.kind == "reset":
            transport.reset(send)
        if rule.kind == "http":
            body = rule.body or f"<html><body><h1>{rule.status}</h1></body></html>"
            await self._send(Raw(rule.status, body.encode(), "text/html"), incoming, send)
            return
        problem = ApiError(rule.code, rule.message)
        if rule.kind == "timeout":
            limit = route.time_out if route else 30.0
            await asyncio.sleep(
                rule.seconds if rule.seconds is not None else limit * self.options.time_out_scale
            )
            problem = ApiError(604, "Request timed out")
        self.limits.failed(problem.code)
        await self._send(self._failed(request_id, problem), incoming, send)

    async def _break(self, rule: Fault, answer: Answer, send: Send) -> None:
        if isinstance(answer, Raw):
            await transport.broken(send, answer, cut=rule.kind == "truncate")
        body = orjson.dumps(answer)
        raw = Raw(200, body if rule.kind == "truncate" else body[:-1] + b',"', JSON_TYPE)
        await transport.broken(send, raw, cut=rule.kind == "truncate")

    async def _send(self, answer: Answer, incoming: Incoming, send: Send) -> None:
        if isinstance(answer, Raw):
            await transport.whole(send, answer)
            return
        body, headers = orjson.dumps(answer, default=str), [(b"vary", b"Accept-Encoding")]
        wanted = "gzip" in incoming.headers.get("accept-encoding", "") and not incoming.path.startswith(
            "/bulk/"
        )
        if self.options.gzip and wanted and len(body) >= GZIP_FROM:
            body = gzip.compress(body, 1, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        await transport.send_body(send, 200, JSON_TYPE, body, headers)
