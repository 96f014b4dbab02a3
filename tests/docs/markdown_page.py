"""A page of the documentation as the tests see it: its code blocks, tables, links and headings.

A comment right before a code block says what the tests do with it:

- ``<!-- file: NAME -->``: it is written to a file of that name;
- ``<!-- notebook: NAME [KERNEL] -->``: it is written as a notebook; ``# %%`` begins a cell, and may
  have ``tags=["…"]`` behind it;
- ``<!-- not run: REASON -->``: it is only there to be read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_COMMENT = re.compile(r"<!-- (?P<verb>file|notebook|not run): (?P<rest>.+) -->")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """A fenced code block; `line` is that of its first line, from 1."""

    language: str
    text: str
    line: int
    verb: str = ""
    rest: str = ""


def blocks(page: Path) -> Iterator[Block]:
    comment = None
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    for number, line in lines:
        if line.startswith("```"):
            inside = []
            for _, code in lines:
                if code.startswith("```"):
                    break
                inside.append(code)
            told = comment.groupdict() if comment else {}
            yield Block(line[3:], "\n".join(inside) + "\n", number + 1, **told)
            comment = None
        elif line.strip():
            comment = _COMMENT.fullmatch(line)


def prose(page: Path) -> str:
    """Return the page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host gives to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def sections(page: Path) -> dict[str, str]:
    """Return what stands under each heading, down to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """Return the cells of the rows of all tables in a section, without their heads."""
    tables = re.findall(r"((?:^\|.*\n)+)", section, flags=re.MULTILINE)
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for table in tables
        for line in table.splitlines()[2:]
    ]


def codes(text: str) -> list[str]:
    """Return what stands in backticks."""
    return _CODE.findall(text)


def first_codes(section: str) -> set[str]:
    """Return what stands in backticks in the first column of a section's tables."""
    return {code for row in rows(section) for code in codes(row[0])}
