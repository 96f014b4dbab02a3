"""Reaching a cluster, and asking its workers what they can do.

Whatever a user may name as a cluster becomes an asynchronous client of our own: a client that
was given stays the user's, with its own loop and its own futures.
"""

import asyncio
import builtins
import contextlib
import logging
import platform
import re
import ssl
import types
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from distributed import Client
from distributed.deploy.cluster import Cluster as DaskDeployment

from nbflow._version import __version__
from nbflow.cluster import remote
from nbflow.cluster.asking import ask_all
from nbflow.cluster.embedded import Embedded
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ClusterError
from nbflow.ports import ClusterInfo

#: How long a scheduler may take to answer, in seconds.
CONNECT_TIMEOUT_S = 15.0

#: How long to wait for the first worker of somebody else's cluster, in seconds; and then for the
#: first one that answers.
FIRST_WORKER_TIMEOUT_S = 60.0

#: How long a worker may take to say what it can do, in seconds: it imports nbflow for that.
PROBE_WITHIN_S = 15.0

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+|[^\s/:]+:\d+")

#: The body of every Dask task of ours.
Entry: TypeAlias = Callable[..., Awaitable[remote.Result]]
Target: TypeAlias = Embedded | str | Path | Client | DaskDeployment

_log = logging.getLogger(__name__)


async def connect(
    target: Target, embedded_address: str | None, timeout_s: float | None = None
) -> Any:
    """Return an asynchronous client of the cluster that `target` names.

    Parameters
    ----------
    target
        What the user named.
    embedded_address
        The scheduler's address, if the cluster is our own.

    timeout_s
        How long the scheduler may take to answer.

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
        client: Any = Client(
            asynchronous=True,
            set_as_default=False,
            name="nbflow",
            timeout=timeout_s or CONNECT_TIMEOUT_S,
            **options,
        )
        try:
            await client
        except BaseException:
            await client.close()
            raise
    # TypeError: an encrypted address without certificates. RuntimeError: certificates with an
    # address that is not encrypted, where encryption is required.
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(_unreachable(where, error)) from error
    # The client would hold messages back for up to 10 ms to send them together. A
    # driver sends one batch a turn, and the next node waits for it.
    client.scheduler_comm.interval = 0
    return client


def _unreachable(where: str, error: BaseException) -> str:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for each in causes:
        if isinstance(each, ssl.SSLError):
            return (
                f"the cluster {where} cannot be reached: the certificates do not fit together "
                f"({each.reason or each}). Name those of this cluster in Dask's configuration, "
                "distributed.comm.tls (ca-file, client.cert, client.key), or give a Client that "
                "was made with its Security"
            )
    if isinstance(error, TypeError) and "ssl_context" in str(error):
        return (
            f"the cluster {where} is encrypted, and this program has no certificates. Name them in "
            "Dask's configuration, distributed.comm.tls (ca-file, client.cert, client.key), or "
            "give a Client that was made with its Security"
        )
    return (
        f"the cluster {where} cannot be reached: {str(error) or type(error).__name__}. "
        "Check that its scheduler runs and that this machine may connect to it"
    )


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


@contextlib.asynccontextmanager
async def first_worker(client: Any, topic: str) -> AsyncIterator[None]:
    """Wait for a worker, and say so. A task makes an adaptive cluster start one, and keep it.

    Parameters
    ----------
    client
        Of the cluster.
    topic
        The driver's topic; the task ends when an entry under it says so.

    Raises
    ------
    ClusterError
        If none comes in time.
    """
    address = client.scheduler.address
    if (await client.scheduler.identity(n_workers=0))["n_workers"]:
        yield
        return
    _log.warning(
        "the cluster at %s has no worker yet. Waiting for one, %.0f s at most; start one with: "
        "dask worker %s",
        *(address, FIRST_WORKER_TIMEOUT_S, address),
    )
    done = [topic, "surveyed"]
    await client.scheduler.set_metadata(keys=done, value=False)
    stay = _by_value(_stay, "stay")
    wanted = client.submit(stay, done, key=f"nbflow-first-worker-{client.id}", pure=False)
    try:
        try:
            await asyncio.wait_for(client.wait_for_workers(1), FIRST_WORKER_TIMEOUT_S)
        except TimeoutError as error:
            raise ClusterError(
                f"the cluster at {address} has had no worker for {FIRST_WORKER_TIMEOUT_S:.0f} s. "
                f"Start one with: dask worker {address}"
            ) from error
        yield
    finally:
        wanted.release()
        await client.scheduler.set_metadata(keys=done, value=True)


async def _stay(done: list[str]) -> None:
    """Keep a worker busy until it has been asked what it can do, a minute at most."""
    from asyncio import sleep

    from distributed import get_worker

    scheduler = get_worker().scheduler
    for _ in range(1200):
        if await scheduler.get_metadata(keys=done, default=True):
            return
        await sleep(0.05)


def foreign_entry() -> Entry:
    """Return the function that tasks of somebody else's cluster call.

    Its scheduler and workers unpickle what is submitted, and where an environment has no nbflow, a
    reference to `remote.perform` cannot be: the scheduler refuses it, and a worker ends. So the
    function travels whole, and names nbflow only when it runs; a worker then says what it lacks.
    """
    return _by_value(_enter, "perform")


async def forget_topic(client: Any, topic: str) -> None:
    """Remove a driver's topic, of which the scheduler would keep the last messages for ever.

    Raises
    ------
    OSError
        If the connection to the scheduler breaks.
    """
    await client.run_on_scheduler(_by_value(_forget, "forget"), topic)


def _forget(topic: str, dask_scheduler: Any) -> None:
    # Dask has no public way; another version of it keeps them elsewhere.
    broker = getattr(dask_scheduler, "_broker", None)
    getattr(broker, "_topics", {}).pop(topic, None)


def _by_value(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a copy that is pickled whole, since it belongs to no module that can be imported."""
    nowhere = {"__name__": "nbflow entry", "__builtins__": builtins}
    return types.FunctionType(function.__code__, nowhere, name)


async def _enter(
    topic: str, message: bytes, version: str, fence: str, lane: str, *parts: Any
) -> remote.Result:
    from nbflow.cluster.remote import perform  # on the worker, not before

    return await perform(topic, message, version, fence, lane, *parts)


class Answers(msgspec.Struct, frozen=True):
    """What workers have said when they were asked what they can do, each by its address."""

    probes: dict[str, remote.ProbeResult]
    #: Why some cannot run nbflow at all, or not this one.
    unfit: dict[str, str]
    #: Why some have not answered that are there. They may do so later, or never.
    unheard: dict[str, str]


async def probe(client: Any, store: StoreRef, *, list_kernels: bool) -> Answers:
    """Ask every worker what it can do.

    Raises
    ------
    OSError
        If the connection to the scheduler breaks.
    """
    answers = await ask_all(client, remote.probe, store, list_kernels, within_s=PROBE_WITHIN_S)
    probes: dict[str, remote.ProbeResult] = {}
    unfit: dict[str, str] = {}
    unheard: dict[str, str] = {}
    for worker, answer in answers.items():
        if isinstance(answer, OSError):
            unheard[worker] = f"worker {worker} does not answer the scheduler: {answer}"
            continue
        if isinstance(answer, BaseException):
            unfit[worker] = _unfit(worker, answer)
            continue
        result = msgspec.msgpack.decode(answer, type=remote.ProbeResult)
        if result.version != __version__:
            unfit[worker] = remote.other_version(worker, result.version, __version__)
            continue
        probes[worker] = result
    if unheard:
        present = (await client.scheduler.identity(n_workers=-1))["workers"]
        unheard = {worker: why for worker, why in unheard.items() if worker in present}
    return Answers(probes, unfit, unheard)


def nobody_answers(answers: Answers) -> ClusterError:
    """Return the error that none of the workers which are there can be reached."""
    return ClusterError(
        f"no worker of the cluster has answered for {FIRST_WORKER_TIMEOUT_S:.0f} s: "
        f"{'; '.join(answers.unheard.values())}. Check that a worker registers under an address to "
        "which its scheduler may connect; dask worker --contact-address names another one"
    )


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
    if isinstance(error, remote.Unfit):
        return str(error)
    # What a worker cannot unpickle comes back as a bare Exception around the cause's repr.
    if "No module named" in str(error):
        return (
            f"worker {worker} cannot run nbflow: {error}. Install nbflow {__version__}, with all "
            "that it depends on, in the environment of every worker"
        )
    return f"worker {worker} cannot run nbflow: {type(error).__name__}: {error}"
