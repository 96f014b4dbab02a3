"""What is said of checkpoints: in the executed notebook's metadata, and to who follows the run.

``metadata.nbflow.checkpoint`` has ``resumed_at_cell`` or ``started_over``, ``stored_after_cell``
(the last one), and ``not_stored``: why, by the cell after which it was asked for.
"""

from collections.abc import Callable
from typing import Any

from nbformat import NotebookNode


class Notes:
    """Notes on one notebook's checkpoints.

    Parameters
    ----------
    notebook
        Its metadata is written.
    tell
        Receives a sentence that a person should read.
    clean
        Hides secrets in a text.
    """

    def __init__(
        self, notebook: NotebookNode, tell: Callable[[str], None], clean: Callable[[str], str]
    ) -> None:
        self._notebook = notebook
        self._tell = tell
        self._clean = clean
        # What an earlier execution has left says nothing of this one.
        self._notebook.metadata.get("nbflow", {}).pop("checkpoint", None)
        self._said: set[str] = set()

    def resumed(self, cell: int) -> None:
        """The notebook goes on at the cell with this index."""
        self._entry()["resumed_at_cell"] = cell
        self._tell(f"goes on at cell {cell}, after its checkpoint")

    def started_over(self, why: str) -> None:
        """There was a checkpoint, and it was not used."""
        why = self._clean(why)
        self._entry()["started_over"] = why
        self._tell(f"starts over, though it has a checkpoint: {why}")

    def stored(self, cell: int, size_bytes: int, duration_s: float) -> None:
        """The variables were stored after a cell, and what that has cost."""
        self._entry()["stored_after_cell"] = cell
        self._entry()["stored_bytes"] = size_bytes
        self._entry()["stored_in_s"] = round(duration_s, 3)

    def not_stored(self, cell: int, why: str) -> None:
        """The variables were not stored after a cell, where that was asked for."""
        why = self._clean(why)
        self._entry().setdefault("not_stored", {})[str(cell)] = why
        if why not in self._said:
            self._said.add(why)
            self._tell(f"no checkpoint after cell {cell}: {why}")

    def _entry(self) -> dict[str, Any]:
        ours = self._notebook.metadata.setdefault("nbflow", NotebookNode())
        entry: dict[str, Any] = ours.setdefault("checkpoint", NotebookNode())
        return entry
