"""Fakes of the ports, for tests of flows and of code that builds on nbflow.

They keep the same contracts as the real adapters (one suite in ``tests/contracts`` runs
on both) but need no database, no shared folder and no cluster:

`FakeCluster`
    A cluster whose attempts are coroutines in the driver's own loop.
`MemoryJournal`
    A journal that lives as long as its object.
`MemoryStore`
    An artifact store in a dictionary.
"""

from nbflow.testing.artifacts import MemoryStore
from nbflow.testing.cluster import FakeCluster
from nbflow.testing.journal import MemoryJournal

__all__ = ["FakeCluster", "MemoryJournal", "MemoryStore"]
