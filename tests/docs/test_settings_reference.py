"""The example configuration and the settings that the pages name."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from syncd import settings
from tests.docs import pages

EXAMPLE = pages.ROOT / "config" / "syncd.example.toml"
KEY = re.compile(r"^#(\w+ = .+)$", re.MULTILINE)
NO_SETTINGS = (["outbox", "status"], ["log", "py"])
"""What looks like a setting and is a column or a file."""
FILES = [
    "Dockerfile",
    "deploy/compose.yml",
    "deploy/systemd/syncd.service",
    "deploy/kubernetes/configmap.yaml",
]


def uncommented() -> str:
    return KEY.sub(r"\1", EXAMPLE.read_text(encoding="utf-8"))


def described() -> dict[tuple[str, str], str]:
    """Return the words above each key."""
    found, section, words = {}, "", []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        if match := re.match(r"#(\w+) = ", line):
            found[section, match[1]] = " ".join(words)
        words = [*words, line[2:]] if line.startswith("# ") else []
    return found


def test_as_it_is_the_example_changes_nothing() -> None:
    assert all(section == {} for section in tomllib.loads(EXAMPLE.read_text(encoding="utf-8")).values())


def test_every_setting_is_in_the_example_in_the_order_of_the_sections_and_nothing_else() -> None:
    example = tomllib.loads(uncommented())
    assert {section: list(keys) for section, keys in example.items()} == settings.keys()
    assert list(example) == list(settings.keys())


def test_every_default_in_the_example_is_the_true_one() -> None:
    example = tomllib.loads(uncommented())
    without_default = set()
    for section, field in settings.Settings.model_fields.items():
        for key, inner in field.annotation.model_fields.items():
            name = inner.alias or key
            if inner.default is None:
                without_default.add((section, name))
            else:
                assert example[section][name] == inner.default, f"{section}.{name}"
    told = {name for name, words in described().items() if words.endswith("No default.")}
    assert told == without_default


def test_every_key_of_the_example_is_explained() -> None:
    assert all(len(words) > 30 for words in described().values())


def test_with_every_key_uncommented_the_example_loads(tmp_path: Path) -> None:
    file = tmp_path / "syncd.toml"
    file.write_text(uncommented(), encoding="utf-8")
    assert settings.load(file).outbox.batch_size == 300


@pytest.mark.parametrize("block", pages.blocks("toml"), ids=str)
def test_every_toml_of_the_pages_loads(block: pages.Block, tmp_path: Path) -> None:
    load(block.text, tmp_path)


def test_the_settings_in_the_config_map_load(tmp_path: Path) -> None:
    lines = (
        (pages.ROOT / "deploy/kubernetes/configmap.yaml")
        .read_text(encoding="utf-8")
        .split("syncd.toml: |\n")[1]
    )
    loaded = load(re.sub("^    ", "", lines, flags=re.MULTILINE), tmp_path)
    assert loaded.daemon.status_listen == "0.0.0.0:8080"


def load(text: str, folder: Path) -> settings.Settings:
    """Load settings whose secret files are here rather than where the page puts them."""
    secret = folder / "secret"
    secret.write_text("postgresql://u:p@h/d\n", encoding="utf-8")
    file = folder / "syncd.toml"
    file.write_text(re.sub(r'(_file = )"[^"]*"', rf'\1"{secret}"', text), encoding="utf-8")
    loaded = settings.load(file)
    assert loaded.database.url == SecretStr("postgresql://u:p@h/d")
    return loaded


@pytest.mark.parametrize("page", [*pages.PAGES, *FILES, "config/syncd.example.toml"])
def test_every_variable_that_is_named_is_a_setting(page: str) -> None:
    known = {f"SYNCD_{section}__{key}".upper() for section, keys in settings.keys().items() for key in keys}
    named = set(re.findall(r"SYNCD_[A-Z0-9]+__[A-Z0-9_]+", pages.text(page)))
    assert named <= known


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_setting_that_is_named_exists(page: str) -> None:
    known = settings.keys()
    named = [word.split(".") for word in re.findall(r"`(\w+\.\w+)`", pages.text(page))]
    # `marketo` is the name of a schema too.
    named = [word for word in named if word[0] != "marketo" or word[1].endswith(("_url", "_id", "_secret"))]
    wrong = [word for word in named if word[0] in known and word[1] not in known[word[0]]]
    assert [word for word in wrong if word not in NO_SETTINGS] == []
