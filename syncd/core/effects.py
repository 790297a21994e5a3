"""What a call that Marketo confirmed has changed, as far as the request tells: what the mirror must show at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from syncd.core.operations import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncd.core.outbox import Shape


@dataclass(frozen=True)
class Member:
    """A lead that a program has taken in or moved on."""

    program: int | str
    """The program's id or name, as the call named it."""
    lead: int
    status: str | None
    """The status that it has now; None where only Marketo knows."""
    sure: bool = True
    """False where a lead that was a member before may be further: then its status stays until it is read."""


@dataclass(frozen=True)
class Effects:
    """What the mirror must show in the transaction that writes a row down as succeeded."""

    changes: tuple[tuple[int, dict[str, Any]], ...] = ()
    """Leads, with the fields that were sent."""
    touched: tuple[int, ...] = ()
    """Leads of which Marketo changed what the request does not tell: they are read again."""
    deleted: tuple[int, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    """Losers, each with its winner, in the order in which Marketo takes values from them."""
    listed: tuple[tuple[int, int, bool], ...] = ()
    """Lists and leads, and whether the lead is on the list."""
    members: tuple[Member, ...] = ()
    left: tuple[tuple[int, int], ...] = ()
    """Programs, and leads that are no longer in them."""
    moved: tuple[tuple[int, str], ...] = ()
    """Leads, and the name of the partition that they are in."""
    requested: tuple[int, ...] = ()
    """Leads that were sent through a campaign."""
    fields_made: tuple[dict[str, Any], ...] = ()
    fields_changed: tuple[dict[str, Any], ...] = ()

    def to_be_read(self) -> Effects:
        """Return the same without values: the leads to which they belong are read again."""
        changed = (lead for lead, _ in self.changes)
        winners = (winner for _, winner in self.merged)
        return replace(self, changes=(), touched=(*self.touched, *changed, *winners))


NOTHING = Effects()

NEVER_TAKEN = frozenset(
    {
        *("id", "leadPerson", "createdAt", "updatedAt", "mktoName", "fullGreeting", "contactCompany"),
        *("leadPartitionId", "isAnonymous", "cookies"),
    }
)
"""Fields that the winner of a merge does not take from a loser, though it lacks them."""


def of_record(shape: Shape, record: dict[str, Any], lead: int | None, *, already: bool = False) -> Effects:
    """Return the effects of a record that Marketo took; already: it says that nothing was left to do."""
    if CATALOGUE[shape.operation].payload in {"field", "field_change"}:
        made = shape.operation == "create_field"
        return Effects(fields_made=(record,)) if made else Effects(fields_changed=(record,))
    return NOTHING if lead is None else _of_lead(shape, record, lead, already=already)


def together(parts: Sequence[Effects]) -> Effects:
    """Return several effects as one, in their order."""
    return Effects(
        **{f.name: tuple(chain.from_iterable(getattr(p, f.name) for p in parts)) for f in fields(Effects)}
    )


def _of_lead(shape: Shape, record: dict[str, Any], lead: int, *, already: bool) -> Effects:
    return (
        _OF[shape.operation](shape, record, lead, already)
        if shape.operation in _OF
        else Effects(((lead, record),))
    )


def _merge(shape: Shape, record: dict[str, Any], lead: int, _: bool) -> Effects:
    losers = [int(loser) for loser in record["leadIds"]]
    if shape.options.get("mergeInCRM"):
        # Then the CRM decides which of them stays (…/rest/lead-database/leads#merge).
        return Effects(touched=(lead, *losers))
    return Effects(merged=tuple((loser, lead) for loser in losers if loser != lead), touched=(lead,))


def _listed(shape: Shape, _: dict[str, Any], lead: int, __: bool) -> Effects:
    return Effects(listed=((int(shape.options["listId"]), lead, shape.operation == "add_to_list"),))


def _status(shape: Shape, _: dict[str, Any], lead: int, already: bool) -> Effects:
    program, status = int(shape.options["programId"]), str(shape.options["statusName"])
    return Effects(members=(Member(program, lead, status, sure=not already),))


def _pushed(shape: Shape, record: dict[str, Any], lead: int, _: bool) -> Effects:
    changes = {name: value for name, value in record.items() if name != "mktToken"}
    status = shape.options.get("programStatus")
    member = Member(str(shape.options["programName"]), lead, status, sure=False)
    return Effects(changes=((lead, changes),), members=(member,) if status else ())


def _filled_in(shape: Shape, record: dict[str, Any], lead: int, _: bool) -> Effects:
    program = shape.options.get("programId")
    members = (Member(int(program), lead, None, sure=False),) if program else ()
    return Effects(changes=((lead, dict(record["leadFormFields"])),), members=members)


_OF: dict[str, Callable[[Shape, dict[str, Any], int, bool], Effects]] = {
    "delete": lambda _, __, lead, ___: Effects(deleted=(lead,)),
    "merge": _merge,
    "associate": lambda _, __, lead, ___: Effects(touched=(lead,)),
    "add_to_list": _listed,
    "remove_from_list": _listed,
    "set_program_status": _status,
    "remove_from_program": lambda shape, _, lead, __: Effects(
        left=((int(shape.options["programId"]), lead),)
    ),
    "update_partition": lambda shape, _, lead, __: Effects(
        moved=((lead, shape.partition_name or ""),), touched=(lead,)
    ),
    "trigger_campaign": lambda _, __, lead, ___: Effects(requested=(lead,), touched=(lead,)),
    "push": _pushed,
    "submit_form": _filled_in,
}
"""The effects of each operation that does more, or other, than write the fields of its record."""
