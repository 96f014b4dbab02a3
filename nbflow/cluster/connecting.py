"""Reaching a cluster, and asking its workers what they can do.

Whatever a user may name as a cluster becomes an asynchronous client of our own: a client that
was given stays the user's, with its own loop and its own futures.
"""

import asyncio
import builtins
import importlib.util
import platform
import re
import types
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from distributed import Client
from distributed.deploy.cluster import Cluster as DaskDeployment

from nbflow._version import __version__
from nbflow.cluster import remote
from nbflow.cluster.embedded import Embedded
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ClusterError
from nbflow.ports import ClusterInfo

#: How long a scheduler may take to answer, in seconds.
CONNECT_TIMEOUT_S = 15.0

#: How long to wait for the first worker of somebody else's cluster, in seconds.
FIRST_WORKER_TIMEOUT_S = 60.0

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+|[^\s/:]+:\d+")

#: The body of every Dask task of ours.
Entry: TypeAlias = Callable[[str, bytes], Awaitable[bytes]]
Target: TypeAlias = Embedded | str | Path | Client | DaskDeployment


async def connect(target: Target, embedded_address: str | None) -> Any:
    """Return an asynchronous client of the cluster that `target` names.

    Parameters
    ----------
    target
        What the user named.
    embedded_address
        The scheduler's address, if the cluster is our own.

    Raises
    ------
    ClusterError
        If its scheduler cannot be reached.
    """
    if embedded_address is not None:
        where, options = "embedded in this process", {"address": embedded_address}
    else:
        where, options = _place_of(target)
    try:
        return await Client(
            asynchronous=True,
            set_as_default=False,
            name="nbflow",
            timeout=CONNECT_TIMEOUT_S,
            **options,
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"the cluster {where} cannot be reached: {str(error) or type(error).__name__}. "
            "Check that its scheduler runs and that this machine may connect to it"
        ) from error


def _place_of(target: Target) -> tuple[str, dict[str, Any]]:
    """Return how to call the target in a message, and how to connect to it."""
    if isinstance(target, Client):
        if target.scheduler is None:
            raise ClusterError("the Client that was given as cluster= is closed")
        address = target.scheduler.address
        return f"at {address}", {"address": address, "security": target.security}
    if isinstance(target, DaskDeployment):
        address = target.scheduler_address
        security = getattr(target, "security", None)
        return f"at {address}", {"address": address, "security": security}
    text = str(target)
    if "://" not in text and (isinstance(target, Path) or text.endswith(".json")):
        if not Path(text).is_file():
            raise ClusterError(f"there is no scheduler file {text}")
        return f"of the scheduler file {text}", {"scheduler_file": text}
    if not _ADDRESS.fullmatch(text):
        raise ClusterError(
            f"{text!r} is neither the address of a scheduler (like tcp://10.0.0.5:8786) nor the "
            "path of a scheduler file (*.json)"
        )
    return f"at {text}", {"address": text}


async def first_worker(client: Any) -> None:
    """Wait for a worker, with a task that makes an adaptive cluster start one.

    Raises
    ------
    ClusterError
        If none comes in time.
    """
    if client.scheduler_info(n_workers=-1)["workers"]:
        return
    wanted = client.submit(int, key=f"nbflow-first-worker-{client.id}", pure=False)
    try:
        await asyncio.wait_for(client.wait_for_workers(1), FIRST_WORKER_TIMEOUT_S)
    except TimeoutError as error:
        address = client.scheduler.address
        raise ClusterError(
            f"the cluster at {address} has had no worker for {FIRST_WORKER_TIMEOUT_S:.0f} s. "
            f"Start one with: dask worker {address}"
        ) from error
    finally:
        wanted.release()


async def entry_for(client: Any) -> Entry:
    """Return the function that tasks of this cluster call.

    A scheduler unpickles what is submitted. One whose environment has no nbflow cannot
    unpickle a reference to `remote.perform`; for it the function travels whole, and
    names nbflow only when it runs, on a worker.
    """
    try:
        found = await client.run_on_scheduler(importlib.util.find_spec, "nbflow")
    except (ImportError, ValueError):
        found = None
    if found is not None:
        return remote.perform
    # What belongs to no module that can be imported is pickled by value.
    nowhere = {"__name__": "nbflow entry", "__builtins__": builtins}
    return types.FunctionType(_enter.__code__, nowhere, "perform")


async def _enter(topic: str, message: bytes) -> bytes:
    from nbflow.cluster.remote import perform  # on the worker, not before

    return await perform(topic, message)


async def probe(
    client: Any, store: StoreRef, *, list_kernels: bool
) -> dict[str, remote.ProbeResult]:
    """Ask every worker what it can do.

    Raises
    ------
    ClusterError
        If one cannot run nbflow, or has another version of it.
    """
    answers = await client.run(remote.probe, store, list_kernels, on_error="return")
    probes: dict[str, remote.ProbeResult] = {}
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise ClusterError(_unfit(worker, answer))
        result = msgspec.msgpack.decode(answer, type=remote.ProbeResult)
        if result.version != __version__:
            raise ClusterError(
                f"worker {worker} has nbflow {result.version}, and this program is nbflow "
                f"{__version__}. Install the same version in both environments"
            )
        probes[worker] = result
    return probes


def doubts(probes: Mapping[str, remote.ProbeResult]) -> Iterator[str]:
    """Yield what may go wrong on these workers, though it need not."""
    ours = platform.python_version()
    for worker, result in probes.items():
        if result.python.split(".")[:2] != ours.split(".")[:2]:
            yield (
                f"worker {worker} runs Python {result.python}, and this program Python {ours}: "
                "functions and pickled values may not load there"
            )


def info_of(
    client: Any, probes: Sequence[remote.ProbeResult], *, has_dashboard: bool
) -> ClusterInfo:
    """Return the cluster that these workers make."""
    resources: defaultdict[str, float] = defaultdict(float)
    for result in probes:
        for name, amount in result.resources.items():
            # What one worker has: resources of several cannot serve one attempt.
            resources[name] = max(resources[name], amount)
    return ClusterInfo(
        address=client.scheduler.address,
        dashboard=client.dashboard_link if has_dashboard else "",
        workers=len(probes),
        threads=sum(result.threads for result in probes),
        shares_store=all(result.shares_store for result in probes),
        kernels=frozenset.intersection(*(frozenset(result.kernels) for result in probes)),
        resources=dict(resources),
    )


def _unfit(worker: str, error: BaseException) -> str:
    # What a worker cannot unpickle comes back as a bare Exception around the cause's repr.
    if "No module named" in str(error):
        return (
            f"worker {worker} cannot run nbflow: {error}. Install nbflow {__version__}, with all "
            "that it depends on, in the environment of every worker"
        )
    return f"worker {worker} cannot run nbflow: {type(error).__name__}: {error}"
