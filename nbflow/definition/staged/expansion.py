"""The stages of all notebooks of a flow that are to run as stages; and back to what was written.

A notebook whose cells cannot be looked at stays one node, and it is said why. One whose cells are
not worth more than one kernel stays so in silence: that is what most are.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from nbflow.core.errors import Problem
from nbflow.core.ids import groups_of
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromParam, Value, references, secrets_in
from nbflow.definition.faults import Fault
from nbflow.definition.identity.identities import Identities
from nbflow.definition.notebook_file import Notebook, NotebookFiles
from nbflow.definition.options import cells_conflict
from nbflow.definition.staged.asking import CellsAsked, LearnedCells
from nbflow.definition.staged.cutting import kept_pieces, new_pieces, wanted_of
from nbflow.definition.staged.nodes import nodes_of
from nbflow.definition.staged.texts import texts_of

#: The tag of cells whose variables are outputs without anybody asking.
_OUTPUTS = "outputs"


@dataclass(frozen=True, slots=True)
class Reader:
    """By which notebooks are read and known again."""

    files: NotebookFiles
    identities: Identities


def staged_nodes(spec: FlowSpec) -> frozenset[str]:
    """Return the nodes of `spec` that are put together of stages."""
    return frozenset(node.name for node in spec.nodes if node.stages)


def collapsed(spec: FlowSpec) -> FlowSpec:
    """Return `spec` without stages: each notebook is the one node that was written."""
    stages = {node.name for node in spec.nodes if node.is_stage}
    if not stages:
        return spec
    nodes = tuple(_whole(node, stages) for node in spec.nodes if node.name not in stages)
    return msgspec.structs.replace(spec, nodes=nodes)


def _whole(node: NodeSpec, stages: Collection[str]) -> NodeSpec:
    if not isinstance(node.code, NotebookCode) or not node.stages:
        return node
    return msgspec.structs.replace(
        node,
        code=msgspec.structs.replace(node.code, stages=()),
        after=tuple(name for name in node.after if name not in stages),
    )


def expanded(
    spec: FlowSpec,
    wanted: Collection[str],
    params: Mapping[str, Value],
    reader: Reader,
    cells: CellsAsked,
) -> tuple[FlowSpec, list[Problem]]:
    """Return `spec` with stages, and what was odd or wrong about that.

    Parameters
    ----------
    spec
        The flow as it was written, with the identities of its nodes.
    wanted
        The nodes that are to run as stages, where that can be done.
    params
        All parameters of the run.
    reader
        By which its notebooks have been read.
    cells
        What else is known of them.
    """
    if not wanted:
        return spec, []
    expansion = _Expansion(spec, params, reader, cells)
    nodes = [made for node in spec.nodes for made in expansion.of(node, node.name in wanted)]
    again = msgspec.structs.replace(spec, nodes=tuple(nodes))
    return again, [*expansion.problems, *_name_clashes(again)]


class _Expansion:
    def __init__(
        self, spec: FlowSpec, params: Mapping[str, Value], reader: Reader, cells: CellsAsked
    ) -> None:
        self.problems: list[Problem] = []
        self._params = params
        self._files = reader.files
        self._identities = reader.identities
        self._cells = cells
        self._outputs = wanted_of(spec)

    def of(self, node: NodeSpec, is_wanted: bool) -> list[NodeSpec]:
        """Return the nodes that `node` becomes."""
        if not is_wanted or not isinstance(node.code, NotebookCode) or not node.code.path:
            return [node]
        try:
            notebook = self._files.parsed(node.code.path)
        except Fault:
            # Who reads it says so. If it is gone, it goes on as it was recorded.
            return self._recorded(node)
        obstacle = _obstacle(node, node.code, notebook, self._params)
        if obstacle is None:
            try:
                return self._staged(node, notebook)
            except Fault as fault:
                obstacle = fault
        what = f"its cells run in order, in one kernel: {obstacle.what}"
        self.problems.append(Problem(node.place, what, obstacle.fix, node.name, severity="warning"))
        return [node]

    def _recorded(self, node: NodeSpec) -> list[NodeSpec]:
        earlier = self._cells.earlier
        old = {} if earlier is None else {each.name: each for each in earlier.nodes}
        if node.name not in old:
            return [node]
        assembly = old[node.name]
        return [*(old[stage.node] for stage in assembly.stages), assembly]

    def _staged(self, node: NodeSpec, notebook: Notebook) -> list[NodeSpec]:
        assert isinstance(node.code, NotebookCode)
        params = tuple(node.params)
        outputs = dict.fromkeys((*self._outputs[node.name], *_tagged(notebook)))
        pieces = kept_pieces(node, notebook, self._cells.earlier, outputs)
        learned = self._cells.learn(node.code.path) if pieces is None else LearnedCells()
        texts = texts_of(notebook, params, learned)
        if pieces is None:
            pieces = new_pieces(texts, params, outputs, self._cells)
        if len(pieces) < 2:  # noqa: PLR2004 - one is the notebook itself
            return [node]
        return [
            msgspec.structs.replace(made, identity=self._identities.of(made))
            for made in nodes_of(node, pieces, texts.injected)
        ]


def _obstacle(
    node: NodeSpec, code: NotebookCode, notebook: Notebook, params: Mapping[str, Value]
) -> Fault | None:
    """Return why a notebook cannot run as stages, if it cannot."""
    language = code.papermill.language or "python"
    if not notebook.is_python or language.lower() != "python":
        other = notebook.language if not notebook.is_python else language
        return Fault(f"it is in {other}, and only Python is analysed", "Leave cells out")
    given = list(node.params.values())
    named = (it for binding in given for it in references(binding) if isinstance(it, FromParam))
    given += [params[it.name] for it in named if it.name in params]
    if any(True for value in given for _ in secrets_in(value)):
        return Fault(
            "it gets a secret, which is not handed from kernel to kernel",
            "Let the cell that needs it read it, for instance from its environment",
        )
    if code.papermill.stdout_file or code.papermill.stderr_file:
        return Fault(
            "what it prints goes to a file, in order",
            "Read it with nbflow logs instead, or leave cells out",
        )
    return cells_conflict(node.policy)


def _tagged(notebook: Notebook) -> tuple[str, ...]:
    """Return the names that cells with the tag ``outputs`` assign."""
    sources = [cell.source for cell in notebook.cells if _OUTPUTS in cell.tags]
    if not sources:
        return ()
    # Lazy: nbformat and IPython, for a tag that few notebooks have.
    from nbformat.v4 import new_code_cell, new_notebook

    from nbflow.notebooks.emitted import tagged_names

    tags = {"tags": [_OUTPUTS]}
    cells = [new_code_cell(source, metadata=tags) for source in sources]
    return tagged_names(new_notebook(cells=cells))


def _name_clashes(spec: FlowSpec) -> Iterator[Problem]:
    counts = Counter(node.name.casefold() for node in spec.nodes)
    files = {f"{node.name.casefold()}.ipynb" for node in spec.nodes}
    for node in spec.nodes:
        if not node.is_stage:
            continue
        name = node.name.casefold()
        if counts[name] > 1 or not files.isdisjoint(groups_of(name)):
            yield Fault(
                f"a stage of its cells would be the node {node.name!r}, whose name is taken",
                "Give the other node another name",
            ).at(node.place, groups_of(node.name)[-1])
