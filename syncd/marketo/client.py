"""The one object through which everything else talks to Marketo."""

import copy
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import syncd
from syncd.clock import Clock
from syncd.core.budget import Budget, Lane
from syncd.marketo import endpoints, shapes
from syncd.marketo.activities import ActivityCalls
from syncd.marketo.auth import Credentials
from syncd.marketo.calls import Calls
from syncd.marketo.exports import ExportCalls
from syncd.marketo.imports import ImportCalls
from syncd.marketo.leads import LeadCalls
from syncd.marketo.memberships import MembershipCalls
from syncd.marketo.models import ChannelStatus, Program, SmartCampaign
from syncd.marketo.room import read
from syncd.marketo.transport import Transport

READ_RETRIES = 6


class Client(LeadCalls, MembershipCalls, ActivityCalls, ExportCalls, ImportCalls):
    """One Marketo subscription, for any number of threads.

    base_url: as the admin screen shows it, with or without ``/rest``.
    timeout_scale: stretches or shrinks every time-out, for slow networks and quick tests.
    retries: how often a read is repeated before its error is raised; writes never repeat themselves.
    """

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        clock: Clock,
        budget: Budget,
        timeout_scale: float = 1.0,
        user_agent: str | None = None,
        retries: int = READ_RETRIES,
    ) -> None:
        self._lane: Lane = "changes"
        self._is_view = False
        self._calls = Calls(
            transport=Transport(
                base_url=base_url, user_agent=user_agent or f"syncd/{syncd.__version__}", clock=clock
            ),
            credentials=Credentials(client_id, client_secret),
            clock=clock,
            budget=budget,
            timeout_scale=timeout_scale,
            retries=retries,
        )

    def on(self, lane: Lane) -> Self:
        """Return a view that shares connections and token and spends from another lane."""
        view = copy.copy(self)
        view._lane = lane  # noqa: SLF001 - the same class
        view._is_view = True  # noqa: SLF001
        return view

    def close(self) -> None:
        """Close every connection; closing a view does nothing."""
        if not self._is_view:
            self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def authenticate(self) -> str | None:
        """Make sure that there is a token and return the API user's name. Costs no call.

        Source: …/rest/authentication. Raises AuthenticationFailed where the credentials are refused.
        """
        return self._calls.token().user

    def usage(self) -> list[dict[str, Any]]:
        """Return today's calls by API user, as ``{"date", "total", "users": [{"userId", "count"}]}``.

        Source: …/rest/usage. Needs no permission; costs one call.
        """
        return read(endpoints.USAGE, self._ask(endpoints.USAGE), dict)

    def programs(self) -> Iterator[Program]:
        """Yield all programs, 200 a call. Source: …/rest/assets/programs. Needs Read-Only Assets."""
        for envelope in self._assets(endpoints.PROGRAMS):
            yield from read(endpoints.PROGRAMS, envelope, shapes.program)

    def channels(self) -> Iterator[ChannelStatus]:
        """Yield the statuses of all channels, 200 channels a call. Source: …/rest/assets/channels. Needs as programs."""
        for envelope in self._assets(endpoints.CHANNELS):
            for statuses in read(endpoints.CHANNELS, envelope, shapes.channel):
                yield from statuses

    def smart_campaigns(self) -> Iterator[SmartCampaign]:
        """Yield all smart campaigns, 200 a call. Source: …/rest/assets/smart-campaigns. Needs as programs."""
        for envelope in self._assets(endpoints.SMART_CAMPAIGNS):
            yield from read(endpoints.SMART_CAMPAIGNS, envelope, shapes.smart_campaign)
