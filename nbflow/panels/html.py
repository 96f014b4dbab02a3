"""A view of a run as HTML: pure functions, the same for the live panel and for its snapshot.

Every text that comes from outside (names, messages, cells, addresses) is reduced to one line and
escaped where it enters the page; nothing else builds markup. The table is plain and semantic,
because some readers of stored notebooks strip all styles.
"""

import time
from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from nbflow.core.findings import Finding
from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.lines import NodeLine, by_urgency, finished, node_line, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS, Look
from nbflow.drawing.words import duration, one_line, plural
from nbflow.panels.style import COLOUR_CLASSES, STYLE

#: Most rows of a table. The whole table is sent anew with each update.
MAX_ROWS = 200
#: Most findings that are listed.
_MAX_FINDINGS = 20


def panel_html(
    view: RunView, now: float, max_rows: int = MAX_ROWS, findings: Sequence[Finding] = ()
) -> str:
    """Return the whole panel as one self-contained fragment.

    Parameters
    ----------
    view
        What is shown.
    now
        The time, in seconds since the epoch.
    max_rows
        Most nodes that get a row; the most urgent ones do.
    findings
        What is wrong, the most urgent first.
    """
    parts = (
        STYLE,
        header_html(view, now),
        findings_html(findings),
        table_html(view, now, max_rows),
    )
    return "\n".join(part for part in parts if part)


def findings_html(findings: Sequence[Finding]) -> str:
    """Return a list of what is wrong, each with its next step; nothing if nothing is."""
    items = "".join(_finding(each) for each in findings[:_MAX_FINDINGS])
    return f'<div class="nbflow"><ul>{items}</ul></div>' if items else ""


def header_html(view: RunView, now: float) -> str:
    """Return the line about the run as a whole."""
    look = RUN_LOOKS[shown_status(view)]
    total, done = len(view.run.nodes), finished(view)
    counts = "".join(
        f'<span class="count">{_glyph(NODE_LOOKS[state])}{number:,} {NODE_LOOKS[state].word}</span>'
        for state, number in view.counts.items()
    )
    ended = view.run.status in RUN_ENDED and view.run.ended_at is not None
    end = view.run.ended_at if ended and view.run.ended_at is not None else now
    bar_class = "red" if view.run.failed else "green"
    first = (
        f'<div class="head"><span class="name">{_text(view.run.graph.spec.name)}</span>'
        f"<span>{_glyph(look)}<b>{look.word}</b></span>"
        f"<span>{_bar(done, total, bar_class)}{done:,}/{plural(total, 'node')}</span>"
        f"<span>{duration(max(0.0, end - view.run.created_at))}</span>"
        f'<span class="soft">updated {time.strftime("%H:%M:%S", time.localtime(now))}</span></div>'
    )
    second = (
        f'<div class="head">{counts}<span class="soft">{_text(view.run.id)}</span>'
        f"{_dashboard(view.dashboard)}</div>"
    )
    notes = "".join(f'<div class="soft">! {_text(note)}</div>' for note in view.notes[-3:])
    return f'<div class="nbflow">{first}{second}{notes}</div>'


def table_html(view: RunView, now: float, max_rows: int = MAX_ROWS) -> str:
    """Return a row for each node, in the order of the flow."""
    names = by_urgency(view, max_rows)
    rows = "".join(_row(node_line(view, name, now)) for name in names)
    more = len(view.run.nodes) - len(names)
    rest = f'<div class="soft">… and {plural(more, "more node")}</div>' if more else ""
    return (
        '<div class="nbflow"><table><thead><tr><th scope="col">state</th>'
        '<th scope="col">node</th><th scope="col">cells</th>'
        '<th scope="col" class="num">time</th><th scope="col">what</th>'
        f'<th scope="col">worker</th></tr></thead><tbody>{rows}</tbody></table>{rest}</div>'
    )


def _finding(finding: Finding) -> str:
    word = _text(finding.kind.replace("_", " "))
    step = f" → {_text(finding.suggestions[0])}" if finding.suggestions else ""
    node = f"{_text(finding.node)}: " if finding.node else ""
    return f'<li><b>{word}</b> {node}{_text(finding.summary)}<span class="soft">{step}</span></li>'


_LOUD = frozenset({NodeState.FAILED, NodeState.BACKING_OFF, NodeState.IN_DOUBT})


def _row(line: NodeLine) -> str:
    look = NODE_LOOKS[line.state]
    again = f' <span class="soft">try {line.attempt}</span>' if line.attempt > 1 else ""
    elapsed = "" if line.elapsed_s is None else duration(line.elapsed_s)
    # All workers of a cluster speak the same protocol: what tells them apart comes after it.
    worker = line.worker.rsplit("://", 1)[-1]
    quiet = "note" if line.state in _LOUD else "note soft"
    return (
        f'<tr class="{line.state}"><td>{_glyph(look)}{look.word}{again}</td>'
        f'<th scope="row" class="node">{_text(line.name)}</th><td>{_cells(line, look)}</td>'
        f'<td class="num">{elapsed}</td>'
        f'<td class="{quiet}" title="{_text(line.note)}">{_text(line.note)}</td>'
        f'<td class="worker soft" title="{_text(line.worker)}">{_text(worker)}</td></tr>'
    )


def _cells(line: NodeLine, look: Look) -> str:
    if not line.total or line.done is None:
        return ""
    return f"{_bar(line.done, line.total, COLOUR_CLASSES[look.colour])}{line.done}/{line.total}"


def _bar(done: int, total: int, colour: str) -> str:
    percent = 100 * done / total if total else 0
    # `currentColor` paints it; the words beside it carry the meaning where styles are stripped.
    return f'<span class="bar {colour}"><i style="width:{percent:.0f}%"></i></span>'


def _glyph(look: Look) -> str:
    return f'<span class="glyph {COLOUR_CLASSES[look.colour]}">{look.glyph}</span> '


def _dashboard(address: str) -> str:
    # Nothing but a web address becomes a link: "javascript:" is an address too.
    if not address:
        return ""
    if urlsplit(address).scheme not in ("http", "https"):
        return f'<span class="soft">{_text(address)}</span>'
    return f'<a href="{_text(address)}" target="_blank" rel="noopener">Dask dashboard</a>'


def _text(text: str) -> str:
    return escape(one_line(text, 300))
