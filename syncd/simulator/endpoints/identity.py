"""Access tokens."""

import orjson

from syncd.simulator.calls import Answer, Call, Raw
from syncd.simulator.routing import route

HEADERS = (
    ("Cache-Control", "no-store"), ("Pragma", "no-cache"), ("X-XSS-Protection", "1; mode=block"),
    ("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"),
)  # fmt: skip


def _refuse(status: int, error: str, text: str) -> Raw:
    body = orjson.dumps({"error": error, "error_description": text})
    return Raw(status, body, "application/json;charset=UTF-8", HEADERS)


@route("GET", "/identity/oauth/token")
@route("POST", "/identity/oauth/token")
async def token(call: Call) -> Answer:
    """A token for a client's id and secret."""
    await call.pause()
    if call.one("grant_type") != "client_credentials":
        return _refuse(400, "unsupported_grant_type", "Unsupported grant type: use client_credentials")
    client, secret = call.one("client_id") or "", call.one("client_secret") or ""
    given = call.service.tokens.give(client, secret)
    if given is None:
        if client in call.service.tokens.clients:
            return _refuse(401, "unauthorized", "Bad client credentials")
        return _refuse(401, "invalid_client", f"No client with requested id: {client}")
    body = {
        "access_token": given.value,
        "token_type": "bearer",
        "expires_in": call.service.tokens.left(given),
        "scope": call.service.options.user,
    }
    return Raw(200, orjson.dumps(body), "application/json;charset=UTF-8", HEADERS)
