"""A run as one HTML file: what happened, what it cost, what went wrong, and what it was made of.

The page needs nothing else: no network, no script, no other file. It is a picture of one moment,
made of plain values: a view, the run's story, a diagnosis, and what had to be read for it
(`nbflow.session.reporting`). All of this is pure; foreign text enters through
`nbflow.drawing.report_markup` alone.
"""

from collections.abc import Iterator, Mapping

import msgspec

from nbflow.core.events import Record
from nbflow.core.findings import Diagnosis
from nbflow.core.graph import Graph
from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.formats import render
from nbflow.drawing.lines import finished, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.report_markup import COLOUR_CLASSES, block, glyph, line, section
from nbflow.drawing.report_nodes import nodes_table, resources_table
from nbflow.drawing.report_story import parameters_table, story_table, versions_table
from nbflow.drawing.report_style import POLICY, SCRIPT, STYLE
from nbflow.drawing.report_trouble import Failure, failure_card, finding_card
from nbflow.drawing.timeline import bars_of
from nbflow.drawing.timeline_svg import draw_timeline
from nbflow.drawing.words import duration, local_time, plural, size

__all__ = ["Failure", "Report", "report_html"]

#: Largest graph that is drawn; of a larger one, the levels are told in text.
_DRAWN_NODES = 300


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report tells."""

    view: RunView
    records: tuple[Record, ...]
    diagnosis: Diagnosis
    #: Failed nodes, as far as they are told in detail.
    failures: tuple[Failure, ...] = ()
    #: What it was made with: a name and a version.
    versions: tuple[tuple[str, str], ...] = ()
    #: What could not be read for the report.
    problems: tuple[str, ...] = ()
    #: How to go on, in one sentence; empty if there is nothing to go on with.
    next_step: str = ""
    #: When it was made, in seconds since the epoch, and the zone of all times that are shown.
    made_at: float
    zone: str = ""


def report_html(report: Report) -> str:
    """Return the page."""
    sections = {
        "findings": section("findings", "What is wrong", *_findings(report)),
        "failures": section("failures", "Failures", *_failures(report)),
        "graph": section("graph", "Graph", _graph(report.view)),
        "timeline": section("timeline", "Timeline", _timeline(report)),
        "nodes": section(
            "nodes", "Nodes", nodes_table(report.view, report.diagnosis, report.made_at)
        ),
        "resources": section("resources", "Resources", resources_table(report.view)),
        "parameters": section("parameters", "Parameters", parameters_table(report.view)),
        "versions": section("versions", "Versions", versions_table(report.versions)),
        "story": section("story", "Story", story_table(report.records)),
    }
    name = line(report.view.run.graph.spec.name)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name} · {line(report.view.run.id)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{_header(report)}\n{_navigation(sections)}\n<main>\n"
        + "\n".join(filter(None, sections.values()))
        + f"\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    view, run = report.view, report.view.run
    look = RUN_LOOKS[shown_status(view)]
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _facts(report))
    counts = "".join(
        f"<span>{glyph(NODE_LOOKS[state], number)}</span>" for state, number in view.counts.items()
    )
    made = f"as of {local_time(report.made_at)} {line(report.zone)}".rstrip()
    said = (report.next_step, *(f"! {problem}" for problem in report.problems))
    steps = "".join(f"<p>{line(text, 1000)}</p>" for text in said if text)
    return (
        f"<header>\n<h1>{line(run.graph.spec.name)} "
        f'<span class="{COLOUR_CLASSES[look.colour]}">{look.glyph} {look.word}</span></h1>\n'
        f'<p class="soft"><span class="mono">{line(run.id)}</span>, {made}</p>\n'
        f'<dl class="facts">{facts}</dl>\n<p class="counts">{counts}</p>\n{steps}\n</header>'
    )


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what a reader looks for first; names and values are markup."""
    view, run = report.view, report.view.run
    ended_at = run.ended_at if run.status in RUN_ENDED else None
    yield "started", local_time(run.created_at)
    if ended_at is not None:
        yield "ended", local_time(ended_at)
    yield "took", duration((ended_at or report.made_at) - run.created_at)
    remaining = report.diagnosis.remaining
    if ended_at is None and remaining is not None:
        low, high = duration(remaining.low_s), duration(remaining.high_s)
        yield "left, likely", f"{duration(remaining.likely_s)} ({low} to {high})"
    yield "nodes done", f"{finished(view):,} of {len(run.nodes):,}"
    sums = [node.usage for node in run.nodes.values() if node.usage is not None]
    if sums:
        yield "CPU time", duration(sum(usage.cpu_s for usage in sums))
        yield "most memory of a node", size(max(usage.memory_bytes_peak for usage in sums))
    if view.workers:
        yield "workers", f"{len(view.workers):,}"


def _navigation(sections: Mapping[str, str]) -> str:
    links = " ".join(f'<a href="#{name}">{name}</a>' for name, text in sections.items() if text)
    return f'<nav aria-label="Sections">{links}</nav>'


def _findings(report: Report) -> Iterator[str]:
    detailed = {failure.node for failure in report.failures}
    for finding in report.diagnosis.findings:
        # What failed is told in its own section, with its traceback.
        if finding.severity != "failed" or finding.node not in detailed:
            yield finding_card(finding)


def _failures(report: Report) -> Iterator[str]:
    yield from map(failure_card, report.failures)
    failed = sum(node.state is NodeState.FAILED for node in report.view.run.nodes.values())
    more = failed - len(report.failures)
    if more > 0:
        yield f'<p class="soft">… and {plural(more, "more failed node")}</p>'


def _graph(view: RunView) -> str:
    graph: Graph = view.run.graph
    states = {name: node.state for name, node in view.run.nodes.items()}
    if len(graph.nodes) > _DRAWN_NODES:
        return f"<pre>{block(render(graph, 'text', states))}</pre>"
    return f'<div class="picture">{render(graph, "svg", states)}</div>'


def _timeline(report: Report) -> str:
    run = report.view.run
    end = run.ended_at if run.status in RUN_ENDED and run.ended_at else report.made_at
    picture = draw_timeline(bars_of(report.records, end))
    if not picture:
        return ""
    return (
        '<p class="soft">One row for each attempt at once of a worker. A thin line is time in the '
        f'queue, a dashed band a time without work that is left out.</p><div class="wide">{picture}'
        "</div>"
    )
