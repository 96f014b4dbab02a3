"""Start a kernel by name.

IPython kernels are reached through Unix sockets in a private folder, all others through TCP
on the loopback interface, where the connection file's key keeps strangers out. Each
process gets its own working directory and environment, and a leash to this one
(see `leash`). Where a pool of warm kernels is given and can serve, the kernel comes from
there; who calls `start_kernel` sees no difference but the time.

A start that hangs (it happens: a lost message, a port that somebody took) is given up after a
part of the allowed time, and tried once more with a folder, keys and channels of its own.
"""

import asyncio
import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from nbflow.kernels.answering import answer_signal
from nbflow.kernels.birth import HISTORY_OPTION, NO_HISTORY_FILE
from nbflow.kernels.bounding import bound_output
from nbflow.kernels.errors import EvaluationFailed, KernelStartFailed, describe_exit
from nbflow.kernels.family import MARK
from nbflow.kernels.folders import KernelFolder, sweep_ended_once
from nbflow.kernels.kernel import Kernel
from nbflow.kernels.provisioner import WarmProvisioner, Wishes
from nbflow.kernels.specs import find_spec, is_ipykernel, spec_of_python

START_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)

#: A start that has taken longer may hang, and is worth a second try if the allowed time lasts.
_HANG_S = 20.0
_RECONNECT_MS = 5
_LOCAL_PROVISIONERS = frozenset({"local-provisioner", "nbflow-warm"})

#: How long one wait for a starting kernel's answer lasts before its process is looked at.
_ANSWER_S = 0.25
#: How long one that has published something may still take to say that it begins.
_BEGIN_S = 0.02

#: Variables of a surrounding Jupyter session, which must not be taken for the new kernel's own.
_FOREIGN = ("JPY_SESSION_NAME", "JPY_PARENT_PID", "NBFLOW_OUTPUTS")


async def start_kernel(
    name: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    start_timeout_s: float = START_TIMEOUT_S,
    python: str | None = None,
    arguments: Sequence[str] = (),
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
) -> Kernel:
    """Start a kernel and wait until it answers. Call from a thread that lives on: see `leash`.

    Parameters
    ----------
    name
        Name of an installed kernel.
    cwd
        Its working directory; must exist.
    env
        Variables that it gets besides those of this process.
    start_timeout_s
        Seconds until it must have answered.
    python
        Interpreter, or folder of an environment, whose own ipykernel is started instead of `name`.
    arguments
        Further arguments of the kernel's command.
    wishes
        Where warm kernels come from, and how the system treats the kernel.

    Raises
    ------
    NoSuchKernel, UnusableKernel
        If it is not installed here, or its specification is faulty.
    KernelStartFailed
        If it cannot be launched, ends at once, or does not answer in time.
    """
    spec = find_spec(name) if python is None else spec_of_python(python)
    if not cwd.is_dir():  # noqa: ASYNC240 - one look at a local folder
        what = f"its working directory {cwd} does not exist here. Create it, or name another `cwd`"
        raise KernelStartFailed(name, what, None)
    start = _Start(name if python is None else python, spec, cwd, env, tuple(arguments), wishes)
    first_s = min(start_timeout_s, max(_HANG_S, start_timeout_s / 3))
    try:
        return await start.attempt(first_s)
    except KernelStartFailed as error:
        left_s = start_timeout_s - first_s
        if not error.timed_out or left_s < first_s / 2:
            raise
        _log.warning("%s; trying once more", error)
    return await start.attempt(left_s)


class _Manager(AsyncKernelManager):
    """Starts every local kernel through `WarmProvisioner`, with our wishes."""

    wishes = Wishes()

    async def _async_pre_start_kernel(self, **settings: Any) -> Any:
        assert self.kernel_spec is not None
        named = self.kernel_spec.metadata.get("kernel_provisioner", {})
        if named.get("provisioner_name", "local-provisioner") in _LOCAL_PROVISIONERS:
            self.provisioner = WarmProvisioner(
                kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
            )
        return await super()._async_pre_start_kernel(**settings)

    async def _async_post_start_kernel(self, **settings: Any) -> None:
        """Do what follows a launch, but connect to the control channel: who uses it does."""
        assert self.provisioner is not None
        await self.provisioner.post_launch(**settings)

    def get_connection_info(self, session: bool = False) -> Any:
        """Return what a client needs: with the manager's own session, which it may share."""
        info: dict[str, Any] = {**super().get_connection_info(session=False)}
        if session:
            info["session"] = self.session
            del info["signature_scheme"], info["key"]
        return info


@dataclass(frozen=True, slots=True)
class _Start:
    """What is to be started."""

    name: str
    spec: KernelSpec
    cwd: Path
    env: Mapping[str, str]
    arguments: tuple[str, ...]
    wishes: Wishes

    async def attempt(self, timeout_s: float) -> Kernel:
        """Start the kernel in a new folder, on new channels."""
        await asyncio.to_thread(sweep_ended_once)
        folder = KernelFolder()
        manager = self._manager(folder)
        client: AsyncKernelClient | None = None
        try:
            async with asyncio.timeout(timeout_s):
                await self._launch(manager, folder)
                client = manager.client(context=manager.context)
                # No heartbeat (a thread for each kernel): the process itself is watched.
                # What goes over the control channel, the manager sends.
                client.start_channels(stdin=False, hb=False, control=False)
                info = await self._info(manager, client, folder)
        except BaseException as error:
            log = folder.log_tail()
            await Kernel(manager, client, {}, folder).shutdown(grace_s=0)
            if isinstance(error, TimeoutError):
                what = f"it did not answer within {timeout_s:g} s"
                raise KernelStartFailed(self.name, what, log, timed_out=True) from error
            if isinstance(error, OSError):
                raise KernelStartFailed(self.name, str(error), log) from error
            raise
        kernel = Kernel(manager, client, info, folder)
        if is_ipykernel(self.spec) and not getattr(manager.provisioner, "warm", False):
            await self._do_in(kernel, bound_output, "its output is not bounded")
            await self._do_in(kernel, answer_signal, "no stacks can be taken of it")
        return kernel

    async def _info(
        self, manager: AsyncKernelManager, client: AsyncKernelClient, folder: KernelFolder
    ) -> dict[str, Any]:
        """Return what the kernel says of itself, as soon as it can be talked to.

        A warm kernel need not be asked what others of its server have said already, which would
        be a tenth of its start. Unix sockets in a folder of its own cannot be somebody else's.
        """
        server = getattr(getattr(manager.provisioner, "process", None), "server", None)
        known: dict[str, Any] | None = getattr(server, "kernel_info", None)
        if known is not None and manager.transport == "ipc" and await _announced(client):
            return known
        info = await _first_answer(self.name, manager, client, folder)
        if server is not None:
            server.kernel_info = info
        return info

    async def _do_in(self, kernel: Kernel, action: Callable[[], None], otherwise: str) -> None:
        """Do to a kernel that was not forked what is done to those that are."""
        source = inspect.getsource(action)
        call = f"(exec({source!r}, n), n[{action.__name__!r}]())"
        try:
            await kernel.evaluate(f"(lambda n: {call})({{'Any': object}})")
        except EvaluationFailed as error:
            # A version of ipykernel, or a Python, that is made otherwise.
            _log.warning("the kernel %r: %s: %s", self.name, otherwise, error)
        except BaseException:
            await kernel.shutdown(grace_s=0)
            raise

    def _manager(self, folder: KernelFolder) -> _Manager:
        if is_ipykernel(self.spec) and folder.holds_sockets and sys.platform != "win32":
            address = {"transport": "ipc", "ip": folder.socket_prefix}
        else:
            address = {"transport": "tcp", "ip": "127.0.0.1"}
        manager = _Manager(
            kernel_name=self.name,
            connection_file=folder.connection_file,
            context=_context(),
            **address,
        )
        manager._kernel_spec = self.spec  # noqa: SLF001 - no other way to hand one over
        manager.wishes = self.wishes
        return manager

    async def _launch(self, manager: _Manager, folder: KernelFolder) -> None:
        inherited = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
        arguments = list(self.arguments)
        if is_ipykernel(self.spec) and not any(it.startswith(HISTORY_OPTION) for it in arguments):
            arguments.append(NO_HISTORY_FILE)
        with folder.log.open("wb") as log:
            await manager.start_kernel(
                extra_arguments=arguments,
                cwd=str(self.cwd),
                env={**inherited, **self.env, MARK: str(folder.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _context() -> zmq.asyncio.Context:
    """Return a context for one kernel; its client and manager share the two threads."""
    context = zmq.asyncio.Context()
    # The sockets are there a moment before the kernel's: what finds nothing yet looks again soon,
    # and not after ZeroMQ's tenth of a second.
    context.reconnect_ivl = _RECONNECT_MS
    return context


async def _announced(client: AsyncKernelClient) -> bool:
    """Whether a kernel publishes soon that it begins to serve.

    Who hears that has subscribed in time, and loses nothing of what is published later. Where the
    subscription comes too late, there is only the kernel's welcome to be heard: then it is asked.
    """
    timeout_s = _ANSWER_S
    while True:
        try:
            message = await client.get_iopub_msg(timeout=timeout_s)
        except Empty:
            return False
        if message["content"].get("execution_state") == "starting":
            return True
        timeout_s = _BEGIN_S


async def _first_answer(
    name: str, manager: AsyncKernelManager, client: AsyncKernelClient, folder: KernelFolder
) -> dict[str, Any]:
    """Ask until the kernel answers on both channels; what it publishes before would be lost."""
    request = client.kernel_info()
    info: dict[str, Any] | None = None
    while True:
        try:
            reply = await client.get_shell_msg(timeout=_ANSWER_S)
            info = reply["content"]
            await client.get_iopub_msg(timeout=_ANSWER_S)
        except Empty:
            assert manager.provisioner is not None
            code = await manager.provisioner.poll()
            if code is not None:
                what = f"its process {describe_exit(code)}"
                raise KernelStartFailed(name, what, folder.log_tail()) from None
            if info is not None:
                # It answered before our subscription had reached it: ask once more.
                request = client.kernel_info()
                info = None
        else:
            if reply["parent_header"].get("msg_id") == request:
                return info
