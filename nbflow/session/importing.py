"""Imports, and the reading of large runs, that are over sooner.

A thousand modules are a million objects, and none of them is garbage. The collector looks through
them again and again while they are made, a fifth of the time that Dask's import takes. So it is
with the nodes and records of a run.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the garbage collector off while much is made that stays."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
