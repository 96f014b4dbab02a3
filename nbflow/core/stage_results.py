"""What the stages of a notebook bring, and what a run has taught of its cells.

See `nbflow.core.stages` for what they are.
"""

from typing import Literal

import msgspec

from nbflow.core.events import ErrorInfo
from nbflow.core.fingerprints import digest
from nbflow.core.states import NodeState, Reason
from nbflow.core.values import Artifact, Value

#: Before the names of what a stage has emitted, and of values that the notebook as a whole hands
#: on: so they differ from those of variables, which only stages can read.
EMITTED, VALUE = "emitted/", "value/"

#: Type name of artifacts that hold variables of a kernel.
NAMESPACE = "nbflow.namespace"

#: How a stage has left what was known of its cells; the name is a variable, a file or words.
LessonKind = Literal["reads", "changes", "writes", "pinned", "touches", "barrier"]


class StageResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a stage has ended, for those that come after it."""

    state: NodeState
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    reason: Reason | None = None
    error: ErrorInfo | None = None


class Lesson(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run has taught of a cell that its text does not tell.

    Parameters
    ----------
    cell
        The digest of the cell's source; see `source_digest`.
    kind
        ``reads``, ``changes``, ``writes``: it does so with the variable `name`. ``pinned``: the
        variable cannot leave the kernel in which the cell has made it. ``touches``: it may touch
        anything outside. ``barrier``: nothing is to be moved across it.
    name
        See `kind`.
    """

    cell: str
    kind: LessonKind
    name: str = ""


class StageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stage has done besides its cells' results; in its notebook's metadata.

    Parameters
    ----------
    places
        For each cell of the stage's notebook, its place in the whole one; `INJECTED` for the one
        that injects parameters.
    repeated
        Indices of cells, in the stage's notebook, whose results another stage keeps.
    read_files, written_files
        Absolute paths, as far as they could be seen.
    native_files
        Files below the working folder that have changed meanwhile, and that libraries write
        without Python's knowing.
    shared
        Pairs of variables, the first made here, the second taken from elsewhere, that share memory.
    warned
        Warnings of libraries that its cells have shown, and that a kernel shows once.
    displays, updates
        Ids of displays that its cells have made, and of those of others that they have updated.
    lessons
        What is to be known of its cells next time.
    unkept
        What it should have handed on for the notebook as a whole, and could not: kind and message.
    left
        Variables that have stayed behind, as they may, and why; see `StageSpec.optional`.
    programs
        What programs its cells have started.
    undo
        Files as they were before the stage wrote them: path and artifact, None if there was none.
    """

    places: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    read_files: tuple[str, ...] = ()
    written_files: tuple[str, ...] = ()
    native_files: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    warned: tuple[str, ...] = ()
    displays: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    unkept: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    programs: tuple[str, ...] = ()
    undo: tuple[tuple[str, Artifact | None], ...] = ()


def source_digest(source: str) -> str:
    """Return by what a cell is known again: its source, wherever it stands."""
    return digest(b"nbflow-cell", source.strip().encode(errors="surrogatepass"))
