"""Bulk extract: jobs of all kinds, and the lead export's filters."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from syncd.simulator.calls import Answer, ApiError, Call, Raw, number
from syncd.simulator.clock import SECONDS_A_DAY, parse_time, stamp
from syncd.simulator.fields import Field
from syncd.simulator.jobs import Job, Jobs, read_part
from syncd.simulator.pages import offset_page
from syncd.simulator.routing import READ_LEAD, route
from syncd.simulator.service import Service
from syncd.simulator.world import World

FORMATS = frozenset(("CSV", "TSV", "SSV"))
RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
KEEP_DAYS = 7
BREATHE, LOOKED_AT = 0, 2_000
"""No lead, but a chance for other calls, after so many leads that were looked at in vain."""
Rows = Iterator[list[str]]


class Kind(NamedTuple):
    """A kind of export: where it lives, and how its rows are made from a request."""

    path: str
    prepare: Callable[[World, dict[str, Any]], tuple[list[str], Rows]]
    permissions: tuple[str, ...]


KINDS: dict[str, Kind] = {}


def jobs(service: Service) -> Jobs:
    """The subscription's jobs."""
    if service.jobs is None:
        service.jobs = Jobs(service.world)
    there: Jobs = service.jobs
    return there


def date_range(world: World, value: Any) -> tuple[float, float]:
    """The two ends of a date filter, both inclusive."""
    if not isinstance(value, dict):
        raise ApiError(1003, "Invalid date range: startAt and endAt are needed")
    ends = []
    for name in ("startAt", "endAt"):
        text = value.get(name)
        moment = parse_time(text) if isinstance(text, str) else None
        if moment is None:
            raise ApiError(1003, f"Invalid value '{text}' for '{name}'")
        ends.append(moment)
    most = world.options.export_days
    if ends[1] < ends[0]:
        raise ApiError(1003, "Invalid date range: endAt is before startAt")
    if 0 < most * SECONDS_A_DAY < ends[1] - ends[0]:
        raise ApiError(1003, f"Date range exceeds the limit of {most} days")
    return ends[0], ends[1]


def field_names(body: dict[str, Any]) -> list[str]:
    """The field names of a request."""
    names = body.get("fields")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ApiError(1003, "Invalid fields: a list of field names is needed")
    return names


def header(body: dict[str, Any], names: list[str]) -> list[str]:
    """The header row: API names, or the names that the request gives them."""
    given = body.get("columnHeaderNames") or {}
    if not isinstance(given, dict):
        raise ApiError(1003, "Invalid columnHeaderNames")
    return [str(given.get(name, name)) for name in names]


def text_of(value: Any) -> str:
    """A value as a bulk file shows it."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def lead_rows(world: World, body: dict[str, Any]) -> tuple[list[str], Rows]:
    """The rows of a lead export."""
    names = field_names(body)
    fields = []
    for name in names:
        field = world.field(name)
        if field is None or field.type == "formula":
            raise ApiError(1003, f"Invalid field '{name}'")
        fields.append(field)
    given = body.get("filter")
    if not isinstance(given, dict) or len(given) != 1:
        raise ApiError(1003, "Exactly one filter is needed")
    return header(body, names), _rows(world, fields, _lead_filter(world, *next(iter(given.items()))))


def _rows(world: World, fields: Sequence[Field], ids: Callable[[], Iterator[int]]) -> Rows:
    slots, get, anonymous = [f.slot for f in fields], world.leads.get, world.schema.slot("isAnonymous")
    odd = world.schema.slot("emailSuspended") if world.options.bulk_null_booleans else -1
    for lead in ids():
        if lead == BREATHE:
            yield []
            continue
        record = get(lead)
        if record is None or record[anonymous]:
            continue
        row = [v if type(v) is str else text_of(v) for v in map(record.__getitem__, slots)]
        if odd in slots and record[odd] is False:
            row[slots.index(odd)] = "null"
        yield row


def _lead_filter(world: World, name: str, value: Any) -> Callable[[], Iterator[int]]:
    if name in {"smartListId", "smartListName"} and not world.options.smart_list_filter:
        raise ApiError(1035, f"Unsupported filter type for target subscription: {name}")
    if name == "updatedAt" and not world.options.updated_at_filter:
        raise ApiError(1035, "Unsupported filter type for target subscription: updatedAt")
    if name in {"createdAt", "updatedAt"}:
        start, end = date_range(world, value)
        return lambda: _by_date(world, name, start, end)
    lists = world.assets.lists
    if name in {"staticListId", "smartListId"}:
        target = lists.get(number(name, value))
    elif name in {"staticListName", "smartListName"}:
        target = next((x for x in lists.values() if x.name == value), None)
    else:
        raise ApiError(1003, f"Invalid filter '{name}'")
    if target is None:
        raise ApiError(1013, f"List '{value}' not found")
    found = target
    return lambda: iter(found.members.order())


def _by_date(world: World, name: str, start: float, end: float) -> Iterator[int]:
    first, last = stamp(-(-start // 1)), stamp(end)
    if name == "updatedAt":
        for lead in world.leads.ids():
            if first <= world.leads.changed_since(lead) <= last:
                yield lead
            elif lead % LOOKED_AT == 0:
                yield BREATHE
        return
    slot, seeder = world.schema.slot("createdAt"), world.seeder
    for lead in world.leads.ids(seeder.first_created_at_or_after(start)):
        if lead > seeder.count or seeder.created(lead) > end:
            break
        yield lead
    for lead in world.leads.ids(seeder.count + 1):
        record = world.leads.get(lead)
        if record is not None and first <= record[slot] <= last:
            yield lead


def register(kind: Kind) -> None:  # noqa: C901 - one verb after the other
    """Put the verbs of a kind of export on the map."""
    base = f"/bulk/v1/{kind.path}/export"
    KINDS[kind.path] = kind

    def find(call: Call) -> Job:
        job = jobs(call.service).find(kind.path, call.client, call.args["exportId"])
        if job is None:
            raise ApiError(1013, f"Export job {call.args['exportId']} not found")
        return job

    async def create(call: Call) -> Answer:
        body = call.json()
        form = body.get("format") or "CSV"
        if not isinstance(form, str) or form.upper() not in FORMATS:
            raise ApiError(1003, f"Invalid format '{form}'")
        first, rows = kind.prepare(call.world, body)
        await call.pause()
        job = jobs(call.service).create(kind.path, call.client, form.upper(), first, rows)
        job.request = body
        return call.ok([_show(call, job)])

    async def enqueue(call: Call) -> Answer:
        job = find(call)
        await call.pause()
        call.service.spawn(jobs(call.service).enqueue(job))
        return call.ok([_show(call, job)])

    async def cancel(call: Call) -> Answer:
        job = find(call)
        await call.pause()
        jobs(call.service).cancel(job)
        return call.ok([_show(call, job)])

    async def status(call: Call) -> Answer:
        return call.ok([_show(call, find(call))])

    async def browse(call: Call) -> Answer:
        wanted, oldest = set(call.many("status")), call.world.clock.now() - KEEP_DAYS * SECONDS_A_DAY
        wanted |= {"Cancelled"} if "Canceled" in wanted else set()
        found = [
            _show(call, job) for job in jobs(call.service).jobs.values()
            if job.kind == kind.path and job.client == call.client and job.created >= oldest
            and (not wanted or job.status in wanted)
        ]  # fmt: skip
        page, token = offset_page(call, found)
        return call.ok(page, nextPageToken=token)

    async def file(call: Call) -> Answer:
        job = jobs(call.service).find(kind.path, call.client, call.args["exportId"])
        if job is None or not jobs(call.service).readable(job):
            return Raw(404, b"File not found")
        return _file(job, call.headers.get("range"))

    for method, path, handler in (
        ("POST", "/create.json", create), ("POST", "/{exportId}/enqueue.json", enqueue),
        ("POST", "/{exportId}/cancel.json", cancel), ("GET", "/{exportId}/status.json", status),
        ("GET", "/{exportId}/file.json", file), ("GET", ".json", browse),
    ):  # fmt: skip
        route(method, base + path, *kind.permissions)(handler)


def _show(call: Call, job: Job) -> dict[str, Any]:
    return job.show(call.world.options.cancelled)


def _file(job: Job, wanted: str | None) -> Raw:
    start, end, status = 0, job.size - 1, 200
    headers: tuple[tuple[str, str], ...] = (("Accept-Ranges", "bytes"),)
    match = RANGE.match(wanted.strip()) if wanted else None
    if match and (match[1] or match[2]):
        if match[1]:
            start, end = int(match[1]), min(int(match[2]) if match[2] else end, end)
        else:
            start = max(0, job.size - int(match[2]))
        if start > end:
            return Raw(416, b"", "text/plain", (("Content-Range", f"bytes */{job.size}"),))
        status, headers = 206, (*headers, ("Content-Range", f"bytes {start}-{end}/{job.size}"))

    async def parts() -> AsyncIterator[bytes]:
        for part in read_part(job, start, end):
            yield part

    return Raw(status, b"", "text/csv", headers, parts(), end - start + 1)


register(Kind("leads", lead_rows, READ_LEAD))
