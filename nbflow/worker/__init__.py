"""What happens on a worker: one attempt of one node, from its task to its outcome.

`perform` does it all. It knows nothing of Dask: a worker is whoever calls it.
The names below are loaded when they are first used: see `nbflow.cluster.worker_process`.
"""

from typing import TYPE_CHECKING

from nbflow._jsonschema import defer_grammar
from nbflow._lazy import lazily

if TYPE_CHECKING:
    from nbflow.worker.facilities import Facilities
    from nbflow.worker.performing import perform

# Before any module here imports nbformat.
defer_grammar()

__all__ = ["Facilities", "perform"]

__getattr__ = lazily(__name__, {"Facilities": ".facilities", "perform": ".performing"})
