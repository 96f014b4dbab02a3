"""Stopping what is on a worker: whenever that is asked, and however often."""

import asyncio
import time

import nbformat
import pytest
from support.cluster_desk import Desk

from nbflow.artifacts import FileStore
from nbflow.cluster import DaskCluster, Embedded
from nbflow.core.attempts import AttemptTask, Ended, Outcome
from nbflow.core.ids import AttemptId
from nbflow.core.spec import NotebookCode

#: A cell that is at work until it is interrupted, and then cleans up for as long as it likes.
CLEANS_UP = """\
import time
from pathlib import Path
try:
    Path("begun").touch()
    time.sleep(600)
except KeyboardInterrupt:
    Path("interrupted").touch()
    while not Path("enough").exists():
        time.sleep(0.01)
    print("cleaned up")
    raise
"""


class Notebooks(Desk):
    """A desk that hands over notebooks, in a folder of their own."""

    def __init__(self, folder) -> None:
        # As on anybody's cluster, a worker loads what runs notebooks with its first one.
        cluster = DaskCluster(Embedded(workers=1, threads=1, kernels=False), clock=time.time)
        super().__init__(cluster, FileStore.open(folder / "store"))
        self.folder = folder

    def notebook(self, source: str) -> AttemptTask:
        spec = {"name": "python3", "language": "python", "display_name": "Python"}
        cells = [nbformat.v4.new_code_cell(source)]
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
        path = self.folder / "book.ipynb"
        nbformat.write(book, path)
        return AttemptTask(
            id=AttemptId("run", "book", 1, 1),
            code=NotebookCode(str(path), self.store.put(path.read_bytes(), "notebook").digest),
            params={},
            store=self.store.ref,
            notebook_path=str(self.folder / "executed.ipynb"),
        )

    async def made(self, name: str) -> None:
        """Wait until the notebook has made a file."""
        async with asyncio.timeout(60):
            while not (self.folder / name).exists():
                await asyncio.sleep(0.01)

    async def outcome(self) -> Outcome:
        await self.until(lambda: any(isinstance(it, Ended) for it in self.reports))
        (ended,) = (it for it in self.reports if isinstance(it, Ended))
        return ended.outcome


@pytest.fixture
def desk(tmp_path):
    return lambda: Notebooks(tmp_path).opened()


def test_a_notebook_that_is_stopped_as_it_starts_was_stopped(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            task = it.notebook("1")
            await it.begin(task)
            await it.cluster.cancel([task.id])
            assert (await it.outcome()).status == "stopped"

    asyncio.run(main())


def test_what_no_worker_has_begun_says_so_when_it_is_stopped(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            ahead = it.notebook(CLEANS_UP)
            behind = it.task("behind", len, obj=[1])
            (it.folder / "enough").touch()
            await it.cluster.submit([ahead])
            await it.made("begun")
            await it.cluster.submit([behind])
            await it.cluster.cancel([ahead.id, behind.id])
            await it.until(lambda: it.ended() == {"behind": "stopped", "book": "stopped"})
            assert it.started() == ["book"]
            outcomes = (report.outcome for report in it.reports if isinstance(report, Ended))
            reasons = {outcome.id: outcome.reason.kind for outcome in outcomes}
            assert reasons == {ahead.id: "interrupted", behind.id: "not_begun"}

    asyncio.run(main())


def test_asking_once_more_does_not_cut_short_how_a_notebook_ends(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            task = it.notebook(CLEANS_UP)
            await it.cluster.submit([task])
            await it.made("begun")
            await it.cluster.cancel([task.id])
            await it.made("interrupted")
            await it.cluster.cancel([task.id])
            (it.folder / "enough").touch()
            outcome = await it.outcome()
            assert (outcome.status, outcome.reason.kind) == ("stopped", "interrupted")
            (cell,) = nbformat.reads(it.store.get(outcome.notebook.digest), as_version=4).cells
            assert cell.outputs[0].text == "cleaned up\n"

    asyncio.run(main())
