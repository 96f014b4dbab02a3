"""Cells as nodes: which cells of a notebook depend on which, found without running them.

================= ==========================================================================
`facts`           what the analysis says: of a cell, of a pair of cells
`analysis`        follows the cells from top to bottom; the code itself is followed by `statements`,
                  `imports`, `expressions` (on `parts`, on `naming`), `texts`, `calls`, `library`
`values`          what is known of a value; `memory` keeps variables, `outside` all else
`wording`         puts into words what `ledger` has
`effects`         tables of what known libraries do
`staging`         cuts the cells into stages that give what a run from top to bottom gives
`hindrances`      what keeps cells from running side by side, and what frees them
`tags`            what authors may say
================= ==========================================================================

Everything here is a pure function of texts: nothing is imported, run or read.
"""

from nbflow.core.cells.analysis import analyze
from nbflow.core.cells.facts import Analysis, CellFacts, CellText, Dependence
from nbflow.core.cells.hindrances import Hindrance, hindrances

__all__ = [
    "Analysis",
    "CellFacts",
    "CellText",
    "Dependence",
    "Hindrance",
    "analyze",
    "hindrances",
]
