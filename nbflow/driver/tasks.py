"""Attempts as tasks for the cluster, and the bytes that come back with their outcomes.

Where workers share the artifact store, only references travel. Where they do
not, this is the place that packs an attempt's inputs into its task and unpacks
its outputs into the store, so that the loop need not know the difference. How much is on its
way at a time is the frontier's to say, which is told the size (`TaskMaker.cargo`).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from nbflow.core import events as ev
from nbflow.core.attempts import AttemptTask, Checkpointed, Outcome
from nbflow.core.errors import ArtifactError
from nbflow.core.frontier import Cargo
from nbflow.core.ids import AttemptId
from nbflow.core.machine import Run, resolve_params
from nbflow.core.run import NodeRun
from nbflow.core.spec import Code, NotebookCode
from nbflow.core.stage_results import EMITTED, VALUE, StageResult
from nbflow.core.states import Reason
from nbflow.core.values import (
    Artifact,
    FromOutput,
    NotText,
    Value,
    artifacts_in,
    describe_reference,
)
from nbflow.ports import ArtifactStore

_MADE_AGAIN = "`nbflow verify` says which node makes it again"

#: Inputs of an attempt that are no burden to anyone, in bytes.
LIGHT_BYTES = 1 << 18


class TaskMaker:
    """Makes the tasks of one run.

    Parameters
    ----------
    store
        The driver's artifact store.
    writer
        The thread that reads and writes it.
    run
        The run, in any state.
    shares_store
        Whether workers reach the store themselves.
    heard
        Whether somebody listens to what cells print.
    traceparent
        As of `Surroundings`.
    """

    def __init__(
        self,
        store: ArtifactStore,
        writer: ThreadPoolExecutor,
        *,
        run: Run,
        shares_store: bool,
        heard: bool = False,
        traceparent: Callable[[AttemptId], str] = lambda _: "",
    ) -> None:
        self._output_dir = run.output_dir
        self._nodes = run.graph.nodes
        self._heard = heard
        self._traceparent = traceparent
        self._store = store
        self._writer = writer
        self._shares_store = shares_store
        self._prepared: dict[AttemptId, AttemptTask] = {}
        #: Artifacts that the writer has read for the tasks which it packs just now.
        self._shared: dict[str, bytes] = {}
        self._received: list[Outcome] = []
        #: Bytes of checkpoints that came from workers which do not share the store.
        self._carried: dict[str, bytes] = {}

    def prepare(self, run: Run, attempt: AttemptId) -> ev.AttemptFailed | None:
        """Make the task of `attempt`; return the failure if its parameters cannot be resolved."""
        try:
            params = resolve_params(run, attempt.node)
        except KeyError as missing:
            (reference,) = missing.args
            return _invalid_input(attempt, _missing(reference))
        except NotText as error:
            return _invalid_input(attempt, f"{error}. Hand it on as a parameter of its own")
        node = run.graph.nodes[attempt.node]
        code, path = _code_of(run, attempt.node), None
        if isinstance(node.code, NotebookCode):
            path = str(notebook_path(run.output_dir, attempt.node, node.code))
        self._prepared[attempt] = AttemptTask(
            id=attempt,
            code=code,
            params=params,
            outputs=run.graph.wanted_outputs(attempt.node),
            timeout=node.policy.timeout,
            memory_bytes=node.policy.memory_bytes,
            output_limit=node.policy.output_limit,
            cpus=node.policy.cpus,
            nice=node.policy.nice,
            start_timeout_s=node.policy.start_timeout_s,
            preload=run.graph.spec.preload,
            priority=node.policy.priority,
            resources=node.policy.resources,
            store=self._store.ref,
            notebook_path=path,
            checkpoint=run[attempt.node].checkpoint,
            checkpoint_s=node.policy.checkpoint_s,
            careful=node.policy.effect == "at_most_once",
            heard=self._heard,
            flow=run.graph.spec.name,
            traceparent=self._traceparent(attempt),
            stages=_stages_of(run, code),
        )
        return None

    def cargo(self, run: Run, node: str) -> Cargo | None:
        """Return what would travel with the next attempt of `node`; None if nothing does."""
        if self._shares_store:
            return None
        try:
            values: list[Value] = list(resolve_params(run, node).values())
        except (KeyError, NotText):
            return None  # `prepare` says what is missing
        if (checkpoint := run[node].checkpoint) is not None:
            values += [checkpoint.namespace, checkpoint.notebook]
        for stage in _stages_of(run, _code_of(run, node)).values():
            values += [*stage.outputs.values(), *([stage.notebook] if stage.notebook else [])]
        sizes = {each.digest: each.size_bytes for value in values for each in artifacts_in(value)}
        size_bytes = sum(sizes.values())
        # Small ones do not wait for large ones, nor for those that only few workers may take.
        kind = "light" if size_bytes <= LIGHT_BYTES else "heavy"
        resources = sorted(run.graph.nodes[node].policy.resources.items())
        return Cargo(f"/{kind} {resources}", size_bytes) if sizes else None

    async def take(
        self, attempts: Sequence[AttemptId]
    ) -> tuple[list[AttemptTask], dict[AttemptId, Reason]]:
        """Return the prepared tasks, with their inputs' bytes where workers need them.

        Besides, why an attempt has no task: its inputs cannot be read.
        """
        tasks = [self._prepared.pop(attempt) for attempt in attempts]
        if self._shares_store:
            return tasks, {}
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, self._all_packed, tasks)

    def received(self, outcome: Outcome) -> None:
        """Keep an outcome's bytes for `store_received`."""
        if outcome.carried:
            self._received.append(outcome)

    def received_checkpoint(self, report: Checkpointed) -> None:
        """Keep a checkpoint's bytes for `store_received`."""
        self._carried.update(report.carried)

    async def store_received(self) -> None:
        """Make the bytes that came with outcomes durable.

        Raises
        ------
        nbflow.core.errors.ArtifactError
            If the store cannot be written.
        """
        loop = asyncio.get_running_loop()
        if self._carried:
            carried, self._carried = self._carried, {}
            for data in carried.values():
                await loop.run_in_executor(self._writer, self._store.put, data, "file")
        if self._received:
            received, self._received = self._received, []
            await loop.run_in_executor(self._writer, self._unpack, received)

    def _all_packed(
        self, tasks: Sequence[AttemptTask]
    ) -> tuple[list[AttemptTask], dict[AttemptId, Reason]]:
        packed, failures = [], {}
        for task in tasks:
            try:
                packed.append(self._packed(task))
            except ArtifactError as error:
                message = f"what it receives cannot be read: {error}. {_MADE_AGAIN}"
                failures[task.id] = Reason("invalid_input", message)
        self._shared.clear()
        return packed, failures

    def _packed(self, task: AttemptTask) -> AttemptTask:
        digests = {task.code.digest}
        for value in task.params.values():
            digests.update(artifact.digest for artifact in artifacts_in(value))
        for stage in task.stages.values():
            digests.update(
                artifact.digest
                for value in [*stage.outputs.values(), stage.notebook]
                if value is not None
                for artifact in artifacts_in(value)
            )
        carried = {digest: self._bytes(digest) for digest in sorted(digests)}
        if task.checkpoint is not None:
            # Where it is lost, the worker misses it, starts over, and says so.
            with suppress(ArtifactError):
                for artifact in (task.checkpoint.namespace, task.checkpoint.notebook):
                    carried[artifact.digest] = self._store.get(artifact.digest)
        return msgspec.structs.replace(task, carried=carried)

    def _bytes(self, digest: str) -> bytes:
        """Read an artifact; the tasks that are packed together have the same bytes."""
        if digest not in self._shared:
            self._shared[digest] = self._store.get(digest)
        return self._shared[digest]

    def _unpack(self, received: list[Outcome]) -> None:
        for outcome in received:
            for artifact in _artifacts_of(outcome):
                if artifact.digest in outcome.carried:
                    self._store.put(outcome.carried[artifact.digest], artifact.kind)
            if outcome.notebook is not None:
                # A worker that shares the store has saved the notebook there itself.
                code = self._nodes[outcome.id.node].code
                assert isinstance(code, NotebookCode)
                target = notebook_path(self._output_dir, outcome.id.node, code)
                self._store.materialise(outcome.notebook.digest, target)


def notebook_path(output_dir: str, node: str, code: NotebookCode) -> Path:
    """Return where the executed notebook of `node` is kept for people."""
    return Path(code.papermill.saved_to or f"{output_dir}/{node}.ipynb")


def _code_of(run: Run, node: str) -> Code:
    """Return what the next attempt runs; one that is tried again runs its cells in order."""
    code = run.graph.nodes[node].code
    if isinstance(code, NotebookCode) and code.stages and run[node].failures:
        return msgspec.structs.replace(code, stages=())
    return code


def _stages_of(run: Run, code: Code) -> dict[str, StageResult]:
    """Return how the stages of a notebook have ended, with what they bring for the whole of it."""
    if not isinstance(code, NotebookCode):
        return {}
    return {place.node: _stage_result(run[place.node]) for place in code.stages}


def _stage_result(stage: NodeRun) -> StageResult:
    outputs = {
        name: value for name, value in stage.outputs.items() if name.startswith((EMITTED, VALUE))
    }
    return StageResult(stage.state, outputs, stage.notebook, stage.reason, stage.error)


def _artifacts_of(outcome: Outcome) -> list[Artifact]:
    values: list[Value] = list(outcome.outputs.values())
    artifacts = [artifact for value in values for artifact in artifacts_in(value)]
    return artifacts + [extra for extra in (outcome.notebook, outcome.log) if extra is not None]


def _missing(reference: FromOutput) -> str:
    return (
        f"{describe_reference(reference)} does not exist: {reference.node} ended without it. "
        f"Define the variable {reference.output!r} there, or emit it"
    )


def _invalid_input(attempt: AttemptId, message: str) -> ev.AttemptFailed:
    return ev.AttemptFailed(attempt.node, attempt.number, Reason("invalid_input", message))
