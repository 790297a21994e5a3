"""Every request that Adobe's OpenAPI files allow is answered, and every answer fits their types."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.simulator import Options, running
from tests.simulator.conftest import Api

SPEC = json.loads((Path(__file__).parent / "openapi.json").read_text())
OPERATIONS = [(path, method) for path, methods in SPEC["paths"].items() for method in methods]
LEAD_PATHS = [
    o
    for o in OPERATIONS
    if o[0].startswith(
        ("/rest/v1/lead", "/rest/v1/list", "/rest/v1/activities", "/rest/v1/program", "/bulk/v1/leads")
    )
    or "/campaigns" in o[0]
    or (
        "/rest/asset/v1/" in o[0]
        and any(w in o[0] for w in ("program", "staticList", "smartCampaign", "channel"))
    )
]
WORDS = st.sampled_from(
    [
        "1",
        "2",
        "7",
        "1001",
        "1003",
        "3001",
        "3002",
        "email",
        "id",
        "name",
        "a@example.com",
        "2026-01-01T00:00:00Z",
        "true",
    ]
)
TEXT = WORDS | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def value(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        schema = SPEC["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return st.sampled_from([0, 1, 2, 5, 1001, 1029, 3001, 10**12, -1])
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(value(schema.get("items", {}), depth + 1), max_size=3)
    if "properties" in schema or kind == "object":
        known = {n: value(s, depth + 1) for n, s in schema.get("properties", {}).items()} if depth < 5 else {}
        needed = {n: known.pop(n) for n in schema.get("required", []) if n in known}
        return st.fixed_dictionaries(needed, optional=known)
    return TEXT


def request(path: str, method: str) -> st.SearchStrategy[dict[str, Any]]:
    parts: dict[str, st.SearchStrategy[Any]] = {}
    for parameter in SPEC["paths"][path][method]["parameters"]:
        key = f"{parameter['in']}:{parameter['name']}"
        made = value(parameter.get("schema", parameter))
        parts[key] = made if parameter.get("required") else st.none() | made
    return st.fixed_dictionaries(parts)


def send(api: Api, path: str, method: str, given_: dict[str, Any]) -> Any:
    query, form, body, files = {}, {}, None, None
    for key, item in given_.items():
        place, name = key.split(":", 1)
        if item is None:
            continue
        text = ",".join(map(str, item)) if isinstance(item, list) else item
        if place == "path":
            path = path.replace("{" + name + "}", quote(str(text), safe="") or "0")
        elif place == "query":
            query[name] = text
        elif place == "body":
            body = item
        elif SPEC["paths"] and name == "file":
            files = {"file": ("leads.csv", f"email,firstName\n{text}@example.com,A\n")}
        elif place == "formData":
            form[name] = text
    if "/asset/" in path and isinstance(body, dict):
        form, body = {k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items()}, None
    return api.raw(method.upper(), path, params=query, data=form or None, json=body, files=files)


def fits(item: Any, schema: dict[str, Any], where: str) -> None:
    if "$ref" in schema:
        schema = SPEC["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    kind = schema.get("type")
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "number": (int, float),
    }
    if item is None:
        return
    assert kind not in kinds or isinstance(item, kinds[kind]), f"{where} should be {kind}, is {item!r}"
    if isinstance(item, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in item:
                fits(item[name], inner, f"{where}.{name}")
    if isinstance(item, list) and "items" in schema:
        for inner in item[:20]:
            fits(inner, schema["items"], where + "[]")


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Api]:
    """A simulator that nobody else relies on."""
    with running(Options(limits=False, export_seconds=0.1, import_seconds=0.1)) as simulator:
        api = Api(simulator)
        yield api
        api.http.close()


def judge(path: str, method: str, response: Any) -> None:
    assert response.status_code < 500, (
        f"{method} {response.request.url}: {response.status_code} {response.text[:300]}"
    )
    if "json" not in response.headers.get("content-type", "") or response.status_code != 200:
        return
    body = response.json()
    schema = SPEC["paths"][path][method]["response"]
    if schema and body.get("success"):
        fits(body, schema, f"{method} {path}")


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{m} {p}" for p, m in OPERATIONS])
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_operation_answers(fuzzed: Api, path: str, method: str, data: st.DataObject) -> None:
    """No allowed request makes the simulator fail."""
    judge(path, method, send(fuzzed, path, method, data.draw(request(path, method))))


@pytest.mark.parametrize(("path", "method"), LEAD_PATHS, ids=[f"{m} {p}" for p, m in LEAD_PATHS])
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_lead_operations_answer(fuzzed: Api, path: str, method: str, data: st.DataObject) -> None:
    """The endpoints of a lead integration hold under more and stranger requests."""
    judge(path, method, send(fuzzed, path, method, data.draw(request(path, method))))
