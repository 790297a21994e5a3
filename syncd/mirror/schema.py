"""Feed: the fields of a lead, into lead_field, its log of changes, and the columns of lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd import log, metrics
from syncd.core import evolution
from syncd.core.fields import FieldFacts
from syncd.database import columns, refill, state, tables
from syncd.database.engine import SCHEMA_LOCK
from syncd.errors import AuthenticationFailed, Refused, Retryable
from syncd.mirror import extract
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from syncd.core.budget import Lane
    from syncd.core.differences import Difference
    from syncd.core.evolution import Step
    from syncd.database.engine import Transaction
    from syncd.marketo.client import Client
    from syncd.mirror.runs import Feeds

FEED = "schema"
FIELD_NOT_FOUND = "1006"


def outdated(feeds: Feeds) -> bool:
    """Tell whether a field is kept in another way than the settings say. Costs no call."""
    policy = feeds.database.policy
    with feeds.database.begin() as transaction:
        rows = transaction.rows("fields_outdated")
    return any(
        r.kept_as != policy.kept_as(r.name) or r.mark != (policy.mark if r.kept_as == "hashed" else None)
        for r in rows
    )


def pull(feeds: Feeds) -> Counter[str]:
    """Bring lead_field and the columns up to date: three calls, or more where fields fill several pages.

    A field that Marketo no longer offers keeps its column. Fields that are new, back, of another type or
    kept in another way by the settings are read from Marketo again, they alone, by whichever way costs
    fewer calls: bulk windows, or pages of leads.
    """
    with recorded(feeds, FEED) as counts:
        facts, hidden = _read(feeds.client.on("changes"))
        with feeds.database.begin() as transaction:
            transaction.lock(SCHEMA_LOCK)
            transaction.run("short_lock_wait")
            steps = _plan(feeds, transaction, facts)
            first = all(s.old is None for s in steps)
            steps = columns.carry_out(transaction, steps)
            changed, gone = columns.note(transaction, steps, hidden)
            fresh = [s.facts.name for s in steps if s.old is None]
            counts.update(fields=len(facts), changed=changed, new=len(fresh), gone=len(gone))
            if not first:
                _read_again(feeds, transaction, steps, counts)
        _tell(feeds, steps, [] if first else fresh, gone, counts)
    return counts


def differences(feeds: Feeds, *, lane: Lane) -> list[Difference]:
    """Compare lead_field with Marketo's descriptions: three calls, or more where fields fill several pages."""
    facts, hidden = _read(feeds.client.on(lane))
    with feeds.database.begin() as transaction:
        steps = _plan(feeds, transaction, facts)
        return tables.differences(transaction, "lead_field", lambda: columns.note(transaction, steps, hidden))


def _plan(feeds: Feeds, transaction: Transaction, facts: list[FieldFacts]) -> list[Step]:
    return evolution.plan(
        facts,
        columns.known(transaction),
        feeds.database.policy,
        state.lead_columns(transaction),
        evolution.MOST_COLUMNS - columns.used_up(transaction),
    )


def _read_again(feeds: Feeds, transaction: Transaction, steps: list[Step], counts: Counter[str]) -> None:
    """Arrange that fields are filled, and that nothing is left of what the settings no longer allow."""
    kept_otherwise = [
        s for s in steps if s.old is not None and (s.old.kept_as, s.old.mark) != (s.kept_as, s.mark)
    ]
    if kept_otherwise:
        counts["kept_otherwise"] = len(kept_otherwise)
        counts["files_forgotten"] = columns.forget_files(feeds.database, transaction)
    fields = [s for s in steps if s.refill and s.kept_as in {"plain", "hashed"}]
    if fields or kept_otherwise:
        counts.update(
            refill.plan(
                transaction,
                [s.facts.name for s in fields if s.facts.data_type != "formula"],
                formula=any(s.facts.data_type == "formula" for s in fields),
                spans=lambda end: extract.spans(end, feeds.clock.now(), feeds.conf.window_days),
            )
        )


def _tell(feeds: Feeds, steps: list[Step], fresh: list[str], gone: list[str], counts: Counter[str]) -> None:
    logger = log.get("mirror")
    no_room = [s.facts.name for s in steps if s.kept_as == "no_room"]
    metrics.FIELDS_WITHOUT_ROOM.set(len(no_room))
    if no_room:
        counts["no_room"] = len(no_room)
        logger.warning(
            "PostgreSQL allows no more columns; these fields are not mirrored: leave others out by fields.exclude",
            fields=len(no_room),
            some=no_room[:20],
        )
    changed = [s for s in steps if s.old is not None and (s.old.kept_as, s.old.mark) != (s.kept_as, s.mark)]
    if changed:
        logger.info(
            "fields are kept otherwise by the settings", now={s.facts.name: s.kept_as for s in changed}
        )
    if fresh or gone:
        logger.info("fields changed", new=fresh, gone=gone)
    if unmatched := feeds.database.policy.unmatched([s.facts.name for s in steps]):
        logger.warning("names under [fields] that no field of Marketo has", names=unmatched)


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
    """Return the fields that the API user can read; see ``_read``."""
    return _read(client)[0]


def _read(client: Client) -> tuple[list[FieldFacts], list[str]]:
    """Return the fields that the API user can read, and those hidden, from Marketo's three descriptions of them.

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
    if "id" not in facts:
        # Every lead has one: so this is no description, and nothing follows from what is not in it.
        raise Retryable(
            "the answer names no field id, which every lead has", code="answer", endpoint="describe"
        )
    return list(facts.values()), [name for name, detail in details.items() if detail.is_hidden]
