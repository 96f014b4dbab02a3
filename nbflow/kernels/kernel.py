"""A running kernel: talk to it, interrupt it, watch it, end it.

The kernel's process leads a session and process group of its own, so that an
interrupt or a kill reaches what its cells have started, too. Whoever started a kernel
must await `shutdown`; that is safe at any time and any number of times.
"""

import asyncio
import signal
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from nbflow.kernels.ending import process_ended
from nbflow.kernels.errors import EvaluationFailed, KernelDied
from nbflow.kernels.family import end_family, end_group, has_children
from nbflow.kernels.folders import KernelFolder

#: How long one wait for an answer lasts before the kernel's process is looked at.
_ANSWER_S = 0.2
#: How often the exit code of a process that has ended is asked for: it comes from whoever is its
#: parent (a fork server, or a provisioner that knows no other way) within moments.
_CODE_POLL_S = 0.005
#: "Exit codes" of processes that were asked to end.
_ASKED = frozenset({-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
#: How long all processes that end together may take to notice it, in seconds.
_TOGETHER_S = 1.0
#: "Exit code" of a process that was never started.
_NEVER_RAN = 0


class Kernel:
    """One kernel process and our connection to it.

    Parameters
    ----------
    manager, client
        jupyter_client's. A kernel that has only half started has no client yet.
    info
        Content of the kernel's ``kernel_info_reply``.
    folder
        The kernel's private folder, removed at the end.
    """

    def __init__(
        self,
        manager: AsyncKernelManager,
        client: AsyncKernelClient | None,
        info: dict[str, Any],
        folder: KernelFolder,
    ) -> None:
        self.manager = manager
        self.client = client
        self.info = info
        self._folder = folder
        self._exit_code: int | None = None
        #: Once true, the process id may be somebody else's.
        self._released = False

    @property
    def language_info(self) -> dict[str, Any]:
        """What the kernel says of its language, as notebooks store it."""
        return dict(self.info.get("language_info", {}))

    @property
    def pid(self) -> int | None:
        """The kernel's process id; None if it does not run on this machine."""
        return getattr(self._provisioner, "pid", None)

    @property
    def answers(self) -> Path | None:
        """To where it writes its threads' stacks when asked by a signal; None if it does not."""
        return self._folder.answers if self._folder.answers.exists() else None

    @property
    def _provisioner(self) -> KernelProvisionerBase | None:
        return self.manager.provisioner if self.manager.has_kernel else None

    async def exit_code(self) -> int | None:
        """Return how the process ended (negative: by that signal); None while it runs."""
        if self._exit_code is None:
            provisioner = self._provisioner
            self._exit_code = await provisioner.poll() if provisioner else _NEVER_RAN
        return self._exit_code

    async def ended(self) -> None:
        """Wait until the process has ended."""
        if self.pid is not None and await self.exit_code() is None:
            await process_ended(self.pid)
        while await self.exit_code() is None:  # noqa: ASYNC110 - see _CODE_POLL_S
            await asyncio.sleep(_CODE_POLL_S)

    async def death(self) -> KernelDied:
        """Return the error that says how the process ended.

        A pod, a service or a job that ends asks all its processes to end, of which the kernel (or
        its fork server) may be quicker than the worker. So a death on request is news only if
        nobody stops or cancels the attempt in the next moment.
        """
        code = await self.exit_code()
        process = getattr(self._provisioner, "process", None)
        note = getattr(process, "note", "")
        if note or code in _ASKED:
            await asyncio.sleep(_TOGETHER_S)
        return KernelDied(code, self._folder.log_tail(), note=note)

    async def interrupt(self) -> None:
        """Interrupt the running cell, as the stop button does."""
        if await self.exit_code() is None:
            await self.manager.interrupt_kernel()

    async def kill(self) -> None:
        """End the process now, with all that it has started."""
        if self._released:
            return
        if self.pid is not None:
            end_family(self.pid, self._folder.path)
        elif self._provisioner is not None:
            await self._provisioner.kill()
        await self.ended()

    async def shutdown(self, grace_s: float = 2.5) -> None:
        """Ask the kernel to end, wait up to `grace_s` seconds, kill what is left, and clean up."""
        if self._released:
            return
        alone = False
        try:
            if grace_s > 0 and await self.exit_code() is None:
                childless = self.pid is not None and not has_children(self.pid)
                await self.manager.request_shutdown()
                async with asyncio.timeout(grace_s):
                    await self.ended()
                alone = childless
        except TimeoutError:
            pass  # It had its chance.
        finally:
            # Looking for a family takes milliseconds, which most kernels need not spend.
            if alone:
                end_group(self.pid)
            else:
                await self.kill()
            self._released = True
            await self._release()

    def memory_bytes(self) -> int:
        """Return the resident memory of the process and its descendants."""
        total = 0
        for process in self._family():
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    async def evaluate(self, expression: str) -> None:
        """Evaluate a Python expression in the user's namespace and leave no trace of it.

        Nothing enters the history, no execution is counted, and what it prints is dropped.

        Raises
        ------
        KernelDied
            If the kernel ends meanwhile.
        EvaluationFailed
            If the expression raises, or the kernel evaluates no expressions.
        """
        content = await self._evaluated(expression)
        while content.get("status") == "aborted":
            # A cell has failed, and the kernel drops what it had been sent before it said so.
            content = await self._evaluated(expression)
        value = content.get("user_expressions", {}).get("value", {})
        if value.get("status") != "ok":
            blame = value or content
            name = blame.get("ename") or "the kernel evaluates no expressions"
            raise EvaluationFailed(f"{name}: {blame.get('evalue', '')}")

    async def _evaluated(self, expression: str) -> dict[str, Any]:
        assert self.client is not None
        request = self.client.execute(
            "",
            silent=True,
            store_history=False,
            allow_stdin=False,
            stop_on_error=False,
            user_expressions={"value": expression},
        )
        return await self._reply(request)

    async def run_silently(self, code: str) -> None:
        """Run code in the kernel's own language; it is not shown, counted or kept in a history.

        Raises
        ------
        KernelDied
            If the kernel ends meanwhile.
        EvaluationFailed
            If the code raises.
        """
        assert self.client is not None
        request = self.client.execute(
            code, silent=True, store_history=False, allow_stdin=False, stop_on_error=False
        )
        content = await self._reply(request)
        if content.get("status") != "ok":
            raise EvaluationFailed(f"{content.get('ename', '')}: {content.get('evalue', '')}")

    async def _reply(self, request: str) -> dict[str, Any]:
        assert self.client is not None
        while True:
            try:
                message = await self.client.get_shell_msg(timeout=_ANSWER_S)
            except Empty:
                if await self.exit_code() is not None:
                    raise await self.death() from None
            else:
                if message["parent_header"].get("msg_id") == request:
                    return dict(message["content"])

    def _family(self) -> list[psutil.Process]:
        if self.pid is None or self._exit_code is not None:
            return []
        try:
            kernel = psutil.Process(self.pid)
            return [kernel, *kernel.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    async def _release(self) -> None:
        if self.client is not None:
            # Not `stop_channels`, which makes the others to see whether they run.
            self.client.shell_channel.stop()
            self.client.iopub_channel.stop()
        if self._provisioner is not None:
            await self._provisioner.wait()
        await self.manager.cleanup_resources()
        self.manager.context.destroy(linger=0)
        self._folder.remove()
