"""What a run has come to, to be compared with another one; and what is wrong with its history."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import nbformat

from chaos.marks import Marks
from nbflow.core import events as ev
from nbflow.core.run import Run
from nbflow.core.spec import NotebookCode
from nbflow.driver.tasks import notebook_path
from nbflow.session.document import value_document


class NodeAnswer(msgspec.Struct, frozen=True):
    """What one node has come to: its state, its outputs, and the cells of its executed notebook."""

    state: str
    outputs: dict[str, Any]
    cells: list[Any] = []


def answer_of(run: Run) -> dict[str, NodeAnswer]:
    """Return what the nodes of `run` have come to; of large outputs, the digests."""
    return {name: _answer(run, name) for name in run.graph.nodes}


def _answer(run: Run, name: str) -> NodeAnswer:
    node, code = run[name], run.graph.nodes[name].code
    outputs = {output: value_document(value) for output, value in node.outputs.items()}
    cells = []
    if isinstance(code, NotebookCode):
        cells = _cells(notebook_path(run.output_dir, name, code))
    return NodeAnswer(str(node.state), outputs, cells)


def _cells(path: Path) -> list[Any]:
    """Return what the cells of an executed notebook are and show; not when, nor as which number."""
    notebook = nbformat.read(path, as_version=4)
    return [
        (
            cell.source,
            cell.metadata.get("papermill", {}).get("status"),
            [_without_number(output) for output in cell.get("outputs", ())],
        )
        for cell in notebook.cells
    ]


def _without_number(output: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in output.items() if key != "execution_count"}


def differences(found: Mapping[str, NodeAnswer], wanted: Mapping[str, NodeAnswer]) -> Iterator[str]:
    """Say, node by node, where an answer is not the one of the undisturbed run."""
    if found.keys() != wanted.keys():
        yield f"the run has the nodes {sorted(found)}, and should have {sorted(wanted)}"
        return
    for name, answer in found.items():
        for field in NodeAnswer.__struct_fields__:
            has, should = getattr(answer, field), getattr(wanted[name], field)
            if has != should:
                yield f"{name}: its {field} should be {should!r}, and is {has!r}"


def repetitions(records: Sequence[ev.Record], marks: Marks) -> Iterator[str]:
    """Say what has happened more often than it may have, by the journal and the nodes' marks.

    A node whose success is recorded never begins again; no node begins without an attempt that
    was recorded before; one that is declared at most once begins once, unless it was decided that
    it may begin again.
    """
    successes: dict[str, ev.Record] = {}
    scheduled: Counter[str] = Counter()
    granted: Counter[str] = Counter()
    for record in records:
        match record.event:
            case ev.AttemptScheduled(node=node):
                scheduled[node] += 1
            case ev.AttemptLost(node=node, reason=reason) if reason.kind == "resolved":
                granted[node] += 1
            case ev.AttemptSucceeded(node=node) | ev.NodeCached(node=node):
                if node in successes:
                    yield f"{node}: succeeded twice, at {successes[node].seq} and {record.seq}"
                successes[node] = record
    for node in _nodes_of(records):
        begun = marks.beginnings(node)
        late = [at for at in begun if node in successes and at > successes[node].at]
        if late:
            yield f"{node}: began {len(late)} times after its success was recorded"
        if len(begun) > scheduled[node]:
            yield f"{node}: began {len(begun)} times, with {scheduled[node]} attempts recorded"
        if node in _careful(records) and len(begun) > 1 + granted[node]:
            yield f"{node}: began {len(begun)} times, and may once and {granted[node]} times more"


def _nodes_of(records: Sequence[ev.Record]) -> list[str]:
    created = records[0].event
    assert isinstance(created, ev.RunCreated)
    return [node.name for node in created.flow.nodes]


def _careful(records: Sequence[ev.Record]) -> set[str]:
    """Return the nodes that are declared at most once."""
    created = records[0].event
    assert isinstance(created, ev.RunCreated)
    return {node.name for node in created.flow.nodes if node.policy.effect == "at_most_once"}
