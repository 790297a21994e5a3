"""Makes any seeded lead from its id alone, so that a million of them cost nothing until they are read."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from syncd.simulator import people
from syncd.simulator.clock import SECONDS_A_DAY, stamp
from syncd.simulator.fields import Schema
from syncd.simulator.options import Options

Record = list[Any]
MASK = (1 << 64) - 1
LEADS_A_COMPANY = 7
STANDARD_CHANGE, CUSTOM_CHANGE = 1, 2
TITLE_TURN, TIER_TURN = (5, 2), (7, 3)
"""Of every five leads the second had its title changed, of every seven the third its tier."""


def mix(number: int, seed: int) -> int:
    """Sixty-four well mixed bits of a number and a seed."""
    h = (number * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def ascii_name(text: str) -> str:
    """A name as it stands in an e-mail address."""
    plain = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("ß", "ss")).encode("ascii", "ignore")
    return re.sub(r"[^a-z]", "", plain.decode().lower())


FIRST_ASCII = tuple(ascii_name(n) for n in people.FIRST_NAMES)
LAST_ASCII = tuple(ascii_name(n) for n in people.LAST_NAMES)


class Seeder:
    """Knows every lead with which the subscription starts."""

    def __init__(self, schema: Schema, options: Options, start: float) -> None:
        self.count, self.seed = options.leads, options.seed
        self.nasty = options.nasty
        self.start = int(start)
        self.span = max(1, int(options.history_days * SECONDS_A_DAY) - 60)
        self.base = self.start - 60 - self.span
        self.companies = max(1, self.count // LEADS_A_COMPANY)
        self._dirt = int(1 / options.dirt) if options.dirt > 0 else 0
        self.make: Callable[[int], Record] = self._maker(schema)

    def created(self, lead: int) -> int:
        """When it was created; later ids are later."""
        return self.base + lead * self.span // (self.count + 1)

    def first_created_at_or_after(self, moment: float) -> int:
        """The lowest seeded id created at or after that moment (count + 1 if none)."""
        low, high = 1, self.count + 1
        while low < high:
            middle = (low + high) // 2
            if self.created(middle) < moment:
                low = middle + 1
            else:
                high = middle
        return low

    def standard_change(self, lead: int) -> int:
        """When its title was changed after its creation, or 0."""
        if lead % TITLE_TURN[0] != TITLE_TURN[1] or lead * 2 > self.count:
            return 0
        return self.created(lead * 2) + 1

    def custom_change(self, lead: int) -> int:
        """When its customer tier was changed (which the visible updatedAt hides), or 0."""
        if lead % TIER_TURN[0] != TIER_TURN[1]:
            return 0
        return (self.created(lead) + self.start - 30) // 2

    def last_change(self, lead: int) -> int:
        """The hidden time of its last change, without making its record."""
        return max(self.created(lead), self.standard_change(lead), self.custom_change(lead))

    def old_title(self, lead: int) -> str:
        """Its title before that change."""
        return people.TITLES[((mix(lead, self.seed) >> 40) + 1) % len(people.TITLES)]

    def old_tier(self, lead: int) -> str:
        """Its tier before that change."""
        return people.TIERS[((mix(lead, self.seed) >> 3) + 1) % len(people.TIERS)]

    def email(self, lead: int) -> str | None:
        """Its address; some have none or another lead's, by the share of dirt."""
        if self._dirt:
            if lead % self._dirt == self._dirt // 2:
                return None
            if lead > 1 and lead % self._dirt == self._dirt // 3:
                lead -= 1
        h = mix(lead, self.seed)
        domain = company_domain(self.company(lead), self.seed)
        return f"{FIRST_ASCII[h % len(FIRST_ASCII)]}.{LAST_ASCII[(h >> 8) % len(LAST_ASCII)]}{lead}@{domain}"

    def company(self, lead: int) -> int:
        """The number of its company."""
        return lead * 2_654_435_761 % 4_294_967_291 % self.companies + 1

    def _maker(self, schema: Schema) -> Callable[[int], Record]:  # noqa: C901, PLR0915 - straight and fast
        s = schema.slot
        defaults = schema.defaults.copy()
        for name, value in (
            ("personType", "contact"), ("isLead", True), ("originalSourceType", "List import"),
            ("registrationSourceType", "List import"), ("leadPartitionId", 1),
        ):  # fmt: skip
            defaults[s(name)] = value
        scatter = [
            (s(name), table, shift)
            for name, table, shift in (
                ("title", people.TITLES, 40), ("department", people.DEPARTMENTS, 44), ("leadSource", people.SOURCES, 24),
                ("leadStatus", people.STATUSES, 28), ("customerTier", people.TIERS, 3), ("jobTitle", people.TITLES, 33),
                ("personTimeZone", people.TIME_ZONES, 20),
                ("salutation", ("Mr", "Ms", "Dr", None, None, "Mrs", None), 18), ("rating", ("Hot", "Warm", "Cold", None), 12),
            )
        ]  # fmt: skip
        scatter_sized = [(slot, table, len(table), shift) for slot, table, shift in scatter]
        place_slots = [s(n) for n in ("city", "state", "country", "postalCode")]
        (i_id, i_first, i_last, i_email, i_phone, i_mobile, i_created, i_updated, i_name, i_person, i_address, i_score) = (
            s(n) for n in ("id", "firstName", "lastName", "email", "phone", "mobilePhone", "createdAt", "updatedAt",
                           "mktoName", "leadPerson", "address", "leadScore")
        )  # fmt: skip
        (i_points, i_satisfied, i_optin, i_contract, i_login, i_value, i_discount, i_behaviour, i_greeting, i_key) = (
            s(n) for n in ("loyaltyPoints", "satisfaction", "newsletterOptIn", "contractStart", "lastLoginAt",
                           "lifetimeValue", "discountRate", "behaviourScore", "fullGreeting", "crmAccountKey")
        )  # fmt: skip
        (i_unsub, i_notes, i_priority, i_urgency, i_birth, i_partition, i_company, i_backup) = (
            s(n) for n in ("unsubscribed", "accountNotes", "priority", "urgency", "dateOfBirth", "leadPartitionId",
                           "contactCompany", "backupEmail")
        )  # fmt: skip
        firsts, lasts, places, seed = people.FIRST_NAMES, people.LAST_NAMES, people.PLACES, self.seed
        company_values = self._company_values(schema)
        company_cache: dict[int, list[tuple[int, Any]]] = {}

        def make(lead: int) -> Record:
            h = mix(lead, seed)
            g = mix(lead, seed + 7)
            r = defaults.copy()
            first, last = firsts[h % len(firsts)], lasts[(h >> 8) % len(lasts)]
            created = stamp(self.created(lead))
            changed = self.standard_change(lead)
            r[i_id], r[i_first], r[i_last], r[i_email] = lead, first, last, self.email(lead)
            r[i_created] = created
            r[i_updated] = stamp(changed) if changed else created
            r[i_name], r[i_person], r[i_greeting] = f"{first} {last}", lead, f"Dear {first}"
            for slot, table, size, shift in scatter_sized:
                r[slot] = table[(h >> shift) % size]
            place = places[(h >> 52) % len(places)]
            for slot, part in zip(place_slots, place, strict=False):
                r[slot] = part
            r[i_phone] = f"{place[4]} {g % 9_000_000 + 1_000_000}"
            r[i_score], r[i_priority], r[i_urgency] = g % 101, (g >> 7) % 10 + 1, (g >> 11) % 40 / 4
            r[i_points] = (g >> 5) % 20_000
            r[i_satisfied], r[i_discount], r[i_behaviour] = (
                (g >> 9) % 100 / 10,
                (g >> 13) % 60,
                (g >> 17) % 50,
            )
            r[i_optin], r[i_unsub] = (g >> 21) & 1 == 1, (g >> 23) % 20 == 0
            if g & 1:
                r[i_mobile] = f"{place[4]} {(g >> 20) % 9_000_000 + 1_000_000}"
                r[i_address] = f"{(g >> 30) % 180 + 1} {lasts[(g >> 40) % len(lasts)]} Street"
                r[i_contract] = f"{2018 + (g >> 33) % 8}-{(g >> 37) % 12 + 1:02d}-{(g >> 42) % 28 + 1:02d}"
                r[i_value] = (g >> 24) % 5_000_000 / 100
                r[i_key] = f"ACC-{lead:07d}"
            if g & 2:
                r[i_login] = stamp(self.start - (g >> 26) % 7_776_000)
                r[i_birth] = f"{1950 + (g >> 36) % 55}-{(g >> 45) % 12 + 1:02d}-{(g >> 49) % 28 + 1:02d}"
                r[i_backup] = f"{FIRST_ASCII[h % len(FIRST_ASCII)]}{lead}@mail.example.net"
            if (g >> 2) % 16 == 0:
                r[i_partition] = 2
            company = self.company(lead)
            r[i_company] = company
            if company not in company_cache:
                company_cache[company] = company_values(company)
            for slot, value in company_cache[company]:
                r[slot] = value
            custom = self.custom_change(lead)
            r[0] = max(r[i_updated], stamp(custom)) if custom else r[i_updated]
            if self.nasty and lead % 3 == 0:
                texts = people.NASTY_TEXTS
                r[i_notes] = texts[lead // 3 % len(texts)]
                r[i_last if lead % 2 else i_address] = texts[(lead // 3 + 5) % len(texts)]
                r[i_name] = f"{first} {r[i_last]}"
            return r

        return make

    def _company_values(self, schema: Schema) -> Callable[[int], list[tuple[int, Any]]]:
        names = (
            "company", "website", "site", "mainPhone", "industry", "annualRevenue", "numberOfEmployees", "sicCode",
            "billingCity", "billingState", "billingCountry", "billingPostalCode", "billingStreet",
        )  # fmt: skip
        slots = [schema.slot(n) for n in names]

        def values(company: int) -> list[tuple[int, Any]]:
            h = mix(company, self.seed + 3)
            place = people.PLACES[(h >> 20) % len(people.PLACES)]
            domain = company_domain(company, self.seed)
            staff = (h >> 30) % 4_000 + 5
            made = (
                company_name(company, self.seed), domain, place[0], f"{place[4]} {h % 900_000 + 100_000}",
                people.INDUSTRIES[(h >> 26) % len(people.INDUSTRIES)], staff * 145_000.5, staff,
                str(1000 + (h >> 34) % 8000), place[0], place[1], place[2], place[3],
                f"{(h >> 40) % 90 + 1} Harbour Road",
            )  # fmt: skip
            return list(zip(slots, made, strict=True))

        return values


def company_name(company: int, seed: int) -> str:
    """The name of a company; unlike any other's."""
    h = mix(company, seed + 3)
    heads, tails, forms = people.COMPANY_HEADS, people.COMPANY_TAILS, people.COMPANY_FORMS
    number = company - 1
    series = number // (len(heads) * len(tails))
    suffix = f" {series + 1}" if series else ""
    return f"{heads[number % len(heads)]} {tails[number // len(heads) % len(tails)]}{suffix} {forms[h % len(forms)]}"


def company_domain(company: int, seed: int) -> str:
    """The company's own domain, under a name that is reserved for examples."""
    heads, tails = people.COMPANY_HEADS, people.COMPANY_TAILS
    number = company - 1 + seed * 0
    series = number // (len(heads) * len(tails))
    return f"{heads[number % len(heads)]}-{tails[number // len(heads) % len(tails)]}{series or ''}.example.com".lower()
