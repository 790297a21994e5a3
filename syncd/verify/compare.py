"""Every mirrored field of every lead, and every membership, beside what Marketo says now.

All leads come by bulk extract into one staging table; one statement compares it with the mirror.
What differs is read once more, 300 ids a call, so that a lead that merely moved meanwhile is not
called a difference. Members of lists and programs are read by pages, twice where they differ. The smart
campaigns of leads, which take a call each, are compared for a sample of ``mirror.verify_campaign_leads``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd import log
from syncd.core.differences import Difference
from syncd.database import campaigns as read_campaigns
from syncd.database import leads, memberships, staging, state, tables
from syncd.errors import Retryable, WorkFailed
from syncd.mirror import assets, campaigns, dirty, extract, schema
from syncd.mirror import memberships as members
from syncd.mirror.runs import recorded
from syncd.verify import cost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.core.fields import LeadField
    from syncd.database.memberships import Kind
    from syncd.marketo.client import Client
    from syncd.mirror.runs import Feeds

FEED = "verify"
TABLE = "staging_verify"
STOPPED = "the comparison was stopped before its end"


@dataclass
class Report:
    """What a comparison found."""

    leads: int = 0
    fields: int = 0
    containers: int = 0
    """Lists and programs whose members were compared."""
    campaign_leads: int = 0
    """Leads whose smart campaigns were compared: a sample."""
    campaigns_stale: int = 0
    """Those of them that went through a campaign after the mirror read them: it does not claim to know."""
    differences: list[Difference] = field(default_factory=list)
    repaired: int = 0


def run(
    feeds: Feeds, chosen: cost.Plan | None = None, *, repair: bool = False, values: bool = False
) -> Report:
    """Compare, and with ``repair`` read every differing lead anew.

    values: put both values of each differing field into the report; they are people's data.

    Raises WorkFailed where a repair would retire more than ``mirror.retire_at_most`` of the mirror.
    """
    report = Report()
    with recorded(feeds, FEED) as counts:
        client = feeds.client.on("verify")
        with feeds.database.begin() as transaction:
            fields = leads.mirrored_fields(transaction)
        if not fields:
            raise WorkFailed("the field schema is not known yet; run `syncd pull schema` first")
        memberships.clear_left_over(feeds.database, FEED)
        # What is known to be old is no finding.
        dirty.pull(feeds, lane="verify")
        report.fields = len(fields)
        chosen = chosen or cost.whole(feeds)
        if chosen.sample is None:
            found = _compare_all(feeds, client, fields, chosen, report)
            report.differences = _confirmed(feeds, client, fields, found, values=values)
            report.differences += _compare_members(feeds, report)
            report.differences += _compare_campaigns(feeds, report)
            report.differences += _compare_tables(feeds) if chosen.tables else []
        else:
            found = _compare_sample(feeds, client, fields, chosen.sample, report)
            report.differences = _confirmed(feeds, client, fields, found, values=values)
        counts.update(leads=report.leads, differences=len(report.differences))
        if repair and report.differences:
            _repair(feeds, report, of_all=chosen.sample is None)
            counts["repaired"] = report.repaired
    return report


def _compare_all(
    feeds: Feeds, client: Client, fields: Sequence[LeadField], chosen: cost.Plan, report: Report
) -> list[Difference]:
    exported = [f for f in fields if f.exportable]
    report.leads = _load_all(feeds, client, exported, chosen.spans)
    if feeds.clock.stopping():
        raise WorkFailed(STOPPED)
    with feeds.database.begin() as transaction:
        found = leads.compare_staged(transaction, exported, TABLE)
        staging.drop(feeds.database, transaction, TABLE)
    return found + _compare_unexported(feeds, client, fields)


def _compare_sample(
    feeds: Feeds, client: Client, fields: Sequence[LeadField], pages: Sequence[int], report: Report
) -> list[Difference]:
    found: list[Difference] = []
    names = [f.name for f in fields]
    for done, page in enumerate(pages):
        if feeds.clock.stopping():
            raise WorkFailed(STOPPED)
        ids = list(range(max(1, page * cost.PAGE), (page + 1) * cost.PAGE))
        records = client.leads("id", ids, names)
        there = set(records.ids)
        with feeds.database.begin() as transaction:
            found += leads.compare_page(transaction, fields, records, answer=records.answer)
            living = {int(r.id) for r in transaction.rows("lead_living", ids=ids)}
        found += [Difference(lead, "extra") for lead in sorted(living - there)]
        report.leads += len(there | living)
        feeds.progress("pages", done + 1, len(pages))
    return found


def _load_all(
    feeds: Feeds, client: Client, fields: Sequence[LeadField], spans: Sequence[tuple[datetime, datetime]]
) -> int:
    staging.create(feeds.database, TABLE, len(fields) - 1)
    names = [f.name for f in fields]
    total, done, waiting, running = 0, 0, list(spans), list[str]()
    while (waiting or running) and not feeds.clock.stopping():
        try:
            while waiting and len(running) < extract.JOBS_AT_ONCE:
                export = client.create_export(names, created_at=waiting[0])
                client.enqueue_export(export.id)
                running.append(export.id)
                waiting.pop(0)
        except Retryable as problem:
            if feeds.clock.stopping():
                raise
            # Others use the queue of exports too.
            log.get("verify").warning("an export has to wait", error=str(problem))
        feeds.clock.sleep(feeds.conf.export_poll_seconds)
        for export_id in list(running):
            export = client.export_status(export_id)
            if export.status == "Completed":
                running.remove(export_id)
                part = f"{TABLE}_part"
                total += extract.load(client, feeds.database, feeds.clock, export, part, fields).rows
                staging.move(feeds.database, part, TABLE)
                done += 1
                feeds.progress("windows", done, len(spans))
            elif export.status not in {"Created", "Queued", "Processing"}:
                raise WorkFailed(
                    f"export {export_id} ended as {export.status} ({export.error or 'no reason given'}); run it again"
                )
    return total


def _compare_unexported(feeds: Feeds, client: Client, fields: Sequence[LeadField]) -> list[Difference]:
    """Compare the formula fields, which are in no export: 300 leads a call."""
    chosen = [f for f in fields if f.name == "id" or not f.exportable]
    found: list[Difference] = []
    last = 0
    while len(chosen) > 1 and not feeds.clock.stopping():
        with feeds.database.begin() as transaction:
            ids = [int(r.id) for r in transaction.rows("lead_ids_after", after=last, most=dirty.IDS_A_CALL)]
        if not ids:
            break
        records = client.leads("id", ids, [f.name for f in chosen])
        with feeds.database.begin() as transaction:
            found += leads.compare_page(transaction, chosen, records, answer=records.answer)
        last = ids[-1]
    return found


def _compare_members(feeds: Feeds, report: Report) -> list[Difference]:
    found: list[Difference] = []
    kinds: tuple[Kind, ...] = ("list", "program")
    for kind in kinds:
        for container in memberships.due(feeds.database, kind, 0):
            if feeds.clock.stopping():
                raise WorkFailed(STOPPED)
            differing = members.differences(feeds, kind, container, lane="verify")
            if differing:
                again = set(members.differences(feeds, kind, container, lane="verify"))
                differing = [d for d in differing if d in again]
            found += differing
            report.containers += 1
    return found


def _compare_campaigns(feeds: Feeds, report: Report) -> list[Difference]:
    found: list[Difference] = []
    for lead, read_at in read_campaigns.sample(
        feeds.database, feeds.conf.verify_campaign_leads, feeds.clock.random()
    ):
        if feeds.clock.stopping():
            raise WorkFailed(STOPPED)
        differing, stale = campaigns.differences(feeds, lead, read_at, lane="verify")
        if differing:
            again, stale = campaigns.differences(feeds, lead, read_at, lane="verify")
            differing = [d for d in differing if d in again]
        found += differing
        report.campaign_leads += 1
        report.campaigns_stale += stale
    return found


def _compare_tables(feeds: Feeds) -> list[Difference]:
    """Compare the tables that are read whole; what differs is looked at twice."""
    found = schema.differences(feeds, lane="verify") + assets.differences(feeds, lane="verify")
    if found:
        again = schema.differences(feeds, lane="verify") + assets.differences(feeds, lane="verify")
        found = [d for d in found if d in again]
    return found


def _confirmed(
    feeds: Feeds,
    client: Client,
    fields: Sequence[LeadField],
    found: Sequence[Difference],
    *,
    values: bool,
) -> list[Difference]:
    """Read the leads that differ once more and return those that still do."""
    confirmed: list[Difference] = []
    names = [f.name for f in fields]
    suspects = sorted({d.lead_id for d in found})
    for start in range(0, len(suspects), dirty.IDS_A_CALL):
        ids = suspects[start : start + dirty.IDS_A_CALL]
        records = client.leads("id", ids, names)
        there = set(records.ids)
        with feeds.database.begin() as transaction:
            differing = leads.compare_page(transaction, fields, records, answer=records.answer)
            confirmed += leads.with_values(transaction, fields, differing, records) if values else differing
            living = {int(r.id) for r in transaction.rows("lead_living", ids=ids)}
        confirmed += [Difference(lead, "extra") for lead in sorted(living - there)]
    return confirmed


def _repair(feeds: Feeds, report: Report, *, of_all: bool) -> None:
    of_leads = [d for d in report.differences if d.where == "leads"]
    extra = sum(d.kind == "extra" for d in of_leads)
    with feeds.database.begin() as transaction:
        row = transaction.row("lead_count")
        living = int(row.living) if row and of_all else report.leads
        if extra > max(1, living * feeds.conf.retire_at_most):
            raise WorkFailed(
                f"the repair would retire {extra} of {living} leads, more than mirror.retire_at_most allows; look into "
                "Marketo, then raise that setting for one run if it is right"
            )
        state.mark_dirty(transaction, sorted({d.lead_id for d in of_leads}), "verify")
    dirty.pull(feeds, lane="verify")
    places = {d.where for d in report.differences if d.where.startswith(tables.PLACE)}
    if any(where.startswith(f"{tables.PLACE}lead_field ") for where in places):
        schema.pull(feeds)
    if any(not where.startswith(f"{tables.PLACE}lead_field ") for where in places):
        assets.read_again(feeds)
    kinds: dict[str, Kind] = {"list": "list", "program": "program"}
    campaigns.read_again(
        feeds,
        sorted({d.lead_id for d in report.differences if d.where.startswith("campaign ")}),
        lane="verify",
    )
    for where in sorted({d.where for d in report.differences} - {"leads"}):
        kind, _, container = where.partition(" ")
        if kind not in kinds:
            continue
        members.sweep(feeds, kinds[kind], int(container), lane="verify")
    report.repaired = len(report.differences)
