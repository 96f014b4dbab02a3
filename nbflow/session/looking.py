"""Looking at a run: what its handle shows, whoever drives it.

Nothing here changes a run. What a look takes more than the journal for (a diagnosis, what is
printed, a report) has a module of its own each, which is imported when it is asked for.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.core.errors import NbflowError
from nbflow.core.events import Record
from nbflow.core.findings import Diagnosis
from nbflow.core.reuse import CacheStatistics, cache_statistics
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.view import RunView
from nbflow.session import telemetry
from nbflow.session.document import run_document, status_of
from nbflow.session.home import Home
from nbflow.session.launch import Launch
from nbflow.session.picture import Picture
from nbflow.session.results import NodeHandle
from nbflow.session.sources import Followed, Source

if TYPE_CHECKING:
    from nbflow.session.diagnosing import Expectations
    from nbflow.session.logbook import LogLine

_log = logging.getLogger(__name__)


class SeenRun:
    """What there is to see of one run.

    Parameters
    ----------
    id
        The run.
    home
        Where its journal and artifacts are.
    launch
        The driver in this process, if it is here.
    """

    def __init__(self, id: str, home: Home, launch: Launch | None = None) -> None:  # noqa: A002 - the interface's name
        self.id = id
        self._home = home
        self._launch = launch
        self._followed: Followed | None = None
        self._expectations: Expectations | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.view().counts.items())
        return f"<run {self.id}: {self.status}; {counts}>"

    def __getitem__(self, node: str) -> NodeHandle:
        source = self._source
        known = source.view().run.graph.nodes
        if node not in known:
            raise KeyError(f"run {self.id} has no node {node!r}; it has {', '.join(known)}")
        return NodeHandle(node, source, self._home.journal, self._home.store)

    def __iter__(self) -> Iterator[str]:
        return iter(self.view().run.graph.nodes)

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return status_of(self.view())

    @property
    def home(self) -> Path:
        """The folder of the run's home."""
        return self._home.folder

    @property
    def output_dir(self) -> Path:
        """The folder of the executed notebooks."""
        return Path(self.view().run.output_dir)

    def view(self) -> RunView:
        """Return the run as it stands, as an immutable value."""
        return self._source.view()

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the run may look different; False if the time passed without that."""
        return self._source.wait_changed(timeout_s)

    def document(self) -> dict[str, Any]:
        """Return everything about the run as plain JSON (the shape of ``show --json``)."""
        return run_document(self.view(), time.time())

    @property
    def cache_statistics(self) -> CacheStatistics:
        """What results of other runs have spared this one, as far as it has got."""
        return cache_statistics(self.view().run) or CacheStatistics()

    def events(self, after_seq: int = 0) -> list[Record]:
        """Return the run's events in order, after the `after_seq`-th."""
        return list(self._home.journal.read(self.id, after_seq))

    def graph(self) -> Picture:
        """Return the graph with the states of the nodes; it displays itself."""
        run = self.view().run
        states = {name: node.state for name, node in run.nodes.items()}
        return Picture(run.graph, states)

    def diagnose(self, *, stuck_after: float | None = None) -> Diagnosis:
        """Say what is wrong with the run, if anything, and what its nodes do now.

        Parameters
        ----------
        stuck_after
            A node counts as stuck beyond so many times the duration that is expected of it; None
            is what each node declares, 2 by default.
        """
        from nbflow.session import diagnosing  # lazy: few runs are asked

        if self._expectations is None:
            home = self._home
            self._expectations = diagnosing.Expectations(home.folder, home.journal, self.id)
        return diagnosing.diagnose(self, self._expectations, stuck_after=stuck_after)

    def log_lines(self, node: str, last: int = 50) -> "tuple[LogLine, ...]":
        """Return the last lines that a node has printed, its earlier attempts included.

        They are there while the run goes on, and after it as long as its folder in the home is.
        """
        from nbflow.session import logbook

        if self._launch is not None and self._launch.logbook is not None:
            return self._launch.logbook.last(node, last)
        return logbook.read_lines(self._home.runs_folder(self.id) / logbook.FOLDER, node, last)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write a report on the run, one HTML file that needs nothing else, and return its path.

        Parameters
        ----------
        path
            The file; by default ``report-RUN.html`` in the folder of the executed notebooks.
        """
        from nbflow.session import reporting

        target = self.output_dir / f"report-{self.id}.html" if path is None else Path(path)
        reporting.write_report(self, target)
        return target

    def failures(self) -> dict[str, str]:
        """Return the failed nodes, each with its reason in words."""
        run = self.view().run
        failed = {
            name: run[name] for name in run.graph.nodes if run[name].state is NodeState.FAILED
        }
        return {
            name: node.reason.message if node.reason is not None else "failed"
            for name, node in failed.items()
        }

    @property
    def _source(self) -> Source:
        launch = self._launch
        if launch is not None and not self._is_past(launch):
            return launch
        if self._followed is None:
            told = self._home.runs_folder(self.id) / telemetry.FILE
            self._followed = Followed(self._home.journal, self.id, time.time, told)
        return self._followed

    def _is_past(self, launch: Launch) -> bool:
        """Whether somebody else has held the run since `launch` let go of it."""
        if not launch.done.done():
            return False
        try:
            return self._home.journal.row(self.id).epoch != launch.epoch
        except NbflowError as error:
            # The handle was closed, or the run removed, or the driver has ended for this very
            # reason: what it knew last is what there is to show.
            _log.debug("run %s is shown as its driver left it: %s", self.id, error)
            return False
