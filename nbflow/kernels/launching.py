"""Start a kernel by name.

IPython kernels are reached through Unix sockets in a private folder, all others through TCP
on the loopback interface, where the connection file's key keeps strangers out. Either
way the process gets its own working directory and environment, and a leash to this one
(see `leash`).

A cold start is what happens here today. A warm one (a fork server behind a
`jupyter_client` provisioner) is another `AsyncKernelManager` for `_connected`, and changes nothing
for who calls `start_kernel`.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import Empty
from typing import Any

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from nbflow.kernels import leash
from nbflow.kernels.errors import KernelStartFailed, describe_exit
from nbflow.kernels.folders import KernelFolder
from nbflow.kernels.kernel import Kernel
from nbflow.kernels.specs import find_spec, is_ipykernel

START_TIMEOUT_S = 60.0

#: How long one wait for a starting kernel's answer lasts before its process is looked at.
_ANSWER_S = 0.25

#: Variables of a surrounding Jupyter session, which must not be taken for the new kernel's own.
_FOREIGN = ("JPY_SESSION_NAME", "JPY_PARENT_PID", "NBFLOW_OUTPUTS")


async def start_kernel(
    name: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    start_timeout_s: float = START_TIMEOUT_S,
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

    Raises
    ------
    NoSuchKernel, UnusableKernel
        If it is not installed here, or its specification is faulty.
    KernelStartFailed
        If it cannot be launched, ends at once, or does not answer in time.
    """
    spec = find_spec(name)
    if not cwd.is_dir():  # noqa: ASYNC240 - one look at a local folder
        what = f"its working directory {cwd} does not exist here. Create it, or name another `cwd`"
        raise KernelStartFailed(name, what, None)
    folder = KernelFolder()
    manager = _manager(name, spec, folder)
    client: AsyncKernelClient | None = None
    try:
        async with asyncio.timeout(start_timeout_s):
            await _launch(manager, spec, folder, cwd, env)
            client = manager.client(context=manager.context)
            # No heartbeat (a thread for each kernel): the process itself is watched.
            client.start_channels(stdin=False, hb=False)
            info = await _first_answer(name, manager, client, folder)
    except BaseException as error:
        log = folder.log_tail()
        await Kernel(manager, client, {}, folder).shutdown(grace_s=0)
        if isinstance(error, TimeoutError):
            what = f"it did not answer within {start_timeout_s:g} s"
            raise KernelStartFailed(name, what, log, timed_out=True) from error
        if isinstance(error, OSError):
            raise KernelStartFailed(name, str(error), log) from error
        raise
    return Kernel(manager, client, info, folder)


class _LeashedManager(AsyncKernelManager):
    """Starts local kernels through `leash`."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command: list[str] = super().format_kernel_cmd(extra_arguments)
        if sys.platform != "linux" or not isinstance(self.provisioner, LocalProvisioner):
            return command
        return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]


def _manager(name: str, spec: KernelSpec, folder: KernelFolder) -> AsyncKernelManager:
    if is_ipykernel(spec) and folder.holds_sockets and sys.platform != "win32":
        address = {"transport": "ipc", "ip": folder.socket_prefix}
    else:
        address = {"transport": "tcp", "ip": "127.0.0.1"}
    return _LeashedManager(
        kernel_name=name,
        connection_file=folder.connection_file,
        # One context a kernel, of which client and manager share the two threads.
        context=zmq.asyncio.Context(),
        **address,
    )


async def _launch(
    manager: AsyncKernelManager,
    spec: KernelSpec,
    folder: KernelFolder,
    cwd: Path,
    env: Mapping[str, str],
) -> None:
    inherited = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    # As nbclient does: parallel kernels would fight over one history file.
    arguments = ["--HistoryManager.hist_file=:memory:"] if is_ipykernel(spec) else []
    with folder.log.open("wb") as log:
        await manager.start_kernel(
            extra_arguments=arguments,
            cwd=str(cwd),
            env={**inherited, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


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
