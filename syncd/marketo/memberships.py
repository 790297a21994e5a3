"""Members with all their fields, and the smart campaigns that a lead went through.

Sources: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/leads and
…/rest/lead-database/program-members
"""

from collections.abc import Iterator, Sequence

from syncd.marketo import endpoints, shapes
from syncd.marketo.calls import Params  # noqa: TC001 - as its neighbours
from syncd.marketo.endpoints import BATCH
from syncd.marketo.models import CampaignMembership, Describe2Field, Lead
from syncd.marketo.room import Room, read


class MembershipCalls(Room):
    """Memberships, by program or by lead; those that leads are read with are among LeadCalls."""

    def members_of_program(
        self, program_id: int, fields: Sequence[str], *, batch_size: int = BATCH
    ) -> Iterator[list[Lead]]:
        """Yield pages of all members of a program, with member fields; 300 a call.

        Source: …/rest/lead-database/program-members. A filter is needed, and every member either reached
        success or did not: each half is asked for by itself, because no page promises that this filter
        takes both values at once. Refused (1003) where there are over 100,000.
        """
        for reached in ("true", "false"):
            params: Params = [
                ("filterType", "reachedSuccess"),
                ("filterValues", reached),
                ("fields", ",".join(fields)),
                ("batchSize", batch_size),
            ]
            for envelope in self._pages(endpoints.PROGRAM_MEMBERS, params=params, program_id=program_id):
                yield read(endpoints.PROGRAM_MEMBERS, envelope, shapes.member)

    def are_on_list(self, list_id: int, lead_ids: Sequence[int]) -> dict[int, bool]:
        """Tell of at most 300 leads whether they are on a static list; leads that Marketo does not have are absent.

        Source: …/rest/lead-database/list-membership. An unknown list raises Refused (1013).
        """
        if len(lead_ids) > BATCH:
            raise ValueError(f"{len(lead_ids)} leads in a call that takes {BATCH}")
        params: Params = [("id", ",".join(map(str, lead_ids)))]
        envelope = self._ask(endpoints.ARE_ON_LIST, params=params, list_id=list_id)
        found = read(endpoints.ARE_ON_LIST, envelope, lambda item: (int(item["id"]), item["status"]))
        asked = set(lead_ids)
        return {lead: status == "memberof" for lead, status in found if status != "skipped" and lead in asked}

    def member_fields(self) -> list[Describe2Field]:
        """Return the fields of program members, the company's own among them.

        Source: …/rest/lead-database/program-members#describe. Costs one call.
        """
        envelope = self._ask(endpoints.MEMBER_DESCRIBE)
        found = read(endpoints.MEMBER_DESCRIBE, envelope, shapes.member_fields)
        return [field for fields in found for field in fields]

    def campaigns_of_lead(self, lead_id: int, *, batch_size: int = BATCH) -> Iterator[CampaignMembership]:
        """Yield the smart campaigns that a lead went through, 300 a call.

        Source: …/rest/lead-database/leads#membership. Needs Read-Only Assets. An unknown lead raises Refused.
        """
        params = [("batchSize", batch_size)]
        for envelope in self._pages(endpoints.CAMPAIGNS_OF_LEAD, params=params, lead_id=lead_id):
            yield from read(endpoints.CAMPAIGNS_OF_LEAD, envelope, shapes.campaign_membership)
