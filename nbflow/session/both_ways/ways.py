"""One run of a notebook, and all that came of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
from nbformat import NotebookNode

from nbflow.core.errors import NbflowError, RunFailed
from nbflow.core.run import Run as RunState
from nbflow.core.spec import NotebookCode
from nbflow.core.states import NodeState
from nbflow.definition.targets import BareNotebook, load_notebook
from nbflow.session.both_ways.copies import FileLeft, Workplace
from nbflow.session.both_ways.schedules import Schedule, ScheduledFlow

#: All ways have the same, as stages have, or sets would be printed in another order each time.
_SEED = {"PYTHONHASHSEED": "0"}


class StageRun(msgspec.Struct, frozen=True):
    """How one stage has run; times are seconds since the epoch."""

    node: str
    cells: tuple[int, ...]
    state: NodeState
    started_at: float | None
    ended_at: float | None
    conflict: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One run of a notebook.

    Parameters
    ----------
    name
        ``in order``, or by cells and how these were cut.
    outcome
        How the notebook has ended, in words that are the same for the same end.
    reason
        Why, in words for people, if it has failed.
    notebook
        As it was executed.
    content
        The same as the content of a file.
    files
        What the run has left in the notebook's folder.
    elapsed_s
        From the start of its first kernel to the end of its last.
    stages
        None in order.
    """

    name: str
    outcome: str
    notebook: NotebookNode
    content: bytes
    files: Mapping[str, FileLeft]
    elapsed_s: float
    stages: tuple[StageRun, ...] = ()
    reason: str = ""

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Why stages did not do what was known of them, each in words."""
        return tuple(stage.conflict for stage in self.stages if stage.conflict)

    @property
    def at_once(self) -> int:
        """The most stages that have run at the same time."""
        steps = sorted(
            step
            for stage in self.stages
            if stage.started_at is not None and stage.ended_at is not None
            # An end counts before a start at the same moment.
            for step in ((stage.started_at, 1), (stage.ended_at, -1))
        )
        most = now = 0
        for _, change in steps:
            now += change
            most = max(most, now)
        return most


def in_order(place: Workplace, *, env: Mapping[str, str] | None = None) -> Way:
    """Run the notebook from top to bottom in one kernel, which may get some more variables.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it is not fit to run.
    nbflow.core.errors.NbflowError
        If it could not even begin.
    """
    return _run(place, "in order", None, env or {})


def by_cells(place: Workplace, schedule: Schedule) -> Way:
    """Run the notebook by cells; arguments and errors as of `in_order`."""
    return _run(place, f"by cells ({schedule})", schedule, {})


def _run(place: Workplace, name: str, schedule: Schedule | None, env: Mapping[str, str]) -> Way:
    asked = place.asked
    asked.told(name)
    seen = place.renew()
    notebook = _prepared(asked.notebook, schedule, env)
    flow = load_notebook(notebook, flow_class=ScheduledFlow)
    flow.schedule = schedule
    run = flow.start(params=asked.params, cluster=asked.cluster, home=place.home)
    try:
        run.join(progress=False)
    except RunFailed:
        # How it has failed is to be compared.
        pass
    finally:
        state = run.view().run
    node = run[_whole(state)]
    why = node.reason.message if node.reason is not None else ""
    notebook, content = node.notebook, node.notebook_bytes
    run.close()
    if notebook is None or content is None:
        raise NbflowError(f"{asked.notebook.place} could not be run {name}: {why}")
    return Way(
        name=name,
        outcome=_outcome(state),
        notebook=notebook,
        content=content,
        files=seen.changes(),
        elapsed_s=_elapsed_s(state),
        stages=tuple(_stages(state)),
        reason=why,
    )


def _prepared(
    notebook: BareNotebook, schedule: Schedule | None, env: Mapping[str, str]
) -> BareNotebook:
    env = {**_SEED, **(notebook.options.env or {}), **env}
    return replace(notebook, options=replace(notebook.options, env=env, cells=schedule is not None))


def _whole(state: RunState) -> str:
    """Return the node that is the notebook as a whole."""
    return next(name for name, node in state.graph.nodes.items() if not node.is_stage)


def _outcome(state: RunState) -> str:
    node = state[_whole(state)]
    if node.state is not NodeState.FAILED:
        return str(node.state)
    kind = node.reason.kind if node.reason is not None else "error"
    if node.error is None:
        return f"failed ({kind})"
    where = "" if node.error.cell is None else f" in the cell at {node.error.cell}"
    return f"failed ({kind}): {node.error.type}{where}"


def _elapsed_s(state: RunState) -> float:
    nodes = [state[name] for name in state.graph.nodes]
    started = [node.started_at for node in nodes if node.started_at is not None]
    ended = [node.ended_at for node in nodes if node.ended_at is not None]
    return max(ended) - min(started) if started and ended else 0.0


def _stages(state: RunState) -> Iterator[StageRun]:
    for name, spec in state.graph.nodes.items():
        if not isinstance(spec.code, NotebookCode) or spec.code.stage is None:
            continue
        node = state[name]
        reason = node.reason
        conflict = reason.message if reason is not None and reason.kind == "conflict" else ""
        cells = spec.code.stage.numbers
        yield StageRun(name, cells, node.state, node.started_at, node.ended_at, conflict)
