"""Stages of a notebook that give what a run from top to bottom gives.

============ ====================================================================
`versions`   which cells touch which variables, and which variables share memory
`outside`    what cells do outside of their kernel
`units`      what cannot be parted, and what must come before what
`kernels`    what a stage's kernel has, takes and hides at each cell
`cutting`    where to cut
`weighing`   whether that pays
============ ====================================================================

Everything here is a pure function of what the analysis says.
"""

from nbflow.core.cells.staging.making import StagePlan, Staging, stage_cells
from nbflow.core.cells.staging.weighing import ALWAYS, Costs, Worth, worth_of

__all__ = ["ALWAYS", "Costs", "StagePlan", "Staging", "Worth", "stage_cells", "worth_of"]
