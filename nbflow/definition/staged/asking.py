"""What is asked of the cells of a flow's notebooks, and what is known of them from earlier runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from nbflow.core.spec import FlowSpec
from nbflow.core.stage_results import Lesson

if TYPE_CHECKING:
    from nbflow.core.cells.staging import Worth


@dataclass(frozen=True, slots=True)
class LearnedCells:
    """What earlier runs have taught of the cells of a notebook; see `source_digest`."""

    #: How long cells take.
    seconds: Mapping[str, float] = field(default_factory=dict)
    #: What their text does not tell.
    lessons: Mapping[str, tuple[Lesson, ...]] = field(default_factory=dict)
    #: All cells in order, as the newest run had them: by this a cell that was edited since is told.
    order: tuple[str, ...] = ()


#: From the path of a notebook to what is known of its cells.
Learn: TypeAlias = Callable[[str], LearnedCells]


def nothing_learned(_path: str) -> LearnedCells:
    """Return what is known of a notebook that never ran."""
    return LearnedCells()


@dataclass(frozen=True, slots=True)
class CellsAsked:
    """How a run wants the cells of its notebooks.

    Parameters
    ----------
    asked
        Whether notebooks without a word of their own run as stages; False is for none of them,
        whatever it says.
    learn
        What earlier runs have taught.
    earlier
        The definition that this one takes the place of: what it has cut stays cut as it is, as long
        as its cells are the same.
    worth
        Which cells are worth a kernel; by default how long they took says so.
    slots
        How many nodes run at once, if that is known.
    """

    asked: bool | None = None
    learn: Learn = nothing_learned
    earlier: FlowSpec | None = None
    worth: "Worth | None" = None
    slots: int | None = None


#: Nothing is asked of cells, and nothing is known of them.
NOTHING_ASKED = CellsAsked()
