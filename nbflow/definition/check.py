"""The check of a whole flow before anything runs.

Each rule is a generator of problems over the finished specification; `check` runs them
all, so an author sees every fault at once. What only the author's own code can tell (a
function's signature, a policy that is no number) was noted while the flow was written; what only
a run can tell (does a notebook really have the variable?) is left to it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbflow.core.errors import Problem
from nbflow.core.graph import find_cycles
from nbflow.core.ids import groups_of, is_node_name
from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.core.values import FromOutput, FromParam, describe_reference, references
from nbflow.definition.checked_flow import CheckedFlow, Hints, Placed
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.notebook_rules import (
    forkable_modules,
    known_folders,
    known_interpreters,
    sound_notebooks,
)
from nbflow.definition.places import Where, everywhere
from nbflow.definition.references import PARAMS


def check(
    spec: FlowSpec,
    *,
    kernels: frozenset[str] | None = None,
    files: NotebookFiles | None = None,
    where: Sequence[Where] | None = None,
) -> list[Problem]:
    """Return every problem of `spec`, in the order of its nodes as far as possible.

    Parameters
    ----------
    spec
        The flow.
    kernels
        Kernels that can be started; None leaves them unchecked, because a cluster will be asked.
    files
        Notebooks that have been read already.
    where
        More precise places than ``node.place``, one for each node.
    """
    places = where or [everywhere(node.place) for node in spec.nodes]
    flow = CheckedFlow(
        spec=spec,
        nodes=[Placed(node, place) for node, place in zip(spec.nodes, places, strict=True)],
        by_name={node.name: node for node in spec.nodes},
        kernels=kernels,
        files=files or NotebookFiles(),
        hints=Hints(),
        node_names=listed(node.name for node in spec.nodes),
    )
    return [problem for rule in _RULES for problem in rule(flow)]


def check_params(spec: FlowSpec, given: Iterable[str]) -> list[Problem]:
    """Return a problem for each parameter of a run that the flow does not declare."""
    return [
        Fault(
            f"the flow {spec.name!r} has no parameter {name!r}",
            sentences(did_you_mean(name, spec.params), _known_params(spec.params)),
        ).at(spec.place)
        for name in given
        if name not in spec.params
    ]


def _not_empty(flow: CheckedFlow) -> Iterator[Problem]:
    if not flow.nodes:
        yield Fault("the flow has no nodes", "Add a notebook or a function").at(flow.spec.place)


def _legal_names(flow: CheckedFlow) -> Iterator[Problem]:
    for node in flow.nodes:
        name = node.spec.name
        if not is_node_name(name):
            yield node.problem(
                "the name is not legal",
                "Use letters, digits, '_', '-' and '.', and '/' between a group and its member",
            )
        elif name == PARAMS:
            yield node.problem(
                f"the name {PARAMS!r} is taken: ${{{PARAMS}.NAME}} is a parameter of the flow",
                "Choose another name",
            )


def _distinct_names(flow: CheckedFlow) -> Iterator[Problem]:
    """Names must differ, also as files: executed notebooks go to ``DIR/NODE.ipynb``."""
    first: dict[str, NodeSpec] = {}
    for node in flow.nodes:
        other = first.setdefault(node.spec.name.casefold(), node.spec)
        if other is node.spec:
            continue
        if other.name == node.spec.name:
            what = f"the name is used twice; it was first used at {other.place}"
        else:
            what = (
                f"the name differs from {other.name!r} ({other.place}) in its capitals only, "
                "and their notebooks would be one file on some systems"
            )
        yield node.problem(what, "Give one of them another name (name=…)")
    files = {f"{name}.ipynb": node for name, node in first.items()}
    for node in flow.nodes:
        for group in groups_of(node.spec.name.casefold()):
            if group in files:
                yield node.problem(
                    f"the group {group!r} would be both a folder and the executed notebook of "
                    f"the node {files[group].name!r}",
                    "Give one of them another name",
                )


def _known_references(flow: CheckedFlow) -> Iterator[Problem]:
    for node in flow.nodes:
        for param, binding in node.spec.params.items():
            for reference in references(binding):
                if isinstance(reference, FromParam):
                    fault = _param_fault(flow, reference)
                else:
                    fault = _output_fault(flow, reference)
                if fault is not None:
                    what = f"parameter {param!r}: {fault.what}"
                    yield node.problem(what, fault.fix, "params", param)
        for source in node.spec.after:
            if source not in flow.by_name:
                yield node.problem(
                    f"it comes after {source!r}, which is not a node of this flow",
                    _known_nodes(flow, source),
                    "after",
                )


def _param_fault(flow: CheckedFlow, reference: FromParam) -> Fault | None:
    if reference.name in flow.spec.params:
        return None
    return Fault(
        f"{describe_reference(reference)} is not a parameter of the flow",
        sentences(
            flow.hints(reference.name, flow.spec.params),
            _known_params(flow.spec.params),
            "Declare it in the flow's params",
        ),
    )


def _output_fault(flow: CheckedFlow, reference: FromOutput) -> Fault | None:
    source = flow.by_name.get(reference.node)
    written = describe_reference(reference)
    if source is None:
        return Fault(
            f"{written} refers to {reference.node!r}, which is not a node of this flow",
            _known_nodes(flow, reference.node),
        )
    if not reference.output.isidentifier():
        return Fault(
            f"{reference.output!r} of the node {source.name!r} is not the name of an output",
            "An output's name is that of a variable: letters, digits and underscores",
        )
    if source.kind == "function" and reference.output not in source.outputs:
        return Fault(
            f"the function node {source.name!r} has no output {reference.output!r}",
            sentences(
                flow.hints(reference.output, source.outputs),
                f"Its outputs: {', '.join(source.outputs)}",
            ),
        )
    return None


def _no_cycles(flow: CheckedFlow) -> Iterator[Problem]:
    upstream: dict[str, list[str]] = {}
    for node in flow.nodes:
        data = (r for b in node.spec.params.values() for r in references(b))
        sources = [r.node for r in data if isinstance(r, FromOutput)] + list(node.spec.after)
        known = (source for source in sources if source in flow.by_name)
        upstream.setdefault(node.spec.name, []).extend(known)
    for cycle in find_cycles(upstream):
        place = flow.by_name[cycle[0]].place
        yield Problem(
            place=place,
            what=f"nodes wait for each other in a circle: {' -> '.join(cycle)}",
            fix="Remove one of these edges",
            node=cycle[0],
        )


def _declared_outputs(flow: CheckedFlow) -> Iterator[Problem]:
    for node in flow.nodes:
        for output in node.spec.outputs:
            if not output.isidentifier():
                yield node.problem(
                    f"{output!r} is not the name of an output",
                    "An output's name is that of a variable: letters, digits and underscores",
                    "outputs",
                )


def _known_groups(flow: CheckedFlow) -> Iterator[Problem]:
    known = {group for node in flow.nodes for group in groups_of(node.spec.name)}
    for group in flow.spec.limits.groups:
        if group not in known:
            yield Problem(
                place=flow.spec.place,
                what=f"there is a limit for the group {group!r}, but no node is in it",
                fix=sentences(flow.hints(group, known), "A node 'models/x' is in 'models'"),
                severity="warning",
            )


def _known_nodes(flow: CheckedFlow, name: str) -> str:
    return sentences(flow.hints(name, flow.by_name), f"Nodes: {flow.node_names}")


def _known_params(params: Mapping[str, Any]) -> str:
    return f"Parameters: {listed(params)}" if params else "The flow has no parameters"


_RULES: tuple[Callable[[CheckedFlow], Iterator[Problem]], ...] = (
    _not_empty,
    _legal_names,
    _distinct_names,
    _known_references,
    _no_cycles,
    _declared_outputs,
    _known_groups,
    known_folders,
    known_interpreters,
    forkable_modules,
    sound_notebooks,
)
