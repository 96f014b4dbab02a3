"""Going on with a run: resumed after a fix, decided about, or forked.

The definition is read again each time, unless what was recorded is asked for. What a resume will do
is known, and said, before anything is started.
"""

import random
import time
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nbflow.cluster.connecting import Target
from nbflow.core import machine
from nbflow.core.decisions import Decision, undecidable
from nbflow.core.errors import NbflowError
from nbflow.core.ids import new_run_id
from nbflow.core.resuming import Wish
from nbflow.core.states import IN_FLIGHT
from nbflow.core.values import Value
from nbflow.core.view import RunView
from nbflow.definition.bindings import Binder
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.faults import Fault
from nbflow.definition.input_files import FileMemo, input_digest
from nbflow.definition.preparation import Prepared
from nbflow.definition.staged import CellsAsked
from nbflow.driver import Resumption
from nbflow.driver.undriven import decide_without_driver
from nbflow.ports import ArtifactStore
from nbflow.session import launching
from nbflow.session.cell_history import learning_in
from nbflow.session.claiming import briefly_claimed
from nbflow.session.home import Home
from nbflow.session.launch import Launch
from nbflow.session.redefining import change_to, redefined
from nbflow.session.resuming import Foreseen, foreseen


@dataclass(frozen=True, slots=True)
class Again:
    """How a run is asked to go on; see `Run.resume`."""

    flow: FlowBuilder | None = None
    wish: Wish = Wish()
    as_recorded: bool = False
    #: How many nodes will run at once, if that is known.
    slots: int | None = None


def plan_resume(home: Home, run: machine.Run, again: Again) -> tuple[Resumption, Foreseen]:
    """Return how `run` goes on, with all that it needs in the store, and what that will do.

    What has changed since the run was recorded is told as warnings.

    Raises
    ------
    DefinitionError
        If the flow is not fit to run any more, or what is wished for cannot be done.
    """
    change = None
    told: list[str] = []
    if not again.as_recorded:
        kinds = Counter(node.kind for node in run.graph.spec.nodes)
        kernels = launching.own_kernels() if kinds["notebook"] else None
        cells = CellsAsked(learn=learning_in(home, run.graph.spec.name), slots=again.slots)
        prepared = redefined(run, flow=again.flow, kernels=kernels, cells=cells)
        change = change_to(run, prepared)
        if change is not None:
            for data in prepared.blobs.values():
                home.store.put(data, "pickle")
        told += [str(problem) for problem in prepared.warnings]
    resumption = Resumption(change, again.wish)
    nodes = run.graph.spec.nodes if change is None else change.flow.nodes
    memo = FileMemo()
    files = {
        node.name: input_digest(node.identity.inputs, memo).digest
        for node in nodes
        if node.identity.inputs
    }
    plan = foreseen(run, resumption, files)
    told += _told(plan)
    if plan.nothing and again.wish.only:
        told.append(_nothing_to_do(run, again.wish.only))
    for sentence in told:
        warnings.warn(sentence, stacklevel=4)  # at the caller of `Run.resume`
    return resumption, plan


def decide(home: Home, view: RunView, decision: Decision) -> None:
    """Record a decision about a node in doubt, or hand it to the run's driver.

    Raises
    ------
    NbflowError
        If there is nothing to decide, or outputs are missing.
    """
    node = view.run.nodes.get(decision.node)
    # What an ended driver had in flight comes into doubt only when somebody takes the run over.
    may_come = (
        not view.driven
        and node is not None
        and node.state in IN_FLIGHT
        and view.run.graph.nodes[decision.node].policy.effect == "at_most_once"
    )
    why = "" if may_come else undecidable(view.run, decision)
    if why:
        raise NbflowError(f"run {view.run.id}: {why}")
    if view.driven:
        body = msgspec.json.encode(decision).decode()
        journal = home.journal
        journal.signal(view.run.id, "decide", decision.by, at=time.time(), body=body)
    else:
        with briefly_claimed(home, view.run.id) as held:
            why = decide_without_driver(
                held.run, held.epoch, home.journal, home.store, decision, clock=time.time
            )
    if why:
        raise NbflowError(f"run {view.run.id}: {why}")


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """How a fork was asked for; see `Run.fork`."""

    flow: FlowBuilder | None
    params: Mapping[str, Any]
    target: Target | None
    workers: int | None
    output_dir: Path | None
    run_id: str | None


def fork(home: Home, run: machine.Run, asked: ForkRequest) -> tuple[str, Launch, Home]:
    """Start another run that begins with what `run` has done already; return its id and driver.

    Raises
    ------
    DefinitionError
        If the flow is not fit to run.
    nbflow.core.errors.NbflowError
        If the cluster or the home cannot be used.
    """
    spec = run.graph.spec
    kinds = Counter(node.kind for node in spec.nodes)
    new = asked.run_id or new_run_id(spec.name, time.time(), random.Random())
    request = launching.Request(
        run=new,
        target=launching.target_of(asked.target, asked.workers, kinds),
        home=home.folder,
        output_dir=asked.output_dir,
        kinds=kinds,
        forked_from=run.id,
    )
    slots = launching.slots_of(asked.target, asked.workers)
    cells = CellsAsked(learn=learning_in(home, spec.name), slots=slots)

    def prepare(kernels: frozenset[str] | None) -> Prepared:
        return redefined(run, flow=asked.flow, params=asked.params, kernels=kernels, cells=cells)

    launch, opened, prepared = launching.launch(prepare, request)
    for problem in prepared.warnings:
        warnings.warn(str(problem), stacklevel=4)  # at the caller of `Run.fork`
    return new, launch, opened


def stored_values(store: ArtifactStore, outputs: Mapping[str, Any]) -> dict[str, Value]:
    """Return `outputs` as values, whose bytes are in the store.

    Raises
    ------
    NbflowError
        If one cannot be stored.
    """
    binder = Binder(None)
    try:
        values = {name: binder.value(output) for name, output in outputs.items()}
    except Fault as fault:
        raise NbflowError(f"an output cannot be stored: {fault}") from fault
    for data in binder.blobs.values():
        store.put(data, "pickle")
    return values


def _nothing_to_do(run: machine.Run, only: Collection[str]) -> str:
    """Say that nothing begins, where a person has asked for some nodes and might wait for them."""
    are = "is" if len(only) == 1 else "are"
    return (
        f"there is nothing to do: {', '.join(only)} {are} done and unchanged, "
        f"and the run stays {run.status}"
    )


def _told(plan: Foreseen) -> list[str]:
    """Return what a person should hear before a resume: nothing of it is silent."""
    told = [f"since this run was recorded, {sentence}" for sentence in plan.changes]
    own = [reset for reset in plan.resets if reset.kind not in ("resumed", "upstream", "forced")]
    told += [f"node {reset.node} runs again: {reset.why}" for reset in own]
    return told
