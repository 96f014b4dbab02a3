"""From a draft to a flow that can run: read the notebooks, pickle the functions, check it all.

Everything is read at one moment and once, so that the bytes that were checked are the bytes that
run, and a notebook that was edited since is seen by the next run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nbflow.core.errors import DefinitionError, Problem
from nbflow.core.policies import Cache
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromParam, Value
from nbflow.definition.cache_rules import never_cached, parse_asked, with_caches
from nbflow.definition.check import check, check_params
from nbflow.definition.declared import not_installed
from nbflow.definition.draft import FlowDraft, Written
from nbflow.definition.faults import Fault
from nbflow.definition.functions import FunctionPickler
from nbflow.definition.identity.identities import Identities
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.staged import NOTHING_ASKED, CellsAsked


@dataclass(frozen=True, slots=True)
class Prepared:
    """A flow that is fit to run, and all that a run of it needs."""

    spec: FlowSpec
    #: All parameters of the run: the flow's defaults, and what was given on top.
    params: Mapping[str, Value]
    #: Bytes by digest of the notebooks, functions and values that `spec` and `params` name.
    blobs: Mapping[str, bytes]
    #: What is odd, but does not keep the flow from running.
    warnings: tuple[Problem, ...]
    #: Names of the parameters that were given for this run; the others are the flow's defaults.
    given: tuple[str, ...] = ()


def prepare(
    draft: FlowDraft,
    given: Mapping[str, Any],
    *,
    kernels: frozenset[str] | None,
    cache: Any = None,
    cells: CellsAsked = NOTHING_ASKED,
) -> Prepared:
    """Return all that a run with parameters `given` needs; arguments as of `examine`.

    Raises
    ------
    DefinitionError
        With every error, if the flow is not fit to run.
    """
    prepared, problems = examine(draft, given, kernels=kernels, cache=cache, cells=cells)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise DefinitionError(errors)
    return prepared


def examine(
    draft: FlowDraft,
    given: Mapping[str, Any],
    *,
    kernels: frozenset[str] | None,
    cache: Any = None,
    cells: CellsAsked = NOTHING_ASKED,
) -> tuple[Prepared, list[Problem]]:
    """Prepare as much as can be prepared, and return it with every problem.

    Parameters
    ----------
    draft
        The flow.
    given
        Parameters of the run.
    kernels
        Kernels that can be started; None if that cannot be known yet.
    cache
        What the run is to do about caches; see `nbflow.definition.cache_rules`.
    cells
        Which notebooks run as stages, and what is known of their cells.
    """
    files = NotebookFiles(draft.contents)
    identities = Identities(files)
    problems = list(draft.problems)
    params = {**draft.params, **_given_values(draft, given, problems)}
    asked = _asked_cache(draft, cache, problems)
    nodes = with_caches(_nodes_with_code(draft, files, identities, problems), draft.written, asked)
    spec = assembled(draft, nodes, given)
    preload = _preloaded(draft.preload, nodes, files)
    spec = msgspec.structs.replace(spec, preload=preload, cache=asked, cells=cells.asked)
    problems += check_params(spec, given)
    problems += check(
        spec, kernels=kernels, files=files, where=[written.where for written in draft.written]
    )
    problems += never_cached(spec.nodes, draft.written, params)
    # What was written has been judged by now; what it becomes is our own work.
    wanted = frozenset(it.spec.name for it in draft.written if runs_as_stages(it, cells.asked))
    if wanted:
        # Lazy: with it comes the analysis of cells, which few flows need.
        from nbflow.definition.staged.expansion import Reader, expanded

        spec, odd = expanded(spec, wanted, params, Reader(files, identities), cells)
        problems += odd
    warnings = tuple(problem for problem in problems if problem.severity == "warning")
    return Prepared(spec, params, dict(draft.binder.blobs), warnings, tuple(given)), problems


def assembled(draft: FlowDraft, nodes: list[NodeSpec], given: Mapping[str, Any]) -> FlowSpec:
    """Return the draft's specification with `nodes`.

    Where the draft's parameters are open, each name in `given` becomes a parameter of every
    node and, so that the specification stands by itself, of the flow.
    """
    params = dict(draft.params)
    if draft.open_params and given:
        passed = {name: FromParam(name) for name in given}
        params |= _given_values(draft, given, [])
        nodes = [msgspec.structs.replace(node, params={**node.params, **passed}) for node in nodes]
    return FlowSpec(
        name=draft.name,
        nodes=tuple(nodes),
        params=params,
        limits=draft.limits,
        preload=draft.preload,
        place=draft.where(),
        target=draft.target,
    )


def _given_values(
    draft: FlowDraft, given: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in given.items():
        try:
            values[name] = draft.binder.value(value)
        except Fault as fault:
            named = Fault(f"the parameter {name!r} cannot be passed: {fault.what}", fault.fix)
            problems.append(named.at(draft.where()))
    return values


def _asked_cache(draft: FlowDraft, cache: Any, problems: list[Problem]) -> Cache | bool | None:
    try:
        return parse_asked(cache)
    except Fault as fault:
        problems.append(fault.at(draft.where()))
        return None


def runs_as_stages(written: Written, asked: bool | None) -> bool:
    """Whether a node is to run as stages of cells, given what the run was asked to do."""
    if written.function is not None or asked is False:
        return False
    return written.cells or (bool(asked) and not written.says_cells)


def _nodes_with_code(
    draft: FlowDraft, files: NotebookFiles, identities: Identities, problems: list[Problem]
) -> list[NodeSpec]:
    """Return the nodes with the digests of their code, where it can be had."""
    pickler = FunctionPickler(draft.binder.keep)
    nodes: list[NodeSpec] = []
    for written in draft.written:
        node = written.spec
        if isinstance(node.code, NotebookCode):
            node = _with_notebook(node, node.code, draft, files)
        else:
            assert written.function is not None
            try:
                node = msgspec.structs.replace(node, code=pickler.code(written.function))
            except Fault as fault:
                problems.append(fault.at(written.where("function"), node.name))
        nodes.append(_identified(node, written, identities, problems))
    return nodes


def _identified(
    node: NodeSpec, written: Written, identities: Identities, problems: list[Problem]
) -> NodeSpec:
    try:
        identity = identities.of(node, written.function)
    except Fault:
        # The notebook cannot be read: `check` says so at the right place.
        return node
    place = written.where("packages")
    problems += [not_installed(it, place, node.name) for it in identities.missing_packages(node)]
    return msgspec.structs.replace(node, identity=identity)


def _with_notebook(
    node: NodeSpec, code: NotebookCode, draft: FlowDraft, files: NotebookFiles
) -> NodeSpec:
    try:
        data = files.bytes_of(code.path)
    except Fault:
        # `check` asks for the same file, gets the same fault, and says so at the right place.
        return node
    read = msgspec.structs.replace(code, digest=draft.binder.keep(data))
    return msgspec.structs.replace(node, code=read)


def _preloaded(
    named: tuple[str, ...], nodes: Iterable[NodeSpec], files: NotebookFiles
) -> tuple[str, ...]:
    """Return the modules for warm kernels: those named, and those imported that survive a fork.

    Warm kernels are of the workers' own Python, so notebooks that name another one do not count.
    """
    codes = (node.code for node in nodes if isinstance(node.code, NotebookCode))
    paths = {code.path for code in codes if code.path and code.python is None}
    found = {module for path in paths for module in _imports(path, files)}
    wanted = sorted(found.difference(named))
    if not wanted:
        return named
    # Lazy: importing it loads Jupyter's client, of which a flow of functions needs nothing.
    from nbflow.kernels.preloading import fork_safe

    return (*named, *fork_safe(wanted))


def _imports(path: str, files: NotebookFiles) -> frozenset[str]:
    try:
        return files.parsed(path).imports
    except Fault:
        # As above: `check` says so.
        return frozenset()
