"""``%nbflow run``: the stale cells of the open notebook, side by side on a cluster.

Imports and settings that are stale run in the session itself, which needs them, too. The results of
a branch are taken over if it has succeeded, and if no cell before one of its cells has failed; so
the session then has what a run from top to bottom would have left there.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import display

from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState
from nbflow.core.values import Artifact, FromOutput
from nbflow.core.view import RunView
from nbflow.definition.cell_text import cell_texts
from nbflow.definition.code_cells import CodeCell
from nbflow.definition.faults import Fault
from nbflow.definition.notebook_file import parse_notebook
from nbflow.drawing.words import plural
from nbflow.guest_namespace.graph import user_variables
from nbflow.magics.branches import Branch, branches_of, partition_of
from nbflow.magics.errors import Refused, cell_error
from nbflow.magics.following import has_ended, outputs_of, why_not
from nbflow.magics.needs import Variables
from nbflow.magics.open_notebook import open_notebook
from nbflow.magics.outputs import Output, publish
from nbflow.magics.planning import refuse_unmovable, without
from nbflow.magics.sending import Sent, StageNode, start, stored, surroundings, working_folder
from nbflow.magics.stale import stale_cells, work_of

if TYPE_CHECKING:
    from nbflow.cluster.connecting import Target
    from nbflow.core.cells import Analysis
    from nbflow.magics.live import LiveSession
    from nbflow.session import Run

#: At most so long from one look to the next, in seconds.
_TURN_S = 0.5


def run_stale(live: "LiveSession", named: str, cluster: "Target | None") -> None:
    """Run the stale cells of a notebook, show their outputs, and bind what they give.

    Parameters
    ----------
    live
        The session.
    named
        The notebook; empty for the open one.
    cluster
        As of `nbflow.Flow.run`.

    Raises
    ------
    Refused
        If there is no notebook, or one of the cells can only run in the session.
    CellError
        What a cell has raised.
    nbflow.core.errors.NbflowError
        If the cluster or the home cannot be used.
    """
    live.wait()
    found = open_notebook(named, os.environ, live.namespace, working_folder())
    if found is None:
        raise Refused("nobody tells which notebook is open. Name it: %nbflow run NOTEBOOK")
    cells = work_of(_cells(found.path))
    analysis, stale = stale_cells(cells, work_of(live.executed.cells()), live.executed.failed)
    if not stale:
        print(f"nbflow: every cell of {found.path.name} is fresh")  # noqa: T201 - the answer
        return
    _Rerun(live, found.path, cells, analysis, stale).perform(cluster)


def _cells(path: Path) -> tuple[CodeCell, ...]:
    try:
        notebook = parse_notebook(path.read_bytes(), str(path))
    except (Fault, OSError) as error:
        raise Refused(str(error)) from error
    if not notebook.is_python:
        raise Refused(f"{path.name} is in {notebook.language}, whose cells nbflow does not know")
    return notebook.cells


class _Rerun:
    """One time of running what is stale."""

    def __init__(
        self,
        live: "LiveSession",
        path: Path,
        cells: tuple[CodeCell, ...],
        analysis: "Analysis",
        stale: frozenset[int],
    ) -> None:
        self._live = live
        self._path = path
        self._texts = {text.number: text for text in cell_texts(cells)}
        self._analysis = analysis
        self._stale = stale
        self._facts = {cell.number: cell for cell in analysis.cells}

    def perform(self, cluster: "Target | None") -> None:
        for number in sorted(self._stale):
            facts = self._facts[number]
            if not facts.replayed:
                try:
                    refuse_unmovable(facts)
                except Refused as refused:
                    raise Refused(f"cell {number}, {refused}") from refused
        self._repeat_settings()
        work = [number for number in self._stale if not self._facts[number].replayed]
        if work:
            self._send(work, cluster)

    def _source(self, number: int) -> str:
        text = self._texts[number]
        return text.source or text.text

    def _repeat_settings(self) -> None:
        for number in sorted(self._stale):
            if self._facts[number].replayed:
                result = self._live.shell.run_cell(self._source(number))
                result.raise_error()

    def _send(self, work: list[int], cluster: "Target | None") -> None:
        values = user_variables(self._live.shell)
        variables = Variables(values, self._live.namespace)
        partition = partition_of(
            [self._texts[number] for number in sorted(work)],
            cell_texts(work_of(self._live.executed.cells())),
        )
        branches = branches_of(self._analysis, partition, self._texts, variables)
        where = surroundings(os.environ, working_folder())
        nodes, names = [], [f"cells-{branch.cells[0]}" for branch in branches]
        with tempfile.TemporaryDirectory(prefix="nbflow-session-") as folder:
            for name, branch in zip(names, branches, strict=True):
                nodes.append(self._node(name, branch, names, Path(folder, name), where.home))
        sent = Sent(
            sources=self._sources(),
            nodes=tuple(nodes),
            path=self._path,
            known=tuple(map(self._source, self._texts)),
        )
        run = start(sent, where, cluster)
        try:
            self._follow(run, names, len(work))
            self._take_over(run, dict(zip(names, branches, strict=True)))
        finally:
            run.close()

    def _sources(self) -> tuple[str, ...]:
        """Return the cells by their places in the notebook; those that do not run are empty."""
        by_index = {text.index: self._source(number) for number, text in self._texts.items()}
        return tuple(by_index.get(place, "") for place in range(max(by_index, default=-1) + 1))

    def _node(
        self, name: str, branch: Branch, names: list[str], folder: Path, home: Path
    ) -> StageNode:
        folder.mkdir()
        given = self._live.moving.give((*branch.needs, *branch.helps), folder)
        for variable in branch.needs:
            if variable in given.problems:
                raise Refused(f"`{variable}` cannot be sent: {given.problems[variable]}")
        return StageNode(
            name=name,
            spec=without(branch.spec, frozenset(given.problems)),
            takes={
                **stored(given.files, home),
                **{it: FromOutput(names[at], it) for it, at in branch.sources.items()},
            },
            brings=branch.brings,
            after=tuple(names[place] for place in branch.after),
        )

    # --- while it runs ------------------------------------------------------------------------

    def _follow(self, run: "Run", names: list[str], count: int) -> None:
        display(
            {"text/plain": f"nbflow: {plural(count, 'cell')} on {plural(len(names), 'kernel')}"},
            raw=True,
            display_id=f"nbflow-{run.id}",
        )
        told = ""
        try:
            while (view := run.view()).driven:
                line = _progress(view, names)
                if line != told:
                    told = line
                    self._tell(run, line)
                run.wait_changed(_TURN_S)
        except KeyboardInterrupt:
            run.cancel()
            run.wait()
            raise
        run.wait()
        self._tell(run, _progress(run.view(), names))

    def _tell(self, run: "Run", line: str) -> None:
        display({"text/plain": line}, raw=True, display_id=f"nbflow-{run.id}", update=True)

    # --- at the end ---------------------------------------------------------------------------

    def _take_over(self, run: "Run", branches: Mapping[str, Branch]) -> None:
        nodes = {name: run.view().run[name] for name in branches}
        outputs = self._outputs(run, branches)
        failed = min(
            (number for number, shown in outputs.items() if _error(shown) is not None),
            default=None,
        )
        fine = {
            name: branch
            for name, branch in branches.items()
            if nodes[name].state is NodeState.SUCCEEDED
            and (failed is None or branch.cells[-1] < failed)
        }
        self._bind(run, nodes, fine)
        done = sorted(number for branch in fine.values() for number in branch.cells)
        self._live.executed.note_instead([self._source(number) for number in done])
        for number in sorted(outputs):
            if outputs[number] and (failed is None or number <= failed):
                print(f"[{number}]:", flush=True)  # noqa: T201 - heads the outputs of a cell
                shown = [each for each in outputs[number] if each["output_type"] != "error"]
                publish(self._live.shell, shown)
        if failed is not None:
            error = _error(outputs[failed])
            assert error is not None
            raise cell_error(error["ename"], error["evalue"], error["traceback"])
        self._raise_other(nodes, branches)

    def _raise_other(self, nodes: Mapping[str, NodeRun], branches: Mapping[str, Branch]) -> None:
        for name, node in nodes.items():
            why = why_not(node, shown=False)
            if why and node.state is not NodeState.SKIPPED:
                cells = ", ".join(map(str, branches[name].cells))
                raise Refused(f"cells {cells}: {why}")

    def _outputs(self, run: "Run", branches: Mapping[str, Branch]) -> dict[int, list[Output]]:
        """Return the outputs of each cell that has run, by its number."""
        found: dict[int, list[Output]] = {}
        for name, branch in branches.items():
            by_place = outputs_of(run, name)
            for number in branch.cells:
                found[number] = by_place.get(self._facts[number].index, [])
        return found

    def _bind(
        self, run: "Run", nodes: Mapping[str, NodeRun], branches: Mapping[str, Branch]
    ) -> None:
        store = run._home.store  # noqa: SLF001 - the handle reads plain values only
        files: dict[str, Path] = {}
        for name, branch in branches.items():
            brought = nodes[name].outputs
            for variable in branch.brings:
                value = brought.get(variable)
                if isinstance(value, Artifact) and value.kind == "namespace":
                    files[variable] = store.path(value.digest)
                elif variable in branch.deletes:
                    self._live.namespace.pop(variable, None)
        values: dict[str, Any] = self._live.moving.take(files)
        for name, value in values.items():
            if self._live.moving.is_generator(name):
                self._live.moving.set_generator(name, value)
            else:
                self._live.namespace[name] = value


def _progress(view: RunView, names: list[str]) -> str:
    ended = sum(has_ended(view.run[name]) for name in names)
    took_s = max(0.0, (view.run.ended_at or time.time()) - view.run.created_at)
    return f"nbflow: {ended} of {plural(len(names), 'kernel')} done after {took_s:.0f} s"


def _error(outputs: list[Output]) -> Output | None:
    return next((each for each in outputs if each["output_type"] == "error"), None)
