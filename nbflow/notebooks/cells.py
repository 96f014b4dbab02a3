"""Run single cells: nbclient's machinery, on a kernel that somebody else owns.

nbclient decides what a cell does to a notebook: hooks, timing, tags, display ids, widgets. What is
ours is how messages come in (`messages`, `waiting`), how they become outputs (`shaping`), how much
of them is kept (`limits`), and that secrets are masked before anything else sees them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat import NotebookNode

from nbflow.core.policies import OutputLimit
from nbflow.kernels import Kernel
from nbflow.notebooks.limits import Ledger
from nbflow.notebooks.masking import Mask
from nbflow.notebooks.messages import Envelope
from nbflow.notebooks.shaping import StreamJoiner, output_node, stream_node
from nbflow.notebooks.waiting import WaitingClient

#: What a stream message has besides its text: ``{"name": "stdout", "text": ""}``.
_STREAM_ENVELOPE_BYTES = 30
#: What is kept of each text of an error when the cell's limit is reached: its end.
_ERROR_LENGTH = 20_000
_DISPLAYS = frozenset({"display_data", "execute_result", "update_display_data"})
#: New outputs: a clearing that was to wait for the next one waits for these.
_CLEARING = frozenset({"stream", "display_data", "execute_result", "error"})


@dataclass(frozen=True)
class CellOptions:
    """How cells run.

    Parameters
    ----------
    output_limit
        Bytes of output that are kept.
    mask
        Hides secrets in all that a cell gives out.
    traits
        Traits of nbclient's `NotebookClient`, passed on: ``allow_errors``, ``record_timing``...
        Timeouts are not among them: they are the guard's.
    heard
        Called with the cell's index and each output as it arrives, masked; for a stream only
        with the new piece.
    taken_bytes
        Bytes of output that the notebook has from cells which ran in an earlier kernel.
    """

    output_limit: OutputLimit = OutputLimit()
    mask: Mask = field(default_factory=Mask)
    traits: Mapping[str, Any] = field(default_factory=dict)
    heard: Callable[[int, NotebookNode], None] | None = None
    taken_bytes: int = 0


class CellClient(WaitingClient):
    """Runs one cell at a time, while `attended`.

    Parameters
    ----------
    notebook
        Outputs go into its cells.
    kernel
        Runs them.
    changed
        Called with an index: cells from there on may have changed.
    options
        How cells run.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        kernel: Kernel,
        changed: Callable[[int], None],
        options: CellOptions,
    ) -> None:
        super().__init__(notebook, kernel, options.mask, options.traits)
        self._changed = changed
        self._options = options
        self._ledger = Ledger(options.output_limit, options.taken_bytes)
        self._joiner: StreamJoiner | None = None
        #: Ids of displays that were updated, and that no cell here has made.
        self.foreign_updates: set[str] = set()

    @property
    def displays(self) -> frozenset[str]:
        """Ids of the displays that cells have made, and that can be updated."""
        return frozenset(self._display_id_map)

    @property
    def taken_bytes(self) -> int:
        """Bytes of output that count against the notebook's limit by now."""
        return self._ledger.taken_bytes

    async def run(self, index: int) -> bool:
        """Run one cell, and return whether it raised an error that it may raise.

        Raises
        ------
        CellExecutionError
            If it raised another one.
        CellTimeoutError
            If its outputs do not arrive.
        DeadKernelError
            If the kernel ends meanwhile.
        """
        self._raised = False
        self._ledger.begin_cell()
        self._joiner = StreamJoiner(
            self._mask, lambda piece: self._tell(index, piece), lambda: self._changed(index)
        )
        try:
            await self.async_execute_cell(self.nb.cells[index], index)
        finally:
            self._joiner.close()
        return self._raised

    def _finish(self) -> None:
        assert self._joiner is not None
        self._joiner.close()

    # Taking messages, as far as they find room.

    def _take(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        kind = envelope.type
        if kind in _CLEARING:
            self._clear_as_asked(envelope, cell, index)
        if kind == "stream":
            self._take_stream(envelope, cell, index)
        elif kind in _DISPLAYS:
            self._take_display(envelope, cell, index)
        elif kind == "error":
            self._take_error(envelope, cell, index)
        elif kind.startswith("comm"):
            message = envelope.message()
            if self._ledger.take_widget(message["content"]["comm_id"], envelope.size_bytes):
                self._process(message, cell, index)
            else:
                self._overflow(cell, index)
        else:
            self._process(envelope.message(), cell, index)

    def _take_stream(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        if self._ledger.full:
            return
        size_bytes = max(1, envelope.size_bytes - _STREAM_ENVELOPE_BYTES)
        room_bytes = self._ledger.room_bytes
        if self._ledger.take(size_bytes):
            self.process_message(envelope.message(), cell, index)
        else:
            assert room_bytes is not None
            if room_bytes:
                self._ledger.take(room_bytes)
                self.process_message(envelope.cut_stream(room_bytes), cell, index)
            self._overflow(cell, index)

    def _take_display(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        new = envelope.type != "update_display_data"
        size_bytes = envelope.size_bytes
        if new and not self._ledger.has_room(size_bytes):
            self._overflow(cell, index)
            return
        message = envelope.message()
        display_id = _display_id(message)
        if display_id is None:
            taken = self._ledger.take(size_bytes)
        else:
            places = self._display_id_map.get(display_id, {}).values()
            taken = self._ledger.take_display(
                display_id, size_bytes, shown=sum(map(len, places)), new=new
            )
        if taken:
            self._process(message, cell, index)
        else:
            self._overflow(cell, index)

    def _take_error(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        """Take an error, whatever the room; but of those beyond it only the last."""
        message = envelope.message()
        if not self._ledger.take(envelope.size_bytes):
            self._overflow(cell, index)
            # Masked before it is cut: half a secret would not be found.
            message["content"] = _shortened(self._mask.content(message["content"]))
            if cell.outputs[-1]["output_type"] == "error":
                cell.outputs.pop()
        self._process(message, cell, index)

    def _process(self, message: dict[str, Any], cell: NotebookNode, index: int) -> None:
        message["content"] = self._mask.content(message["content"])
        self.process_message(message, cell, index)

    def _overflow(self, cell: NotebookNode, index: int) -> None:
        """Take nothing more from this cell, and say so, once."""
        if self._ledger.full:
            return
        assert self._joiner is not None
        assert self._guard is not None
        self._ledger.full = True
        # Its end is not its end: what is held back there may be half a secret.
        self._joiner.close(whole=False)
        reached = f"{self._ledger.reached} (output_limit) is reached"
        note = stream_node("stderr", f"\n[nbflow: output truncated: {reached}]\n")
        cell.outputs.append(note)
        self._tell(index, note)
        self._changed(index)
        if self._options.output_limit.then == "fail":
            self._guard.fail(
                "OutputLimitReached",
                lambda place: (
                    f"interrupted {place}: {reached}. Let the notebook print less, raise "
                    f"`output_limit`, or let it truncate"
                ),
            )

    # Turning messages into outputs. The names and signatures are nbclient's.

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Turn a message into an output, and note that the cell has begun or has news."""
        if msg["msg_type"] == "execute_input":
            assert self._guard is not None
            self._guard.interruptible.set()
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        if msg["msg_type"] != "stream":
            # Joined streams tell their news themselves.
            if output is not None:
                self._tell(cell_index, output)
            self._changed(cell_index)
        return output

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        """Append an output, or hand it to the widget that catches outputs now."""
        assert self._joiner is not None
        if self._is_caught(msg["parent_header"].get("msg_id")):
            self._joiner.close()
            msg["content"] = self._mask.content(msg["content"])
            super().output(outs, msg, display_id, cell_index)
            return None
        if msg["msg_type"] == "stream":
            return self._joiner.write(outs, msg["content"]["name"], msg["content"]["text"])
        if msg["msg_type"] not in _CLEARING:
            self.log.debug("unhandled iopub msg: %s", msg["msg_type"])
            return None
        self._joiner.close()
        try:
            out = output_node(msg)
        except ValueError as error:
            out = stream_node("stderr", f"[nbflow: an output was dropped: {error}]\n")
        if display_id:
            cells = self._display_id_map.setdefault(display_id, {})
            cells.setdefault(cell_index, []).append(len(outs))
        outs.append(out)
        return out

    def clear_output(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Clear the outputs, or the widget that catches them."""
        caught = self._is_caught(msg["parent_header"].get("msg_id"))
        super().clear_output(outs, msg, cell_index)
        if not caught and not self.clear_before_next_output:
            self._cleared()

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        if msg["msg_type"] == "update_display_data" and display_id not in self._display_id_map:
            self.foreign_updates.add(display_id)
        try:
            super()._update_display_id(display_id, msg)
        except (KeyError, nbformat.ValidationError) as error:
            self.log.warning("the update of a display is no output: %s", error)
        cells = self._display_id_map.get(display_id, {})
        self._changed(min((index for index, places in cells.items() if places), default=0))

    def _clear_as_asked(self, envelope: Envelope, cell: NotebookNode, index: int) -> None:
        """Clear what was to be cleared before the next output, which makes room for it."""
        if self.clear_before_next_output and not self._is_caught(envelope.parent_id):
            cell.outputs[:] = []
            self.clear_display_id_mapping(index)
            self.clear_before_next_output = False
            self._cleared()

    def _cleared(self) -> None:
        assert self._joiner is not None
        self._joiner.drop()
        self._ledger.clear_cell()

    def _is_caught(self, parent_id: str | None) -> bool:
        """Whether an output widget catches the outputs."""
        return bool(self.output_hook_stack.get(parent_id or ""))

    def _tell(self, index: int, output: NotebookNode) -> None:
        if self._options.heard is not None:
            self._options.heard(index, output)


def _display_id(message: dict[str, Any]) -> str | None:
    transient = message["content"].get("transient")
    return transient.get("display_id") if transient else None


def _shortened(content: dict[str, Any]) -> dict[str, Any]:
    """Return an error of bounded size; the end of a traceback says more than its beginning."""
    traceback = "\n".join(content["traceback"])[-_ERROR_LENGTH:]
    return {**content, "evalue": content["evalue"][:_ERROR_LENGTH], "traceback": [traceback]}
