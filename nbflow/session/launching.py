"""From a flow, or a run's id, to a driver at work.

The order matters: the cluster starts first, because it takes longest; the flow is checked
meanwhile; the run is created only when both are known to be good; and only a claimed
run is driven.
"""

import dataclasses
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nbflow._version import __version__
from nbflow.cluster import Embedded
from nbflow.cluster.connecting import Target
from nbflow.core import machine
from nbflow.core.attempts import Printed
from nbflow.core.errors import (
    ClusterError,
    DefinitionError,
    OutputFolderError,
    Problem,
)
from nbflow.core.events import RunCreated
from nbflow.core.spec import FlowSpec
from nbflow.driver import Resumption
from nbflow.ports import ClusterInfo
from nbflow.session import tenants
from nbflow.session.claiming import claimed, kept
from nbflow.session.fitness import unfit_for
from nbflow.session.home import Home
from nbflow.session.launch import Launch
from nbflow.session.observing import observation

if TYPE_CHECKING:
    from nbflow.definition.preparation import Prepared

    #: From the kernels that can be started, if they are known, to what a run of the flow needs.
    Prepare: TypeAlias = Callable[[frozenset[str] | None], Prepared]

#: Kernels that one worker of an embedded cluster looks after, where it has nothing else to do.
_KERNELS_PER_WORKER = 8


@dataclass(frozen=True, slots=True)
class Request:
    """How a run was asked for."""

    #: The id that the run will have.
    run: str
    target: Target
    #: The folder of the home.
    home: Path
    #: Folder of the executed notebooks; None for the home's own.
    output_dir: Path | None
    #: How many nodes there are of each kind.
    kinds: Mapping[str, int]
    #: The run whose results stand for those of nodes that are the same.
    forked_from: str = ""
    #: Receives what cells print; see `Launch`.
    listen: Callable[[Printed], None] | None = None


def target_of(cluster: Target | None, workers: int | None, kinds: Mapping[str, int]) -> Target:
    """Return the cluster that the arguments of `Flow.run` mean, for a flow of such nodes.

    Raises
    ------
    ClusterError
        If both a cluster and a number of workers are given.
    """
    if cluster is None:
        cluster = Embedded(workers=workers)
    elif workers is not None:
        raise ClusterError(
            "workers= is for the embedded cluster; a cluster that is given has its own workers"
        )
    return _fitted(cluster, kinds) if isinstance(cluster, Embedded) else cluster


def slots_of(cluster: Target | None, workers: int | None) -> int | None:
    """Return how many nodes run at once, if that is known before the cluster is up."""
    size = Embedded(workers=workers) if cluster is None else cluster
    if not isinstance(size, Embedded):
        return None
    processes, threads = size.sized()
    return processes * threads


def _fitted(size: Embedded, kinds: Mapping[str, int]) -> Embedded:
    """Return `size` with what it leaves open as the flow needs it."""
    ready = msgspec.structs.replace(size, kernels=kinds.get("notebook", 0) > 0)
    if size.workers is not None or size.threads is not None:
        return ready
    workers, threads = size.sized()
    if not kinds.get("function", 0):
        # Kernels are processes of their own, of which one worker looks after several.
        slots = workers * threads
        workers = math.ceil(slots / _KERNELS_PER_WORKER)
        threads = math.ceil(slots / workers)
    # More workers than nodes would only cost their start.
    workers = max(1, min(workers, sum(kinds.values())))
    return msgspec.structs.replace(ready, workers=workers, threads=threads)


def launch(prepare: "Prepare", request: Request) -> tuple[Launch, Home, "Prepared"]:
    """Create a run and drive it from this process.

    Parameters
    ----------
    prepare
        Checks the flow, given the kernels that can be started, and returns what its run needs.
    request
        How the run was asked for.

    Raises
    ------
    DefinitionError
        If the flow is not fit to run, at all or on this cluster. Nothing was run.
    nbflow.core.errors.NbflowError
        If the cluster or the home cannot be used.
    """
    starting = Launch(request.target, listen=request.listen)
    try:
        with (
            created(prepare, request, starting.survey) as (home, prepared),
            claimed(home, request.run, time.time) as held,
        ):
            held.observation = observation(home, held.run, held.epoch, request.target)
    except BaseException:
        starting.abort()
        raise
    starting.go(held)
    return starting, home, prepared


@contextmanager
def created(
    prepare: "Prepare", request: Request, survey: Callable[[Home], ClusterInfo]
) -> "Iterator[tuple[Home, Prepared]]":
    """Check a flow and create its run; give its home, which is closed again after an error.

    Parameters
    ----------
    prepare, request
        As of `launch`, and so are the errors.
    survey
        Tells what the cluster can do for runs of a home.
    """
    embedded = isinstance(request.target, Embedded)
    has_notebooks = bool(request.kinds.get("notebook"))
    # While the workers of an embedded cluster start, the flow is checked; their kernels are this
    # program's. Any other cluster is asked only about a flow without faults.
    prepared = prepare(own_kernels() if embedded and has_notebooks else None)
    home = Home.open(request.home)
    try:
        info = survey(home)
        if has_notebooks and not embedded:
            prepared = prepare(info.kernels)
        doubts = require_fit(prepared.spec, info, embedded=embedded)
        prepared = dataclasses.replace(prepared, warnings=(*prepared.warnings, *doubts))
        _create(home, prepared, request)
        yield home, prepared
    except BaseException:
        home.close()
        raise


def own_kernels() -> frozenset[str]:
    """Return the names of the kernels that this machine can start."""
    from nbflow.kernels import kernel_names  # lazy: jupyter_client is loaded while workers start

    return kernel_names()


def _create(home: Home, prepared: "Prepared", request: Request) -> None:
    """Write a run's artifacts, and then its first record."""
    tenants.settle(home.store, home.tenant)
    for data in prepared.blobs.values():
        home.store.put(data, "pickle")
    output_dir = request.output_dir or home.runs_folder(request.run)
    _make_writable(output_dir)
    created = RunCreated(
        flow=prepared.spec,
        params=dict(prepared.params),
        output_dir=str(output_dir.absolute()),
        program=__version__,
        given=prepared.given,
        forked_from=request.forked_from,
    )
    home.journal.create(request.run, created, flow=prepared.spec.name, at=time.time())


def _make_writable(folder: Path) -> None:
    """Make the folder of the executed notebooks, so that nothing runs in vain."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputFolderError(
            f"the folder {folder} for the executed notebooks cannot be written "
            f"({error.strerror}). Choose another one by -o or output_dir="
        ) from error


def resume(
    home: Home,
    run: str,
    cluster: Target | None,
    workers: int | None,
    resumption: Resumption | None = None,
    seen: machine.Run | None = None,
) -> Launch:
    """Drive an existing run from this process.

    Parameters
    ----------
    home, run
        Which run.
    cluster, workers
        As of `Flow.run`.
    resumption
        How it is to go on; the artifacts of a changed definition are in the store.
    seen
        The run as it was read before, if it was.

    Raises
    ------
    RunHeld
        While a live driver holds the run.
    nbflow.core.errors.NbflowError
        If the cluster cannot be used, or not for this flow.
    """
    with claimed(home, run, time.time, seen) as held:
        held.resumption = resumption or Resumption()
        change = held.resumption.change
        spec = held.run.graph.spec if change is None else change.flow
        target = target_of(cluster, workers, Counter(node.kind for node in spec.nodes))
        starting = Launch(target)
        try:
            with kept(home, held, time.time):
                info = starting.survey(home)
            require_fit(spec, info, embedded=isinstance(target, Embedded))
            held.observation = observation(home, held.run, held.epoch, target)
        except BaseException:
            starting.abort()
            raise
    starting.go(held)
    return starting


def require_fit(spec: FlowSpec, info: ClusterInfo, *, embedded: bool) -> tuple[Problem, ...]:
    """Return what is doubtful about running `spec` on this cluster.

    Raises
    ------
    DefinitionError
        If it cannot run there at all.
    """
    problems = tuple(unfit_for(spec, info, may_grow=not embedded))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise DefinitionError(errors)
    return problems
