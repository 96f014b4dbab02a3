"""One frame of the live display in a terminal: `frame`.

A frame fits its terminal. Rows that have no room are counted instead; where the counts of states
have no room they lose their words, then the bar goes, and what is cut off in the end is what
matters least: the count of finished nodes and the failures come first. Only the last frame,
which nothing paints over, may be higher than the terminal; it tells reasons to their end.

Only `Text` is used, never markup: names and messages are foreign, and may hold brackets.
"""

from collections.abc import Iterator, Mapping

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.constrain import Constrain
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nbflow.core.findings import Diagnosis, Finding
from nbflow.core.states import NodeState
from nbflow.core.view import RunView
from nbflow.drawing.lines import REASON_LENGTH, URGENCY, NodeLine, finished, node_line, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.words import duration, one_line
from nbflow.panels.top_rows import latest, time_left, used_text

#: Most failures that are listed while a run goes on, and at its end.
_LIVE_FAILURES, _FINAL_FAILURES = 5, 30
_SHOWN_LIVE = (NodeState.RUNNING, NodeState.BACKING_OFF, NodeState.IN_DOUBT)
_TROUBLE = frozenset({NodeState.FAILED, NodeState.BACKING_OFF, NodeState.IN_DOUBT})
#: States of nodes that have a row only if they are stuck.
_NOT_BEGUN = frozenset({NodeState.QUEUED, NodeState.READY, NodeState.WAITING})
_STUCK_STYLE = "bold yellow"
#: Widths in terminal cells.
_BAR_WIDTHS, _CELLS_BAR_WIDTH, _NAME_WIDTH = (30, 10), 12, 32
#: Cells left free at the right. A terminal echoes Ctrl-C as ``^C`` after the last line; if that
#: broke the line, the next frame would begin one line too low and leave a stale line above it.
_MARGIN = 3
#: Lines that are not rows: header, overall bar, what does not fit, and one to spare.
_FIXED_LINES = 4
#: The narrowest terminal that has room for what nodes use.
_USED_WIDTH = 72


def frame(
    view: RunView,
    size: ConsoleDimensions,
    now: float,
    elapsed_s: float,
    *,
    last: bool,
    diagnosis: Diagnosis | None = None,
) -> RenderableType:
    """Return one frame, not higher than the terminal unless it is the last.

    Parameters
    ----------
    view
        What is shown.
    size
        Of the terminal, in cells.
    now
        The present, in seconds since the epoch.
    elapsed_s
        Seconds that the run has been watched.
    last
        Whether this frame stays on the screen: all failures then, and nothing of what runs.
    diagnosis
        What is wrong with the run, as far as it is known: what is stuck says why.
    """
    width = max(1, size.width - _MARGIN)
    parts: list[RenderableType] = [_header(view, elapsed_s, diagnosis), _overall(view, width)]
    if last:
        names = _failed(view)[:_FINAL_FAILURES]
        rows = _reasons([node_line(view, name, now, REASON_LENGTH) for name in names])
        hidden = _hidden(view, names, NodeState.FAILED)
    else:
        stuck = _stuck(diagnosis)
        of_all = _of_all(stuck)
        parts += of_all
        room = max(1, size.height - _FIXED_LINES - len(of_all))
        names = _live_names(view, room, stuck)
        used = [used_text(latest(view, name)) for name in names]
        lines = [node_line(view, name, now) for name in names]
        rows = _rows(lines, used if width >= _USED_WIDTH else [""] * len(names), stuck)
        hidden = _hidden(view, names, *_SHOWN_LIVE, NodeState.FAILED)
    if names:
        parts.append(rows)
    if hidden:
        parts.append(Text(hidden, style="dim", no_wrap=True, overflow="ellipsis"))
    return Constrain(Group(*parts), width)


# --- which nodes ------------------------------------------------------------------------------


def _live_names(view: RunView, room: int, stuck: Mapping[str, Finding]) -> list[str]:
    """Choose the rows of a frame: the latest failures, then what is stuck, runs, or is to retry."""
    nodes = view.run.nodes
    busy = [name for name in view.run.graph.nodes if nodes[name].state in _SHOWN_LIVE]
    waiting = [name for name in stuck if name in nodes and nodes[name].state in _NOT_BEGUN]
    busy = [*waiting, *sorted(busy, key=lambda name: name not in stuck)]
    failed = sorted(_failed(view), key=lambda name: nodes[name].ended_at or 0.0)
    kept = failed[-min(_LIVE_FAILURES, max(1, room - len(busy))) :]
    return [*kept, *busy][:room]


def _stuck(diagnosis: Diagnosis | None) -> dict[str, Finding]:
    """Return the first finding of each node that is stuck; an empty name is the whole run."""
    found: dict[str, Finding] = {}
    for finding in diagnosis.findings if diagnosis else ():
        if finding.severity == "stuck":
            found.setdefault(finding.node, finding)
    return found


def _failed(view: RunView) -> list[str]:
    nodes = view.run.nodes
    return [name for name in view.run.graph.nodes if nodes[name].state is NodeState.FAILED]


def _hidden(view: RunView, names: list[str], *counted: NodeState) -> str:
    """Say how many nodes in these states a frame had no room for."""
    shown = set(names)
    counts = dict.fromkeys(counted, 0)
    for name, node in view.run.nodes.items():
        if node.state in counts and name not in shown:
            counts[node.state] += 1
    parts = [f"{n:,} more {NODE_LOOKS[state].word}" for state, n in counts.items() if n]
    return "… and " + ", ".join(parts) if parts else ""


# --- how they look ----------------------------------------------------------------------------


def _header(view: RunView, elapsed_s: float, diagnosis: Diagnosis | None) -> Text:
    look = RUN_LOOKS[shown_status(view)]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{look.glyph} {one_line(view.run.graph.spec.name)}", style=f"bold {look.rich}")
    text.append(f"  {one_line(view.run.id)}  ", style="dim")
    text.append(look.word, style=look.rich)
    text.append(f"  {duration(elapsed_s)}")
    if diagnosis is not None and diagnosis.remaining is not None:
        text.append(f"  {time_left(diagnosis.remaining)}")
    if view.dashboard:
        text.append(f"  {one_line(view.dashboard)}", style="dim")
    return text


def _overall(view: RunView, width: int) -> RenderableType:
    total, done = len(view.run.nodes), finished(view)
    bar_width, line = _fitting(f"{done:,}/{total:,} nodes", view, width)
    if not bar_width:
        return line
    style = "red" if view.run.failed else "green"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=bar_width)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(total or 1, done, complete_style=style, finished_style=style), line)
    return grid


def _fitting(done: str, view: RunView, width: int) -> tuple[int, Text]:
    """Return the widest bar and the counts beside it that fit in `width`; 0 is no bar."""
    full, brief = _counts(done, _in_words(view)), _counts(done, _in_glyphs(view))
    wide, narrow = _BAR_WIDTHS
    for bar_width, line in ((wide, full), (wide, brief), (narrow, brief)):
        if bar_width + 1 + line.cell_len <= width:
            return bar_width, line
    return 0, brief


def _counts(done: str, parts: Iterator[tuple[str, str]]) -> Text:
    line = Text(done, no_wrap=True, overflow="ellipsis")
    for text, style in parts:
        line.append("  ")
        line.append(text, style=style)
    return line


def _in_words(view: RunView) -> Iterator[tuple[str, str]]:
    for state, number in view.counts.items():
        look = NODE_LOOKS[state]
        yield f"{look.glyph} {number:,} {look.word}", look.rich


def _in_glyphs(view: RunView) -> Iterator[tuple[str, str]]:
    """Give the counts without words, the most urgent first; states with one glyph are one."""
    counts: dict[str, int] = {}
    styles: dict[str, str] = {}
    for state in URGENCY:
        look, number = NODE_LOOKS[state], view.counts.get(state, 0)
        if number:
            counts[look.glyph] = counts.get(look.glyph, 0) + number
            styles.setdefault(look.glyph, look.rich)
    for glyph, number in counts.items():
        yield f"{glyph} {number:,}", styles[glyph]


def _of_all(stuck: Mapping[str, Finding]) -> list[Text]:
    """Say what holds up the whole run."""
    finding = stuck.get("")
    if finding is None:
        return []
    text = f"! {one_line(finding.summary, 400)}"
    return [Text(text, style=_STUCK_STYLE, no_wrap=True, overflow="ellipsis")]


def _rows(lines: list[NodeLine], used: list[str], stuck: Mapping[str, Finding]) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    grid.add_column(width=_CELLS_BAR_WIDTH)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    if any(used):
        grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, justify="right")
    for line, its_use in zip(lines, used, strict=True):
        look = NODE_LOOKS[line.state]
        bar: ProgressBar | Text = Text("")
        if line.total:
            bar = ProgressBar(line.total, line.done or 0, complete_style=look.rich)
        grid.add_row(
            Text(look.glyph, style=look.rich),
            Text(line.name),
            bar,
            Text(f"{line.done}/{line.total}" if line.total else ""),
            _note(line, stuck.get(line.name)),
            *([Text(its_use, style="dim")] if any(used) else []),
            Text("" if line.elapsed_s is None else duration(line.elapsed_s)),
        )
    return grid


def _note(line: NodeLine, finding: Finding | None) -> Text:
    if finding is not None:
        return Text(f"! {one_line(finding.summary, 400)}", style=_STUCK_STYLE)
    return Text(line.note, style=NODE_LOOKS[line.state].rich if line.state in _TROUBLE else "dim")


def _reasons(lines: list[NodeLine]) -> Table:
    """Return failures with their whole reasons, each on as many lines as it needs."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(overflow="fold", ratio=1)
    for line in lines:
        look = NODE_LOOKS[line.state]
        text = Text(line.name)
        cells = f"  {line.done}/{line.total}" if line.total else ""
        took = "" if line.elapsed_s is None else f"  {duration(line.elapsed_s)}"
        text.append(f"{cells}{took}", style="dim")
        text.append(f"  {line.note}", style=look.rich)
        grid.add_row(Text(look.glyph, style=look.rich), text)
    return grid
