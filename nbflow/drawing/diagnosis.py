"""A diagnosis for people: in lines for terminals and logs, and as HTML for notebooks.

Summaries, logs and tracebacks come from other people's notebooks. In lines they are stripped of
control characters; in HTML, of which no part is theirs, they are escaped.
"""

import html
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from nbflow.core.findings import Activity, Diagnosis, Finding, Severity
from nbflow.drawing.words import duration, one_line

#: Columns of a terminal.
WIDTH = 80
#: Nodes at work that are listed, and lines of a traceback.
_ACTIVITIES, _TRACEBACK = 12, 8
_LINE_LENGTH = 400

#: A command line in a sentence, and what stands for its spaces while lines are broken.
_COMMAND, _JOINT = re.compile(r"nbflow [a-z][^,;:()]*[^,;:() ]"), "\x00"

#: How severities are marked: a glyph, and how it is called.
_MARKS: dict[Severity, tuple[str, str]] = {
    "stuck": ("!", "stuck"),
    "failed": ("✕", "failed"),
    "waiting": ("○", "waiting"),
    "slow": ("~", "slow"),
}


class DrawnDiagnosis(Diagnosis, frozen=True, kw_only=True):
    """A diagnosis that shows itself."""

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> "DrawnDiagnosis":
        """Return `diagnosis`, able to show itself."""
        fields = {name: getattr(diagnosis, name) for name in diagnosis.__struct_fields__}
        return cls(**fields)

    def __repr__(self) -> str:
        return "\n".join(diagnosis_lines(self))

    def _repr_html_(self) -> str:
        return diagnosis_html(self)


def diagnosis_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the diagnosis as lines of at most 80 columns, but for words that are longer."""
    yield from _wrapped(f"run {diagnosis.run_id}: {_headline(diagnosis)}", "")
    for finding in diagnosis.findings:
        yield ""
        yield from _finding_lines(finding)
    if diagnosis.activities:
        yield ""
        yield from _activity_lines(diagnosis)
    uses = _uses(diagnosis)
    if uses:
        yield from _wrapped(f"All together: {uses}", "")
    if len(diagnosis.critical_path) > 1:
        yield from _wrapped(f"Critical path: {' → '.join(diagnosis.critical_path)}", "")


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as HTML without scripts, which front ends that strip styles can show."""
    findings = "".join(map(_finding_html, diagnosis.findings))
    rows = "".join(
        f"<tr><td>{_text(it.node)}</td><td style='text-align:left'>{_text(it.text)}</td>"
        f"<td>{_text(_times(it))}</td></tr>"
        for it in diagnosis.activities[:_ACTIVITIES]
    )
    table = f"<table><tr><th>node</th><th>does</th><th>time</th></tr>{rows}</table>" if rows else ""
    return (
        f"<div><p><b>run {_text(diagnosis.run_id)}</b>: {_text(_headline(diagnosis))}</p>"
        f"{findings}{table}</div>"
    )


def _headline(diagnosis: Diagnosis) -> str:
    left = ""
    if diagnosis.remaining is not None:
        it = diagnosis.remaining
        low, high = duration(it.low_s), duration(it.high_s)
        left = f"; about {duration(it.likely_s)} to go ({low} to {high})"
    if diagnosis.findings:
        return f"{diagnosis.status}{left}"
    return f"{diagnosis.status}{left}. Nothing is wrong with it"


def _finding_lines(finding: Finding) -> Iterator[str]:
    glyph, called = _MARKS[finding.severity]
    since = "" if finding.since_s is None else f", for {duration(finding.since_s)}"
    yield f"{glyph} {finding.node or 'the run'}: {finding.kind} ({called}{since})"
    yield from _wrapped(finding.summary, "    ")
    for line in _detail(finding):
        yield f"      {line}"
    if finding.logs:
        yield "    It has printed last:"
        yield from (f"      {one_line(line, WIDTH - 6)}" for line in finding.logs)
    for number, suggestion in enumerate(finding.suggestions):
        first = "    What to do: " if number == 0 else " " * 16
        # A command that is broken in the middle cannot be copied.
        whole = _COMMAND.sub(_unbroken, one_line(suggestion, _LINE_LENGTH))
        lines = textwrap.wrap(
            whole,
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * 18,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (line.replace(_JOINT, " ") for line in lines)


def _unbroken(command: re.Match[str]) -> str:
    return command[0].replace(" ", _JOINT)


def _detail(finding: Finding) -> Iterator[str]:
    """Yield what of the evidence a person reads: the end of a traceback, inputs, gains."""
    for line in finding.evidence.get("traceback", ())[-_TRACEBACK:]:
        yield one_line(line, WIDTH - 6)
    inputs: dict[str, Any] = finding.evidence.get("inputs") or {}
    for name, value in inputs.items():
        yield one_line(f"{name} = {value!r}", WIDTH - 6)


def _activity_lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield "Now:"
    for it in diagnosis.activities[:_ACTIVITIES]:
        times = f" ({_times(it)})"
        yield from _wrapped(f"{it.node} {it.text}{times}", "  ")
    more = len(diagnosis.activities) - _ACTIVITIES
    if more > 0:
        yield f"  and {more} more"


def _times(activity: Activity) -> str:
    elapsed = duration(activity.elapsed_s)
    if activity.expected_s is None:
        return elapsed
    return f"{elapsed} of about {duration(activity.expected_s)}"


def _uses(diagnosis: Diagnosis) -> str:
    used = diagnosis.resources
    if not used.memory_bytes and not used.cpu_percent:
        return ""
    figures = [
        f"{used.cpu_percent:.0f}% of a core",
        f"{used.memory_bytes / 1e6:,.0f} MB of memory",
        f"{used.io_wait_percent:.0f}% waiting for disks",
    ]
    if used.network_bytes_per_s is not None:
        figures.append(f"{used.network_bytes_per_s / 1e6:.1f} MB/s of network")
    if used.gpu_percent is not None:
        figures.append(f"{used.gpu_percent:.0f}% of a GPU")
    return ", ".join(figures)


def _finding_html(finding: Finding) -> str:
    glyph, called = _MARKS[finding.severity]
    since = "" if finding.since_s is None else f", for {duration(finding.since_s)}"
    advice = "".join(f"<li>{_text(each)}</li>" for each in finding.suggestions)
    logs = [*_detail(finding), *finding.logs]
    block = f"<pre>{_text(chr(10).join(logs), keep_lines=True)}</pre>" if logs else ""
    evidence = msgspec.json.format(msgspec.json.encode(finding.evidence), indent=2).decode()
    shown = _text(evidence, keep_lines=True)
    return (
        f"<p>{glyph} <b>{_text(finding.node or 'the run')}: {_text(finding.kind)}</b> "
        f"({called}{since})<br>{_text(finding.summary)}</p>{block}<ul>{advice}</ul>"
        f"<details><summary>evidence</summary><pre>{shown}</pre></details>"
    )


def _text(text: str, *, keep_lines: bool = False) -> str:
    if keep_lines:
        return html.escape("\n".join(_line(line) for line in text.splitlines()))
    return html.escape(one_line(text, _LINE_LENGTH))


def _line(text: str) -> str:
    """Return a line without control characters, its indentation kept."""
    indent = len(text) - len(text.lstrip(" "))
    return " " * indent + one_line(text, _LINE_LENGTH)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        one_line(text, _LINE_LENGTH),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
