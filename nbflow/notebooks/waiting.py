"""Wait for what a cell answers: nbclient's waits, made lean and without chance.

A cell ends with two messages on two channels, its reply and the word "idle", in any order. Who
waits for them also watches the kernel's process: one task for the whole notebook waits for its
death. Outputs may take as long as they need, if only some arrive.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from nbclient import NotebookClient
from nbclient.client import timestamp
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from nbflow.kernels import Kernel
from nbflow.notebooks.guard import Guard
from nbflow.notebooks.masking import Mask
from nbflow.notebooks.messages import Envelope, Inbox

#: Seconds of silence after a reply, the last outputs not here, that are an error.
_OUTPUTS_TIMEOUT_S = 60
#: How long a dead kernel's channel must be silent to hold no more messages.
_SILENCE_S = 0.1


class WaitingClient(NotebookClient):
    """Runs cells while `attended`; a subclass takes the messages.

    Parameters
    ----------
    notebook
        Outputs go into its cells.
    kernel
        Runs them.
    mask
        Hides secrets.
    traits
        Of nbclient's client.
    """

    def __init__(
        self, notebook: NotebookNode, kernel: Kernel, mask: Mask, traits: Mapping[str, Any]
    ) -> None:
        ours = {"raise_on_iopub_timeout": True, "iopub_timeout": _OUTPUTS_TIMEOUT_S}
        super().__init__(notebook, km=kernel.manager, **{**ours, **traits})
        assert isinstance(kernel.client, AsyncKernelClient)
        self.kc = kernel.client
        self._published = Inbox(self.kc.iopub_channel.socket, self.kc.session)
        self._replies = Inbox(self.kc.shell_channel.socket, self.kc.session)
        self._kernel = kernel
        self._mask = mask
        #: Whether the last cell raised an error, though it may have been allowed to.
        self._raised = False
        self._guard: Guard | None = None
        self._death: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def attended(self, guard: Guard) -> AsyncIterator[None]:
        """Watch the kernel; cells can run meanwhile."""
        self._guard = guard
        self._death = asyncio.create_task(self._kernel.ended())
        try:
            yield
        finally:
            self._death.cancel()
            await asyncio.wait({self._death})

    @abstractmethod
    def _take(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        """Take a message of the cell; raise `CellExecutionComplete` for its last."""

    @abstractmethod
    def _finish(self) -> None:
        """Put the outputs in order, before anybody looks at them: all have come."""

    # The names and signatures of what follows are nbclient's.

    async def _async_poll_kernel_alive(self) -> None:
        """Wait for the kernel's death, let its last messages in, and end the wait for its reply."""
        assert self._death is not None
        await asyncio.wait({self._death})
        await self._published.silence(_SILENCE_S)
        assert self.task_poll_for_reply is not None
        self.task_poll_for_reply.cancel()

    async def _async_poll_output_msg(
        self, parent_msg_id: str, cell: NotebookNode, cell_index: int
    ) -> None:
        """Take what the cell gives out, until it is idle."""
        while True:
            envelope = await self._published.next()
            if envelope.parent_id == parent_msg_id:
                try:
                    self._take(envelope, cell, cell_index)
                except CellExecutionComplete:
                    self._finish()
                    return

    async def _async_poll_for_reply(
        self,
        msg_id: str,
        cell: NotebookNode,
        timeout: int | None,  # noqa: ARG002, ASYNC109 - the guard limits cells
        task_poll_output_msg: asyncio.Future[Any],
        task_poll_kernel_alive: asyncio.Future[Any],
    ) -> dict[str, Any]:
        """Wait for the reply, and then for the last outputs."""
        try:
            envelope = await self._replies.next()
            while envelope.parent_id != msg_id:
                envelope = await self._replies.next()
            reply = envelope.message()
            if self.record_timing:
                cell["metadata"]["execution"]["shell.execute_reply"] = timestamp(reply)
            await self._idle(cell, task_poll_output_msg)
        finally:
            task_poll_kernel_alive.cancel()
        content = reply["content"] = self._mask.content(reply["content"])
        if content["status"] in ("abort", "aborted"):
            # So some kernels answer when they were interrupted, and raise no error.
            content.update(status="error", ename="Interrupted", evalue="the cell was interrupted")
        return reply

    async def _idle(self, cell: NotebookNode, outputs: asyncio.Future[Any]) -> None:
        """Wait for the last outputs, as long as some arrive."""
        loop = asyncio.get_running_loop()
        replied_at = loop.time()
        while not outputs.done():
            heard_at = max(replied_at, self._published.received_at)
            rest_s = heard_at + self.iopub_timeout - loop.time()
            if rest_s <= 0:
                what = "Timeout waiting for IOPub output"
                if self.raise_on_iopub_timeout:
                    raise CellTimeoutError.error_from_timeout_and_cell(
                        what, self.iopub_timeout, cell
                    )
                self.log.warning(what)
                outputs.cancel()
                return
            await asyncio.wait({outputs}, timeout=rest_s)
        outputs.result()

    async def _check_raise_for_error(
        self, cell: NotebookNode, cell_index: int, exec_reply: dict[str, Any] | None
    ) -> None:
        self._raised = exec_reply is not None and exec_reply["content"]["status"] == "error"
        try:
            await super()._check_raise_for_error(cell, cell_index, exec_reply)
        except CellExecutionError as error:
            # nbclient's own text repeats all that the cell has printed.
            assert exec_reply is not None
            lines = exec_reply["content"].get("traceback") or []
            raise CellExecutionError("\n".join(lines), error.ename, error.evalue) from None
