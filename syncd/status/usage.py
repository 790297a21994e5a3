"""Feed: what Marketo itself counted today, so that syncd takes less when other integrations take more.

One call. https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/usage
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd import log, metrics
from syncd.errors import WorkFailed
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter

    from syncd.mirror.runs import Feeds

FEED = "usage"


def pull(feeds: Feeds) -> Counter[str]:
    """Ask Marketo for the day's calls of all integrations, and keep how many of them are others'.

    Others' are those that are not in our books, or not our API user's, whichever is more: the report
    may be some minutes old, and others may call as the same user.
    """
    with recorded(feeds, FEED) as counts:
        user = feeds.client.authenticate()
        for day in feeds.client.on("changes").usage()[:1]:
            total, ours = _read(day, user)
            with feeds.database.begin() as transaction:
                others = int(
                    transaction.scalar("usage_seen", day=str(day["date"]), total=total, own_user=ours)
                )
            counts.update(total=total, others=others)
            metrics.CALLS_OF_OTHERS.set(others)
            log.get("status").debug("Marketo's own count of the day", total=total, others=others)
    return counts


def _read(day: dict[str, Any], user: str | None) -> tuple[int, int]:
    """Return the calls of all, and those of our API user."""
    try:
        total = int(day["total"])
        ours = sum(int(u["count"]) for u in day.get("users", ()) if u["userId"] == user)
    except (KeyError, TypeError, ValueError):
        raise WorkFailed("Marketo's usage report is not what its pages describe") from None
    return total, ours if user else total
