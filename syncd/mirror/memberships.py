"""Feeds: who is on which static list, and who is in which program.

Full sweeps at long intervals, 300 members a call, swapped in at once when all pages are read; the
activities of ``changes`` in between. The log is read again from where it stood when a sweep began, so
that nothing that happened during the sweep is lost: applying an event twice changes nothing.

Members of programs that changed could be asked for by ``updatedAt`` too. That never costs fewer calls: it is one
call at the least for each program at each look, and does not tell who left, so that the log is read anyway. The
log, which all types share, names the members; 300 of them are read a call, of the programs that changed alone.
https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/list-membership
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from syncd import log
from syncd.core.codes import UNREADABLE
from syncd.database import memberships, state
from syncd.errors import Refused, Retryable, SyncdError, ValueRefused, WorkFailed
from syncd.marketo.shapes import moment
from syncd.mirror import assets, changes
from syncd.mirror.runs import recorded

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from syncd.core.budget import Lane
    from syncd.core.differences import Difference
    from syncd.database.memberships import Kind
    from syncd.mirror.runs import Feeds

LISTS, PROGRAMS, MEMBERS = "lists", "programs", "members"
CALL = 300
Failed = tuple["Kind", int, SyncdError]
"""A list or program whose members could not be read, and why."""
NO_SUCH_OBJECT, NO_SUCH_FIELD, TOO_MANY = "1013", "1006", "1003"
MEMBER_FIELDS = (
    "leadId", "statusName", "reachedSuccess", "acquiredBy", "membershipDate", "isExhausted", "nurtureCadence", "trackName",
    "updatedAt",
)  # fmt: skip
REACHED_AT = "reachedSuccessDate"
NOT_KEPT = frozenset({"seq", "program", "programId", "createdAt"})
"""What a member's fields tell that the mirror has elsewhere."""


def pull_lists(feeds: Feeds, *, full: bool = False) -> Counter[str]:
    """Bring partitions, static lists and their members up to date.

    The members of a list are read when they never were, or ``mirror.sweep_hours`` ago. full: now.
    """
    with recorded(feeds, LISTS) as counts:
        memberships.clear_left_over(feeds.database, LISTS)
        assets.put_lists(feeds, counts)
        _sweep_due(feeds, "list", counts, full=full)
    return counts


def pull_programs(feeds: Feeds, *, full: bool = False) -> Counter[str]:
    """Bring programs, the statuses and fields of members, and members up to date; see ``pull_lists``."""
    with recorded(feeds, PROGRAMS) as counts:
        memberships.clear_left_over(feeds.database, PROGRAMS)
        assets.put_programs(feeds, counts)
        if memberships.due(feeds.database, "program", _age(feeds, full=full)):
            assets.put_program_details(feeds, counts)
        _sweep_due(feeds, "program", counts, full=full)
    return counts


def pull_members(feeds: Feeds) -> Counter[str]:
    """Read the memberships that the log leaves open: 300 leads of one program or list a call."""
    with recorded(feeds, MEMBERS, alone=False) as counts:
        _tell_failed([*_read_programs(feeds, counts), *_ask_lists(feeds, counts)])
    return counts


def _read_programs(feeds: Feeds, counts: Counter[str]) -> list[Failed]:
    """Read members of programs. One that can't be read is no reason to leave the others unread: return those."""
    client = feeds.client.on("memberships")
    failed: list[Failed] = []
    while not feeds.clock.stopping():
        above = failed[-1][1] if failed else 0
        program, ids, marks = memberships.next_members(feeds.database, CALL, above=above)
        if program is None:
            break
        fields = _fields(feeds)
        try:
            found = client.program_members(program, ids, fields)
        except (Refused, Retryable) as problem:
            if problem.code == NO_SUCH_FIELD and not counts["fields_asked"]:
                # One was hidden or renamed since they were last asked for.
                assets.put_program_details(feeds, counts)
                counts["fields_asked"] += 1
                continue
            if not _of_it_alone(problem):
                raise
            if problem.code != NO_SUCH_OBJECT:
                failed.append(("program", program, problem))
                continue
            found = []
        try:
            with feeds.database.begin() as transaction:
                memberships.put_members(transaction, program, (ids, marks), _members(found, fields))
        except ValueRefused as problem:
            failed.append(("program", program, problem))
            continue
        counts["read"] += len(ids)
    return failed


def _ask_lists(feeds: Feeds, counts: Counter[str]) -> list[Failed]:
    client = feeds.client.on("memberships")
    failed: list[Failed] = []
    while not feeds.clock.stopping():
        above = failed[-1][1] if failed else 0
        number, ids, marks = memberships.next_list_members(feeds.database, CALL, above=above)
        if number is None:
            break
        try:
            on_list = client.are_on_list(number, ids)
        except (Refused, Retryable) as problem:
            if not _of_it_alone(problem):
                raise
            if problem.code != NO_SUCH_OBJECT:
                failed.append(("list", number, problem))
                continue
            on_list = dict.fromkeys(ids, False)
        with feeds.database.begin() as transaction:
            # Leads that Marketo no longer has: the fetcher finds out what became of them.
            state.mark_dirty(transaction, [lead for lead in ids if lead not in on_list], "member")
            memberships.put_list_members(
                transaction, number, (ids, marks), [lead for lead, there in on_list.items() if there]
            )
        counts["asked"] += len(ids)
    return failed


def differences(feeds: Feeds, kind: Kind, container: int, *, lane: Lane) -> list[Difference]:
    """Read all members of a list or program and return what differs in the mirror."""
    number, rows = _read_all(feeds, kind, container, lane)
    with feeds.database.begin() as transaction:
        memberships.prove(transaction, number, rows)
        return memberships.compare(transaction, kind, container, number)


def sweep(feeds: Feeds, kind: Kind, container: int, *, lane: Lane = "memberships") -> int:
    """Read all members of a list or program and swap them in; return how many rows differed."""
    changes.start(feeds)
    place = state.cursor(feeds.database, changes.ACTIVITIES)
    assert place is not None  # noqa: S101 - it was started above
    number, rows = _read_all(feeds, kind, container, lane)
    # The log knows whole seconds.
    reached_at = place.reached_at.replace(microsecond=0)
    with feeds.database.begin() as transaction:
        memberships.prove(transaction, number, rows)
        state.hold_cursor(transaction, changes.ACTIVITIES)
        changed = memberships.swap(transaction, kind, container, number, reached_at)
        state.move_cursor(transaction, changes.ACTIVITIES, place)
    return changed


def _sweep_due(feeds: Feeds, kind: Kind, counts: Counter[str], *, full: bool) -> None:
    due = memberships.due(feeds.database, kind, _age(feeds, full=full))
    failed: list[Failed] = []
    for done, container in enumerate(due):
        if feeds.clock.stopping():
            return
        try:
            counts["members_changed"] += sweep(feeds, kind, container)
            counts["swept"] += 1
        except (Refused, Retryable, ValueRefused) as problem:
            if not _of_it_alone(problem):
                raise
            failed.append((kind, container, problem))
        feeds.progress(f"members of {kind}s", done + 1, len(due))
    _tell_failed(failed)


def _of_it_alone(problem: SyncdError) -> bool:
    """Tell whether a list or program can't be read, while the others may be: what is odd there will be so again."""
    return not isinstance(problem, Retryable) or problem.code == UNREADABLE


def _tell_failed(failed: Sequence[Failed]) -> None:
    """Raise WorkFailed where members could not be read; the others were."""
    if failed:
        kind, container, problem = failed[0]
        raise WorkFailed(
            f"the members of {len(failed)} lists or programs could not be read; {kind} {container}: {problem}"
        )


def _age(feeds: Feeds, *, full: bool) -> float:
    return 0 if full else feeds.conf.sweep_hours * 3600


def _fields(feeds: Feeds) -> list[str]:
    """Return the fields to ask of members: all that there are."""
    further = set(memberships.member_fields(feeds.database)) - {*MEMBER_FIELDS, *NOT_KEPT}
    return [*MEMBER_FIELDS, *sorted(further)]


def _read_all(feeds: Feeds, kind: Kind, container: int, lane: Lane) -> tuple[int, int]:
    """Read the members of a list or program; return the sweep's number and how many were kept of it."""
    number, kept = memberships.start_sweep(feeds.database), 0
    owner = lane if lane == "verify" else f"{kind}s"
    program = container if kind == "program" else None
    try:
        for page in _pages(feeds, kind, container, lane):
            kept += memberships.keep_page(feeds.database, number, page, program=program, owner=owner)
    except BaseException as problem:
        memberships.forget_sweep(feeds.database, number)
        if not isinstance(problem, Refused) or problem.code != NO_SUCH_OBJECT:
            raise
        # The list or program was deleted in between: it has no members.
        kept = 0
    return number, kept


def _pages(feeds: Feeds, kind: Kind, container: int, lane: Lane) -> Iterator[Sequence[dict[str, Any]]]:
    client = feeds.client.on(lane)
    if kind == "list":
        leads = ({"lead_id": lead["id"]} for lead in client.leads_by_list(container, ["id"]))
        yield from _batches(leads)
        return
    fields = _fields(feeds)
    if len(fields) > len(MEMBER_FIELDS):
        pages = client.members_of_program(container, fields)
        try:
            first = next(pages, [])
        except Refused as problem:
            if problem.code != TOO_MANY:
                raise
            log.get("mirror").info(
                "a program is read without its members' own fields; those are read member by member",
                program=container,
                error=str(problem),
            )
        else:
            yield _members(first, fields)
            for members in pages:
                yield _members(members, fields)
            return
    for leads_of_page in client.leads_by_program(container, ["id"]):
        yield [_swept(lead) for lead in leads_of_page]


def _batches(items: Iterable[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    left = iter(items)
    while page := list(islice(left, CALL)):
        yield page


def _swept(lead: dict[str, Any]) -> dict[str, Any]:
    member = lead["membership"]
    return {
        "lead_id": lead["id"],
        "status": member.get("progressionStatus"),
        "status_type": member.get("progressionStatusType"),
        "acquired_by": member.get("acquiredBy"),
        "reached_success": member.get("reachedSuccess"),
        "is_exhausted": member.get("isExhausted"),
        "stream": member.get("stream"),
        "nurture_cadence": member.get("nurtureCadence"),
        "membership_date": member.get("membershipDate"),
        "updated_at": member.get("updatedAt"),
    }


def _members(items: Sequence[dict[str, Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Return members as rows; where their further fields were not asked for, ``custom`` is None."""
    asked = len(fields) > len(MEMBER_FIELDS)
    return [_member(item, asked=asked) for item in items]


def _member(item: dict[str, Any], *, asked: bool) -> dict[str, Any]:
    row = {
        "lead_id": item["leadId"],
        "status": item.get("statusName"),
        "acquired_by": item.get("acquiredBy"),
        "reached_success": item.get("reachedSuccess"),
        "is_exhausted": item.get("isExhausted"),
        "stream": item.get("trackName"),
        "nurture_cadence": item.get("nurtureCadence"),
        "membership_date": item.get("membershipDate"),
        "updated_at": item.get("updatedAt"),
    }
    if not asked:
        return row
    custom = {
        name: value
        for name, value in item.items()
        if value is not None and name not in MEMBER_FIELDS and name not in NOT_KEPT
    }
    reached = _moment(custom.get(REACHED_AT))
    if reached is not None:
        custom.pop(REACHED_AT)
    return row | {"reached_success_at": reached, "custom": custom}


def _moment(value: Any) -> datetime | None:
    """Read a time; None where there is none, or it can't be read: then it stays among the custom fields."""
    try:
        return moment(value) if isinstance(value, str) else None
    except ValueError:
        return None
