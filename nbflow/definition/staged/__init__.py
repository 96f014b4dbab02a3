"""From a notebook with ``cells=True`` to its stages as nodes, and the assembly with its name.

============ =========================================================================
`asking`     what a run asks for, and what earlier runs have taught
`texts`      the cells as the analysis wants them: with parameters, with lessons
`cutting`    which cells make a stage: found anew, or kept as an earlier definition has it
`nodes`      the nodes of a flow that this makes
`expansion`  all of it, for all notebooks of a flow; and back again
============ =========================================================================

See `nbflow.core.stages` for what stages are, and why together they give the same answer.

Importing this package loads no analysis: most flows have no stages.
"""

from nbflow.definition.staged.asking import (
    NOTHING_ASKED,
    CellsAsked,
    Learn,
    LearnedCells,
    nothing_learned,
)

__all__ = ["NOTHING_ASKED", "CellsAsked", "Learn", "LearnedCells", "nothing_learned"]
