"""What happens on a worker: one attempt of one node, from its task to its outcome.

`perform` does it all. It knows nothing of Dask: a worker is whoever calls it.
"""

from nbflow.worker.performing import perform
from nbflow.worker.threads import FunctionThreads

__all__ = ["FunctionThreads", "perform"]
