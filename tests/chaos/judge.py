"""Which promises a history broke: read from Marketo's own list of effects, the outbox and its attempts.

Nothing of syncd is used here. A row is told by its mark, which is in the title of the record that it writes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FINAL = {"succeeded", "failed", "conflict", "uncertain", "cancelled", "expired"}
NOT_DONE = FINAL - {"succeeded", "uncertain"}
BADLY = {"failed", "conflict", "uncertain", "expired"}
NEVER = {"create_duplicate", "push", "submit_form", "trigger_campaign"}
"""Operations that are not repeated by themselves after an unknown outcome."""
WRITING = {"create_or_update", "update_only", "create_only", "create_duplicate", "push", "submit_form"}
"""Operations whose record bears the mark."""
TRACES = {"trigger_campaign": "campaign_requested", "push": "pushed", "submit_form": "form_filled_out"}
SHOWN = 8
NEVER_ENDED = (-math.inf, math.inf)
"""When a row was written whose writer did not hear whether it was."""

Row = dict[str, Any]


@dataclass
class Evidence:
    """All that is known when everything is quiet."""

    rows: list[Row]
    attempts: list[Row]
    effects: list[dict[str, Any]]
    emails: dict[int, str]
    """Address of each lead before the first effect."""
    written: dict[int, tuple[float, float]]
    """When a row's transaction began and had ended, by one clock for all writers."""
    touched: set[int] = field(default_factory=set)
    """Rows for which a person decided something."""
    released: dict[int, datetime] = field(default_factory=dict)
    """When a row was made to let go what it halted, by the database's clock."""
    ended: set[int] | None = None
    """Replicas whose session ended, where that is known."""
    unseen: list[str] = field(default_factory=list)
    """What the mirror did not show when a row was marked as succeeded."""


def violations(known: Evidence) -> list[str]:
    """Say in words which promises do not hold."""
    case = _Case(known)
    return [
        *case.lost(),
        *case.out_of_order(),
        *case.duplicates(),
        *case.repeated(),
        *(f"read your writes: {told}" for told in known.unseen),
        *case.silent(),
    ][:SHOWN]


def mark_of(row: Row) -> str | None:
    """Return the mark of a row's record; None where it writes none."""
    if row["operation"] not in WRITING:
        return None
    payload = row["payload"]
    found: str | None = payload.get("leadFormFields", payload).get("title")
    return found


def names_of(row: Row) -> set[str]:
    """Return the names of the leads that a row's payload says."""
    payload = row["payload"]
    email = payload.get("leadFormFields", payload).get("email")
    ids = [payload.get("id"), *payload.get("leadIds", ())]
    return {str(lead) for lead in ids if lead is not None} | ({email.strip().lower()} if email else set())


class _Case:
    def __init__(self, known: Evidence) -> None:
        self.known = known
        self.rows = {row["id"]: row for row in known.rows}
        self.owner = {mark: row["id"] for row in known.rows if (mark := mark_of(row))}
        self.tries: defaultdict[int, list[Row]] = defaultdict(list)
        for attempt in known.attempts:
            self.tries[attempt["outbox_id"]].append(attempt)
        self.marked: list[tuple[int, dict[str, Any]]] = []
        """Row and effect, in the order in which they took effect."""
        for effect in known.effects:
            mark = effect["fields"].get("title", {}).get("new")
            if effect["kind"] in {"created", "updated"} and mark in self.owner:
                self.marked.append((self.owner[mark], effect))
        self.times = Counter(number for number, _ in self.marked)

    def doubted(self, number: int) -> bool:
        return any(a["outcome"] == "unknown" for a in self.tries[number])

    def shared(self, row: Row) -> bool:
        """Whether the row's record bore the mark of a later row."""
        return (row["result"] or {}).get("sent_as_one_with", row["id"]) != row["id"]

    def precedes(self, first: int, second: int) -> bool:
        """Whether the one was committed before the other's transaction began, and no person moved either."""
        written, touched = self.known.written, self.known.touched
        if first >= second or {first, second} & touched:
            return False
        return written.get(first, NEVER_ENDED)[1] <= written.get(second, NEVER_ENDED)[0]

    # --- promise 1

    def lost(self) -> Iterator[str]:
        for row in self.known.rows:
            number, status = row["id"], row["status"]
            if status not in FINAL or row["finished_at"] is None:
                yield f"lost: row {number} ({row['operation']}) has not ended, it is {status}"
            elif number in self.known.touched:
                continue
            elif status == "succeeded":
                yield from self._unfounded(row)
            elif status in NOT_DONE and self.times[number]:
                certain = status in {"cancelled", "expired"} or not self.doubted(number)
                if certain or self._its_lead_lives(row):
                    yield f"lost: row {number} is {status}, and took effect"

    def _its_lead_lives(self, row: Row) -> bool:
        """Whether a lead that the row was to make, and made, is there to be found."""
        gone = {
            lead
            for e in self.known.effects
            if e["kind"] in {"deleted", "merged"}
            for lead in (e.get("losers") or [e["leadId"]])
        }
        made = [e for number, e in self.marked if number == row["id"] and e["kind"] == "created"]
        return row["operation"] == "create_only" and any(e["leadId"] not in gone for e in made)

    def _unfounded(self, row: Row) -> Iterator[str]:
        number, result = row["id"], row["result"] or {}
        told = f"lost: row {number} ({row['operation']}) is succeeded"
        if not any(a["outcome"] == "succeeded" for a in self.tries[number]):
            yield f"{told}, and no attempt of it was"
        if "proven_by" in result:
            return
        if mark_of(row) and not self.shared(row) and not self.times[number]:
            yield f"{told}, and never took effect"
        kinds = {"delete": "deleted", "merge": "merged", "trigger_campaign": "campaign_requested"}
        kind = kinds.get(row["operation"])
        if kind and not any(e["kind"] == kind and e["leadId"] == row["lead_id"] for e in self.known.effects):
            yield f"{told}, and never took effect on lead {row['lead_id']}"

    # --- promise 2

    def out_of_order(self) -> Iterator[str]:
        last: dict[int, list[int]] = defaultdict(list)
        for number, effect in self.marked:
            for earlier in last[effect["leadId"]]:
                if self.precedes(number, earlier):
                    yield f"order: row {number} took effect on lead {effect['leadId']} after row {earlier}"
            last[effect["leadId"]].append(number)
        yield from self._past_a_halt()
        yield from self._after_its_deletion()
        yield from self._lists()

    def _past_a_halt(self) -> Iterator[str]:
        """Rows of a lead that went though an earlier one had ended badly and was to halt them."""
        for halt in self.known.rows:
            if halt["status"] not in BADLY or (halt["options"] or {}).get("on_failure") != "halt":
                continue
            until = self.known.released.get(halt["id"])
            for row in self.known.rows:
                began = min((a["started_at"] for a in self.tries[row["id"]]), default=None)
                if (
                    began is None
                    or not names_of(halt) & names_of(row)
                    or not self.precedes(halt["id"], row["id"])
                ):
                    continue
                if until is None or began < until:
                    yield f"order: row {row['id']} went though row {halt['id']} halted it"

    def _after_its_deletion(self) -> Iterator[str]:
        """A row that found its lead gone, where a later row took it away and nobody else did."""
        gone: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for effect in self.known.effects:
            if effect["kind"] == "deleted":
                gone[effect["leadId"]].append(effect)
            for loser in effect.get("losers", ()):
                gone[loser].append(effect)
        for row in self.known.rows:
            lead = row["payload"].get("id") if row["operation"] != "merge" else None
            if (
                row["status"] != "failed"
                or row["error_code"] != "1004"
                or lead is None
                or self.doubted(row["id"])
            ):
                continue
            by = [e for e in gone[int(lead)] if e["endpoint"] != "ui"]
            if len(gone[int(lead)]) != 1 or not by:
                continue
            for other in self.known.rows:
                takes = other["operation"] == "delete" and other["lead_id"] == int(lead)
                takes |= other["operation"] == "merge" and int(lead) in map(int, other["payload"]["leadIds"])
                takes &= self._may_have_made(other, by[0])
                if takes and other["status"] == "succeeded" and self.precedes(row["id"], other["id"]):
                    yield f"order: row {row['id']} found lead {lead} gone, which row {other['id']} took away"

    def _may_have_made(self, row: Row, effect: dict[str, Any]) -> bool:
        """Whether an effect may be of a row: its request is on record with the row, or with nobody."""
        owners = {a["outbox_id"] for a in self.known.attempts if a["request_id"] == effect["requestId"]}
        return row["id"] in owners or (not owners and self.doubted(row["id"]))

    def _lists(self) -> Iterator[str]:
        """Who is on a list in the end, where the outbox alone wrote to it: what the last row said."""
        foreign = {
            lead
            for e in self.known.effects
            if e["endpoint"] == "ui" or e["kind"] in {"merged", "deleted"}
            for lead in (e["leadId"], *e.get("losers", ()))
        }
        state: dict[tuple[int, int], bool] = {}
        for effect in self.known.effects:
            if effect["kind"] in {"added_to_list", "removed_from_list"}:
                state[effect["leadId"], effect["listId"]] = effect["kind"] == "added_to_list"
        last: dict[tuple[int, int], Row] = {}
        for row in self.known.rows:
            if row["operation"] in {"add_to_list", "remove_from_list"} and row["lead_id"] is not None:
                place = (row["lead_id"], int(row["options"]["listId"]))
                before = last.get(place)
                if (
                    row["status"] != "succeeded"
                    or row["id"] in self.known.touched
                    or (before is not None and not self.precedes(before["id"], row["id"]))
                ):
                    foreign.add(row["lead_id"])
                last[place] = row
        for place, row in last.items():
            if place[0] in foreign or place not in state:
                continue
            if state[place] != (row["operation"] == "add_to_list"):
                yield f"order: lead {place[0]} and list {place[1]} are not as row {row['id']}, the last, left them"

    # --- promise 3

    def duplicates(self) -> Iterator[str]:
        living = dict(self.known.emails)
        operation = {effect["seq"]: self.rows[number]["operation"] for number, effect in self.marked}
        for effect in self.known.effects:
            email = effect["fields"].get("email", {}).get("new")
            made = effect["kind"] == "created" and operation.get(effect["seq"]) not in {
                None,
                "create_duplicate",
            }
            if made and email and str(email).lower() in living.values():
                yield f"duplicate: lead {effect['leadId']} was made, though {email.lower()} was there"
            if effect["kind"] in {"created", "updated"} and email:
                living[effect["leadId"]] = str(email).lower()
            if effect["kind"] == "deleted":
                living.pop(effect["leadId"], None)
            for loser in effect.get("losers", ()):
                living.pop(loser, None)

    # --- promise 4

    def repeated(self) -> Iterator[str]:
        for number, times in self.times.items():
            row = self.rows[number]
            if times <= 1 or number in self.known.touched:
                continue
            held = row["operation"] in NEVER and row["on_unknown_outcome"] != "resend"
            if held or not self.doubted(number):
                yield f"repeated: row {number} ({row['operation']}) took effect {times} times"
        yield from self._hurting()
        yield from self._fields()

    def _hurting(self) -> Iterator[str]:
        """Count what leaves a trace each time, whatever the record was: forms, pushes and requested campaigns."""
        went = Counter(
            (e["kind"], e["leadId"], e.get("campaignId", e.get("formId")))
            for e in self.known.effects
            if e["kind"] in TRACES.values() and e["endpoint"] != "ui"
        )
        most: Counter[tuple[str, int | None, int | None]] = Counter()
        least: Counter[tuple[str, int | None, int | None]] = Counter()
        for row in self.known.rows:
            if row["operation"] not in NEVER:
                continue
            tries = [a for a in self.tries[row["id"]] if a["outcome"] in {"unknown", "succeeded"}]
            again = row["on_unknown_outcome"] == "resend" or row["id"] in self.known.touched
            if not again and len(tries) > 1:
                yield f"repeated: row {row['id']} ({row['operation']}) went out {len(tries)} times"
            if kind := TRACES.get(row["operation"]):
                detail = row["options"].get("campaignId", row["options"].get("formId"))
                place = (kind, row["lead_id"], None if detail is None else int(detail))
                most[place] += len(tries) if again else bool(tries)
                if len(tries) > 1:
                    # The lead of an earlier attempt may have been another one.
                    most[kind, None, place[2]] += len(tries)
                least[place] += row["status"] == "succeeded" and row["id"] not in self.known.touched
        for place, times in went.items():
            # A row of unknown outcome may have reached any lead.
            at_most = most[place] + most[place[0], None, place[2]]
            if not least[place] <= times <= at_most:
                yield f"repeated: {place} happened {times} times, not {least[place]} to {at_most}"

    def _fields(self) -> Iterator[str]:
        made = Counter(e["field"] for e in self.known.effects if e["kind"] == "field_created")
        yield from (
            f"repeated: field {name} was made {times} times" for name, times in made.items() if times > 1
        )

    # --- promise 8

    def silent(self) -> Iterator[str]:
        for row in self.known.rows:
            number, tries = row["id"], sorted(a["number"] for a in self.tries[row["id"]])
            if row["status"] in {"failed", "conflict", "uncertain"} and not row["error_message"]:
                yield f"silent: row {number} is {row['status']}, and does not say why"
            if tries != list(range(1, row["attempts"] + 1)):
                yield f"silent: row {number} counts {row['attempts']} attempts, and {tries} are on record"
        for attempt in self.known.attempts:
            alive = self.known.ended is not None and attempt["replica"] not in self.known.ended
            if attempt["error_code"] == "orphaned" and alive:
                yield f"repeated: row {attempt['outbox_id']} was taken from replica {attempt['replica']}, which lived"
        for number, effect in self.marked:
            known = {a["request_id"] for a in self.tries[number]}
            if effect["requestId"] not in known and not self.doubted(number):
                yield f"silent: row {number} took effect by request {effect['requestId']}, which is not on record"
