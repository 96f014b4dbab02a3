"""Clusters that are somebody else's, and notebooks to run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from watchpoint import until

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write_notebook(path: Path, *cells: str, parameters: str = "") -> Path:
    """Write a Python notebook with these code cells, the first of them tagged `parameters`."""
    written = [nbformat.v4.new_code_cell(source) for source in cells]
    if parameters:
        tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        written.insert(0, tagged)
    nbformat.write(nbformat.v4.new_notebook(cells=written, metadata={"kernelspec": KERNEL}), path)
    return path


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook into the test's folder."""

    def write(name: str, *cells: str, parameters: str = "") -> Path:
        return write_notebook(tmp_path / name, *cells, parameters=parameters)

    return write


class OutsideCluster:
    """A scheduler and workers started by hand, as a team's cluster is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        #: Environment of the processes, such as Dask's configuration.
        self.env: dict[str, str] = {}

    def start_scheduler(self, *options: str, preamble: str = "", port: int = 0):
        """Start the scheduler; `preamble` is Python that it runs before anything else."""
        self.file.unlink(missing_ok=True)
        program = f"{preamble}\nfrom distributed.cli.dask_scheduler import main\nmain()"
        process = self._run(
            [
                *(sys.executable, "-c", program, "--host", "127.0.0.1", "--port", str(port)),
                *("--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
                *("--scheduler-file", str(self.file), *options),
            ]
        )
        until(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        return process

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def add_worker(
        self,
        *options: str,
        preamble: str = "",
        folder: Path | None = None,
        scheduler: str = "",
    ):
        """Start a worker; `preamble` is Python that it runs before anything else."""
        program = f"{preamble}\nfrom distributed.cli.dask_worker import main\nmain()"
        where = (scheduler,) if scheduler else ("--scheduler-file", str(self.file))
        host = () if "--listen-address" in options else ("--host", "127.0.0.1")
        return self._run(
            [
                *(sys.executable, "-c", program, *where),
                *(*host, "--no-nanny", "--no-dashboard"),
                *("--dashboard-address", "127.0.0.1:0", "--nthreads", "2"),
                *("--local-directory", str(folder or self.folder), *options),
            ]
        )

    def close(self) -> None:
        # Asked to end, a worker without its scheduler would take ten seconds.
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log-{len(self.processes)}").open("wb")
        with log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.env},
            )
        self.processes.append(process)
        return process


@pytest.fixture
def ungoverned(tmp_path: Path) -> Iterator[OutsideCluster]:
    """A cluster whose scheduler the test starts itself."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = OutsideCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def outside(ungoverned: OutsideCluster) -> OutsideCluster:
    """A running scheduler without workers."""
    ungoverned.start_scheduler()
    return ungoverned
