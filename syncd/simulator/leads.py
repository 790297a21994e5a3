"""The leads: seeded ones made when they are read, changed ones kept, and indexes over both."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from syncd.simulator.clock import stamp
from syncd.simulator.fields import HIDDEN_CHANGE, Field, Schema
from syncd.simulator.seeding import Record, Seeder

CACHE = 50_000
Key = str
Index = dict[Key, int | list[int]]


def key_of(value: Any) -> Key:
    """A value as look-ups compare it: letter case and outer blanks do not count."""
    return str(value).strip().lower()


class Leads:
    """All leads by id, and by any searchable field."""

    def __init__(self, schema: Schema, seeder: Seeder) -> None:
        self.schema, self.seeder = schema, seeder
        self.changed: dict[int, Record | None] = {}
        self.next_id = seeder.count + 1
        self._removed = 0
        self._cache: dict[int, Record] = {}
        self._indexes: dict[int, Index] = {}
        self._email = schema.slot("email")

    def __len__(self) -> int:
        return self.next_id - 1 - self._removed

    def get(self, lead: int) -> Record | None:
        """The record to read, or None where there is no such lead (any more)."""
        record = self.changed.get(lead)
        if record is None:
            if lead < 1 or lead > self.seeder.count or lead in self.changed:
                return None
            record = self._cache.get(lead)
            if record is None:
                if len(self._cache) >= CACHE:
                    self._cache.clear()
                record = self._cache[lead] = self.seeder.make(lead)
        missing = len(self.schema.defaults) - len(record)
        if missing:
            record += self.schema.defaults[-missing:]
        return record

    def exists(self, lead: int) -> bool:
        """Whether there is such a lead, without making its record."""
        if lead in self.changed:
            return self.changed[lead] is not None
        return 1 <= lead <= self.seeder.count

    def ids(self, first: int = 1) -> Iterator[int]:
        """All ids from the first on, in order."""
        changed = self.changed
        seeded = (
            i
            for i in range(max(1, first), self.seeder.count + 1)
            if i not in changed or changed[i] is not None
        )
        made = (
            i for i in range(max(first, self.seeder.count + 1), self.next_id) if changed.get(i) is not None
        )
        return chain(seeded, made)

    def insert(self, record: Record) -> int:
        """Keep a new record under the next id."""
        lead, self.next_id = self.next_id, self.next_id + 1
        record[self.schema.slot("id")] = lead
        self.changed[lead] = record
        for slot, index in self._indexes.items():
            if record[slot] is not None:
                _put(index, key_of(record[slot]), lead)
        return lead

    def write(self, lead: int, values: dict[int, Any]) -> None:
        """Set slots of a record that exists."""
        record = self.get(lead)
        if record is None:
            raise KeyError(lead)
        if lead not in self.changed:
            record = record.copy()
            self._cache.pop(lead, None)
        for slot, value in values.items():
            index = self._indexes.get(slot)
            if index is not None:
                if record[slot] is not None:
                    _drop(index, key_of(record[slot]), lead)
                if value is not None:
                    _put(index, key_of(value), lead)
            record[slot] = value
        self.changed[lead] = record

    def remove(self, lead: int) -> Record:
        """Take a lead out."""
        record = self.get(lead)
        if record is None:
            raise KeyError(lead)
        for slot, index in self._indexes.items():
            if record[slot] is not None:
                _drop(index, key_of(record[slot]), lead)
        self.changed[lead] = None
        self._cache.pop(lead, None)
        self._removed += 1
        return record

    def find(self, field: Field, value: Any) -> list[int]:
        """The ids of the leads whose field has that value."""
        key = key_of(value)
        if field.name == "id":
            return [int(key)] if key.isdecimal() and len(key) < 19 and self.exists(int(key)) else []  # noqa: PLR2004
        found = self.index(field).get(key)
        return [] if found is None else [found] if isinstance(found, int) else list(found)

    def index(self, field: Field) -> Index:
        """The index over a field; made when it is first asked for."""
        index = self._indexes.get(field.slot)
        if index is None:
            index = self._indexes[field.slot] = self._build(field)
        return index

    def changed_since(self, lead: int) -> str:
        """The hidden time of the last change of any field."""
        if lead not in self.changed and 1 <= lead <= self.seeder.count:
            return stamp(self.seeder.last_change(lead))
        record = self.get(lead)
        return "" if record is None else record[HIDDEN_CHANGE]

    def load(self, changed: dict[int, Record | None], next_id: int) -> None:
        """Take over kept records, as they were dumped."""
        self.changed, self.next_id = changed, next_id
        self._removed = sum(record is None for record in changed.values())
        self._cache.clear()
        self._indexes.clear()
        self.index(self.schema.by_name["email"])

    def _build(self, field: Field) -> Index:
        index: Index = {}
        count, slot = self.seeder.count, field.slot
        if slot == self._email:
            email = self.seeder.email
            for lead in range(1, count + 1):
                if lead not in self.changed and (value := email(lead)) is not None:
                    _put(index, value.lower(), lead)
        elif not field.api_created and any(
            self.seeder.make(i)[slot] is not None for i in range(1, min(count, 200) + 1)
        ):
            make = self.seeder.make
            for lead in range(1, count + 1):
                if lead not in self.changed and (value := make(lead)[slot]) is not None:
                    _put(index, key_of(value), lead)
        for lead, record in self.changed.items():
            if record is not None and len(record) > slot and record[slot] is not None:
                _put(index, key_of(record[slot]), lead)
        return index


def _put(index: Index, key: Key, lead: int) -> None:
    found = index.get(key)
    if found is None:
        index[key] = lead
    elif isinstance(found, int):
        if found != lead:
            index[key] = [found, lead]
    elif lead not in found:
        found.append(lead)


def _drop(index: Index, key: Key, lead: int) -> None:
    found = index.get(key)
    if found == lead:
        del index[key]
    elif isinstance(found, list):
        found.remove(lead)
        if len(found) == 1:
            index[key] = found[0]
