"""The pages that strangers read, cut into their fenced blocks, tables and commands."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text without the indentation of a list."""

    page: str
    heading: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, *pages: str) -> list[Block]:
    """Return the fenced blocks of a language, on some pages or on all."""
    return [block for page in pages or PAGES for block in _blocks(page) if block.language == language]


@cache
def _blocks(page: str) -> tuple[Block, ...]:
    found, heading, fence, body = [], "", None, []
    for number, line in enumerate(text(page).splitlines(), 1):
        if fence is None:
            if match := re.match(r"#+ (.+)", line):
                heading = match[1]
            if match := re.match(r"( *)```(\w*)$", line):
                fence, body, start = match, [], number
        elif line.strip() == "```":
            found.append(Block(page, heading, fence[2], "\n".join(body), start))
            fence = None
        else:
            body.append(line.removeprefix(fence[1]))
    assert fence is None, f"{page}:{start} is not closed"
    return tuple(found)


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next of its level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", text(page), re.MULTILINE)
    assert match, f"{page} has no heading {heading!r}"
    rest = text(page)[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of every table in a piece of Markdown, heads and rules left out."""
    found = []
    for line in markdown.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if line.lstrip().startswith("|"):
            found.append(cells)
    heads = {n - 1 for n, cells in enumerate(found) if all(re.fullmatch(r":?-+:?", c) for c in cells)}
    return [cells for n, cells in enumerate(found) if n not in heads and n - 1 not in heads]


def code(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def commands() -> list[tuple[str, list[str]]]:
    """Return every syncd command that a page shows, with the place where it stands, as words after ``syncd``."""
    shown = []
    for block in blocks("console"):
        lines = block.text.replace("\\\n", " ").splitlines()
        shown += [(str(block), line[2:]) for line in lines if line.startswith("$ ")]
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```", "", text(page), flags=re.MULTILINE | re.DOTALL)
        shown += [(page, command.replace("\\|", "|")) for command in re.findall(r"`(syncd [^`]+)`", prose)]
    found = []
    for place, line in shown:
        words = shlex.split(line, comments=True)
        if words and words[0] == "syncd" and "…" not in words[1]:
            found.append((place, words[1:]))
    return found
