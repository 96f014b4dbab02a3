"""What is wrong, as a report tells it: findings with their evidence, failures with their cause."""

import json

import msgspec

from nbflow.core.events import ErrorInfo
from nbflow.core.findings import Finding
from nbflow.drawing.report_markup import block, folded, line
from nbflow.drawing.words import duration, plural


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed node, and all that helps to see why. Texts may be foreign, and of any length."""

    node: str
    #: What the run says of it.
    reason: str
    attempts: int
    error: ErrorInfo | None = None
    #: Text of the cell that failed; empty if it is not known.
    source: str = ""
    #: Parameters that the node was given, by name, in words.
    inputs: tuple[tuple[str, str], ...] = ()
    #: The last lines that it has printed.
    logs: tuple[str, ...] = ()
    #: What to do, the best first.
    suggestions: tuple[str, ...] = ()
    #: Where its executed notebook is; empty if there is none.
    notebook: str = ""


def failure_card(failure: Failure) -> str:
    """Return a failed node with its cell, traceback and inputs."""
    error = failure.error
    where = "" if error is None or error.cell is None else f", cell {error.cell}"
    tries = "" if failure.attempts <= 1 else f", after {plural(failure.attempts, 'attempt')}"
    parts = [
        f"<h3>{line(failure.node)}{where}{tries}</h3><p>{line(failure.reason, 1000)}</p>",
        _steps(failure.suggestions),
    ]
    if failure.source:
        parts.append(f"<p class='soft'>the cell</p><pre>{block(failure.source)}</pre>")
    if error is not None and error.traceback:
        parts.append(
            folded("traceback", f"<pre>{block(error.traceback)}</pre>", is_open=not failure.source)
        )
    if failure.inputs:
        rows = "".join(
            f'<tr><td class="name">{line(name)}</td><td class="mono">{line(value)}</td></tr>'
            for name, value in failure.inputs
        )
        parts.append(f"<p class='soft'>what it was given</p><table><tbody>{rows}</tbody></table>")
    if failure.logs:
        text = "\n".join(failure.logs)
        parts.append(folded("its last lines", f"<pre>{block(text)}</pre>"))
    if failure.notebook:
        parts.append(f"<p class='soft'>executed notebook: {line(failure.notebook)}</p>")
    return f'<div class="card failed">{"".join(parts)}</div>'


def finding_card(finding: Finding) -> str:
    """Return a finding with its evidence and what to do about it."""
    times = []
    if finding.since_s is not None:
        times.append(f"for {duration(finding.since_s)}")
    if finding.expected_s is not None:
        times.append(f"expected {duration(finding.expected_s)}")
    about = ", ".join([str(finding.kind), *times])
    parts = [
        f'<h3>{line(finding.node) or "the run"} <span class="soft">{about}</span></h3>',
        f"<p>{line(finding.summary, 1000)}</p>",
        _steps(finding.suggestions),
    ]
    if finding.evidence:
        text = json.dumps(finding.evidence, indent=2, ensure_ascii=False, default=str)
        parts.append(folded("evidence", f"<pre>{block(text)}</pre>"))
    if finding.logs:
        parts.append(folded("its last lines", f"<pre>{block(chr(10).join(finding.logs))}</pre>"))
    return f'<div class="card {finding.severity}">{"".join(parts)}</div>'


def _steps(suggestions: tuple[str, ...]) -> str:
    steps = "".join(f"<li>{line(step, 600)}</li>" for step in suggestions)
    return f"<ul>{steps}</ul>" if steps else ""
