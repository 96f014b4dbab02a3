"""What ``nbflow top`` says of a run, in plain values: a few lines about all of it, and rows.

A row stands for a node that somebody may want to look at: one with a finding, in the order of the
diagnosis, then those that run, the longest first, then those that are about to. Everything in it
is telemetry but the state and the times, and may be missing.
"""

from collections.abc import Iterator

import msgspec

from nbflow.core.findings import Activity, Diagnosis, Finding, Remaining, Severity
from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.core.usage import Usage
from nbflow.core.view import RunView
from nbflow.drawing.lines import finished, node_line, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.words import duration, one_line, plural, size

#: States whose nodes get a row although nothing is wrong with them, in this order.
_SHOWN = (
    NodeState.RUNNING,
    NodeState.BACKING_OFF,
    NodeState.IN_DOUBT,
    NodeState.QUEUED,
    NodeState.FAILED,
)
#: Columns of a row, by their headers.
COLUMNS = ("NODE", "STATE", "CELLS", "LINE", "TIME", "EXPECTED", "CPU", "MEMORY", "IO", "DOES")


class TopRow(msgspec.Struct, frozen=True, kw_only=True):
    """One node. All texts are one line and free of control characters; unknown ones are empty."""

    name: str
    state: NodeState
    #: Of the first finding about the node; None without any.
    severity: Severity | None
    #: Code cells that have run, of how many.
    cells: str
    #: Where it is: the cell's index, and the line in it.
    place: str
    elapsed: str
    expected: str
    cpu: str
    memory: str
    #: Read and written, in bytes per second.
    io: str
    #: What it does now, or why it stands still.
    does: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The row as texts, in the order of `COLUMNS`."""
        return (
            self.name,
            NODE_LOOKS[self.state].word,
            self.cells,
            self.place,
            self.elapsed,
            self.expected,
            self.cpu,
            self.memory,
            self.io,
            self.does,
        )


def top_rows(
    view: RunView, diagnosis: Diagnosis | None, now: float, limit: int | None = None
) -> list[TopRow]:
    """Return the rows at the time `now` (seconds since the epoch), at most `limit`."""
    findings: dict[str, Finding] = {}
    for finding in diagnosis.findings if diagnosis else ():
        findings.setdefault(finding.node, finding)
    activities = {each.node: each for each in diagnosis.activities} if diagnosis else {}
    names = list(_names(view, findings))[:limit]
    return [_row(view, name, now, findings.get(name), activities.get(name)) for name in names]


def hidden(view: RunView, diagnosis: Diagnosis | None, shown: int) -> int:
    """Return how many nodes would have a row beyond the first `shown`."""
    found = {finding.node: finding for finding in diagnosis.findings} if diagnosis else {}
    return sum(1 for _ in _names(view, found)) - shown


def headline(view: RunView, diagnosis: Diagnosis | None, now: float) -> str:
    """Say how far the run is, and when it will end."""
    parts = [f"{finished(view):,}/{plural(len(view.run.nodes), 'node')}"]
    ended_at = view.run.ended_at if view.run.status in RUN_ENDED else None
    took_s = max(0.0, (now if ended_at is None else ended_at) - view.run.created_at)
    parts.append(duration(took_s))
    if diagnosis is not None and diagnosis.remaining is not None:
        parts.append(time_left(diagnosis.remaining))
    return f"{RUN_LOOKS[shown_status(view)].word}  {'  '.join(parts)}"


def counts_line(view: RunView) -> str:
    """Return how many nodes are in each state."""
    looks = ((NODE_LOOKS[state], number) for state, number in view.counts.items())
    return "  ".join(f"{look.glyph} {number:,} {look.word}" for look, number in looks)


def resources_line(view: RunView, diagnosis: Diagnosis | None) -> str:
    """Say what all nodes use together, and of how many workers."""
    parts = []
    if diagnosis is not None and view.usage:
        used = diagnosis.resources
        parts += [f"CPU {used.cpu_percent:.0f}%", f"memory {size(used.memory_bytes)}"]
        parts.append(f"IO wait {used.io_wait_percent:.0f}%")
        if used.network_bytes_per_s is not None:
            parts.append(f"network {size(used.network_bytes_per_s)}/s")
        if used.gpu_percent is not None:
            parts.append(f"GPU {used.gpu_percent:.0f}%")
    if view.workers is not None:
        parts.append(_workers(view))
    return "  ".join(parts)


def time_left(remaining: Remaining) -> str:
    """Say when a run will end, and how sure that is."""
    likely, low, high = (
        duration(s) for s in (remaining.likely_s, remaining.low_s, remaining.high_s)
    )
    return f"about {likely} left" + (f" ({low} to {high})" if low != high else "")


def used_text(usage: Usage | None) -> str:
    """Return processor and memory of a sample, shortly; empty without one."""
    return "" if usage is None else f"{usage.cpu_percent:.0f}% {size(usage.memory_bytes)}"


def latest(view: RunView, name: str) -> Usage | None:
    """Return the last sample of a node that runs."""
    samples = view.usage.get(name, ())
    return samples[-1] if samples and view.run[name].state is NodeState.RUNNING else None


def _names(view: RunView, findings: dict[str, Finding]) -> Iterator[str]:
    nodes = view.run.nodes
    known = [name for name in findings if name in nodes]
    yield from known
    by_state: dict[NodeState, list[str]] = {state: [] for state in _SHOWN}
    for name in view.run.graph.nodes:
        if nodes[name].state in by_state and name not in findings:
            by_state[nodes[name].state].append(name)
    by_state[NodeState.RUNNING].sort(key=lambda name: nodes[name].started_at or 0.0)
    for names in by_state.values():
        yield from names


def _row(
    view: RunView, name: str, now: float, finding: Finding | None, activity: Activity | None
) -> TopRow:
    line = node_line(view, name, now)
    usage = latest(view, name)
    does = finding.summary if finding else (activity.text if activity else line.note)
    return TopRow(
        name=line.name,
        state=line.state,
        severity=finding.severity if finding else None,
        cells="" if line.total is None or line.done is None else f"{line.done}/{line.total}",
        place=_place(view, name, activity),
        elapsed="" if line.elapsed_s is None else duration(line.elapsed_s),
        expected=_expected(activity),
        cpu="" if usage is None else f"{usage.cpu_percent:.0f}%",
        memory="" if usage is None else size(usage.memory_bytes),
        io="" if usage is None else _rate(usage.read_bytes_per_s + usage.written_bytes_per_s),
        does=one_line(does, 400),
    )


def _expected(activity: Activity | None) -> str:
    """Return how long it should take; with a tilde if that is a guess from its own cells."""
    if activity is None or activity.expected_s is None:
        return ""
    return ("~" if activity.basis == "cells" else "") + duration(activity.expected_s)


def _place(view: RunView, name: str, activity: Activity | None) -> str:
    """Return ``4:17`` for line 17 of cell 4."""
    if view.run[name].state is not NodeState.RUNNING:
        return ""
    if activity is not None and activity.cell is not None:
        return f"{activity.cell}" + ("" if activity.line is None else f":{activity.line}")
    progress = view.progress.get(name)
    if progress is None or progress.cell is None or progress.id.number != view.run[name].attempt:
        return ""
    return f"{progress.cell}"


def _rate(bytes_per_s: float) -> str:
    return f"{size(bytes_per_s)}/s" if bytes_per_s >= 1 else ""


def _workers(view: RunView) -> str:
    workers = view.workers or ()
    threads = sum(worker.threads for worker in workers)
    paused = sum(worker.paused for worker in workers)
    about = [plural(threads, "thread")] + ([f"{paused} paused"] if paused else [])
    return f"{plural(len(workers), 'worker')} ({', '.join(about)})" if workers else "no workers"
