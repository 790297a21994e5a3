"""Bulk import of leads."""

from syncd.simulator.calls import Answer, ApiError, Call, Raw, number
from syncd.simulator.imports import Batch, Imports, uploaded
from syncd.simulator.jobs import separators
from syncd.simulator.routing import WRITE_LEAD, route
from syncd.simulator.service import Service
from syncd.simulator.syncing import lookup_field, partition_id


def imports(service: Service) -> Imports:
    """The imports of a simulator."""
    if service.imports is None:
        service.imports = Imports(service.world)
    there: Imports = service.imports
    return there


@route("POST", "/bulk/v1/leads.json", *WRITE_LEAD)
async def create(call: Call) -> Answer:
    """Take in a file of leads."""
    form = (call.one("format") or "csv").lower()
    known = separators(call.world)
    if form not in known:
        raise ApiError(1003, f"Invalid format '{form}'")
    lookup = lookup_field(call.world, call.one("lookupField"))
    partition = partition_id(call.world, call.one("partitionName"))
    list_id = number("listId", call.one("listId")) if call.one("listId") else None
    if list_id is not None and list_id not in call.world.assets.lists:
        raise ApiError(1013, "Object not found")
    content = uploaded(call.content_type, call.body)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(1003, "The file is not UTF-8") from None
    await call.pause()
    batch = imports(call.service).add(call, text, known[form], lookup, partition, list_id)
    call.service.spawn(imports(call.service).run(batch))
    return call.ok([batch.show()])


def _find(call: Call) -> Batch:
    batch = imports(call.service).find(call.arg("batchId"))
    if batch is None:
        raise ApiError(1013, f"Import batch {call.args['batchId']} not found")
    return batch


@route("GET", "/bulk/v1/leads/batch/{batchId}.json", *WRITE_LEAD)
async def status(call: Call) -> Answer:
    """How far an import is."""
    return call.ok([_find(call).show()])


@route("GET", "/bulk/v1/leads/batch/{batchId}/failures.json", *WRITE_LEAD)
async def failures(call: Call) -> Answer:
    """The rows that failed."""
    batch = _find(call)
    return Raw(200, batch.file(batch.failures, "Import Failure Reason"), "text/csv")


@route("GET", "/bulk/v1/leads/batch/{batchId}/warnings.json", *WRITE_LEAD)
async def warnings(call: Call) -> Answer:
    """The rows that were imported with a warning."""
    batch = _find(call)
    return Raw(200, batch.file(batch.warnings, "Import Warning Reason"), "text/csv")
