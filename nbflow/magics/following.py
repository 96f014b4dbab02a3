"""Follow cells that run elsewhere, and find their outputs.

A thread looks at the run as it changes. What the cells have shown so far is in the executed
notebook, which a worker saves about once a second while it runs, and puts into the store at the
end.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nbflow.core.run import NodeRun
from nbflow.core.states import ENDED, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.watch import Watcher
from nbflow.drawing.words import one_line
from nbflow.magics.outputs import Output

if TYPE_CHECKING:
    from nbflow.session import Run

#: Seconds between two looks: at least, and at most.
_INTERVAL_S, _IDLE_S = 0.2, 1.0


class Follower:
    """Follows a run until it has ended, and lets go of it then.

    Parameters
    ----------
    run
        Is driven by this process.
    look
        Called in the follower's thread with each view of the run, the last one included.
    ended
        Called in that thread once no process of the run is left, or with what went wrong.
    """

    def __init__(
        self,
        run: "Run",
        look: Callable[[RunView], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self._run = run
        self._look = look
        self._ended = ended
        self._watcher = Watcher(
            run.view,
            run.wait_changed,
            look,
            interval_s=_INTERVAL_S,
            idle_s=_IDLE_S,
            name="nbflow-session",
        )
        self._thread = threading.Thread(target=self._main, name="nbflow-session-end", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._watcher.start()
        self._thread.start()

    def join(self) -> None:
        """Wait until the run has ended and its threads have, too."""
        self._thread.join()

    def _main(self) -> None:
        error: Exception | None = None
        try:
            self._run.wait()
        except Exception as problem:  # noqa: BLE001 - it is told where the outputs would be
            error = problem
        self._watcher.stop()
        self._ended(error or self._watcher.error)
        self._run.close()


def outputs_of(run: "Run", node: str) -> dict[int, list[Output]]:
    """Return the outputs that a stage has so far, by the places of its cells in the notebook."""
    data = run[node].notebook_bytes
    if data is None:
        return {}
    return {
        place: list(cell.get("outputs", ()))
        for cell in msgspec.json.decode(data)["cells"]
        if isinstance(place := _place(cell), int)
    }


def stayed_behind(run: "Run", node: str) -> dict[str, str]:
    """Return the variables that could not be moved, and why."""
    data = run[node].notebook_bytes
    if data is None:
        return {}
    record = msgspec.json.decode(data)["metadata"].get("nbflow", {}).get("stage", {})
    return {str(name): str(why) for name, why in record.get("left", ())}


def _place(cell: Mapping[str, Any]) -> int | None:
    identity = str(cell.get("id", ""))
    number = identity.removeprefix("cell-")
    return int(number) if number != identity and number.isdecimal() else None


def status_line(name: str, node: NodeRun, now: float) -> str:
    """Return how a node stands, in one line.

    Parameters
    ----------
    name
        The node's.
    node
        How it stands.
    now
        Seconds since the epoch.
    """
    match node.state:
        case NodeState.RUNNING:
            since_s = max(0.0, now - (node.started_at or now))
            place = f" on {node.worker}" if node.worker else ""
            return f"nbflow: {name} is running{place} for {since_s:.0f} s"
        case NodeState.WAITING | NodeState.READY | NodeState.QUEUED:
            return f"nbflow: {name} waits for a worker"
    return f"nbflow: {name}: {node.state}"


def why_not(node: NodeRun, *, shown: bool) -> str:
    """Return why a node that has ended has brought nothing; empty if it has, or that is `shown`."""
    if node.state is NodeState.SUCCEEDED:
        return ""
    reason = node.reason
    if shown and reason is not None and reason.kind == "error":
        return ""
    said = "" if reason is None else f": {one_line(reason.message, 600)}"
    kind = str(node.state) if reason is None else reason.kind.replace("_", " ")
    return f"{kind}{said}. Nothing of it was taken over; the variables are as they were before"


def has_ended(node: NodeRun) -> bool:
    """Whether a node will not change any more."""
    return node.state in ENDED


def clock() -> float:
    """Return the time, in seconds since the epoch."""
    return time.time()
