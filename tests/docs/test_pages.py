"""Links lead somewhere, pictures are true, tables agree with what they describe."""

import ast
import re
import tomllib

import pytest

from tests.docs import pages

LAYERS = "Each floor looks down only"


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    prose = re.sub(r"^ *```.*?^ *```", "", pages.text(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        place = ((pages.ROOT / page).parent / path).resolve() if path else pages.ROOT / page
        assert place.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {anchor(h) for h in headings}, target


def steps_of_the_demonstration() -> list[re.Pattern[str]]:
    """Return what each step of the demonstration prints, in order; what varies is left open."""
    tree = ast.parse((pages.ROOT / "syncd" / "demo.py").read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"_told", "_step"}
        ):
            first = node.args[0]
            parts = first.values if isinstance(first, ast.JoinedStr) else [first]
            words = [re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in parts]
            if words != [".+"]:
                found.append((node.lineno, re.compile(" *[0-9.]+ s " + "".join(words))))
    return [pattern for _, pattern in sorted(found, key=lambda one: one[0])]


def test_the_picture_of_the_demonstration_shows_its_steps() -> None:
    picture = next(b.text for b in pages.blocks("text", "README.md") if "somebody changes lead" in b.text)
    lines = [line for line in picture.splitlines() if re.match(r" *\d+\.\d\d s ", line)]
    steps = steps_of_the_demonstration()
    assert len(lines) == len(steps)
    for line, step in zip(lines, steps, strict=True):
        assert step.fullmatch(line)


def test_the_floors_in_the_architecture_are_those_of_the_contract() -> None:
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["name"] == LAYERS)
    floors = "\n".join(layer.replace("syncd.", "") for layer in contract["layers"])
    assert floors in [block.text for block in pages.blocks("text", "ARCHITECTURE.md")]


def test_every_room_is_on_the_map() -> None:
    rooms = {p.name for p in (pages.ROOT / "syncd").iterdir() if not p.name.startswith(("_", "."))} - {
        "py.typed"
    }
    told = pages.section("ARCHITECTURE.md", "The rooms")
    assert [room for room in sorted(rooms) if room not in told] == []


def test_every_target_of_make_that_a_page_names_exists() -> None:
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in pages.PAGES:
        named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", pages.text(page)))
        assert named <= targets, page
