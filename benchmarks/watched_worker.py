"""Preloaded into Dask workers by `benchmarks.seeing`: whether attempts are probed there.

Called by Dask: ``--preload benchmarks.watched_worker --preload-argv --unprobed``.
"""

from typing import Any

import click

from nbflow.cluster.remote import WorkerSide
from nbflow.worker.facilities import Facilities
from nbflow.worker.probing.prober import Prober, Watched


class Blind(Prober):
    """Looks at nobody."""

    def watch(self, watched: Watched) -> None:
        """Let it be."""


@click.command()
@click.option("--unprobed", is_flag=True)
async def dask_setup(worker: Any, unprobed: bool) -> None:
    """Give the worker its facilities before the first attempt asks for them."""
    facilities = Facilities()
    if unprobed:
        facilities.prober = Blind()
    facilities.expect_notebooks()
    WorkerSide(worker, facilities).settle()
