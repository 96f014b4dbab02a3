"""Notebooks run by cells and in order, in this process: real warm kernels, no cluster.

Stages are performed as on any worker, two at a time. Which of those that could begin does so next
is drawn by a seed. All runs of a workshop find their notebook in the same folder, as they left it:
so what differs between two of them is not where they were.
"""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import nbformat
from nbformat import NotebookNode

from nbflow.artifacts.store import FileStore
from nbflow.core import events as ev
from nbflow.core.attempts import WorkerNote
from nbflow.core.cells.staging import ALWAYS, Worth
from nbflow.core.commands import EndRun, SkipNode, StartAttempt
from nbflow.core.ids import AttemptId
from nbflow.core.machine import apply, begin, obligations
from nbflow.core.run import NodeRun
from nbflow.core.spec import FlowSpec
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.values import Value
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.preparation import Prepared, prepare
from nbflow.definition.staged import CellsAsked
from nbflow.driver.outcomes import event_of
from nbflow.driver.tasks import TaskMaker
from nbflow.notebooks.comparing import compare, compare_texts
from nbflow.worker import perform
from nbflow.worker.facilities import Facilities

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: What warm kernels have loaded if their notebook imports any of it: so one server does for all of
#: these. The others' kernels are forked from a process without them, in half the time.
PRELOAD = (
    "matplotlib.pyplot",
    "numpy",
    "pandas",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.model_selection",
)
#: Sets are walked through in the same order in every kernel.
ENV = {"PYTHONHASHSEED": "0"}
#: No attempt takes so long.
TIMEOUT_S = 60.0
#: Stages that run at a time.
AT_ONCE = 2


#: How each trap is cut and ordered; ``TRAP_SEEDS=0,1,2`` tries more.
SEEDS = tuple(map(int, os.environ.get("TRAP_SEEDS", "0").split(",")))


@dataclass(frozen=True)
class Ran:
    """How a notebook has run.

    `files` are what it left in its folder, by path; None stands for one that was there and is gone.
    `in_order` is why its stages were not put together, and `conflicts` is what they say themselves.
    """

    state: NodeState
    error: str
    notebook: NotebookNode | None
    outputs: Mapping[str, Value]
    files: Mapping[str, bytes | None]
    stages: tuple[tuple[int, ...], ...] = ()
    in_order: str = ""
    conflicts: tuple[str, ...] = ()
    elapsed_s: float = 0.0


def written(*cells: object, **metadata: object) -> NotebookNode:
    """Return a notebook; a cell is its source, its source with tags, or a cell."""
    made = [
        nbformat.v4.new_code_cell(cell)
        if isinstance(cell, str)
        else nbformat.v4.new_code_cell(cell[0], metadata={"tags": list(cell[1])})
        if isinstance(cell, tuple)
        else cell
        for cell in cells
    ]
    for index, cell in enumerate(made):
        cell["id"] = f"cell-{index}"
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL, **metadata})


class Workshop:
    """Where notebooks run. It has one set of warm kernels, and must be closed.

    Parameters
    ----------
    folder
        Its own; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = FileStore.open(folder / "store")
        self._facilities = Facilities()
        self._writer = ThreadPoolExecutor(1)
        self._runs = 0

    def close(self) -> None:
        self._facilities.close()
        self._writer.shutdown()

    def in_order(self, notebook: NotebookNode, **options: object) -> Ran:
        """Run a notebook from top to bottom in one kernel; options as of `by_cells`."""
        return self._ran(notebook, None, 0, **options)

    def by_cells(self, notebook: NotebookNode, seed: int, **options: object) -> Ran:
        """Run a notebook as stages.

        Parameters
        ----------
        notebook
            The notebook.
        seed
            0 for as many stages as can be; any other chooses which, and all choose an order.
        options
            `params` and `outputs` of the node, and `files`: content by path in its folder.
        """
        return self._ran(notebook, _worth(notebook, seed), seed, **options)

    def stages_of(self, notebook: NotebookNode, seed: int, **options: object) -> FlowSpec:
        """Return the flow that a notebook becomes; arguments as of `by_cells`."""
        with_files = {**options, "files": {}}
        folder = self._renewed(notebook, with_files["files"])
        return self._prepared(folder, _worth(notebook, seed), **options).spec

    def _ran(
        self,
        notebook: NotebookNode,
        worth: Worth | None,
        seed: int,
        *,
        params: Mapping[str, object] | None = None,
        outputs: tuple[str, ...] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> Ran:
        given = dict(files or {})
        folder = self._renewed(notebook, given)
        prepared = self._prepared(folder, worth, params=params, outputs=outputs)
        for digest, data in prepared.blobs.items():
            assert self._store.put(data, "notebook").digest == digest
        self._runs += 1
        run = _Performed(
            prepared, f"run-{self._runs}", self._folder, self._store, self._writer, seed
        )
        began = time.monotonic()
        asyncio.run(run.to_its_end(self._facilities))
        elapsed_s = time.monotonic() - began
        return self._told(run, folder, given, elapsed_s)

    def _renewed(self, notebook: NotebookNode, files: Mapping[str, bytes]) -> Path:
        folder = self._folder / "book"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        nbformat.write(notebook, folder / "book.ipynb")
        return folder

    def _prepared(
        self,
        folder: Path,
        worth: Worth | None,
        *,
        params: Mapping[str, object] | None = None,
        outputs: tuple[str, ...] = (),
    ) -> Prepared:
        flow = FlowBuilder("flow", base_dir=folder)
        flow.notebook(
            "book.ipynb",
            params,
            outputs=outputs,
            env=ENV,
            cells=worth is not None,
            timeout=TIMEOUT_S,
        )
        cells = CellsAsked(worth=worth)
        prepared = prepare(flow.draft, {}, kernels=None, cells=cells)
        spec = msgspec.structs.replace(prepared.spec, preload=_preload(folder / "book.ipynb"))
        return Prepared(spec, prepared.params, prepared.blobs, prepared.warnings)

    def _told(
        self, run: "_Performed", folder: Path, given: Mapping[str, bytes], elapsed_s: float
    ) -> Ran:
        node = run.node("book")
        left = {path: content for path, content in _files(folder) if path != "book.ipynb"}
        changed = {path: it for path, it in left.items() if given.get(path) != it}
        gone = dict.fromkeys(given.keys() - left.keys())
        notebook = None
        if node.notebook is not None:
            text = self._store.get(node.notebook.digest).decode()
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
        return Ran(
            state=node.state,
            error=_error(node),
            notebook=notebook,
            outputs=node.outputs,
            files={**changed, **gone},
            stages=run.stages(),
            in_order=next(iter(run.notes), ""),
            conflicts=tuple(run.conflicts()),
            elapsed_s=elapsed_s,
        )


class _Performed:
    """One run, whose attempts are performed here."""

    def __init__(
        self,
        prepared: Prepared,
        run_id: str,
        folder: Path,
        store: FileStore,
        writer: ThreadPoolExecutor,
        seed: int,
    ) -> None:
        self.notes: list[str] = []
        self._store = store
        self._scratch = folder / "scratch"
        self._chance = random.Random(seed)
        params = dict(prepared.params)
        created = ev.RunCreated(prepared.spec, params, str(folder / "out" / run_id))
        self._run, _ = begin(ev.Record(run_id, 1, 0, time.time(), created))
        self._apply(ev.RunClaimed("here"))
        self._tasks = TaskMaker(store, writer, run=self._run, shares_store=True)

    def node(self, name: str) -> NodeRun:
        return self._run[name]

    def stages(self) -> tuple[tuple[int, ...], ...]:
        nodes = self._run.graph.spec.nodes
        return tuple(node.code.stage.numbers for node in nodes if node.is_stage)

    def conflicts(self) -> Iterator[str]:
        for node in self._run.graph.spec.nodes:
            reason = self._run[node.name].reason
            if reason is not None and reason.kind == "conflict":
                yield f"{node.name}: {reason.message}"

    async def to_its_end(self, facilities: Facilities) -> None:
        running: set[asyncio.Task[None]] = set()
        while self._run.status is RunStatus.RUNNING:
            ready = self._settle()
            while ready and len(running) < AT_ONCE:
                node = ready.pop(self._chance.randrange(len(ready)))
                attempt = AttemptId(self._run.id, node, self._run[node].attempt + 1, 1)
                failed = self._tasks.prepare(self._run, attempt)
                self._apply(ev.AttemptScheduled(node, attempt.number))
                if failed is not None:
                    self._apply(failed)
                    ready = self._settle()
                    continue
                (task,), _ = await self._tasks.take([attempt])
                self._apply(ev.AttemptStarted(node, attempt.number, "here", time.time()))
                running.add(asyncio.create_task(self._perform(task, facilities)))
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()

    async def _perform(self, task, facilities: Facilities) -> None:
        outcome = await perform(
            task,
            worker_name="here",
            store=self._store,
            scratch=self._scratch,
            report=self._hear,
            facilities=facilities,
        )
        self._apply(event_of(outcome))

    def _settle(self) -> list[str]:
        """Record what follows by itself; return the nodes that can begin."""
        while True:
            owed = obligations(self._run)
            skipped = next((it for it in owed if isinstance(it, SkipNode)), None)
            end = next((it for it in owed if isinstance(it, EndRun)), None)
            if skipped is not None:
                self._apply(ev.NodeSkipped(skipped.node, skipped.reason))
            elif end is not None:
                self._apply(ev.RunEnded(end.status))
            else:
                return [it.node for it in owed if isinstance(it, StartAttempt)]

    def _hear(self, told: object) -> None:
        if isinstance(told, WorkerNote):
            self.notes.append(told.message)

    def _apply(self, event: ev.Event) -> None:
        record = ev.Record(self._run.id, self._run.seq + 1, 1, time.time(), event)
        self._run, _ = apply(self._run, record)


def differences(expected: Ran, found: Ran) -> list[str]:
    """Return all in which two runs of a notebook differ, in words."""
    pairs = [
        ("state", expected.state, found.state),
        ("error", expected.error, found.error),
        ("names of outputs", sorted(expected.outputs), sorted(found.outputs)),
        ("outputs", _shown(expected.outputs), _shown(found.outputs)),
        ("files", sorted(expected.files), sorted(found.files)),
    ]
    told = [
        f"{it.what}: {it.expected!r} is now {it.found!r}"
        for what, one, two in pairs
        for it in compare_texts(what, str(one), str(two))
    ]
    if expected.notebook is not None and found.notebook is not None:
        told += [
            f"cell {it.number or it.index}, {it.what}, line {it.line}: "
            f"{it.expected!r} is now {it.found!r}"
            for it in compare(expected.notebook, found.notebook)
        ]
    told += [
        f"file {path}: {content!r:.200} is now {found.files[path]!r:.200}"
        for path, content in expected.files.items()
        if path in found.files and found.files[path] != content
    ]
    return told


def _shown(outputs: Mapping[str, Value]) -> str:
    return "\n".join(f"{name} = {outputs[name]}" for name in sorted(outputs))


def _error(node: NodeRun) -> str:
    if node.reason is None:
        return ""
    where = "" if node.error is None else f" {node.error.type} in {node.error.cell}"
    return f"{node.reason.kind}{where}: {node.reason.message}"


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder)), path.read_bytes()


def _preload(notebook: Path) -> tuple[str, ...]:
    text = notebook.read_text()
    return PRELOAD if any(module.partition(".")[0] in text for module in PRELOAD) else ()


def _worth(notebook: NotebookNode, seed: int) -> Worth:
    """Return what is worth a kernel: whatever can have one, or what the seed chooses."""
    if not seed:
        return ALWAYS
    chance = random.Random(seed)
    share = chance.choice((0.2, 0.5, 0.8))
    cells = range(len(notebook.cells) + 1)
    return Worth(heads=frozenset(number for number in cells if chance.random() < share))


class Trap:
    """A notebook that is easily run wrong by cells.

    Parameters
    ----------
    what
        Where the trap is.
    cells
        As of `written`.
    in_order
        Whether it is expected that its stages are given up, and the notebook is run in order.
    options
        As of `Workshop.by_cells`.
    """

    def __init__(
        self, what: str, *cells: object, in_order: bool = False, **options: object
    ) -> None:
        self.what = what
        self.notebook = written(*cells)
        self.in_order = in_order
        self.options = options

    def __repr__(self) -> str:
        return self.what

    def holds(self, workshop: Workshop, seeds: tuple[int, ...] = SEEDS) -> Ran:
        """Check that it gives the same by cells, given up where that is expected, and only there.

        It is expected of as many stages as there can be (seed 0): some others have no reason to.
        Returns what it gives in order.
        """
        expected, given_up = self.gives_the_same(workshop, seeds)
        told = [(it.stages, it.in_order, it.conflicts) for seed, it in given_up if not seed]
        assert self.in_order or not told, told
        assert told or not self.in_order or 0 not in seeds, "it was expected to be given up"
        return expected

    def gives_the_same(
        self, workshop: Workshop, seeds: tuple[int, ...], *, may_refuse: bool = False
    ) -> tuple[Ran, list[tuple[int, Ran]]]:
        """Check that it gives by cells what it gives in order, or says that it `may_refuse` to.

        Returns what it gives in order, and those runs by cells that were given up, by seed.
        """
        expected = workshop.in_order(self.notebook, **self.options)
        given_up = []
        for seed in seeds:
            found = workshop.by_cells(self.notebook, seed, **self.options)
            refused = may_refuse and found.error.startswith("conflict")
            told = [] if refused else differences(expected, found)
            assert not told, f"seed {seed}, stages {found.stages}: {told}\n{found.in_order}"
            if found.in_order or found.conflicts:
                given_up.append((seed, found))
        return expected, given_up
