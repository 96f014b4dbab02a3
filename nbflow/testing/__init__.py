"""Fakes of the ports, for tests of flows and of code that builds on nbflow.

They keep the same contracts as the real adapters (one suite in ``tests/contracts`` runs
on both) but need no database, no shared folder and no cluster:

`FakeCluster`
    A cluster whose attempts are coroutines in the driver's own loop.
`MemoryJournal`
    A journal that lives as long as its object.
`MemoryStore`
    An artifact store in a dictionary.
`MemoryCache`
    A cache of results in a dictionary.

And one that lets the real thing fail:

`FaultyDisk`
    A disk under a `nbflow.artifacts.FileStore` that fails, or kills the process, at a `Fault`.
"""

from nbflow.testing.artifacts import MemoryStore
from nbflow.testing.cache import MemoryCache
from nbflow.testing.cluster import FakeCluster
from nbflow.testing.faults import Fault, FaultyDisk
from nbflow.testing.journal import MemoryJournal

__all__ = ["FakeCluster", "Fault", "FaultyDisk", "MemoryCache", "MemoryJournal", "MemoryStore"]
