"""What a panel needs of a run's handle: to look, to wait, to ask.

Panels lie below the session, so that a program with another idea of a run can show it too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from nbflow.core.events import Record
from nbflow.core.findings import Diagnosis
from nbflow.core.view import RunView


class Line(Protocol):
    """One line that a node has printed."""

    @property
    def text(self) -> str:
        """What it says."""

    @property
    def stream(self) -> str:
        """``stdout``, ``stderr``, or what else the line comes from."""

    @property
    def cell(self) -> int | None:
        """Index of the cell; None where there is none."""

    @property
    def at(self) -> float:
        """Seconds since the epoch; 0 if nobody has noted it."""


class Node(Protocol):
    """One node of a run, with what it has brought."""

    @property
    def notebook_path(self) -> Path | None:
        """Where the executed notebook is; None for a function."""

    @property
    def notebook_bytes(self) -> bytes | None:
        """The executed notebook as the content of a file; None if there is none yet."""


class Followed(Protocol):
    """A run that can be looked at from any thread, and asked for something."""

    @property
    def id(self) -> str:
        """The run."""

    def __getitem__(self, node: str) -> Node:
        """Return one of its nodes."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until it may look different; False if the time passed without that."""

    def diagnose(self) -> Diagnosis:
        """Return what is wrong with it, what it does, and when it will end."""

    def log_lines(self, node: str, last: int) -> Sequence[Line]:
        """Return the last lines that a node has printed."""

    def events(self) -> Sequence[Record]:
        """Return its events in order."""

    def cancel(self) -> None:
        """Ask for its cancellation, without waiting for it."""

    def resume(self, *, begin_at: Iterable[str] = (), wait: bool = True) -> Any:
        """Continue it, and run `begin_at` again in any case."""

    def resolve(self, node: str, verdict: Literal["succeeded", "failed", "retry"]) -> None:
        """Decide what became of a node in doubt."""
