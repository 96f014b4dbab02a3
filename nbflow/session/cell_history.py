"""What the cells of a notebook took in earlier runs, and what these have taught of them besides.

It is all in the executed notebooks: each cell's duration, and the lessons of stages that did what
was not known of their cells. They are too large to be read whenever a flow is prepared, so what one
run has taught of one notebook is kept in a small file for each notebook, in the folder ``history``
of the home. As with `nbflow.session.history`, a run that has ended does not change unless it is
resumed, which shows in its number of records; so nobody has to keep the file in step with anything,
and it may be removed at any time. Lessons outlive the runs that taught them: once they are heeded,
no later run teaches them again.
"""

import hashlib
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nbflow.core import events as ev
from nbflow.core.errors import ArtifactError, JournalError
from nbflow.core.spec import FlowSpec, NotebookCode
from nbflow.core.stage_results import Lesson, source_digest
from nbflow.core.values import Artifact
from nbflow.definition.code_cells import code_cells, running
from nbflow.definition.staged import Learn, LearnedCells
from nbflow.ports import ArtifactStore, Journal, RunRow
from nbflow.session.history import FOLDER, RECORDS, RUNS
from nbflow.session.home import Home, is_home
from nbflow.session.replacing import replace_file

_log = logging.getLogger(__name__)

#: The tag of the cell that papermill adds.
_INJECTED = "injected-parameters"
#: The newest runs that count for how long a cell takes.
SAMPLES = 5
#: Executed notebooks that are larger are not read, and lessons beyond are forgotten.
_NOTEBOOK_BYTES, _LESSONS = 64_000_000, 1_000


class Taught(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run has taught of one notebook. `last_seq` is how many records it had then."""

    last_seq: int
    #: By `source_digest` of the cell.
    seconds: dict[str, float] = {}
    lessons: tuple[Lesson, ...] = ()
    #: The cells of the whole notebook, in order.
    order: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file of one notebook."""

    runs: dict[str, Taught] = {}
    lessons: tuple[Lesson, ...] = ()


class CellHistory:
    """What the runs of one home have taught about the cells of notebooks.

    Parameters
    ----------
    folder
        The home's folder.
    journal, store
        Its journal, and its artifacts.
    flow
        The flow that asks: its own runs come first.
    """

    def __init__(self, folder: Path, journal: Journal, store: ArtifactStore, flow: str) -> None:
        self._folder = folder / FOLDER
        self._journal = journal
        self._store = store
        self._flow = flow

    def learned(self, notebook: str, *, now: float) -> LearnedCells:
        """Return what is known of the cells of a notebook.

        Parameters
        ----------
        notebook
            Its path, as nodes have it.
        now
            Seconds since the epoch.
        """
        name = hashlib.sha256(notebook.encode(errors="surrogatepass")).hexdigest()[:16]
        path = self._folder / f"cells-{name}.json"
        kept = _read(path)
        runs = self._runs(notebook, kept.runs, now)
        found = [lesson for taught in runs.values() for lesson in taught.lessons]
        lessons = tuple(dict.fromkeys([*kept.lessons, *found]))[-_LESSONS:]
        again = _Kept(runs, lessons)
        if again != kept:
            _write(path, again)
        order = next((taught.order for taught in runs.values() if taught.order), ())
        return LearnedCells(_typical(runs.values()), _by_cell(lessons), order)

    def _runs(self, notebook: str, kept: Mapping[str, Taught], now: float) -> dict[str, Taught]:
        """Return what each of the newest runs has taught, the newest first."""
        listed = reversed(self._journal.listed())
        rows = [row for row, problem in listed if not problem and not row.is_held(now)]
        rows.sort(key=lambda row: row.flow != self._flow)
        runs: dict[str, Taught] = {}
        records = 0
        for row in rows[:RUNS]:
            taught = kept.get(row.id)
            if taught is None or taught.last_seq != row.last_seq:
                if records >= RECORDS:
                    continue
                records += row.last_seq
                taught = self._taught(row, notebook)
            if taught is not None:
                runs[row.id] = taught
        return runs

    def _taught(self, row: RunRow, notebook: str) -> Taught | None:
        try:
            events = (record.event for record in self._journal.read(row.id))
            executed = dict(_executed(events, notebook))
        except JournalError as error:
            # It may have been removed this moment, or be damaged, which `verify` tells.
            _log.debug("nothing is learned from run %s: %s", row.id, error)
            return None
        seconds: dict[str, float] = {}
        lessons: dict[Lesson, None] = {}
        order: tuple[str, ...] = ()
        for artifact, is_whole in executed.items():
            read = self._notebook(artifact)
            seconds.update(_seconds(read))
            lessons.update(dict.fromkeys(_lessons(read)))
            order = _order(read) if is_whole else order
        return Taught(row.last_seq, seconds, tuple(lessons), order)

    def _notebook(self, artifact: Artifact) -> dict[str, Any]:
        """Return an executed notebook; an empty one if there is nothing to learn from it."""
        if artifact.size_bytes > _NOTEBOOK_BYTES:
            return {}
        try:
            read = json.loads(self._store.get(artifact.digest))
        except (ArtifactError, ValueError) as error:
            _log.debug("nothing is learned from notebook %s: %s", artifact.digest, error)
            return {}
        return read if isinstance(read, dict) else {}


def learning(folder: Path, flow: str, clock: Callable[[], float] = time.time) -> Learn:
    """Return what looks into a home when something is to be known of the cells of a notebook.

    Parameters
    ----------
    folder
        The home's folder; there may be no home yet.
    flow
        The flow that asks.
    clock
        Seconds since the epoch.
    """
    known: dict[str, LearnedCells] = {}

    def learned(notebook: str) -> LearnedCells:
        if notebook not in known and is_home(folder):
            home = Home.open(folder)
            try:
                known[notebook] = learning_in(home, flow, clock)(notebook)
            finally:
                home.close()
        return known.get(notebook, LearnedCells())

    return learned


def learning_in(home: Home, flow: str, clock: Callable[[], float] = time.time) -> Learn:
    """Return the same for a home that is open."""
    history = CellHistory(home.folder, home.journal, home.store, flow)
    return lambda notebook: history.learned(notebook, now=clock())


def _executed(events: Iterable[ev.Event], notebook: str) -> Iterator[tuple[Artifact, bool]]:
    """Yield what attempts have made of a notebook, and whether of the whole or of a stage."""
    nodes: dict[str, bool] = {}
    for event in events:
        match event:
            case ev.RunCreated() | ev.FlowChanged():
                nodes = _nodes(event.flow, notebook)
            case ev.AttemptSucceeded() | ev.AttemptFailed():
                if event.node in nodes and event.notebook is not None:
                    yield event.notebook, nodes[event.node]
            case _:
                pass


def _nodes(flow: FlowSpec, notebook: str) -> dict[str, bool]:
    """Return the nodes that run a notebook, and whether they run the whole of it."""
    return {
        node.name: not node.is_stage
        for node in flow.nodes
        if isinstance(node.code, NotebookCode) and node.code.path == notebook
    }


def _seconds(notebook: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for cell in code_cells(notebook):
        if cell.seconds is not None:
            yield source_digest(cell.source), round(cell.seconds, 3)


def _order(notebook: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells that have run, but for the one that was injected."""
    written = (cell for cell in code_cells(notebook) if _INJECTED not in cell.tags)
    return tuple(source_digest(cell.source) for cell in running(written))


def _lessons(notebook: Mapping[str, Any]) -> tuple[Lesson, ...]:
    try:
        written = notebook["metadata"]["nbflow"]["stage"]["lessons"]
        return msgspec.convert(written, tuple[Lesson, ...])
    except (KeyError, TypeError, msgspec.ValidationError):
        # A notebook as a whole has none, nor has one that is somebody else's.
        return ()


def _typical(runs: Iterable[Taught]) -> dict[str, float]:
    """Return how long each cell takes: the median of the newest runs that tell."""
    samples: dict[str, list[float]] = {}
    for taught in runs:
        for cell, seconds in taught.seconds.items():
            samples.setdefault(cell, []).append(seconds)
    return {cell: statistics.median(known[:SAMPLES]) for cell, known in samples.items()}


def _by_cell(lessons: Iterable[Lesson]) -> dict[str, tuple[Lesson, ...]]:
    found: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        found.setdefault(lesson.cell, []).append(lesson)
    return {cell: tuple(taught) for cell, taught in found.items()}


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError) as error:
        _log.debug("no history in %s: %s", path, error)
        return _Kept()


def _write(path: Path, kept: _Kept) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        # The last of several writers wins: each has read the same journal.
        replace_file(path, msgspec.json.encode(kept))
    except OSError as error:
        _log.debug("the history is not kept in %s: %s", path, error)
