"""The check of a whole flow before anything runs.

Each rule is a generator of problems over the finished specification; `check` runs them
all, so an author sees every fault at once. What only the author's own code can tell (a
function's signature, a policy that is no number) was noted while the flow was written; what only
a run can tell (does a notebook really have the variable?) is left to it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

from nbflow.core.errors import Problem
from nbflow.core.graph import find_cycles
from nbflow.core.ids import groups_of, is_node_name
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromOutput, FromParam, describe_reference, references
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences
from nbflow.definition.notebook_file import Notebook, NotebookFiles
from nbflow.definition.places import Where, everywhere
from nbflow.definition.references import PARAMS

#: The kernel of a notebook that names none, if its language is Python.
DEFAULT_KERNEL = "python3"
#: So many misspelt names of one flow are compared with the known ones.
_HINTS = 10


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
    flow = _Flow(
        spec=spec,
        nodes=[_Placed(node, place) for node, place in zip(spec.nodes, places, strict=True)],
        by_name={node.name: node for node in spec.nodes},
        kernels=kernels,
        files=files or NotebookFiles(),
        hints=_Hints(),
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


@dataclass(frozen=True, slots=True)
class _Placed:
    """A node, and where its parts were written."""

    spec: NodeSpec
    where: Where

    def problem(self, what: str, fix: str, *path: str, severity: str = "error") -> Problem:
        return Problem(
            place=self.where(*path), what=what, fix=fix, node=self.spec.name, severity=severity
        )


class _Hints:
    """Looks for what was meant, but not ten thousand times among ten thousand names."""

    def __init__(self) -> None:
        self._left = _HINTS

    def __call__(self, name: str, known: Iterable[str]) -> str:
        if self._left == 0:
            return ""
        self._left -= 1
        return did_you_mean(name, known)


@dataclass(frozen=True, slots=True)
class _Flow:
    """What the rules look at."""

    spec: FlowSpec
    nodes: Sequence[_Placed]
    by_name: Mapping[str, NodeSpec]
    kernels: frozenset[str] | None
    files: NotebookFiles
    hints: _Hints
    #: The names of its nodes, for messages; made once, because there may be many of both.
    node_names: str


def _not_empty(flow: _Flow) -> Iterator[Problem]:
    if not flow.nodes:
        yield Fault("the flow has no nodes", "Add a notebook or a function").at(flow.spec.place)


def _legal_names(flow: _Flow) -> Iterator[Problem]:
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


def _distinct_names(flow: _Flow) -> Iterator[Problem]:
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


def _known_references(flow: _Flow) -> Iterator[Problem]:
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


def _param_fault(flow: _Flow, reference: FromParam) -> Fault | None:
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


def _output_fault(flow: _Flow, reference: FromOutput) -> Fault | None:
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


def _no_cycles(flow: _Flow) -> Iterator[Problem]:
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


def _declared_outputs(flow: _Flow) -> Iterator[Problem]:
    for node in flow.nodes:
        for output in node.spec.outputs:
            if not output.isidentifier():
                yield node.problem(
                    f"{output!r} is not the name of an output",
                    "An output's name is that of a variable: letters, digits and underscores",
                    "outputs",
                )


def _known_groups(flow: _Flow) -> Iterator[Problem]:
    known = {group for node in flow.nodes for group in groups_of(node.spec.name)}
    for group in flow.spec.limits.groups:
        if group not in known:
            yield Problem(
                place=flow.spec.place,
                what=f"there is a limit for the group {group!r}, but no node is in it",
                fix=sentences(flow.hints(group, known), "A node 'models/x' is in 'models'"),
                severity="warning",
            )


def _known_folders(flow: _Flow) -> Iterator[Problem]:
    for node in flow.nodes:
        cwd = node.spec.code.cwd if isinstance(node.spec.code, NotebookCode) else None
        # The folder may exist where the cluster is, so this does not stop a run.
        if cwd and not Path(cwd).is_dir():
            yield node.problem(
                f"its working directory {cwd} is not a folder here",
                "Create it, unless the cluster's workers have it",
                "cwd",
                severity="warning",
            )


def _sound_notebooks(flow: _Flow) -> Iterator[Problem]:
    """Each file is judged once, at the first node that uses it; then each node's use of it."""
    faulty: set[str] = set()
    for node in flow.nodes:
        code = node.spec.code
        # An empty path was no path at all: that was noted when it was written.
        if not isinstance(code, NotebookCode) or not code.path or code.path in faulty:
            continue
        try:
            notebook = flow.files.parsed(code.path)
        except Fault as fault:
            faulty.add(code.path)
            yield node.problem(fault.what, fault.fix, "notebook")
            continue
        yield from _known_kernel(flow, node, code, notebook)
        yield from _notebook_params(flow, node, code, notebook)


def _known_kernel(
    flow: _Flow, node: _Placed, code: NotebookCode, notebook: Notebook
) -> Iterator[Problem]:
    kernel = code.kernel or notebook.kernel
    if kernel is None and notebook.is_python:
        kernel = DEFAULT_KERNEL
    if kernel is None:
        yield node.problem(
            f"{code.path} names no kernel, and its language is {notebook.language}",
            "Give the node a kernel",
            "notebook",
        )
    elif flow.kernels is not None and kernel not in flow.kernels:
        known = listed(flow.kernels) or "none"
        if code.kernel:
            what = f"the kernel {kernel!r} is not installed"
        else:
            what = f"{code.path} asks for the kernel {kernel!r}, which is not installed"
        yield node.problem(
            what,
            sentences(
                flow.hints(kernel, flow.kernels),
                f"Installed: {known}. Install it, or give the node one of these (kernel)",
            ),
            "kernel" if code.kernel else "notebook",
        )


def _notebook_params(
    flow: _Flow, node: _Placed, code: NotebookCode, notebook: Notebook
) -> Iterator[Problem]:
    if not node.spec.params:
        return
    if notebook.is_python and code.kernel is None:
        for param in node.spec.params:
            if not param.isidentifier() or iskeyword(param):
                yield node.problem(
                    f"parameter {param!r} cannot be a Python variable", "Rename it", "params", param
                )
    known = notebook.parameter_names()
    if known is None:
        return
    if notebook.parameters_source is None:
        yield node.problem(
            f"{code.path} has no cell tagged 'parameters', so its parameters are set on top of it",
            "Tag the cell that holds their defaults",
            "params",
            severity="warning",
        )
        return
    for param in node.spec.params:
        if param not in known:
            yield node.problem(
                f"parameter {param!r} is not in the parameters cell of {code.path}",
                sentences(flow.hints(param, known), f"It has: {listed(known) or 'none'}"),
                "params",
                param,
                severity="warning",
            )


def _known_nodes(flow: _Flow, name: str) -> str:
    return sentences(flow.hints(name, flow.by_name), f"Nodes: {flow.node_names}")


def _known_params(params: Mapping[str, Any]) -> str:
    return f"Parameters: {listed(params)}" if params else "The flow has no parameters"


_RULES: tuple[Callable[[_Flow], Iterator[Problem]], ...] = (
    _not_empty,
    _legal_names,
    _distinct_names,
    _known_references,
    _no_cycles,
    _declared_outputs,
    _known_groups,
    _known_folders,
    _sound_notebooks,
)
