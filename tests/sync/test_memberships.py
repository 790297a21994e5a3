"""Who is on which list, in which program, and went through which smart campaign."""

from typing import Any

import httpx
import pytest

from syncd import simulator as marketo
from syncd.database import campaigns as turns
from syncd.mirror import campaigns, changes, dirty, memberships
from syncd.status import snapshot
from syncd.verify import compare, cost
from tests.sync.inside import Inside, beside

OF_LEAD = "GET /rest/v1/leads/{leadId}/smartCampaignMembership.json"
MEMBERS = "GET /rest/v1/programs/{programId}/members.json"
BY_PROGRAM = "GET /rest/v1/leads/programs/{programId}.json"
DESCRIBE = "GET /rest/v1/programs/members/describe.json"
CHANNELS = "GET /rest/asset/v1/channels.json"
PROGRAM, NURTURE = 1001, 1003
LEADS = 45
"""Few, because one call a lead is within the rate that tests have too."""


class Hand:
    """A person, or another integration, at Marketo's own API."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        answer = httpx.get(
            f"{base_url}/identity/oauth/token",
            params={
                "grant_type": "client_credentials",
                "client_id": "simulator",
                "client_secret": "simulator-secret",
            },
        )
        self.token = answer.json()["access_token"]

    def post(self, path: str, body: Any) -> Any:
        answer = httpx.post(
            f"{self.base_url}{path}", json=body, headers={"Authorization": f"Bearer {self.token}"}
        ).json()
        assert answer["success"], answer
        return answer

    def trigger(self, campaign: int, *leads: int) -> None:
        body = {"input": {"leads": [{"id": lead} for lead in leads]}}
        self.post(f"/rest/v1/campaigns/{campaign}/trigger.json", body)

    def set_member(self, program: int, lead: int, **values: Any) -> None:
        self.post(f"/rest/v1/programs/{program}/members.json", {"input": [{"leadId": lead, **values}]})


@pytest.fixture
def options() -> marketo.Options:
    return marketo.Options(leads=LEADS, limits=False, export_seconds=0.1, race_ms=0)


@pytest.fixture
def hand(inside: Inside) -> Hand:
    return Hand(inside.simulator.base_url)


@pytest.fixture
def whole(filled: Inside) -> Inside:
    """The house with its mirror filled, memberships and all."""
    memberships.pull_lists(filled.feeds)
    memberships.pull_programs(filled.feeds)
    campaigns.pull(filled.feeds)
    rested(filled)
    filled.simulator.reset_calls()
    return filled


def rested(inside: Inside) -> None:
    """Let as much time pass as the rate of calls asks for."""
    inside.sql("DELETE FROM api_call")


def held(inside: Inside) -> set[tuple[int, int]]:
    """Every membership in a smart campaign, as the mirror has it."""
    return {(r["smart_campaign_id"], r["lead_id"]) for r in inside.sql("SELECT * FROM campaign_membership")}


def spend(inside: Inside, calls: int) -> None:
    """Let so many calls a day read campaigns, and count from none."""
    inside.sql("DELETE FROM api_spending")
    object.__setattr__(inside.feeds.conf, "campaign_calls_per_day", calls)


class TestCampaigns:
    def test_the_members_of_campaigns_are_read_one_call_a_lead(self, filled: Inside) -> None:
        counts = campaigns.pull(filled.feeds)
        assert counts["leads_read"] == LEADS
        assert filled.calls(OF_LEAD) == LEADS
        there = filled.sql("SELECT * FROM campaign_membership")
        assert len(there) == counts["campaign_members_changed"] > 30
        assert all(r["created_at"] is not None and r["updated_at"] is not None for r in there)
        campaigns_there = filled.value("SELECT count(*) FROM smart_campaign")
        assert len({r["smart_campaign_id"] for r in there}) == campaigns_there == 4
        rested(filled)
        filled.proven()

    def test_within_the_day_nothing_is_read_twice(self, whole: Inside) -> None:
        assert not campaigns.due(whole.feeds)
        assert sum(campaigns.pull_members(whole.feeds).values()) == 0
        assert whole.calls(OF_LEAD) == 0
        assert campaigns.pull_members(whole.feeds, full=True)["leads_read"] == LEADS
        assert whole.calls(OF_LEAD) == LEADS

    def test_the_days_calls_bound_it_and_it_goes_on_the_next_day(self, filled: Inside) -> None:
        spend(filled, 15)
        counts = campaigns.pull_members(filled.feeds)
        assert (counts["leads_read"], counts["calls_spent"]) == (15, 1)
        assert filled.calls(OF_LEAD) == 15
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 0
        assert not campaigns.due(filled.feeds)
        filled.sql("UPDATE api_spending SET day = day - 1")
        filled.simulator.edit_lead(5, lastName="Changed")
        filled.catch_up()
        assert campaigns.due(filled.feeds)
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 15
        assert filled.value("SELECT count(*) FROM campaign_read WHERE read_at > '-infinity'") == 30

    def test_no_calls_are_spent_where_none_are_allowed(self, filled: Inside) -> None:
        spend(filled, 0)
        assert not campaigns.due(filled.feeds)
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 0
        assert filled.calls(OF_LEAD) == 0

    def test_the_calls_for_unchanged_leads_are_spread_over_the_day(
        self, filled: Inside, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spend(filled, 100)
        monkeypatch.setattr(
            turns, "calls_left", lambda *_: (100 - filled.calls(OF_LEAD), 7 - filled.calls(OF_LEAD))
        )
        filled.simulator.edit_lead(5, lastName="Changed")
        filled.catch_up()
        assert campaigns.due(filled.feeds)
        assert campaigns.pull_members(filled.feeds, evenly=True)["leads_read"] == 7
        assert not campaigns.due(filled.feeds)
        filled.simulator.edit_lead(6, lastName="Changed")
        filled.catch_up()
        assert campaigns.due(filled.feeds)
        assert campaigns.pull_members(filled.feeds, evenly=True)["leads_read"] == 1

    def test_changed_leads_come_first_then_unread_ones_then_the_oldest(self, filled: Inside) -> None:
        spend(filled, 30)
        campaigns.pull_members(filled.feeds)
        unread = {r["id"] for r in filled.sql("SELECT id FROM lead")} - {
            r["lead_id"] for r in filled.sql("SELECT lead_id FROM campaign_read WHERE read_at > '-infinity'")
        }
        assert len(unread) == 15
        filled.sql("UPDATE campaign_read SET read_at = now() - interval '2 days' WHERE read_at > '-infinity'")
        filled.sql("UPDATE campaign_read SET read_at = now() - interval '9 days' WHERE lead_id = 40")
        changed = max(set(range(1, LEADS + 1)) - unread - {40})
        filled.simulator.edit_lead(changed, lastName="Changed")
        changes.pull(filled.feeds)
        before = filled.value("SELECT now() - interval '1 day'")
        chosen, of_changed = turns.next_leads(filled.app.database, 17, before=before)
        assert of_changed == 1
        assert chosen[0][0] == changed
        assert [lead for lead, _ in chosen[1:16]] == sorted(unread, reverse=True)
        assert chosen[16][0] == 40

    def test_who_is_sent_through_a_campaign_is_read_again(self, whole: Inside, hand: Hand) -> None:
        whole.simulator.set_campaign(3001, active=True)
        outside = sorted(
            set(range(1, LEADS + 1)) - {lead for campaign, lead in held(whole) if campaign == 3001}
        )[:3]
        hand.trigger(3001, *outside)
        whole.catch_up()
        assert campaigns.pull_members(whole.feeds)["leads_read"] == 3
        assert {(3001, lead) for lead in outside} <= held(whole)
        whole.proven()

    def test_a_new_lead_has_its_turn(self, whole: Inside) -> None:
        lead = whole.simulator.create_lead(email="new@example.com")
        whole.catch_up()
        assert campaigns.pull_members(whole.feeds)["leads_read"] == 1
        assert whole.value("SELECT read_at FROM lead_campaign_read WHERE lead_id = %s", lead) is not None

    def test_leads_of_a_bulk_file_that_came_later_have_their_turn(self, filled: Inside) -> None:
        filled.sql("CREATE TABLE aside AS SELECT * FROM lead WHERE id % 2 = 0")
        filled.sql("DELETE FROM lead WHERE id % 2 = 0")
        filled.sql("DELETE FROM campaign_read")
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 23
        filled.sql("INSERT INTO lead SELECT * FROM aside")
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 0
        filled.sql("UPDATE backfill_window SET finished_at = now()")
        assert campaigns.pull_members(filled.feeds)["leads_read"] == 22

    def test_memberships_end_with_a_deleted_lead(self, whole: Inside) -> None:
        lead = next(lead for _, lead in held(whole))
        whole.simulator.delete_lead(lead)
        whole.catch_up()
        assert lead not in {lead for _, lead in held(whole)}
        assert whole.sql("SELECT FROM lead_campaign_read WHERE lead_id = %s", lead) == []
        assert campaigns.pull_members(whole.feeds)["leads_read"] == 0
        whole.proven()

    def test_memberships_move_to_the_winner_of_a_merge(self, whole: Inside) -> None:
        loser = next(lead for campaign, lead in held(whole) if campaign == 3002)
        winner = min(set(range(1, LEADS + 1)) - {lead for _, lead in held(whole)})
        moved = {campaign for campaign, lead in held(whole) if lead == loser}
        whole.simulator.merge_leads(winner, [loser])
        changes.pull(whole.feeds)
        assert {campaign for campaign, lead in held(whole) if lead == winner} == moved
        assert loser not in {lead for _, lead in held(whole)}
        assert whole.value("SELECT changed_since FROM lead_campaign_read WHERE lead_id = %s", winner)
        assert campaigns.pull_members(whole.feeds)["leads_read"] == 1
        memberships.pull_members(whole.feeds)
        whole.proven()

    def test_in_a_chain_of_merges_memberships_move_to_the_last_winner(self, whole: Inside) -> None:
        first = next(lead for campaign, lead in held(whole) if campaign == 3001)
        lists = {
            r["list_id"] for r in whole.sql("SELECT list_id FROM list_membership WHERE lead_id = %s", first)
        }
        second, third = sorted(set(range(1, LEADS + 1)) - {first})[:2]
        whole.simulator.merge_leads(second, [first])
        whole.simulator.merge_leads(third, [second])
        changes.pull(whole.feeds)
        assert (3001, third) in held(whole)
        assert {first, second} & {lead for _, lead in held(whole)} == set()
        of_lists = {(r["list_id"], r["lead_id"]) for r in whole.sql("SELECT * FROM list_membership")}
        assert {(number, third) for number in lists} <= of_lists
        assert {first, second} & {lead for _, lead in of_lists} == set()
        campaigns.pull_members(whole.feeds)
        memberships.pull_members(whole.feeds)
        whole.proven()

    def test_a_lead_that_is_merged_while_it_is_read_is_read_again(self, whole: Inside) -> None:
        loser = next(lead for campaign, lead in held(whole) if campaign == 3002)
        winner = min(set(range(1, LEADS + 1)) - {lead for _, lead in held(whole)})
        moved = {campaign for campaign, lead in held(whole) if lead == loser}
        whole.simulator.edit_lead(winner, lastName="Changed")
        changes.pull(whole.feeds)
        whole.simulator.fault("delay", OF_LEAD, phase="after", seconds=0.6, count=1)
        with beside(lambda: campaigns.pull_members(whole.feeds)):
            whole.until(lambda: whole.calls(OF_LEAD))
            whole.simulator.merge_leads(winner, [loser])
            changes.pull(whole.feeds)
        rested(whole)
        assert {campaign for campaign, lead in held(whole) if lead == winner} == moved
        memberships.pull_members(whole.feeds)
        whole.proven()

    def test_a_lead_that_marketo_no_longer_has_stops_nobody(self, filled: Inside) -> None:
        filled.simulator.delete_lead(39)
        assert campaigns.pull_members(filled.feeds)["leads_read"] == LEADS
        assert filled.value("SELECT reason FROM dirty_lead WHERE lead_id = 39") == "campaigns"
        dirty.pull(filled.feeds)
        assert filled.lead(39)["_deleted_at"] is not None
        assert filled.sql("SELECT FROM campaign_read WHERE lead_id = 39") == []

    def test_a_lead_with_more_campaigns_than_a_page_holds_is_read_to_the_end(self, whole: Inside) -> None:
        lead = next(lead for _, lead in held(whole))
        client = whole.app.client.on("memberships")
        found = [m.smart_campaign_id for m in client.campaigns_of_lead(lead, batch_size=1)]
        assert sorted(found) == sorted(campaign for campaign, member in held(whole) if member == lead)

    def test_status_tells_how_far_it_goes(self, filled: Inside) -> None:
        def told() -> dict[str, Any]:
            return snapshot.take(filled.app.database, filled.app.settings.budget)["campaigns"]

        assert told()["share_of_leads"] == 0
        assert told()["oldest_read_at"] is None
        spend(filled, 9)
        campaigns.pull_members(filled.feeds)
        filled.simulator.edit_lead(3, lastName="Changed")
        filled.catch_up()
        now = told()
        assert (now["leads_read"], now["share_of_leads"], now["changed_since"]) == (9, 0.2, 1)
        assert 0 <= now["oldest_read_seconds"] < 60
        assert now["memberships"] == len(held(filled))


class TestVerify:
    def test_a_sample_of_campaigns_is_compared_and_its_cost_is_told(self, whole: Inside) -> None:
        object.__setattr__(whole.feeds.conf, "verify_campaign_leads", 20)
        plan = cost.whole(whole.feeds)
        assert plan.campaign_leads == 20
        report = compare.run(whole.feeds, plan)
        assert (report.campaign_leads, report.campaigns_stale, report.differences) == (20, 0, [])
        assert whole.calls(OF_LEAD) == 20

    def test_what_is_wrong_is_found_and_repaired(self, whole: Inside) -> None:
        object.__setattr__(whole.feeds.conf, "verify_campaign_leads", 50)
        some = sorted(held(whole))
        (gone, of_gone), (changed, of_changed) = some[0], some[-1]
        outside = min(set(range(1, LEADS + 1)) - {lead for campaign, lead in some if campaign == 3001})
        whole.sql(
            "DELETE FROM campaign_membership WHERE (smart_campaign_id, lead_id) = (%s, %s)", gone, of_gone
        )
        whole.sql("INSERT INTO campaign_membership VALUES (3001, %s, now(), now())", outside)
        whole.sql(
            "UPDATE campaign_membership SET updated_at = '2001-01-01' WHERE (smart_campaign_id, lead_id) = (%s, %s)",
            changed,
            of_changed,
        )
        report = compare.run(whole.feeds, repair=True)
        assert {(d.where, d.lead_id, d.kind, d.fields) for d in report.differences} == {
            (f"campaign {gone}", of_gone, "missing", ()),
            ("campaign 3001", outside, "extra", ()),
            (f"campaign {changed}", of_changed, "changed", ("updated_at",)),
        }
        assert report.repaired == 3
        rested(whole)
        assert compare.run(whole.feeds).differences == []

    def test_what_moved_since_it_was_read_is_age_and_no_difference(self, whole: Inside, hand: Hand) -> None:
        object.__setattr__(whole.feeds.conf, "verify_campaign_leads", 50)
        whole.simulator.set_campaign(3001, active=True)
        whole.simulator.advance(5)
        hand.trigger(3001, 11)
        report = compare.run(whole.feeds)
        assert (report.differences, report.campaigns_stale) == ([], 1)


class TestProgramMembers:
    def test_a_sweep_reads_every_field_of_a_member_by_pages(self, filled: Inside, hand: Hand) -> None:
        memberships.pull_programs(filled.feeds)
        lead = filled.value("SELECT min(lead_id) FROM program_membership WHERE program_id = %s", PROGRAM)
        hand.set_member(
            PROGRAM,
            lead,
            dietaryNeeds="none\0at all",
            guestCount=3,
            needsParking=True,
            registrationCode="R-1",
        )
        filled.simulator.reset_calls()
        counts = memberships.pull_programs(filled.feeds, full=True)
        row = filled.sql(
            "SELECT * FROM program_membership WHERE (program_id, lead_id) = (%s, %s)", PROGRAM, lead
        )[0]
        assert row["custom"] == {
            "dietaryNeeds": "noneat all", "guestCount": 3, "needsParking": True, "registrationCode": "R-1",
        }  # fmt: skip
        assert (counts["swept"], filled.calls(MEMBERS)) == (5, 10)
        assert (filled.calls(DESCRIBE), filled.calls(CHANNELS), filled.calls(BY_PROGRAM)) == (1, 1, 0)
        filled.proven()

    def test_nothing_is_written_and_nothing_asked_where_nothing_is_due(self, whole: Inside) -> None:
        before = whole.sql("SELECT xmin::text, program_id, lead_id FROM program_membership ORDER BY 2, 3")
        memberships.pull_programs(whole.feeds)
        assert (whole.calls(MEMBERS), whole.calls(DESCRIBE), whole.calls(CHANNELS)) == (0, 0, 0)
        memberships.pull_programs(whole.feeds, full=True)
        assert (
            whole.sql("SELECT xmin::text, program_id, lead_id FROM program_membership ORDER BY 2, 3")
            == before
        )

    def test_success_and_type_of_status_are_told_too(self, whole: Inside) -> None:
        rows = whole.sql("SELECT * FROM program_membership")
        assert all((r["reached_success_at"] is not None) == r["reached_success"] for r in rows)
        assert any(r["reached_success"] for r in rows)
        assert all(r["status_type"] == r["status"] for r in rows)
        assert all(r["custom"] is not None and "programId" not in r["custom"] for r in rows)
        assert any(r["stream"] for r in rows if r["program_id"] == NURTURE)

    def test_a_changed_field_is_in_the_mirror_after_one_call(self, whole: Inside, hand: Hand) -> None:
        lead = whole.value("SELECT max(lead_id) FROM program_membership WHERE program_id = %s", PROGRAM)
        hand.set_member(PROGRAM, lead, pMCFField="gold")
        whole.simulator.reset_calls()
        whole.catch_up()
        memberships.pull_members(whole.feeds)
        assert whole.calls(MEMBERS) == 1
        assert (
            whole.value(
                "SELECT custom ->> 'pMCFField' FROM program_membership WHERE (program_id, lead_id) = (%s, %s)",
                PROGRAM,
                lead,
            )
            == "gold"
        )
        whole.proven()

    def test_a_program_too_large_for_a_filter_keeps_the_fields_that_it_had(
        self, whole: Inside, hand: Hand
    ) -> None:
        lead = whole.value("SELECT max(lead_id) FROM program_membership WHERE program_id = %s", PROGRAM)
        hand.set_member(PROGRAM, lead, pMCFField="gold")
        whole.catch_up()
        memberships.pull_members(whole.feeds)
        new = min(
            set(range(1, LEADS + 1))
            - {
                r["lead_id"]
                for r in whole.sql("SELECT * FROM program_membership WHERE program_id = %s", PROGRAM)
            }
        )
        whole.simulator.set_program_status(PROGRAM, "Engaged", [new])
        hand.set_member(PROGRAM, new, pMCFField="new")
        whole.simulator.fault("error", MEMBERS, code=1003, message="Total membership size: 100,001", count=1)
        whole.simulator.reset_calls()
        memberships.sweep(whole.feeds, "program", PROGRAM)
        assert whole.calls(BY_PROGRAM) == 1
        custom = "SELECT custom FROM program_membership WHERE (program_id, lead_id) = (%s, %s)"
        assert whole.value(custom, PROGRAM, lead) == {"pMCFField": "gold"} | whole.value(
            custom, PROGRAM, lead
        )
        assert whole.value(custom, PROGRAM, new) is None
        assert whole.value("SELECT count(*) FROM dirty_member") == 1
        memberships.pull_members(whole.feeds)
        assert whole.value(custom, PROGRAM, new)["pMCFField"] == "new"
        whole.proven()

    def test_a_field_that_is_gone_holds_nobody_up(self, whole: Inside, hand: Hand) -> None:
        whole.sql(
            "INSERT INTO program_member_field (name, display_name, data_type, updateable) VALUES ('old', 'Old', 'string', true)"
        )
        lead = whole.value("SELECT max(lead_id) FROM program_membership WHERE program_id = %s", PROGRAM)
        hand.set_member(PROGRAM, lead, pMCFField="gold")
        whole.catch_up()
        memberships.pull_members(whole.feeds)
        assert whole.value("SELECT count(*) FROM dirty_member") == 0
        assert whole.value("SELECT _removed_at FROM program_member_field WHERE name = 'old'") is not None
        assert whole.calls(DESCRIBE) == 1

    def test_statuses_and_fields_follow_marketo(self, whole: Inside) -> None:
        statuses = whole.sql("SELECT * FROM channel_status WHERE channel = 'Webinar' ORDER BY step")
        assert [(s["status"], s["step"], s["success"], s["hidden"]) for s in statuses] == [
            ("Not in Program", 0, False, True),
            ("Invited", 10, False, False),
            ("Registered", 20, False, False),
            ("No Show", 30, False, False),
            ("Attended", 40, True, False),
        ]
        whole.sql("DELETE FROM channel_status WHERE status = 'Invited'")
        whole.sql("INSERT INTO channel_status (channel, status) VALUES ('Webinar', 'Of old')")
        memberships.pull_programs(whole.feeds, full=True)
        assert whole.value("SELECT _removed_at FROM channel_status WHERE status = 'Of old'") is not None
        assert whole.value("SELECT count(*) FROM channel_status WHERE status = 'Invited'") == 2
        fields = {r["name"]: r for r in whole.sql("SELECT * FROM program_member_field")}
        assert fields["guestCount"]["data_type"] == "integer"
        assert fields["dietaryNeeds"]["updateable"]
        assert not fields["statusName"]["updateable"]
