"""FieldPolicy: which fields may come in, and one hash for one value, whichever way it comes."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import settings
from syncd.core.policy import EVERYTHING, FieldPolicy, canonical
from syncd.errors import ConfigError

POLICY = FieldPolicy(include=("email", "*name"), exclude=("FULL*",), hash=("email", "secret?"), salt=b"salt")


@pytest.mark.parametrize(
    ("name", "kept_as"),
    [
        ("id", "plain"),
        ("createdAt", "plain"),
        ("email", "hashed"),
        ("EMAIL", "hashed"),
        ("firstName", "plain"),
        ("fullName", "excluded"),
        ("secret1", "hashed"),
        ("city", "excluded"),
    ],
)
def test_what_becomes_of_a_field(name, kept_as):
    assert POLICY.kept_as(name) == kept_as


def test_without_settings_everything_is_mirrored():
    assert EVERYTHING.kept_as("anything") == "plain"
    assert EVERYTHING.mark is None
    assert EVERYTHING.addresses(["a@b.com"]) == {"a@b.com": "a@b.com"}


def test_even_a_pattern_for_all_leaves_what_the_mirror_works_with():
    everything = FieldPolicy(exclude=("*",), hash=("*",))
    assert [everything.kept_as(n) for n in ("id", "createdAt", "updatedAt")] == ["plain", "plain", "excluded"]


@pytest.mark.parametrize(
    ("kind", "forms"),
    [
        ("boolean", (True, "True", "true", "1")),
        ("boolean", (False, "False", None, "", "0")),
        ("integer", (5, "5", "+5", "5.0", "05")),
        ("integer", (0, "0", "-0")),
        ("percent", (12.5, "12.50", "1.25e1")),
        ("float", (1e-7, "0.0000001", "1e-07")),
        ("email", ("A@b.com", " a@B.com ")),
        ("datetime", ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00+0000", "2026-03-02T14:00:00+02:00")),
        ("string", (None, "", "\0")),
        ("string", ("a\0b", "ab")),
    ],
)
def test_every_form_of_a_value_has_one_hash(kind, forms):
    assert len({POLICY.hashed(kind, value) for value in forms}) == 1


@given(st.text(min_size=1))
def test_a_text_is_hashed_as_it_is(text):
    plain = text.replace("\0", "")
    wanted = hashlib.sha256(b"salt" + plain.encode()).hexdigest() if plain else None
    assert POLICY.hashed("string", text) == wanted


@given(st.sampled_from(["integer", "percent", "datetime", "boolean", "date", "email"]), st.text())
def test_dirty_values_of_any_type_have_a_text(kind, text):
    assert canonical(kind, canonical(kind, text)) == canonical(kind, text)


def test_salts_are_told_apart_without_being_told():
    other = FieldPolicy(hash=("a",), salt=b"other")
    assert POLICY.mark != other.mark
    assert b"salt" not in repr(POLICY).encode().replace(b"salt=", b"")


SALT = "sixteen or more characters"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hash": ["lastName"]}, "needs a salt"),
        ({"hash": ["lastName"], "hash_salt": "short"}, "needs a salt"),
        ({"exclude": ["id"]}, "id can be neither"),
        ({"hash": ["CreatedAt"], "hash_salt": SALT}, "neither excluded nor hashed"),
        ({"exclude": ["E*"]}, "email can't be left out"),
        ({"include": ["lastName"]}, "email can't be left out"),
        ({"exclude": [" lastName"]}, "space at an end"),
        ({"include": "lastName"}, "list"),
    ],
)
def test_settings_that_cannot_hold_are_refused_with_the_way_out(fields, words, tmp_path):
    with pytest.raises(ConfigError, match=words) as told:
        load(tmp_path, fields)
    assert SALT not in str(told.value)


def load(folder: Path, fields: dict[str, object]) -> settings.Settings:
    file = folder / "syncd.toml"
    file.write_text("[fields]\n" + "".join(f"{k} = {v!r}\n" for k, v in fields.items()), encoding="utf-8")
    return settings.load(file)


def test_the_salt_comes_from_a_file_or_a_variable_and_is_not_printed(tmp_path, monkeypatch):
    (tmp_path / "salt").write_text(SALT + "\n", encoding="utf-8")
    loaded = load(tmp_path, {"hash": ["email"], "hash_salt_file": str(tmp_path / "salt")})
    assert FieldPolicy.of(loaded.fields).salt == SALT.encode()
    assert SALT not in repr(loaded)
    monkeypatch.setenv("SYNCD_FIELDS__HASH_SALT", "another salt, long enough")
    monkeypatch.setenv("SYNCD_FIELDS__EXCLUDE", '["city", "state"]')
    loaded = load(tmp_path, {"hash": ["email"]})
    assert FieldPolicy.of(loaded.fields).salt == b"another salt, long enough"
    assert FieldPolicy.of(loaded.fields).kept_as("state") == "excluded"


def test_a_name_without_a_field_is_found():
    assert POLICY.unmatched(["email", "lastName", "secret1"]) == ["FULL*"]
