"""What a panel shows of the node that was chosen: one tab at a time, and only that is made.

All of it is bounded, and none of it is needed for anything else. Reading a notebook or the journal
takes a while, so this runs at the panel's desk, not in the thread that keeps the picture moving.
"""

import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.events import Record
from nbflow.core.findings import Activity, Diagnosis, Finding
from nbflow.core.run import NodeRun
from nbflow.core.spec import NodeSpec
from nbflow.core.states import IN_FLIGHT
from nbflow.core.usage import Usage
from nbflow.core.view import RunView
from nbflow.drawing.links import describe
from nbflow.drawing.words import duration, one_line
from nbflow.panels.cells import MAX_FILE_BYTES, ShownCell, cells_of, plain
from nbflow.panels.followed import Followed

Tab: TypeAlias = Literal["overview", "cells", "logs", "resources", "attempts", "story"]
TABS: tuple[Tab, ...] = ("overview", "cells", "logs", "resources", "attempts", "story")

_LOG_LINES, _LINE_LENGTH, _STORY_LENGTH = 300, 500, 200
_TRACEBACK_LENGTH = 8_000


class Choice(msgspec.Struct, frozen=True):
    """The node that a person looks at, and which of its tabs."""

    node: str
    tab: Tab = "overview"


class Details:
    """Makes the content of tabs.

    Parameters
    ----------
    run
        Where to look.
    """

    def __init__(self, run: Followed) -> None:
        self._run = run
        #: The notebook that was read last: what tells it from a newer one, and its cells.
        self._read: tuple[tuple[object, ...], list[ShownCell]] | None = None

    def of(self, choice: Choice, view: RunView, diagnosis: Diagnosis | None) -> dict[str, Any]:
        """Return the content of one tab as plain JSON."""
        make: dict[Tab, Callable[[], dict[str, Any]]] = {
            "overview": lambda: self._overview(choice.node, view, diagnosis),
            "cells": lambda: self._cells(choice.node, view),
            "logs": lambda: self._logs(choice.node),
            "resources": lambda: _resources(choice.node, view),
            "attempts": lambda: self._attempts(choice.node, view),
            "story": lambda: self._story(choice.node, view),
        }
        node = view.run[choice.node]
        return {
            "node": choice.node,
            "tab": choice.tab,
            "state": str(node.state),
            "attempt": node.attempt,
            **make[choice.tab](),
        }

    def _overview(self, name: str, view: RunView, diagnosis: Diagnosis | None) -> dict[str, Any]:
        node, spec = view.run[name], view.run.graph.nodes[name]
        findings = [each for each in _findings(diagnosis) if each.node == name]
        activity = next((each for each in _activities(diagnosis) if each.node == name), None)
        return {
            "facts": _facts(node, spec, activity),
            "activity": "" if activity is None else activity.text,
            "findings": [_finding(each) for each in findings],
            "error": None if node.error is None else _error(node),
            "stack": _stack(view, name, node),
            "notebook": self._notebook_path(name, node),
            "inputs": list(view.run.graph.upstream[name]),
            "followers": list(view.run.graph.downstream[name]),
        }

    def _notebook_path(self, name: str, node: NodeRun) -> str:
        path = self._run[name].notebook_path if node.attempt or node.is_cached else None
        return "" if path is None else str(path)

    def _cells(self, name: str, view: RunView) -> dict[str, Any]:
        node = view.run[name]
        progress = view.progress.get(name)
        current = progress.cell if progress is not None and node.state in IN_FLIGHT else None
        handle = self._run[name]
        path = handle.notebook_path
        if path is None:
            return {"cells": [], "note": "A function has no cells; what it prints is in its logs."}
        try:
            cells = self._cells_of_file(name, node, handle)
        except (OSError, ValueError) as error:
            return {"cells": [], "note": one_line(str(error))}
        if cells is None:
            return {"cells": [], "note": "The executed notebook appears here once the node runs."}
        return {"cells": cells, "current": current, "notebook": str(path)}

    def _cells_of_file(self, name: str, node: NodeRun, handle: Any) -> list[ShownCell] | None:
        stamp: tuple[object, ...] = (name, node.attempt, node.state)
        if node.state in IN_FLIGHT:
            if not handle.notebook_path.is_file():
                return None
            found = handle.notebook_path.stat()
            stamp = (*stamp, found.st_mtime_ns, found.st_size)
            if found.st_size > MAX_FILE_BYTES:
                raise ValueError(f"the notebook has {found.st_size:,} bytes: open it in a tab")
        if self._read is None or self._read[0] != stamp:
            data = handle.notebook_bytes
            if data is None:
                return None
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"the notebook has {len(data):,} bytes: open it in a tab")
            self._read = stamp, cells_of(data)
        return self._read[1]

    def _logs(self, name: str) -> dict[str, Any]:
        lines = self._run.log_lines(name, _LOG_LINES)
        return {
            "lines": [
                {
                    "text": plain(line.text)[:_LINE_LENGTH],
                    "stream": line.stream,
                    "cell": line.cell,
                    "at": line.at,
                }
                for line in lines
            ]
        }

    def _attempts(self, name: str, view: RunView) -> dict[str, Any]:
        attempts: dict[int, dict[str, Any]] = {}
        for record in self._records(name):
            _tell(attempts, record, view.run.created_at)
        return {"attempts": list(attempts.values())}

    def _story(self, name: str, view: RunView) -> dict[str, Any]:
        zero = view.run.created_at
        records = self._records(name)[-_STORY_LENGTH:]
        return {"story": [_told(record, zero) for record in records]}

    def _records(self, name: str) -> list[Record]:
        return [record for record in self._run.events() if record.node == name]


def finding_documents(diagnosis: Diagnosis, index: dict[str, int]) -> list[dict[str, Any]]:
    """Return the findings as the needs-attention strip shows them."""
    return [{**_finding(each), "index": index.get(each.node, -1)} for each in diagnosis.findings]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "node": finding.node,
        "kind": str(finding.kind),
        "word": str(finding.kind).replace("_", " "),
        "severity": finding.severity,
        "summary": one_line(finding.summary, 400),
        "since_s": finding.since_s,
        "expected_s": finding.expected_s,
        "logs": [plain(line)[:_LINE_LENGTH] for line in finding.logs[-5:]],
        "suggestions": [one_line(each, 300) for each in finding.suggestions[:4]],
        "evidence": _evidence(finding),
    }


def _evidence(finding: Finding) -> list[list[str]]:
    pairs = []
    for key, value in list(finding.evidence.items())[:10]:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        pairs.append([key.replace("_", " "), one_line(text, 240)])
    return pairs


def _findings(diagnosis: Diagnosis | None) -> tuple[Finding, ...]:
    return () if diagnosis is None else diagnosis.findings


def _activities(diagnosis: Diagnosis | None) -> tuple[Activity, ...]:
    return () if diagnosis is None else diagnosis.activities


def _facts(node: NodeRun, spec: NodeSpec, activity: Activity | None) -> list[list[str]]:
    facts = [["what", describe(spec)], ["written in", spec.place]]
    if node.reason is not None:
        facts.append(["why", one_line(node.reason.message, 600)])
    if activity is not None and activity.expected_s is not None:
        facts.append(["expected", f"{duration(activity.expected_s)} ({activity.basis})"])
    if node.due_at is not None:
        facts.append(["next try", time.strftime("%H:%M:%S", time.localtime(node.due_at))])
    if node.attempt:
        facts += [["attempt", str(node.attempt)], ["worker", node.worker]]
    if node.is_cached:
        facts.append(["result of", f"run {node.source}, spares {duration(node.saved_s)}"])
    facts += [["outputs", ", ".join(sorted(node.outputs))]]
    return [[key, value] for key, value in facts if value]


def _error(node: NodeRun) -> dict[str, Any]:
    assert node.error is not None
    return {
        "type": node.error.type,
        "message": plain(node.error.message)[:2_000],
        "cell": node.error.cell,
        "traceback": plain(node.error.traceback)[-_TRACEBACK_LENGTH:],
    }


def _stack(view: RunView, name: str, node: NodeRun) -> list[dict[str, Any]]:
    stack = view.stacks.get(name) if node.state in IN_FLIGHT else None
    main = None if stack is None else stack.main
    if main is None:
        return []
    return [
        {
            "where": f"cell {frame.cell}" if frame.cell is not None else frame.file,
            "line": frame.line,
            "function": frame.function,
            "text": frame.text,
        }
        for frame in main.frames[:30]
    ]


def _resources(name: str, view: RunView) -> dict[str, Any]:
    node = view.run[name]
    samples: tuple[Usage, ...] = view.usage.get(name, ()) if node.state in IN_FLIGHT else ()
    return {
        "samples": [_sample(each, view.run.created_at) for each in samples],
        "sum": None if node.usage is None else msgspec.to_builtins(node.usage),
    }


def _sample(usage: Usage, zero: float) -> dict[str, Any]:
    return {
        "at": round(usage.at - zero, 2),
        "cpu": round(usage.cpu_percent, 1),
        "memory": usage.memory_bytes,
        "read": usage.read_bytes_per_s,
        "written": usage.written_bytes_per_s,
        "network": usage.network_bytes_per_s,
        "wait": round(usage.io_wait_percent, 1),
        "gpu": usage.gpu_percent,
        "threads": usage.threads,
        "processes": usage.processes,
    }


def _tell(attempts: dict[int, dict[str, Any]], record: Record, zero: float) -> None:
    """Add what an event says of its attempt."""
    event = record.event
    number = getattr(event, "attempt", 0)
    if not number:
        return
    told = attempts.setdefault(number, {"number": number, "end": "", "why": ""})
    match event:
        case ev.AttemptScheduled():
            told["queued"] = record.at - zero
        case ev.AttemptStarted(started_at=at, worker=worker):
            told.update(started=at - zero, worker=worker)
        case ev.AttemptSucceeded():
            told.update(ended=event.ended_at - zero, end="succeeded", **_used(event))
        case ev.AttemptFailed():
            ended = (event.ended_at or record.at) - zero
            told.update(ended=ended, end="failed", why=_why(event), **_used(event))
        case ev.AttemptLost() | ev.AttemptInDoubt():
            word = "lost" if isinstance(event, ev.AttemptLost) else "in doubt"
            told.update(ended=record.at - zero, end=word, why=_why(event))
        case ev.NodeCancelled():
            told.update(ended=record.at - zero, end="cancelled")


def _used(event: ev.AttemptSucceeded | ev.AttemptFailed) -> dict[str, Any]:
    if event.usage is None:
        return {}
    return {"cpu_s": event.usage.cpu_s, "memory": event.usage.memory_bytes_peak}


def _why(event: ev.AttemptFailed | ev.AttemptLost | ev.AttemptInDoubt) -> str:
    return one_line(event.reason.message, 400)


def _told(record: Record, zero: float) -> dict[str, Any]:
    event = record.event
    reason = getattr(event, "reason", None)
    said = one_line(reason.message, 300) if reason is not None else str(getattr(event, "why", ""))
    return {
        "seq": record.seq,
        "at": record.at - zero,
        "type": record.type,
        "attempt": getattr(event, "attempt", 0),
        "text": one_line(said, 300),
    }
