"""The two oldest writes, as the outbox makes them, for tests of the wire."""

from collections.abc import Sequence
from typing import Any

from syncd.core.outbox import Shape
from syncd.marketo import endpoints
from syncd.marketo.client import Client
from syncd.marketo.models import WriteAnswer
from syncd.marketo.writes import Write, build


def sync_leads(
    client: Client,
    *,
    action: str,
    records: Sequence[dict[str, Any]],
    lookup_field: str | None = None,
    partition_name: str | None = None,
) -> WriteAnswer:
    """Create or update leads; what is not given is not sent."""
    more = {"lookupField": lookup_field, "partitionName": partition_name}
    body = {"action": action, "input": list(records)} | {k: v for k, v in more.items() if v is not None}
    return client.write(Write(endpoints.SYNC_LEADS, len(records), json=body))


def delete_leads(client: Client, ids: Sequence[int]) -> WriteAnswer:
    """Delete leads."""
    return client.write(build(Shape("delete", "id", None), [{"id": lead} for lead in ids], ids))
