"""Fields asked for, and pages: what a record shows, and how a reader goes on."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import orjson

from syncd.simulator.calls import PAGE, ApiError, Call
from syncd.simulator.fields import DEFAULT_READ
from syncd.simulator.seeding import Record, mix
from syncd.simulator.world import World

Shape = Callable[[Record], dict[str, Any]]


def encode_token(*values: Any) -> str:
    """A paging token: opaque, in capitals and digits, ending in equal signs or not."""
    return base64.b32encode(orjson.dumps(values)).decode()


def decode_token(text: str) -> list[Any]:
    """What was put into a token."""
    try:
        values = orjson.loads(base64.b32decode(text.strip().encode()))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list):
        raise ApiError(1003, "Invalid nextPageToken")
    return values


def number_token(text: str | None) -> int:
    """The number in a token; 0 where there is no token."""
    if text is None:
        return 0
    values = decode_token(text)
    if len(values) != 1 or not isinstance(values[0], int):
        raise ApiError(1003, "Invalid nextPageToken")
    return values[0]


def shape(world: World, names: Sequence[str]) -> Shape:
    """A function that shows a record: id first, then the fields asked for in their order."""
    fields = []
    for name in names or DEFAULT_READ:
        field = world.field(name)
        if field is None:
            raise ApiError(1006, f"Field '{name}' not found")
        if field.name != "id" and field not in fields:
            fields.append(field)
    shown = ("id", *(f.name for f in fields))
    slots = [world.schema.slot("id"), *(f.slot for f in fields)]
    if len(slots) == 1:
        return lambda record: {"id": record[slots[0]]}
    take = itemgetter(*slots)
    return lambda record: dict(zip(shown, take(record), strict=True))


def lead_page(call: Call, ids: Iterable[int]) -> tuple[list[int], str | None]:
    """One page of leads, and the token for the next."""
    size = call.whole("batchSize", PAGE)
    seed = call.world.options.seed
    order: Callable[[int], int] = (lambda i: mix(i, seed) >> 1) if call.world.options.shuffle else int
    after = number_token(call.one("nextPageToken"))
    ordered = sorted(ids, key=order) if call.world.options.shuffle else sorted(ids)
    start = bisect_right(ordered, after, key=order) if after else 0
    page = ordered[start : start + size]
    return page, encode_token(order(page[-1])) if len(ordered) > start + size else None


def offset_page(call: Call, items: Sequence[Any]) -> tuple[list[Any], str | None]:
    """One page of a list that does not change under the reader, and the token for the next."""
    size = call.whole("batchSize", PAGE)
    start = number_token(call.one("nextPageToken"))
    if start < 0:
        raise ApiError(1003, "Invalid nextPageToken")
    end = start + size
    return list(items[start:end]), encode_token(end) if end < len(items) else None


def read_leads(world: World, ids: Iterable[int], shaped: Shape) -> list[dict[str, Any]]:
    """The leads of a page, as they are shown."""
    get = world.leads.get
    return [shaped(record) for i in ids if (record := get(i)) is not None]
