"""The one place where text enters a report's markup.

Names, messages, values and what cells print are foreign. Each passes `line` or `block`, which
reduce it to what can be read (no escape sequences, no control characters, no tricks with the
direction of text), bound its length, and escape it. Nothing else builds markup from a value.
"""

import re
import unicodedata
from collections.abc import Sequence
from html import escape

from nbflow.drawing.look import AMBER, BLUE, GREEN, GREY, RED, Look
from nbflow.drawing.words import one_line

#: Most characters of a block; of a longer one, beginning and end are kept.
BLOCK_LENGTH = 20_000

#: Class of each colour of `nbflow.drawing.look`, so that a dark page can lighten it.
COLOUR_CLASSES = {BLUE: "blue", GREEN: "green", RED: "red", AMBER: "amber", GREY: "grey"}
#: A cell that says nothing.
_BLANK = re.compile(r"<td[^>]*></td>")
_NUMERIC = ' class="num"'
_TERMINAL_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


def line(text: str, limit: int = 300) -> str:
    """Return foreign text as one line of markup."""
    return escape(one_line(text, limit))


def block(text: str, limit: int = BLOCK_LENGTH) -> str:
    """Return foreign text of several lines as markup, for a ``<pre>``."""
    if len(text) > limit:
        half = limit // 2
        gone = len(text) - 2 * half
        text = f"{text[:half]}\n[… {gone:,} characters are left out here]\n{text[-half:]}"
    text = _TERMINAL_ESCAPE.sub("", text).replace("\r\n", "\n")
    kept = (
        char if char in "\n\t" or unicodedata.category(char)[0] != "C" else " " for char in text
    )
    return escape("".join(kept).rstrip())


def glyph(look: Look, count: int | None = None) -> str:
    """Return the sign and the word of a state, in its colour, and how many there are of it."""
    number = "" if count is None else f"{count:,} "
    sign = f'<b class="{COLOUR_CLASSES[look.colour]}">{look.glyph}</b>'
    return f'<span class="state">{sign} {number}{look.word}</span>'


def section(anchor: str, title: str, *parts: str) -> str:
    """Return a section of the page; nothing if it has no content."""
    content = "\n".join(part for part in parts if part)
    if not content:
        return ""
    return f'<section id="{anchor}">\n<h2>{title}</h2>\n{content}\n</section>'


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """Return content behind a line that opens it; both are markup."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{summary}</summary>\n{content}\n</details>"


def cell(text: str, *, key: float | None = None, kind: str = "") -> str:
    """Return a cell of a table.

    Parameters
    ----------
    text
        Markup.
    key
        What a column of numbers is sorted by; None sorts by the text.
    kind
        Its class.
    """
    sorted_by = "" if key is None else f' data-key="{key:g}"'
    named = f' class="{kind}"' if kind else ""
    return f"<td{named}{sorted_by}>{text}</td>"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "sortable") -> str:
    """Return a table without the columns that have nothing in any row.

    Parameters
    ----------
    headers
        Plain words of our own.
    rows
        Cells, as `cell` gives them.
    kind
        Its class.
    """
    told = [
        index
        for index in range(len(headers))
        if not all(_BLANK.fullmatch(row[index]) for row in rows)
    ]
    right = {index for index in told if rows and rows[0][index].startswith('<td class="num')}
    head = "".join(
        f'<th scope="col"{_NUMERIC if index in right else ""}>{headers[index]}</th>'
        for index in told
    )
    body = "\n".join(f"<tr>{''.join(row[index] for index in told)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
