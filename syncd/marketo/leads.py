"""Leads: their fields, reading, writing, partitions and lists.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/leads
"""

from collections.abc import Callable, Iterator, Sequence

from syncd.errors import Refused
from syncd.marketo import endpoints, shapes
from syncd.marketo.calls import Params, Request
from syncd.marketo.endpoints import BATCH
from syncd.marketo.models import (
    DescribedField,
    Lead,
    LeadDescription,
    Leads,
    Partition,
    SchemaField,
    StaticList,
    WriteAnswer,
)
from syncd.marketo.room import Room, misshapen, read
from syncd.marketo.writes import Write, read_results

LEAD_NOT_FOUND = "1004"


class LeadCalls(Room):
    """The lead database's calls. Reads raise Retryable only after patience."""

    def describe(self) -> list[DescribedField]:
        """Return all fields by the older describe call: ids and ``read_only``.

        Source: …/rest/lead-database/leads#describe. Costs one call; Adobe asks to keep the answer for a day.
        """
        envelope = self._ask(endpoints.DESCRIBE)
        return read(endpoints.DESCRIBE, envelope, shapes.described_field)

    def describe2(self) -> LeadDescription:
        """Return which fields may be searched by, and all fields with ``updateable``.

        Source: …/rest/lead-database/leads#describe. Costs one call.
        """
        envelope = self._ask(endpoints.DESCRIBE2)
        found = read(endpoints.DESCRIBE2, envelope, shapes.lead_description)
        if len(found) != 1:
            raise misshapen(endpoints.DESCRIBE2, envelope, f"{len(found)} objects")
        return found[0]

    def schema_fields(self, *, batch_size: int = BATCH) -> Iterator[SchemaField]:
        """Yield all fields that the API user's role may see, hidden ones included; 300 a call.

        Source: …/rest/lead-database/leads#get-lead-fields. Needs a Read-Write Schema permission: without
        it AuthenticationFailed (603) is raised.
        """
        for envelope in self._pages(endpoints.SCHEMA_FIELDS, params=[("batchSize", batch_size)]):
            yield from read(endpoints.SCHEMA_FIELDS, envelope, shapes.schema_field)

    def partitions(self) -> list[Partition]:
        """Return the lead partitions. Source: …/rest/lead-database/leads#lead-partitions."""
        return read(endpoints.PARTITIONS, self._ask(endpoints.PARTITIONS), shapes.partition)

    def lead(self, lead_id: int, fields: Sequence[str] = ()) -> Lead | None:
        """Return one lead, None where there is none of that id (any more).

        Source: …/rest/lead-database/leads#query. ``id`` always comes first; without ``fields`` Marketo
        returns its six default ones. Unknown fields raise Refused (1006).
        """
        try:
            envelope = self._ask(endpoints.LEAD, params=_fields(fields), lead_id=lead_id)
        except Refused as refusal:
            if refusal.code == LEAD_NOT_FOUND:
                return None
            raise
        found = read(endpoints.LEAD, envelope, shapes.lead)
        return found[0] if found else None

    def leads(self, filter_type: str, values: Sequence[str | int], fields: Sequence[str] = ()) -> Leads:
        """Return all leads whose ``filter_type`` field has one of at most 300 values.

        Source: …/rest/lead-database/leads#query. Absent and deleted leads are simply missing, one address
        may bring several leads. Refused: 1003 for more than 1,000 matches, 1006 for an unknown and 1011
        for an unsearchable field.
        """
        if len(values) > BATCH:
            raise ValueError(f"{len(values)} values in a call that takes {BATCH}")
        if not values:
            return Leads()
        params = [("filterType", filter_type), ("filterValues", _searchable(values)), *_fields(fields)]
        answers = list(self._pages(endpoints.LEADS, params=params))
        match [answer.result for answer in answers]:
            case [Leads() as found]:
                return found
        records = [lead for answer in answers for lead in read(endpoints.LEADS, answer, shapes.lead)]
        return Leads(records, answer=answers[0].body if len(answers) == 1 else None)

    def leads_by_list(
        self, list_id: int, fields: Sequence[str] = (), *, batch_size: int = BATCH
    ) -> Iterator[Lead]:
        """Yield a static list's members, 300 a call, without limit and in no promised order.

        Source: …/rest/lead-database/leads#by-static-list. ``moreResult`` is absent here: pages end with the
        token. An unknown list raises Refused (1013).
        """
        params = [*_fields(fields), ("batchSize", batch_size)]
        for envelope in self._pages(endpoints.LEADS_BY_LIST, params=params, list_id=list_id):
            yield from read(endpoints.LEADS_BY_LIST, envelope, shapes.lead)

    def leads_by_program(
        self, program_id: int, fields: Sequence[str] = (), *, batch_size: int = BATCH
    ) -> Iterator[list[Lead]]:
        """Yield pages of a program's members, each lead with its ``membership``; 300 a call.

        Source: …/rest/lead-database/leads#by-program. Pages end with the token.
        """
        params = [*_fields(fields), ("batchSize", batch_size)]
        for envelope in self._pages(endpoints.LEADS_BY_PROGRAM, params=params, program_id=program_id):
            yield read(endpoints.LEADS_BY_PROGRAM, envelope, shapes.lead_of_program)

    def program_members(self, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]) -> list[Lead]:
        """Return those of at most 300 leads that are members of the program, with member fields.

        Source: …/rest/lead-database/program-members. Leads that are no members are simply absent.
        """
        if len(lead_ids) > BATCH:
            raise ValueError(f"{len(lead_ids)} leads in a call that takes {BATCH}")
        params = [("filterType", "leadId"), ("filterValues", ",".join(map(str, lead_ids))), *_fields(fields)]
        found: list[Lead] = []
        for envelope in self._pages(endpoints.PROGRAM_MEMBERS, params=params, program_id=program_id):
            found += read(endpoints.PROGRAM_MEMBERS, envelope, shapes.member)
        return found

    def static_lists(self, *, batch_size: int = BATCH) -> Iterator[StaticList]:
        """Yield all static lists, 300 a call. Source: …/rest/lead-database/static-lists."""
        for envelope in self._pages(endpoints.STATIC_LISTS, params=[("batchSize", batch_size)]):
            yield from read(endpoints.STATIC_LISTS, envelope, shapes.static_list)

    def write(self, write: Write, *, may_leave: Callable[[], bool] = lambda: True) -> WriteAnswer:
        """Carry a write out; one result for each record, by position.

        Never repeats itself, except once for a new token. Raises Retryable where nothing was executed,
        OutcomeUnknown where that is not certain, Refused where the whole call was; a body over 1 MB is
        Refused ("HTTP 413") without being sent.

        may_leave: asked when nothing is left to wait for; a call that may not leave raises Retryable ("lost").
        """
        request = Request(write.endpoint, names=write.names, params=write.params, json=write.json)
        envelope = self._calls.call(request, lane=self._lane, may_leave=may_leave)
        return WriteAnswer(read_results(write, envelope), envelope.request_id, envelope.server_time)


def _fields(fields: Sequence[str]) -> Params:
    return [("fields", ",".join(fields))] if fields else []


def _searchable(values: Sequence[str | int]) -> str:
    text = ",".join(map(str, values))
    if text.count(",") >= len(values):
        message = "a value with a comma can't be searched for: commas part the values"
        raise Refused(message, code="request", endpoint=endpoints.LEADS.name)
    return text
