"""The one place where objects are built."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import syncd
from syncd.clock import Clock, SystemClock
from syncd.core.budget import Budget, NoBudget
from syncd.core.locks import Policies
from syncd.core.policy import FieldPolicy
from syncd.database import locks, outbox
from syncd.database.budget import Ledger
from syncd.database.engine import Database
from syncd.database.session import ReplicaSession
from syncd.errors import ConfigError
from syncd.marketo.client import Client
from syncd.mirror.runs import Feeds, Progress, no_progress
from syncd.outbox.drain import Drain
from syncd.outbox.imported import ReadBack
from syncd.outbox.imports import Imports
from syncd.outbox.locks import Locks
from syncd.outbox.send import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncd.settings import Settings


class App:
    """Everything that one process needs, built from the settings."""

    def __init__(self, settings: Settings, *, clock: SystemClock | None = None) -> None:
        """Build all of it; nothing is connected yet. Raises ConfigError."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.database = Database(settings.database, policy=FieldPolicy.of(settings.fields))
        self.ledger = Ledger(self.database, settings.budget, self.clock)
        self.client = make_client(settings, self.clock, self.ledger)

    def feeds(self, progress: Progress = no_progress) -> Feeds:
        """Return what the feeds of the mirror work with."""
        return Feeds(
            client=self.client,
            database=self.database,
            clock=self.clock,
            conf=self.settings.mirror,
            progress=progress,
        )

    def session(self, *, on_notify: Callable[[], None], lead: bool) -> ReplicaSession:
        """Return this replica's session, not yet started."""
        session = ReplicaSession(self.database, self.clock, on_notify=on_notify, lead=lead)
        self.ledger.replica = lambda: session.replica
        return session

    def drain(self, replica: Callable[[], int | None]) -> Drain:
        """Return the drain of the outbox, not yet started."""
        sender = Sender(
            self.client,
            self.clock,
            self.settings.outbox,
            timeout_scale=self.settings.marketo.timeout_scale,
            held=lambda claim: outbox.held(self.database, claim),
            leads_by_email=lambda emails: outbox.leads_by_email(self.database, emails),
            buried_by_email=lambda emails: outbox.buried_by_email(self.database, emails),
            locks=Locks(
                self.client,
                self.clock,
                Policies(self.settings.conflicts.default, self.settings.conflicts.fields),
                lambda asks, records: locks.changed(self.database, asks, records),
            ),
        )
        imports = Imports(
            database=self.database,
            client=self.client,
            clock=self.clock,
            conf=self.settings.outbox,
            replica=replica,
            timeout_scale=self.settings.marketo.timeout_scale,
            after_error=sender.after_error,
            read_back=ReadBack(self.database, self.client),
        )
        return Drain(
            database=self.database,
            sender=sender,
            imports=imports,
            clock=self.clock,
            conf=self.settings.outbox,
            replica=replica,
        )

    def close(self) -> None:
        """Close every connection."""
        self.client.close()
        self.database.close()


def make_client(
    settings: Settings, clock: Clock, budget: Budget | None = None, *, retries: int = 6
) -> Client:
    """Return the client of Marketo, which tries each read so many times more. Raises ConfigError."""
    conf = settings.marketo
    missing = [
        name
        for name, value in (
            ("base_url", conf.base_url),
            ("client_id", conf.client_id),
            ("client_secret", conf.client_secret and conf.client_secret.get_secret_value()),
        )
        if not value
    ]
    if missing:
        raise ConfigError(
            f"marketo.{missing[0]} is not set; give SYNCD_MARKETO__{missing[0].upper()}, or {missing[0]} under [marketo]"
        )
    assert conf.client_secret is not None  # noqa: S101 - told above
    return Client(
        base_url=conf.base_url,
        client_id=conf.client_id,
        client_secret=conf.client_secret.get_secret_value(),
        clock=clock,
        budget=budget or NoBudget(),
        timeout_scale=conf.timeout_scale,
        retries=retries,
        user_agent=f"syncd/{syncd.__version__}",
    )


@contextmanager
def built(settings: Settings) -> Iterator[App]:
    """Build everything, and close it at the end."""
    app = App(settings)
    try:
        yield app
    finally:
        app.close()
