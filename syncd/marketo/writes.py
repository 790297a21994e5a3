"""Writes as values: the one call that carries rows of one shape, and its answer read row by row. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.core.operations import CATALOGUE
from syncd.marketo import endpoints, shapes
from syncd.marketo.models import RecordResult
from syncd.marketo.room import misshapen, read_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncd.core.outbox import Shape
    from syncd.marketo.calls import Params
    from syncd.marketo.decode import Envelope
    from syncd.marketo.endpoints import Endpoint

    Record = dict[str, Any]
    Ids = Sequence[int | str | None]
    Parts = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """A call that changes something."""

    endpoint: Endpoint
    records: int
    """Rows that it carries."""
    names: Mapping[str, str | int] = field(default_factory=dict)
    params: Params = ()
    json: Any = None
    whole: str | None = None
    """Where the answer says nothing of each record: what became of all of them, if the call was taken."""

    def described(self) -> dict[str, Any]:
        """Return the call for a person to read."""
        path = self.endpoint.path.format(**self.names)
        told: dict[str, Any] = {"method": self.endpoint.method, "path": path}
        if self.params:
            told["query"] = dict(self.params)
        return told | ({} if self.json is None else {"body": self.json})


def build(shape: Shape, records: Sequence[Record], leads: Ids) -> Write:
    """Return the call that carries these records.

    leads: for operations that know leads by id alone, the id of each record's lead.
    Raises ValueError where there are none, or more than a call takes.
    """
    operation = CATALOGUE[shape.operation]
    if not 0 < len(records) <= operation.records:
        raise ValueError(f"{len(records)} records in a call that takes 1 to {operation.records}")
    parts = _PARTS.get(operation.endpoint, _records)(shape, records, leads)
    return Write(endpoints.WRITES[operation.endpoint], len(records), **parts)


def _sync(shape: Shape, records: Sequence[Record], _: Ids) -> Parts:
    action = CATALOGUE[shape.operation].action
    return {"json": {"action": action, "input": list(records), **_named(shape)}}


def _push(shape: Shape, records: Sequence[Record], _: Ids) -> Parts:
    return {"json": {**shape.options, "input": list(records), **_named(shape)}}


def _records(shape: Shape, records: Sequence[Record], _: Ids) -> Parts:
    return {"json": {**shape.options, "input": list(records)}}


def _delete(_: Shape, __: Sequence[Record], leads: Ids) -> Parts:
    return {"json": {"input": _ids(leads)}}


def _move(shape: Shape, _: Sequence[Record], leads: Ids) -> Parts:
    return {"json": {"input": [each | {"partitionName": shape.partition_name} for each in _ids(leads)]}}


def _list(shape: Shape, _: Sequence[Record], leads: Ids) -> Parts:
    return {"names": {"list_id": shape.options["listId"]}, "json": {"input": _ids(leads)}}


def _program(shape: Shape, _: Sequence[Record], leads: Ids) -> Parts:
    status = {key: value for key, value in shape.options.items() if key != "programId"}
    members = {"input": [{"leadId": lead} for lead in leads]}
    return {"names": {"program_id": shape.options["programId"]}, "json": status | members}


def _campaign(shape: Shape, _: Sequence[Record], leads: Ids) -> Parts:
    tokens = {key: value for key, value in shape.options.items() if key != "campaignId"}
    name = {"campaign_id": shape.options["campaignId"]}
    return {"names": name, "json": {"input": {"leads": _ids(leads)} | tokens}, "whole": "requested"}


def _merge(shape: Shape, records: Sequence[Record], leads: Ids) -> Parts:
    crm = shape.options.get("mergeInCRM")
    flag = [] if crm is None else [("mergeInCRM", "true" if crm else "false")]
    losers = [("leadIds", ",".join(str(loser) for loser in records[0]["leadIds"]))]
    return {"names": {"lead_id": str(leads[0])}, "params": [*losers, *flag], "whole": "merged"}


def _associate(shape: Shape, _: Sequence[Record], leads: Ids) -> Parts:
    cookie = [("cookie", str(shape.options["cookie"]))]
    return {"names": {"lead_id": str(leads[0])}, "params": cookie, "whole": "associated"}


def _update_field(_: Shape, records: Sequence[Record], __: Ids) -> Parts:
    changes = {key: value for key, value in records[0].items() if key != "name"}
    return {"names": {"name": records[0]["name"]}, "json": {"input": [changes]}}


_PARTS: dict[str, Callable[[Shape, Sequence[Record], Ids], Parts]] = {
    "sync_leads": _sync,
    "push_leads": _push,
    "delete_leads": _delete,
    "update_partition": _move,
    "add_to_list": _list,
    "remove_from_list": _list,
    "set_program_status": _program,
    "remove_from_program": _program,
    "trigger_campaign": _campaign,
    "merge_leads": _merge,
    "associate_lead": _associate,
    "update_field": _update_field,
}


def _ids(leads: Ids) -> list[Record]:
    return [{"id": lead} for lead in leads]


def _named(shape: Shape) -> Record:
    partition = {} if shape.partition_name is None else {"partitionName": shape.partition_name}
    return {"lookupField": shape.lookup_field} | partition


def read_results(write: Write, envelope: Envelope) -> list[RecordResult]:
    """Return what became of each record, in the order in which they were sent.

    Raises where the answer is not what Marketo's pages describe: then the outcome is unknown.
    """
    if write.whole is not None:
        return [RecordResult(index, write.whole, None, ()) for index in range(write.records)]
    items = envelope.result
    if len(items) != write.records:
        raise misshapen(write.endpoint, envelope, f"{len(items)} results for {write.records} records")
    places = {
        item["seq"]: item for item in items if isinstance(item, dict) and isinstance(item.get("seq"), int)
    }
    if sorted(places) == list(range(len(items))):
        # Results of program members carry their place (…/rest/lead-database/program-members).
        items = [places[place] for place in range(len(items))]
    return [
        read_one(write.endpoint, envelope, item, partial(shapes.record_result, index))
        for index, item in enumerate(items)
    ]
