"""What a confirmed call changed, written into the mirror by the transaction that writes its rows down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from syncd.core import evolution
from syncd.core.effects import NEVER_TAKEN
from syncd.core.fields import FieldFacts
from syncd.database import columns, leads, state
from syncd.database.documents import document
from syncd.database.engine import SCHEMA_LOCK

if TYPE_CHECKING:
    from syncd.core.effects import Effects
    from syncd.core.fields import LeadField
    from syncd.database.engine import Transaction

_TAKEN: dict[bool, LiteralString] = {
    False: "{0} = coalesce(w.{0}, l.{0})",
    True: "{0} = w.{0} OR l.{0}",  # One that was never set is false in Marketo.
}


def apply(transaction: Transaction, effects: Effects) -> None:
    """Write effects down. Leads are marked dirty first: what the request does not tell is read again."""
    if effects.fields_made or effects.fields_changed:
        _fields(transaction, effects)
    written = {lead for lead, _ in effects.changes} | set(effects.touched)
    listed = {lead for _, lead, added in effects.listed if added} - written
    unseen = leads.unseen_leads(transaction, sorted(listed | {m.lead for m in effects.members} - written))
    state.mark_dirty(transaction, sorted(written | unseen), "outbox")
    changes = [*effects.changes, *_moves(transaction, effects)]
    if changes or effects.merged:
        fields = leads.mirrored_fields(transaction)
        leads.apply_changes(transaction, fields, changes)
        _merge(transaction, effects, fields)
    leads.bury(transaction, [(lead, None) for lead in effects.deleted])
    _members(transaction, effects)
    if effects.requested:
        transaction.run("campaign_mark", ids=sorted(set(effects.requested)))


def _moves(transaction: Transaction, effects: Effects) -> list[tuple[int, dict[str, Any]]]:
    if not effects.moved:
        return []
    names = sorted({name for _, name in effects.moved})
    known = {r.name: int(r.id) for r in transaction.rows("effect_partitions", names=names)}
    return [(lead, {"leadPartitionId": known[name]}) for lead, name in effects.moved if name in known]


def _merge(transaction: Transaction, effects: Effects, fields: list[LeadField]) -> None:
    """Let each winner take what it lacks from its losers, in their order, as Marketo does."""
    takes = [f for f in fields if f.name not in NEVER_TAKEN]
    # A loser that is gone already may be gone by somebody else's doing, and the log has told of it, or will.
    gone = {int(r.id) for r in transaction.rows("effect_gone", ids=[loser for loser, _ in effects.merged])}
    merged = [(loser, winner) for loser, winner in effects.merged if loser not in gone]
    for loser, winner in merged:
        if takes:
            transaction.composed(
                sql.SQL(
                    "UPDATE lead w SET {} FROM lead l WHERE w.id = %(winner)s AND l.id = %(loser)s"
                ).format(
                    sql.SQL(", ").join(
                        sql.SQL(_TAKEN[f.column_type == "boolean"]).format(sql.Identifier(f.column))
                        for f in takes
                    )
                ),
                {"winner": winner, "loser": loser},
            )
    leads.bury(transaction, merged)


def _members(transaction: Transaction, effects: Effects) -> None:
    if effects.listed:
        rows = [
            {"place": place, "list_id": container, "lead_id": lead, "added": added}
            for place, (container, lead, added) in enumerate(effects.listed)
        ]
        transaction.run("effect_listed", rows=document(rows))
    if effects.members:
        members = [
            {
                "place": place,
                "program_id": m.program if isinstance(m.program, int) else None,
                "program": m.program if isinstance(m.program, str) else None,
                "lead_id": m.lead,
                "status": m.status,
                "sure": m.sure,
            }
            for place, m in enumerate(effects.members)
        ]
        transaction.run("effect_members", rows=document(members))
        transaction.run("effect_members_dirty", rows=document(members))
    if effects.left:
        left = [{"program_id": program, "lead_id": lead} for program, lead in effects.left]
        transaction.run("effect_left", rows=document(left))


def _fields(transaction: Transaction, effects: Effects) -> None:
    """Add a column for each field that was made, and note what was changed of others."""
    transaction.lock(SCHEMA_LOCK)
    transaction.run("short_lock_wait")
    known = columns.known(transaction)
    made = {fact.name: fact for fact in map(_facts, effects.fields_made) if fact.name not in known}
    if made:
        taken = state.lead_columns(transaction) | {f.column for f in known.values() if f.column}
        room = evolution.MOST_COLUMNS - columns.used_up(transaction)
        steps = evolution.plan(list(made.values()), {}, transaction.policy, taken, room)
        columns.put(transaction, columns.carry_out(transaction, steps))
    if effects.fields_changed:
        transaction.run("effect_fields_changed", rows=document(list(effects.fields_changed)))


def _facts(record: dict[str, Any]) -> FieldFacts:
    """What Marketo will tell of a field that was made as this record says (…/rest/lead-database/leads#create-lead-fields)."""
    return FieldFacts(
        name=str(record["name"]),
        display_name=str(record["displayName"]),
        data_type=str(record["dataType"]),
        description=record.get("description"),
        hidden=bool(record.get("isHidden", False)),
        sensitive=bool(record.get("isSensitive", False)),
        custom=True,
        api_created=True,
        html_encoded_in_email=bool(record.get("isHtmlEncodingInEmail", True)),
    )
