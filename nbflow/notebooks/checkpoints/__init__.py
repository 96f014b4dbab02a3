"""Checkpoints: a notebook whose kernel or worker has died goes on after one of its cells.

=============  ================================================================
``planning``   does a notebook ask for checkpoints, and can it have them?
``cell_code``  the code of its cells, also where magics hide it
``fitness``    what no other kernel has
``purity``     which variables can be made anew
``prefix``     what has made a namespace, as a digest
``guest_text`` how the kernel is asked (`nbflow.guest_namespace`)
``storing``    store variables between two cells
``package``    a checkpoint as one file
``restoring``  go on in a fresh kernel, or refuse to
``notes``      say what was done, and what not
=============  ================================================================

Wrong is worse than slow: where it is not assured that the rest of the notebook gives what it would
have given, there is no checkpoint, or it is not used, and the notebook says why.
"""

from nbflow.notebooks.checkpoints.notes import Notes
from nbflow.notebooks.checkpoints.planning import Plan, plan_checkpoints
from nbflow.notebooks.checkpoints.prefix import prefix_digest
from nbflow.notebooks.checkpoints.restoring import (
    Earlier,
    Unresumable,
    fetch,
    restore,
    take_over,
)
from nbflow.notebooks.checkpoints.storing import Keeper

__all__ = [
    "Earlier",
    "Keeper",
    "Notes",
    "Plan",
    "Unresumable",
    "fetch",
    "plan_checkpoints",
    "prefix_digest",
    "restore",
    "take_over",
]
