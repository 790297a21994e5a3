"""What a comparison will read, told before it reads it; and the choice of a sample."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.core.budget import spending_as
from syncd.core.codes import next_reset
from syncd.database import leads
from syncd.errors import QuotaExhausted, WorkFailed
from syncd.mirror import dirty, extract

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.database.budget import Standing
    from syncd.mirror.runs import Feeds

CALLS_A_WINDOW = 4
CALLS_TO_FIND_THE_OLDEST = 3
CALLS_OF_TABLES = 9
"""Three for the fields, one each for partitions, lists, programs, channels, member fields and campaigns."""
PAGE = dirty.IDS_A_CALL
"""A page of a sample is so many consecutive ids: what one call can ask for."""


@dataclass(frozen=True)
class Plan:
    """What a comparison will read, before it reads it."""

    spans: list[tuple[datetime, datetime]]
    pages: int
    """Pages of leads, for fields that are in no export, and of members; or pages of ids of a sample."""
    campaign_leads: int = 0
    """Leads whose smart campaigns are compared at most, one call each."""
    sample: tuple[int, ...] | None = None
    """Numbers of the pages of ids of a sample; None: everything."""

    @property
    def calls(self) -> int:
        """Calls at the least; each further look at an unfinished job is one more."""
        tables = CALLS_OF_TABLES if self.sample is None else 0
        return len(self.spans) * CALLS_A_WINDOW + self.pages + self.campaign_leads + tables


def whole(feeds: Feeds) -> Plan:
    """Return the windows that hold all leads. Costs three calls, or none where ``mirror.backfill_from`` is set."""
    client = feeds.client.on("verify")
    with spending_as("verify"):
        oldest = extract.oldest_lead(feeds, client)
    spans = extract.spans(oldest, feeds.clock.now(), feeds.conf.window_days)
    with feeds.database.begin() as transaction:
        exported = all(f.exportable for f in leads.mirrored_fields(transaction))
        pages = int(transaction.scalar("pages_of_members") or 0)
        covered = transaction.row("campaign_coverage")
        pages += 0 if exported else int(transaction.scalar("pages_of_leads") or 0)
    sampled = min(feeds.conf.verify_campaign_leads, covered.leads_read if covered else 0)
    return Plan(spans, pages, sampled)


def sample(feeds: Feeds, most: int, seed: int) -> Plan:
    """Choose pages of ids, at random but the same for the same seed, that hold so many leads. Costs no call.

    All ids of a page are asked for, so that leads are found that the mirror lacks.
    """
    with feeds.database.begin() as transaction:
        pages = [(int(r.page), int(r.leads)) for r in transaction.rows("lead_pages", ids=PAGE)]
    random.Random(seed).shuffle(pages)  # noqa: S311 - a sample, not a secret
    chosen: list[int] = []
    held = 0
    for page, count in pages:
        if held >= most:
            break
        chosen.append(page)
        held += count
    return Plan([], len(chosen), sample=tuple(sorted(chosen)))


def refuse_what_is_too_dear(calls: int, standing: Standing) -> None:
    """Raise WorkFailed where a comparison takes more calls than there are left for it today."""
    left = standing.left("verify")
    if calls > left:
        raise WorkFailed(
            f"this takes {calls} calls and {left} are left for it today; try --sample 300, or wait until "
            f"{next_reset(standing.now):%Y-%m-%d %H:%M} UTC, or give --force to begin all the same"
        )


def put_off(calls: int, standing: Standing) -> None:
    """Raise QuotaExhausted where a comparison on schedule should wait for another day."""
    left = standing.left("verify")
    if calls > left:
        raise QuotaExhausted(
            f"the comparison takes {calls} calls and {left} are left for it today; it is put off",
            code="budget",
            endpoint="verify",
            until=next_reset(standing.now),
        )
