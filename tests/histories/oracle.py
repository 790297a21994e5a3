"""What Marketo holds, beside what the mirror shows: no code of syncd and no call of its own between them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.histories.house import House

SHOWN = 12


def differences(house: "House", *, known_only: bool = False) -> list[str]:
    """Say in words what differs.

    known_only: of fields and containers that the mirror has read before, alone.
    """
    state = house.simulator.dump()
    return [
        *_fields(house, state, known_only=known_only),
        *_leads(house, state),
        *_gone(house, state),
        *_lists(house, state, known_only=known_only),
        *_programs(house, state, known_only=known_only),
        *_campaigns(house, state),
        *([] if known_only else _assets(house, state)),
    ][:SHOWN]


def _fields(house: "House", state: dict[str, Any], *, known_only: bool) -> Iterator[str]:
    ours = {name for (name,) in house.execute("SELECT name FROM lead_field WHERE _removed_at IS NULL")}
    theirs = {f["name"] for f in state["fields"] if not f["hidden"]}
    if not known_only and ours != theirs:
        yield f"fields: {sorted(ours ^ theirs)} are on one side only"


def living(house: "House", state: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return every lead that Marketo shows, by id, with all its fields."""
    slots = [(f["name"], f["slot"]) for f in state["fields"]]
    changed = {int(lead): record for lead, record in state["leads"]}
    found = {lead: values for lead, values in house.subscription.leads.items() if lead not in changed}
    for lead, record in changed.items():
        if record is not None:
            found[lead] = {name: record[slot] if slot < len(record) else None for name, slot in slots}
    return {lead: values for lead, values in found.items() if lead not in state["anonymous"]}


def _leads(house: "House", state: dict[str, Any]) -> Iterator[str]:
    columns = house.execute("SELECT name, column_name FROM lead_field WHERE _removed_at IS NULL")
    hidden = {f["name"] for f in state["fields"] if f["hidden"]}
    theirs = living(house, state)
    rows = house.execute("SELECT to_jsonb(l) FROM lead l WHERE _deleted_at IS NULL")
    typed = {int(row["id"]): row for (row,) in rows}
    # Whoever is anonymous is in no list and no file, but may be read by the id.
    for lead in sorted((theirs.keys() ^ typed.keys()) - set(state["anonymous"])):
        yield f"lead {lead}: {'missing' if lead in theirs else 'extra'} in the mirror"
    for lead in sorted(theirs.keys() & typed.keys()):
        unparsed = typed[lead]["_unparsed"] or {}
        for name, column in columns:
            if name in hidden or name in house.unlogged:
                continue
            value = theirs[lead].get(name)
            mine = unparsed[name] if name in unparsed else typed[lead][column]
            if not same(mine, value):
                yield f"lead {lead}: {name} is {mine!r} in the mirror and {value!r} in Marketo"


def same(mine: Any, theirs: Any) -> bool:
    """Tell whether a value as PostgreSQL writes it in JSON is Marketo's."""
    if isinstance(theirs, str):
        theirs = theirs.replace("\x00", "").encode("utf-8", "replace").decode()
    if theirs in {None, ""} or theirs is False:
        return mine is None or mine is False
    if mine is None and theirs == "null":
        # A bulk file tells no difference between this text and nothing.
        return True
    if isinstance(mine, bool) or isinstance(theirs, bool):
        return str(mine).lower() == str(theirs).lower()
    if isinstance(mine, int | float) and isinstance(theirs, int | float | str):
        return Decimal(str(mine)) == Decimal(str(theirs))
    return str(mine) == str(theirs) or _time(mine) == _time(theirs) is not None


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _gone(house: "House", state: dict[str, Any]) -> Iterator[str]:
    """Tombstones stay, and each loser points at the last winner."""
    merged = {int(loser): int(winner) for loser, winner in state["merged"]}
    rows = house.execute("SELECT id, _merged_into_id FROM lead WHERE _deleted_at IS NOT NULL")
    for lead, points_at in rows:
        last = lead
        while last in merged:
            last = merged[last]
        if points_at != (None if last == lead else last):
            yield f"lead {lead}: merged into {points_at} in the mirror and into {last} in Marketo"


def _lists(house: "House", state: dict[str, Any], *, known_only: bool) -> Iterator[str]:
    theirs = {(a["id"], int(lead)) for a in state["lists"] for lead, _ in a["members"]}
    yield from _members(house, "list", "list_membership", "list_id", theirs, state, known_only=known_only)


def _programs(house: "House", state: dict[str, Any], *, known_only: bool) -> Iterator[str]:
    members = {(a["id"], int(lead)): held for a in state["programs"] for lead, held in a["members"]}
    yield from _members(
        house, "program", "program_membership", "program_id", set(members), state, known_only=known_only
    )
    rows = house.execute(
        "SELECT program_id, lead_id, status, reached_success, acquired_by, is_exhausted, updated_at, custom "
        "FROM program_membership"
    )
    for program, lead, status, reached, acquired, exhausted, updated, custom in rows:
        if (held := members.get((program, lead))) is None:
            continue
        told = (held["status"], held["reached"], held["acquired"], held["exhausted"], held["updated"])
        mine = (status, reached, acquired, exhausted, updated and int(updated.timestamp()))
        if mine != told:
            yield f"program {program}, lead {lead}: {mine} in the mirror and {told} in Marketo"
        own = {name: value for name, value in held["data"].items() if value is not None}
        if custom is not None and any(custom.get(name) != value for name, value in own.items()):
            yield f"program {program}, lead {lead}: {custom} in the mirror and {own} in Marketo"


def _members(
    house: "House",
    kind: str,
    table: str,
    column: str,
    theirs: set[tuple[int, int]],
    state: dict[str, Any],
    *,
    known_only: bool,
) -> Iterator[str]:
    # Of a list or program that is gone, its last members stay.
    looked_at = {a["id"] for a in state[f"{kind}s"]}
    if known_only:
        looked_at &= {n for (n,) in house.execute("SELECT container_id FROM sweep WHERE kind = %s", kind)}
    mine = {m for m in house.execute(f"SELECT {column}, lead_id FROM {table}") if m[0] in looked_at}
    mine = {m for m in mine if m[1] not in state["anonymous"]}
    theirs = {m for m in theirs if m[0] in looked_at}
    theirs = {m for m in theirs if m[1] not in state["anonymous"]}
    for container, lead in sorted(mine ^ theirs):
        how = "extra" if (container, lead) in mine else "missing"
        yield f"{kind} {container}, lead {lead}: {how} in the mirror"


def _campaigns(house: "House", state: dict[str, Any]) -> Iterator[str]:
    """Campaigns are read lead by lead: of leads that were read, all is known."""
    read = {n for (n,) in house.execute("SELECT lead_id FROM campaign_read WHERE read_at > '-infinity'")}
    theirs = {
        (a["id"], int(lead)): int(held[1])
        for a in state["campaigns"]
        for lead, held in a["members"]
        if int(lead) in read
    }
    rows = house.execute(
        "SELECT smart_campaign_id, lead_id, extract(epoch FROM updated_at)::bigint FROM campaign_membership"
    )
    mine = {(campaign, lead): updated for campaign, lead, updated in rows}
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            yield f"campaign {key[0]}, lead {key[1]}: {mine.get(key)} in the mirror and {theirs.get(key)} in Marketo"


def _assets(house: "House", state: dict[str, Any]) -> Iterator[str]:
    for table, kind in (("static_list", "lists"), ("program", "programs"), ("smart_campaign", "campaigns")):
        mine = dict(house.execute(f"SELECT id, name FROM {table} WHERE _removed_at IS NULL"))
        theirs = {a["id"]: a["name"] for a in state[kind]}
        if kind == "lists":
            programs = {a["id"]: a["name"] for a in state["programs"]}
            theirs = {
                a["id"]: f"{programs[a['program']]}.{a['name']}" if a["program"] in programs else a["name"]
                for a in state[kind]
            }
        if mine != theirs:
            yield f"{table}: {mine} in the mirror and {theirs} in Marketo"
