"""A flow that leaves a mark at each beginning of a node, so that every one can be accounted for."""

import time
from pathlib import Path

import nbflow


class CountedFlow:
    """One slow node, which waits until it may end, and one that follows it.

    Parameters
    ----------
    folder
        Where the flow and its marks are.
    rows
        How long the first node's output is: a long one becomes an artifact.
    """

    def __init__(self, folder: Path, *, rows: int = 3) -> None:
        self._marks = folder / "marks"
        self._go = folder / "go"
        self.flow = nbflow.Flow("counted", base_dir=folder)
        marks, go = self._marks, self._go

        @self.flow.task
        def slow():
            with marks.open("a") as file:
                file.write("slow\n")
            while not go.exists():
                time.sleep(0.01)
            return list(range(rows))

        @self.flow.task
        def total(rows=slow["result"]):
            with marks.open("a") as file:
                file.write("total\n")
            return sum(rows)

        self.answer = sum(range(rows))

    def let_go(self) -> None:
        """Let the slow node end."""
        self._go.touch()

    def beginnings(self, node: str) -> int:
        """Return how often `node` has begun."""
        return self._marks.read_text().split().count(node) if self._marks.exists() else 0

    def check(self, run: nbflow.Run, *, attempts: int = 1) -> None:
        """Check the answer, and that nothing has begun but what is recorded."""
        assert run["total"].outputs["result"] == self.answer
        assert run["slow"].attempts == attempts
        assert self.beginnings("slow") == attempts
        assert self.beginnings("total") == run["total"].attempts == 1
