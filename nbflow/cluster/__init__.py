"""The cluster: attempts as tasks of Dask. The only part of nbflow that imports `distributed`.

Dask places and runs attempts; it knows nothing of the graph. The driver owns
the frontier and hands over what is ready, so branches, retries, limits and resume
are nbflow's plain code, and none of Dask's own retries or recomputation can
repeat a node behind the journal's back.

==================== ============================================================
`dask_cluster`       the adapter of the `Cluster` port, on the driver's side
`handing_over`       attempts on their way to Dask
`bundles`            many tiny attempts in one Dask task
`lanes`              quick functions that go straight to a worker which has just ended one
`connecting`         reaching a cluster, and what its workers can do
`asking`             a question to all workers, some of which may not answer
`link`               the line to a scheduler, restored when it breaks
`watching_workers`   what the scheduler says of its workers, for people
`task_ends`          what the end of a Dask task says of its attempts
`settling`           what became of attempts whose tasks tell nothing any more
`fences`             a task begins once, however often Dask runs it
`placing`            which workers may have attempts
`embedded`           a scheduler and worker processes of our own, on loopback
`worker_process`     the program that such a worker process runs
`remote`             what runs on a worker, also on somebody else's
`open_lane`          a lane, as its worker has it
`keeping`            what a worker keeps for drivers
`reporting`          reports on their way from a worker to the driver
==================== ============================================================

The names below are loaded when they are first used, so that the program of a worker can do other
things while distributed loads.
"""

from typing import TYPE_CHECKING

from nbflow._lazy import lazily

if TYPE_CHECKING:
    from nbflow.cluster.dask_cluster import DaskCluster
    from nbflow.cluster.embedded import Embedded

__all__ = ["DaskCluster", "Embedded"]

__getattr__ = lazily(__name__, {"DaskCluster": ".dask_cluster", "Embedded": ".embedded"})
