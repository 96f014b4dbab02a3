"""Which cells make a stage, and what stages give each other.

Found anew, this is the work of `nbflow.core.cells`. Where an earlier definition has cut the same
cells before, they stay cut as they are: a run that goes on must find its stages again, whatever has
been learned meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from nbflow.core.cells import Analysis, analyze
from nbflow.core.cells.staging import Costs, Staging, Worth, stage_cells, worth_of
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.stage_results import VALUE
from nbflow.core.stages import StageCell, StageSpec
from nbflow.core.values import FromOutput, references
from nbflow.definition.code_cells import running
from nbflow.definition.notebook_file import Notebook
from nbflow.definition.staged.asking import CellsAsked
from nbflow.definition.staged.texts import Texts


@dataclass(frozen=True, slots=True)
class Piece:
    """A stage of a notebook, and what it has to do with the others.

    Parameters
    ----------
    spec
        What it runs.
    sources
        Variable or generator -> place of the stage that gives it.
    after
        Places of stages that must have succeeded before, besides the sources.
    values
        Outputs of the notebook as a whole that it has.
    """

    spec: StageSpec
    sources: Mapping[str, int]
    after: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


def new_pieces(
    texts: Texts, params: Iterable[str], outputs: Iterable[str], cells: CellsAsked
) -> tuple[Piece, ...]:
    """Return the stages of a notebook; one or none means that its cells run in one kernel.

    Parameters
    ----------
    texts
        Its cells.
    params
        The names that it gets from outside.
    outputs
        The names that are wanted of it.
    cells
        What says which of them are worth a kernel.
    """
    workers = {} if cells.slots is None else {"workers": cells.slots}
    worth = cells.worth or worth_of(texts.seconds, Costs(), **workers)
    staging = _without_twins(analyze(texts.cells), texts, frozenset(params), worth)
    if staging is None:
        return ()
    held: dict[int, list[str]] = {}
    for name in outputs:
        place = staging.holder(name)
        if place is not None:
            held.setdefault(place, []).append(name)
    return tuple(
        Piece(
            msgspec.structs.replace(stage.spec, injected=texts.injected is not None),
            stage.sources,
            stage.after,
            tuple(held.get(place, ())),
        )
        for place, stage in enumerate(staging.stages)
    )


def _without_twins(
    analysis: Analysis, texts: Texts, params: frozenset[str], worth: Worth
) -> Staging | None:
    """Cut so that no stage gets one name both from outside and from another stage.

    A node's parameters have one name each. Variables for which that would not do stay in the kernel
    into which they were injected. None if they do not.
    """
    pinned = set(texts.pinned)
    while True:
        staging = stage_cells(analysis, worth=worth, pinned=pinned)
        twins = {
            (texts.injected, name)
            for stage in staging.stages
            if texts.injected is not None and runs(stage.spec, texts.injected)
            for name in params & stage.sources.keys()
        }
        if not twins:
            return staging
        if twins <= pinned:
            return None
        pinned |= twins


def runs(spec: StageSpec, number: int | None) -> bool:
    """Whether a stage keeps the results of the cell of that number."""
    return number is not None and number in spec.numbers


def kept_pieces(
    node: NodeSpec, notebook: Notebook, earlier: FlowSpec | None, outputs: Iterable[str]
) -> tuple[Piece, ...] | None:
    """Return the stages as an earlier definition has them; None if it does not fit any more.

    Parameters
    ----------
    node
        The node as it is now, with its identity; no stages yet.
    notebook
        Its notebook.
    earlier
        The definition that this one takes the place of.
    outputs
        The names that are wanted of it.
    """
    old = {} if earlier is None else {each.name: each for each in earlier.nodes}
    before = old.get(node.name)
    if (
        earlier is None
        or before is None
        or not isinstance(before.code, NotebookCode)
        or before.is_stage
        or before.identity.code != node.identity.code
        or before.params.keys() != node.params.keys()
    ):
        return None
    places = {each.node: place for place, each in enumerate(before.code.stages)}
    numbers = _indices(notebook)
    pieces = tuple(_kept(old[name], places, numbers) for name in places)
    given = {name for piece in pieces for name in piece.values}
    if pieces and not given.union(wanted_of(earlier).get(node.name, ())).issuperset(outputs):
        return None  # some stage would have to hand on more than before
    return pieces


def _kept(node: NodeSpec, places: Mapping[str, int], indices: Mapping[int, int]) -> Piece:
    assert isinstance(node.code, NotebookCode)
    assert node.code.stage is not None
    spec = node.code.stage
    # Texts between the cells may have come or gone, and moved them.
    cells = tuple(_at(cell, indices) for cell in spec.cells)
    sources = {
        name: places[binding.node]
        for name, binding in node.params.items()
        if isinstance(binding, FromOutput) and binding.node in places
    }
    return Piece(
        msgspec.structs.replace(spec, cells=cells),
        sources,
        tuple(places[name] for name in node.after if name in places),
        tuple(name.removeprefix(VALUE) for name in node.outputs if name.startswith(VALUE)),
    )


def _at(cell: StageCell, indices: Mapping[int, int]) -> StageCell:
    return msgspec.structs.replace(cell, index=indices.get(cell.number, cell.index))


def _indices(notebook: Notebook) -> dict[int, int]:
    """Return where the cells are, by number."""
    return {number: cell.index for number, cell in enumerate(running(notebook.cells), start=1)}


def wanted_of(spec: FlowSpec) -> dict[str, dict[str, None]]:
    """Return the outputs that other nodes, or a node itself, ask for, by node and in order."""
    wanted: dict[str, dict[str, None]] = {
        node.name: dict.fromkeys(node.outputs) for node in spec.nodes
    }
    for node in spec.nodes:
        for binding in node.params.values():
            for reference in references(binding):
                if isinstance(reference, FromOutput) and reference.node in wanted:
                    wanted[reference.node][reference.output] = None
    return wanted
