"""A cell of the session that a cluster works on, from when it was sent until it is taken over."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState
from nbflow.core.values import Artifact
from nbflow.core.view import RunView
from nbflow.magics.following import (
    Follower,
    clock,
    has_ended,
    outputs_of,
    status_line,
    why_not,
)
from nbflow.magics.outputs import Output, Place
from nbflow.magics.planning import ReadyCell

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbflow.session import Run


class SentCell:
    """One cell.

    Parameters
    ----------
    name
        Of its node.
    number
        Of the cell that has sent it.
    ready
        What was sent.
    takes
        The variables that it took.
    before
        What the session had under the names that it may change, and marks of generators.
    run
        Works on it.
    place
        Where its outputs appear.
    told
        Called, in another thread, when it has ended.
    waits
        Whether the cell that has sent it goes on until then, and raises its error.
    """

    def __init__(
        self,
        name: str,
        number: int,
        ready: ReadyCell,
        takes: Mapping[str, Artifact],
        before: Mapping[str, Any],
        run: "Run",
        place: Place,
        told: "Callable[[], None]",
        *,
        waits: bool = False,
    ) -> None:
        self.name = name
        self.number = number
        self.ready = ready
        self.takes = takes
        self.before = before
        self.run = run
        self.place = place
        self._told = told
        self._waits = waits
        self.outputs: list[Output] = []
        #: What is to be said besides the outputs.
        self.note = ""
        #: How it has ended.
        self.end: NodeRun | None = None
        self._ended = threading.Event()
        self._seen: object = None
        self._follower = Follower(run, self._look, self._over)

    def follow(self) -> None:
        """Begin to show what the cell does."""
        self.place.tell(f"nbflow: {self.name} waits for a worker")
        self._follower.start()

    @property
    def has_ended(self) -> bool:
        """Whether all is known that there will be."""
        return self._ended.is_set()

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.end is not None and self.end.state is NodeState.SUCCEEDED

    @property
    def status(self) -> str:
        """How it stands, in one line."""
        if self.end is None:
            if self.has_ended:
                return f"nbflow: {self.name}: {self.note}"
            return status_line(self.name, self.run.view().run[self.name], clock())
        took_s = (self.end.ended_at or 0.0) - (self.end.started_at or self.end.ended_at or 0.0)
        return f"nbflow: {self.name} has {self.end.state} after {took_s:.1f} s"

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False if the time passed first."""
        return self._ended.wait(timeout_s)

    def cancel(self) -> None:
        """Ask for its end."""
        self.run.cancel()

    def let_go(self, why: str) -> None:
        """Stop it, and wait until nothing of it is left."""
        if self.run.driven_here:
            self.run.interrupt(why)
        self._follower.join()

    # --- in the follower's threads ------------------------------------------------------------

    def _look(self, view: RunView) -> None:
        if self.has_ended:
            return
        node = view.run[self.name]
        if has_ended(node):
            self._note_end(node)
            return
        self.place.tell(status_line(self.name, node, clock()))
        outputs = [it for it in self._own_outputs() if not self._raises(it)]
        if outputs:
            self.place.show(outputs)

    def _note_end(self, node: NodeRun) -> None:
        self.end = node
        self.outputs = self._own_outputs()
        shown = any(output["output_type"] == "error" for output in self.outputs)
        self.note = why_not(node, shown=shown)
        self._finish()

    def _over(self, error: Exception | None) -> None:
        """Take note that nobody works on it any more."""
        if self.has_ended:
            return
        node = self.run.view().run[self.name]
        if error is None and has_ended(node):
            self._note_end(node)
            return
        self.note = f"nobody works on it any more ({error})" if error else "it was interrupted"
        self._finish()

    @property
    def remark(self) -> str:
        """What is to be said where its outputs are: whoever waits for it raises the rest."""
        return "" if self._waits else self.note

    def _finish(self) -> None:
        self.place.end([it for it in self.outputs if not self._raises(it)], self.remark)
        self._ended.set()
        self._told()

    def _raises(self, output: Output) -> bool:
        return self._waits and output["output_type"] == "error"

    def _own_outputs(self) -> list[Output]:
        own = self.ready.spec.cells[-1].index
        return outputs_of(self.run, self.name).get(own, [])
