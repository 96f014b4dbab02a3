"""The nodes that a notebook becomes: a node for each of its stages, and the assembly.

Who waits for what comes before the notebook? The stage with the injected cell gets all parameters.
Those behind it need none: they wait for it. All others get what other nodes give the notebook,
though no cell of theirs reads it: a run from top to bottom would not have begun before it was
there. So a plain value that changes runs again what depends on it, and no more.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from nbflow.core.policies import Policy, Retry
from nbflow.core.spec import Identity, NodeSpec, NotebookCode, PapermillForm
from nbflow.core.stage_results import VALUE
from nbflow.core.stages import StagePlace, StageSpec
from nbflow.core.values import Binding, FromOutput, references
from nbflow.definition.staged.cutting import Piece

#: In all kernels of a notebook sets are walked through in the same order.
_HASH_SEED = ("PYTHONHASHSEED", "0")


def nodes_of(node: NodeSpec, pieces: Sequence[Piece], injected: int | None) -> list[NodeSpec]:
    """Return the stages of a notebook as nodes, and behind them their assembly.

    Parameters
    ----------
    node
        The notebook's node.
    pieces
        Its stages, each behind those that it waits for.
    injected
        The number of the cell with which its parameters come.
    """
    assert isinstance(node.code, NotebookCode)
    names = [stage_name(node.name, piece.spec) for piece in pieces]
    before = _all_before(pieces)
    first = next((i for i, it in enumerate(pieces) if injected in it.spec.numbers), None)
    stages = []
    for place, piece in enumerate(pieces):
        own = _own_params(node, place, first, before[place])
        given: dict[str, Binding] = {
            name: FromOutput(names[source], name) for name, source in piece.sources.items()
        }
        clashing = [own[name] for name in own if name in given]
        after = (*node.after, *(names[source] for source in piece.after), *_sources(clashing))
        stages.append(
            NodeSpec(
                name=names[place],
                code=_stage_code(node.code, piece.spec),
                params={**own, **given},
                after=tuple(dict.fromkeys(after)),
                outputs=tuple(f"{VALUE}{name}" for name in piece.values),
                policy=_stage_policy(node.policy),
                identity=_declared(node.identity),
                place=node.place,
            )
        )
    return [*stages, _assembly(node, node.code, pieces, names, before)]


def stage_name(node: str, spec: StageSpec) -> str:
    """Return the name of a stage: that of its notebook, and the first cell whose result it has."""
    return f"{node}/cells-{next(filter(None, spec.numbers), 0)}"


def with_hash_seed(code: NotebookCode) -> NotebookCode:
    """Return `code` with the environment of stages."""
    name, seed = _HASH_SEED
    return msgspec.structs.replace(code, env={name: seed, **code.env})


def _assembly(
    node: NodeSpec,
    code: NotebookCode,
    pieces: Sequence[Piece],
    names: Sequence[str],
    before: Sequence[frozenset[int]],
) -> NodeSpec:
    places = tuple(
        StagePlace(
            node=name,
            cells=tuple(cell.index for cell in piece.spec.cells if not cell.replayed),
            before=tuple(sorted(above)),
            changes=tuple(
                dict.fromkeys(name for cell in piece.spec.cells for name in cell.changes)
            ),
            effects=piece.spec.writes_anything,
        )
        for name, piece, above in zip(names, pieces, before, strict=True)
    )
    return msgspec.structs.replace(
        node,
        code=msgspec.structs.replace(with_hash_seed(code), stages=places),
        after=(*node.after, *names),
    )


def _own_params(
    node: NodeSpec, place: int, first: int | None, before: frozenset[int]
) -> dict[str, Binding]:
    """Return what a stage gets of the parameters of its notebook."""
    if place == first:
        return node.params
    if first in before:
        return {}
    return {name: it for name, it in node.params.items() if any(_sources([it]))}


def _sources(bindings: Iterable[Binding]) -> Iterator[str]:
    """Yield the nodes to whose outputs parameters refer."""
    for binding in bindings:
        for reference in references(binding):
            if isinstance(reference, FromOutput):
                yield reference.node


def _stage_code(code: NotebookCode, spec: StageSpec) -> NotebookCode:
    # Where the notebook goes, and how it looks then, is a matter of the assembly.
    form = PapermillForm(language=code.papermill.language, folder=code.papermill.folder)
    return msgspec.structs.replace(with_hash_seed(code), papermill=form, stage=spec)


def _stage_policy(policy: Policy) -> Policy:
    # The assembly tries again, and is what is expected to take so long.
    return msgspec.structs.replace(policy, retries=Retry(), expected=None)


def _declared(identity: Identity) -> Identity:
    return Identity(inputs=identity.inputs, packages=identity.packages)


def _all_before(pieces: Sequence[Piece]) -> list[frozenset[int]]:
    before: list[frozenset[int]] = []
    for piece in pieces:
        sources = frozenset((*piece.sources.values(), *piece.after))
        before.append(sources.union(*(before[source] for source in sources)))
    return before
