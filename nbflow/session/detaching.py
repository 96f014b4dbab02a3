"""Runs that outlive their caller: their drivers live in processes of their own.

::

    the caller                                 the detached driver
    checks the flow, creates the run
    starts a program ──────────────────────►   leaves the caller's family (`detached`)
    waits on a pipe                            starts the cluster, takes the run's lease
    returns or raises ◄──── one `Answer` ───   drives the run to its end

So a faulty flow is told before there is a process, and a run that was created can be resumed
whatever becomes of either side. The detached driver is an ordinary resume of the run by
its id, and what it needs is passed on by value: nothing of the caller's memory is.

It must not end with the caller. It has a session of its own (no terminal's hang-up reaches it), no
living ancestor but the system's first process, its own standard streams, and an environment
without the mark by which all that a kernel has started is found and ended. What it prints is in
``driver.log``, in the run's folder of the home.
"""

import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nbflow.cluster import Embedded
from nbflow.cluster.connecting import Target
from nbflow.core import errors, machine
from nbflow.core.errors import ClusterError, DefinitionError, NbflowError, Problem
from nbflow.driver import Resumption
from nbflow.kernels.family import MARK
from nbflow.ports import ClusterInfo
from nbflow.session import launching
from nbflow.session.home import Home, runs_folder
from nbflow.session.launch import Launch

if TYPE_CHECKING:
    from nbflow.definition.preparation import Prepared

#: Name of the detached driver's log in the run's folder.
LOG = "driver.log"

#: Variables that tie a process to the kernel that it was started in.
_OF_A_KERNEL = (MARK, "JPY_PARENT_PID", "JPY_SESSION_NAME")
#: How long one wait for the driver's answer lasts, in seconds; there are as many as it takes.
_WAIT_S = 0.5
#: Last lines of the log that an error tells.
_LAST_LINES = 12


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a detached driver is to do with its run; it reads that, as JSON, before it leaves."""

    #: An embedded cluster of this size, the address of a scheduler, or a scheduler file.
    cluster: Embedded | str
    #: How a run that has begun before is to go on.
    resumption: Resumption = Resumption()


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a detached driver tells its caller: that it holds the run, or why it does not."""

    #: The error's class; empty if the run is driven.
    error: str = ""
    message: str = ""
    problems: tuple[Problem, ...] = ()

    @classmethod
    def refusing(cls, error: NbflowError) -> "Answer":
        """Return the answer of a driver that `error` has kept from its run."""
        problems = error.problems if isinstance(error, DefinitionError) else ()
        return cls(type(error).__name__, str(error), problems)

    def raise_error(self) -> None:
        """Raise what kept the driver from its run, if anything did."""
        if self.problems:
            raise DefinitionError(self.problems)
        if self.error:
            kind = getattr(errors, self.error, NbflowError)
            raise kind(self.message)


def start(prepare: "launching.Prepare", request: launching.Request) -> "tuple[Home, Prepared]":
    """Create a run and have it driven by a process of its own; return once that holds the run.

    Parameters and errors are those of `launching.launch`.

    Raises
    ------
    ClusterError
        If the cluster is an object of this process.
    """
    target = _by_value(request.target)
    with launching.created(prepare, request, lambda home: _foreseen(target, home)) as created:
        home, prepared = created
        _detach(home, request.run, Order(target))
    return home, prepared


def resume(
    home: Home,
    run: machine.Run,
    cluster: Target | None,
    workers: int | None,
    resumption: Resumption,
) -> None:
    """Have an existing run driven by a process of its own; return once that holds it.

    Parameters are those of `launching.resume`.

    Raises
    ------
    nbflow.core.errors.RunHeld
        While a live driver holds the run.
    nbflow.core.errors.NbflowError
        If the cluster cannot be used, is an object of this process, or is not fit for the flow.
    """
    kinds = Counter(node.kind for node in run.graph.spec.nodes)
    target = _by_value(launching.target_of(cluster, workers, kinds))
    _detach(home, run.id, Order(target, resumption))


def log_of(home: Path, run: str) -> Path:
    """Return where the detached drivers of `run` write what they have to say."""
    return runs_folder(home, run) / LOG


def _by_value(target: Target) -> Embedded | str:
    """Return `target` as another process can have it."""
    match target:
        case Embedded() | str():
            return target
        case Path():
            return str(target)
    scheduler = getattr(target, "scheduler", None)
    address = getattr(target, "scheduler_address", "") or getattr(scheduler, "address", "")
    raise ClusterError(
        f"a detached run cannot use this {type(target).__name__}, which lives in this process. "
        f"Pass the address of its scheduler: cluster={address!r}"
    )


def _foreseen(target: Embedded | str, home: Home) -> ClusterInfo:
    """Return what the cluster will be able to do, so that an unfit flow is told without a run."""
    if isinstance(target, Embedded):
        workers, threads = target.sized()
        return ClusterInfo("", "", workers, workers * threads, True, frozenset(), target.resources)
    connection = Launch(target)
    try:
        return connection.survey(home)
    finally:
        connection.abort()


def _detach(home: Home, run: str, order: Order) -> None:
    log = log_of(home.folder, run)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as answers:
        try:
            # What stands on the command line is for people who look at processes, too.
            words = [str(writing), str(home.folder), run]
            pid, log_begins = _started(words, msgspec.json.encode(order), log, writing)
        finally:
            # Only the driver has it now: its end is the end of the pipe.
            os.close(writing)
        try:
            # An interrupt that comes right before a wait would be slept through.
            while not select.select([answers], [], [], _WAIT_S)[0]:
                pass
            told = answers.read()
        except BaseException:
            # Whoever interrupts this means the run, too. Its driver lets go of it in good order.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            raise
    if not told:
        raise NbflowError(
            f"the driver of run {run} ended before it held the run. "
            f"Its log, {log}, ends with:\n{_last_words(log, log_begins)}"
        )
    msgspec.json.decode(told, type=Answer).raise_error()


def _started(words: list[str], order: bytes, log: Path, writing: int) -> tuple[int, int]:
    """Start the program; return its process and where its part of the log begins."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            begins = sink.tell()
            left = subprocess.run(  # noqa: S603 - this very program
                [sys.executable, "-m", "nbflow.session.detached", *words],
                input=order,
                stdout=subprocess.PIPE,
                stderr=sink,
                pass_fds=(writing,),
                start_new_session=True,
                env=_own_environment(os.environ),
                check=False,
            )
    except OSError as error:
        raise NbflowError(f"the run is recorded, but cannot be driven: {error}") from error
    if left.returncode != 0:
        raise NbflowError(
            f"the run is recorded, but its driver could not start. Its log, {log}, "
            f"ends with:\n{_last_words(log, begins)}"
        )
    return int(left.stdout), begins


def _own_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in inherited.items() if name not in _OF_A_KERNEL}


def _last_words(log: Path, begins: int) -> str:
    with log.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:]) or "    (nothing)"
