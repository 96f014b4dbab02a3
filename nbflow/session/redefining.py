"""A run's definition, read again: for resuming after a fix, and for forking.

A flow that was loaded from a file is loaded from there again. One that was made by calls in a
notebook cannot be; then its notebooks are read again, and its functions stay as they were.
Parameters that were given for the run stay; defaults may have changed.
"""

import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from nbflow.core import machine
from nbflow.core.errors import DefinitionError, Problem
from nbflow.core.events import FlowChanged
from nbflow.core.spec import FlowSpec
from nbflow.core.values import Value
from nbflow.definition.bindings import Binder
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.flow_changes import flow_changes
from nbflow.definition.functions import modules_beneath
from nbflow.definition.installed import Installation
from nbflow.definition.places import working_in
from nbflow.definition.preparation import Prepared
from nbflow.definition.refreshing import refreshed
from nbflow.definition.staged import NOTHING_ASKED, CellsAsked
from nbflow.definition.targets import load_target


def redefined(
    run: machine.Run,
    *,
    flow: FlowBuilder | None = None,
    params: Mapping[str, Any] | None = None,
    kernels: frozenset[str] | None = None,
    cells: CellsAsked = NOTHING_ASKED,
) -> Prepared:
    """Return the run's definition as it reads today, fit to run.

    Cells that have not changed stay in the stages in which they are.

    Parameters
    ----------
    run
        The run.
    flow
        Its definition, where that was made by calls; None reads again what can be read.
    params
        Parameters that are given anew.
    kernels
        Kernels that can be started; None if that cannot be known yet.
    cells
        What is known of the cells of its notebooks.

    Raises
    ------
    DefinitionError
        If it cannot be read, or is not fit to run any more.
    """
    given: dict[str, Any] = {**{name: run.params[name] for name in run.given}, **(params or {})}
    target = run.graph.spec.target
    if flow is None and target:
        try:
            flow = _reloaded(target)
        except DefinitionError as error:
            hint = Problem(
                target,
                "the flow of the run cannot be read again",
                "Mend it, or go on with what was recorded: --as-recorded, as_recorded=True",
            )
            raise DefinitionError([*error.problems, hint]) from error
    if flow is not None:
        recorded = run.graph.spec
        cells = dataclasses.replace(cells, asked=recorded.cells, earlier=recorded)
        return flow.prepare(given, kernels=kernels, cache=recorded.cache, cells=cells)
    return _refreshed(run, given, cells)


def change_to(run: machine.Run, prepared: Prepared) -> FlowChanged | None:
    """Return what a resume with another definition records; None if nothing has changed."""
    changes = flow_changes(run.graph.spec, prepared.spec)
    for name, value in prepared.params.items():
        if run.params.get(name) != value:
            changes = (*changes, f"the parameter {name} has another value")
    if not changes and _meant(prepared.spec) == _meant(run.graph.spec):
        return None
    return FlowChanged(prepared.spec, dict(prepared.params), changes)


def _meant(spec: FlowSpec) -> FlowSpec:
    """Return `spec` without what is in it for people only, and without pickles.

    One function is pickled in more than one way; whether it has changed is told by its identity.
    """
    nodes = tuple(
        replace(
            node,
            code=replace(node.code, digest="") if node.identity.code else node.code,
            place="",
            identity=replace(node.identity, unknown=()),
        )
        for node in spec.nodes
    )
    return replace(spec, nodes=nodes, place="")


def _reloaded(target: str) -> FlowBuilder:
    """Return the flow that `FlowSpec.target` leads to, as it is written now."""
    folder = os.path.dirname(target)  # noqa: PTH120 - it is a target, and no path
    with working_in(folder), _imported_anew(folder):
        return load_target(target, flow_class=FlowBuilder, base_dir=folder)


@contextmanager
def _imported_anew(folder: str) -> Iterator[None]:
    """Let what is imported from `folder` be read again.

    Functions travel with the modules beside them as this process has loaded them. Were those older
    than their files, old code would run and be recorded as the new one.
    """
    forgotten = {module.__name__: module for module in modules_beneath(folder, Installation())}
    for name in forgotten:
        del sys.modules[name]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        # What the flow does not import is none of its business.
        for name, module in forgotten.items():
            sys.modules.setdefault(name, module)


def _refreshed(run: machine.Run, given: Mapping[str, Any], cells: CellsAsked) -> Prepared:
    binder = Binder(run)
    params: dict[str, Value] = {**run.params}
    params.update({name: binder.value(value) for name, value in given.items()})
    spec, blobs, problems = refreshed(run.graph.spec, params, cells)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise DefinitionError(errors)
    return Prepared(
        spec=spec,
        params=params,
        blobs={**blobs, **binder.blobs},
        warnings=tuple(problems),
        given=tuple(given),
    )
