"""Warm kernels for every program that starts kernels through `jupyter_client`.

A kernel specification that names the provisioner ``nbflow-warm`` gets its kernels from a fork
server where that can be (Linux, an IPython kernel of this very Python), and an ordinary start
everywhere else. The rest of jupyter_client's life of a local kernel stays as it is: a forked
process looks like a `subprocess.Popen`.
"""

import atexit
import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

from nbflow.kernels.birth import Birth, IpykernelCommand
from nbflow.kernels.forking import Claim
from nbflow.kernels.leash import leashed
from nbflow.kernels.pool import NoWarmKernel, WarmPool

_log = logging.getLogger(__name__)

#: Whether processes can be forked safely here: macOS's own libraries do not survive it.
FORKS = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How nbflow's own managers want a kernel; others leave it to the specification."""

    #: None: no warm kernel.
    pool: WarmPool | None = None
    preload: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()
    nice: int = 0


class WarmProvisioner(LocalProvisioner):
    """Launches kernels out of a `WarmPool`, or in the ordinary way."""

    preload = List(
        Unicode(), config=True, help="Modules that the fork server loads before it forks kernels."
    )

    _shared: ClassVar[tuple[int, WarmPool] | None] = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: Whether the kernel was forked.
        self.warm = False

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Launch a kernel with a command."""
        wishes = getattr(self.parent, "wishes", None)
        if wishes is None:
            wishes = Wishes(self.shared_pool(), tuple(self.preload))
        if wishes.pool is not None:
            try:
                return await self._launch_warm(cmd, wishes, wishes.pool, **kwargs)
            except NoWarmKernel as error:
                _log.debug("an ordinary start instead of a warm one: %s", error)
                wishes.pool.count_ordinary()
        info = await super().launch_kernel(leashed(cmd, signal.SIGKILL), **kwargs)
        assert self.process is not None
        # Before it has threads, which would each have to be told.
        _apply(self.process.pid, wishes)
        return info

    @classmethod
    def shared_pool(cls) -> WarmPool:
        """Return the pool of this process, for programs that know nothing of pools."""
        if cls._shared is None or cls._shared[0] != os.getpid():
            # Not one that was made before a fork: its servers are the parent's.
            pool = WarmPool()
            atexit.register(pool.close)
            cls._shared = (os.getpid(), pool)
        return cls._shared[1]

    async def _launch_warm(
        self, cmd: list[str], wishes: Wishes, pool: WarmPool, **kwargs: Any
    ) -> Any:
        command = IpykernelCommand.parse(cmd)
        file = command.connection_file() if command else None
        if not FORKS or command is None or file is None or not command.is_this_python:
            raise NoWarmKernel("python", f"{cmd[0]} is not what this process forks", None)
        env = dict(kwargs["env"])
        if not kwargs.get("independent", False):
            env["JPY_PARENT_PID"] = str(os.getpid())
        claim = Claim(
            connection_file=file,
            cwd=str(kwargs.get("cwd") or os.getcwd()),  # noqa: PTH109 - as Popen would
            env=env,
            argv=[_launcher_file(), *command.arguments],
            cpus=wishes.cpus,
            nice=wishes.nice,
        )
        # By its one name here, whatever link to it the specification prefers.
        interpreter = (sys.executable, *command.interpreter[1:])
        birth = Birth.of(interpreter, command.other_arguments(), env)
        with open(os.devnull, "r+b") as null:  # noqa: ASYNC230, PTH123 - opens at once
            descriptors = _descriptors(null.fileno(), kwargs)
            process = await pool.acquire(birth, wishes.preload, claim, descriptors)
        # It can all that a Popen can, as far as a provisioner uses it.
        self.process = cast("subprocess.Popen[bytes]", process)
        self.warm = True
        # It leads its own session.
        self.pid = self.pgid = process.pid
        self.cwd = claim.cwd
        return self.connection_info


def _descriptors(null: int, streams: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return what is to be 0, 1 and 2 in the kernel.

    Raises
    ------
    NoWarmKernel
        If somebody wants to read from pipes.
    """

    def descriptor(name: str, inherited: int) -> int:
        match streams.get(name):
            case None:
                return inherited
            case subprocess.DEVNULL:
                return null
            case int(number) if number >= 0:
                return number
            case stream if hasattr(stream, "fileno"):
                return int(stream.fileno())
        raise NoWarmKernel("python", f"its {name} is to be a pipe", None)

    out = descriptor("stdout", 1)
    return null, out, out if streams.get("stderr") == subprocess.STDOUT else descriptor("stderr", 2)


def _apply(pid: int, wishes: Wishes) -> None:
    if wishes.nice:
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + wishes.nice)
    if wishes.cpus and FORKS:
        os.sched_setaffinity(pid, wishes.cpus)


@functools.cache
def _launcher_file() -> str:
    """Return what ``sys.argv[0]`` is after ``python -m ipykernel_launcher``."""
    spec = importlib.util.find_spec("ipykernel_launcher")
    assert spec is not None
    return str(spec.origin)
