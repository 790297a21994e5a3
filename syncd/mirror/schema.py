"""Feed: the fields of a lead, into lead_field and the columns of lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd import log
from syncd.core.fields import BASE_COLUMNS, FieldFacts, column_name
from syncd.database import leads, state, tables
from syncd.database.engine import SCHEMA_LOCK
from syncd.errors import AuthenticationFailed, Refused
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from syncd.core.budget import Lane
    from syncd.core.differences import Difference
    from syncd.marketo.client import Client
    from syncd.mirror.runs import Feeds

FEED = "schema"
FIELD_NOT_FOUND = "1006"


def pull(feeds: Feeds) -> Counter[str]:
    """Bring lead_field and the columns up to date: three calls, or more where fields fill several pages.

    A field that Marketo no longer offers keeps its column. When a field is new and leads are there
    already, every backfill window is planned again, to fill it.
    """
    with recorded(feeds, FEED) as counts:
        facts = read(feeds.client.on("changes"))
        with feeds.database.begin() as transaction:
            transaction.lock(SCHEMA_LOCK)
            transaction.run("short_lock_wait")
            known = state.known_fields(transaction)
            columns = _columns(facts, known, state.lead_columns(transaction))
            fresh = [(columns[f.name], f) for f in facts if f.name not in known]
            leads.add_columns(transaction, [f for f in fresh if f[1].name not in BASE_COLUMNS])
            counts["changed"] = state.put_fields(transaction, facts, columns)
            gone = state.fields_gone(transaction, [f.name for f in facts])
            if known and fresh:
                counts["windows_again"] = transaction.run("windows_all_again")
            counts.update(fields=len(facts), new=len(fresh), gone=len(gone))
        if known and (fresh or gone):
            log.get("mirror").info("fields changed", new=[f.name for _, f in fresh], gone=gone)
    return counts


def differences(feeds: Feeds, *, lane: Lane) -> list[Difference]:
    """Compare lead_field with Marketo's descriptions: three calls, or more where fields fill several pages."""
    facts = read(feeds.client.on(lane))
    with feeds.database.begin() as transaction:
        known = state.known_fields(transaction)
        columns = _columns(facts, known, state.lead_columns(transaction))

        def write() -> None:
            state.put_fields(transaction, facts, columns)
            state.fields_gone(transaction, [f.name for f in facts])

        return tables.differences(transaction, "lead_field", write)


def again_with_present_fields(feeds: Feeds, work: Callable[[], Counter[str]]) -> Counter[str]:
    """Do some work; where Marketo says that a field is not there (any more), look at the fields and do it again."""
    try:
        return work()
    except Refused as problem:
        if problem.code != FIELD_NOT_FOUND:
            raise
        log.get("mirror").warning("Marketo does not know a field that is mirrored", error=str(problem))
    pull(feeds)
    return work()


def read(client: Client) -> list[FieldFacts]:
    """Return the fields that the API user can read, from Marketo's three descriptions of them.

    Only describe knows the numeric id and ``readOnly``; only describe2 what is searchable; only the
    schema endpoint what is hidden, sensitive or custom (it needs a permission of its own, and is
    done without where that is missing).
    """
    newer = client.describe2()
    searchable = {names[0] for names in newer.searchable_fields if len(names) == 1}
    by_name = {f.name: f for f in newer.fields}
    try:
        details = {f.name: f for f in client.schema_fields()}
    except AuthenticationFailed as problem:
        log.get("mirror").warning("the schema endpoint is closed to this API user", error=str(problem))
        details = {}
    facts: dict[str, FieldFacts] = {}
    for field in client.describe():
        name = field.rest_name
        if name is None:
            continue
        other, detail = by_name.get(name), details.get(name)
        facts[name] = FieldFacts(
            name=name,
            display_name=field.display_name,
            data_type=field.data_type,
            description=detail.description if detail else None,
            length=field.length,
            marketo_id=field.id,
            read_only=bool(field.read_only),
            updateable=other.updateable if other else not field.read_only,
            searchable=name in searchable,
            hidden=bool(detail and detail.is_hidden),
            sensitive=bool(detail and detail.is_sensitive),
            custom=bool(detail and detail.is_custom),
            crm_managed=bool(other and other.crm_managed),
            api_created=bool(detail and detail.is_api_created),
            html_encoded_in_email=detail is None or bool(detail.is_html_encoding_in_email),
        )
    return list(facts.values())


def _columns(facts: list[FieldFacts], known: dict[str, str], there: set[str]) -> dict[str, str]:
    columns = BASE_COLUMNS | known
    taken = there | set(columns.values())
    for fact in facts:
        if fact.name not in columns:
            columns[fact.name] = column_name(fact.name, taken)
            taken.add(columns[fact.name])
    return columns
