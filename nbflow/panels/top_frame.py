"""One picture of ``nbflow top``: a header, what is wrong, and a table of nodes.

A picture fits its terminal. Columns that have no room go, the least telling first; rows that have
none are counted. Only `Text` is used, never markup: names and messages are foreign.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from nbflow.core.findings import Diagnosis, Finding, Severity
from nbflow.core.view import RunView
from nbflow.drawing.lines import shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.words import one_line
from nbflow.panels.top_rows import (
    COLUMNS,
    TopRow,
    counts_line,
    headline,
    hidden,
    resources_line,
    top_rows,
)

#: How each severity is coloured in a terminal.
SEVERITY_STYLES: Mapping[Severity | None, str] = MappingProxyType(
    {"failed": "red", "stuck": "bold yellow", "waiting": "yellow", "slow": "yellow", None: "dim"}
)
#: The narrowest terminal that has room for a column; those that are not here always stand.
_NEEDED_WIDTH = MappingProxyType(
    {"EXPECTED": 110, "IO": 120, "STATE": 90, "LINE": 80, "CELLS": 70, "MEMORY": 60, "CPU": 50}
)
_RIGHT = frozenset({"CELLS", "LINE", "TIME", "EXPECTED", "CPU", "MEMORY", "IO"})
_NAME_WIDTH = 28
#: Findings that are told above the table, at most; and as a share of the terminal's height.
_FINDINGS, _SHARE = 5, 3
#: Lines that are not rows or findings: the header, the table's own, what is hidden, one to spare.
_FIXED_LINES = 6


def top_frame(
    view: RunView, diagnosis: Diagnosis | None, size: ConsoleDimensions, now: float
) -> RenderableType:
    """Return the picture at the time `now`, not higher than the terminal."""
    width, height = max(20, size.width), max(_FIXED_LINES + 1, size.height)
    findings = _findings(diagnosis, max(2, height // _SHARE))
    room = max(1, height - _FIXED_LINES - len(findings))
    rows = top_rows(view, diagnosis, now, room)
    parts: list[RenderableType] = [*_header(view, diagnosis, now), *findings]
    if rows:
        parts.append(_table(rows, width))
    more = hidden(view, diagnosis, len(rows))
    if more > 0:
        parts.append(_line(f"… and {more:,} more", "dim"))
    return Group(*parts)


def _header(view: RunView, diagnosis: Diagnosis | None, now: float) -> list[Text]:
    look = RUN_LOOKS[shown_status(view)]
    first = Text(no_wrap=True, overflow="ellipsis")
    first.append(f"{look.glyph} {one_line(view.run.graph.spec.name)}", style=f"bold {look.rich}")
    first.append(f"  {headline(view, diagnosis, now)}")
    first.append(f"  {one_line(view.run.id)}", style="dim")
    lines = [first, _line(counts_line(view)), _line(resources_line(view, diagnosis), "dim")]
    return [line for line in lines if line.plain]


def _findings(diagnosis: Diagnosis | None, room: int) -> list[Text]:
    """Return each finding in a line, and its first suggestion in the next."""
    lines: list[Text] = []
    for finding in (diagnosis.findings if diagnosis else ())[:_FINDINGS]:
        told = _told(finding)
        if len(lines) + len(told) > room:
            break
        lines += told
    return lines


def _told(finding: Finding) -> list[Text]:
    style = SEVERITY_STYLES[finding.severity]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"! {one_line(finding.node) or 'run'}: ", style=style)
    line.append(f"{finding.kind}", style=style)
    line.append(f"  {one_line(finding.summary, 400)}")
    steps = [_line(f"  → {one_line(step, 400)}", "dim") for step in finding.suggestions[:1]]
    return [line, *steps]


def _table(rows: list[TopRow], width: int) -> Table:
    shown = [name for name in COLUMNS if _NEEDED_WIDTH.get(name, 0) <= width]
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    table.add_column("", width=1)
    for name in shown:
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if name in _RIGHT else "left",
            ratio=1 if name == "DOES" else None,
            max_width=_NAME_WIDTH if name == "NODE" else None,
        )
    for row in rows:
        look = NODE_LOOKS[row.state]
        texts = dict(zip(COLUMNS, row.texts, strict=True))
        cells = [Text(texts[name], style=_style(name, row)) for name in shown]
        table.add_row(Text(look.glyph, style=look.rich), *cells)
    return table


def _style(column: str, row: TopRow) -> str:
    if column == "DOES":
        return SEVERITY_STYLES[row.severity]
    return NODE_LOOKS[row.state].rich if column == "STATE" else ""


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
