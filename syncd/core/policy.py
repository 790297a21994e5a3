"""Which fields the mirror may hold, and in what form: as they are, hashed, or not at all."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from syncd import settings

KeptAs = Literal["plain", "hashed", "excluded", "no_room"]

ALWAYS_PLAIN = frozenset({"id", "createdAt"})
"""What the mirror itself works with; neither tells anything about a person."""
NUMBERS = frozenset({"integer", "score", "reference", "percent", "currency", "float"})
MARK_LENGTH = 16
_DIGITS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", re.ASCII)


@dataclass(frozen=True)
class FieldPolicy:
    """What the settings say about fields. Letter case does not matter: a slip of it must not let a value through."""

    include: tuple[str, ...] = ()
    """Patterns of the only fields to mirror; none: all."""
    exclude: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    salt: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, conf: settings.Fields) -> FieldPolicy:
        """Return what the settings say."""
        salt = conf.hash_salt.get_secret_value().encode() if conf.hash_salt else b""
        return cls(tuple(conf.include), tuple(conf.exclude), tuple(conf.hash), salt)

    def kept_as(self, name: str) -> KeptAs:
        """Return how a field is kept."""
        return _kept_as(self.include, self.exclude, self.hash, name)

    @property
    def mark(self) -> str | None:
        """What tells one salt from another and does not tell the salt; None where nothing is hashed."""
        if not self.hash:
            return None
        return hmac.new(self.salt, b"syncd: which salt", hashlib.sha256).hexdigest()[:MARK_LENGTH]

    def hashed(self, data_type: str, value: Any) -> str | None:
        """Return the salted SHA-256 of a value in its plainest form, as 64 hex digits; None for an empty one."""
        text = canonical(data_type, value)
        return None if text is None else hashlib.sha256(self.salt + text.encode()).hexdigest()

    def hides(self, name: str) -> bool:
        """Tell whether values of a field may not reach the database."""
        return self.kept_as(name) == "excluded"

    def addresses(self, emails: Iterable[str]) -> dict[str, str]:
        """Return addresses in lower case by the form in which the mirror holds them."""
        if self.kept_as("email") != "hashed":
            return {email: email for email in emails}
        return {self.hashed("email", email) or "": email for email in emails}

    def unmatched(self, names: Collection[str]) -> list[str]:
        """Return the patterns that match none of these fields: likely slips of the pen."""
        patterns = (*self.include, *self.exclude, *self.hash)
        return [p for p in dict.fromkeys(patterns) if not any(_matches((p,), name) for name in names)]


EVERYTHING = FieldPolicy()


@lru_cache(maxsize=20_000)
def _kept_as(include: Sequence[str], exclude: Sequence[str], hash_: Sequence[str], name: str) -> KeptAs:
    if name in ALWAYS_PLAIN:
        return "plain"
    if _matches(exclude, name):
        return "excluded"
    if _matches(hash_, name):
        return "hashed"
    return "plain" if not include or _matches(include, name) else "excluded"


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def canonical(data_type: str, value: Any) -> str | None:
    """Return the one text of a value, whichever way it came: by page, by file, by the log of changes.

    >>> canonical("percent", "12.50"), canonical("boolean", "True"), canonical("email", "Ada@B.com ")
    ('12.5', 'true', 'ada@b.com')
    """
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value).replace("\0", "")
    if data_type == "boolean":
        return {"": "false", "0": "false", "1": "true"}.get(text, text.lower())
    if not text:
        return None
    if data_type == "email":
        return text.strip().lower() or None
    if data_type in NUMBERS:
        return _number(text)
    return _moment(text) if data_type == "datetime" else text


def _number(text: str) -> str:
    if not _DIGITS.fullmatch(text):
        return text
    try:
        number = Decimal(text).normalize()
    except InvalidOperation:
        return text
    return format(number + 0, "f")


def _moment(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return text
