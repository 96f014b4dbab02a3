"""Checkpoints of an attempt: where they come from, and where they go.

A stored checkpoint is durable before it is told. A worker that does not share the store sends its
bytes along, as far as they are few.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
from nbformat import NotebookNode

from nbflow.artifacts import digest_of
from nbflow.core.attempts import AttemptTask, Checkpointed, WorkerNote
from nbflow.core.errors import ArtifactError
from nbflow.core.events import Checkpoint
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Artifact
from nbflow.kernels import Kernel
from nbflow.notebooks.checkpoints import (
    Earlier,
    Keeper,
    Notes,
    Plan,
    Unresumable,
    fetch,
    plan_checkpoints,
    prefix_digest,
    restore,
)
from nbflow.notebooks.masking import Mask
from nbflow.notebooks.parameters import is_python
from nbflow.notebooks.reading import KernelChoice
from nbflow.ports import ArtifactStore
from nbflow.worker.carrying import CarriedStore
from nbflow.worker.secrets import holding_secrets
from nbflow.worker.telling import Told

#: More is not sent to a driver whose store this worker does not see.
_CARRIED_LIMIT_BYTES = 64_000_000
_HASH_SEED = "PYTHONHASHSEED"


class Checkpointing:
    """The checkpoints of one attempt.

    Parameters
    ----------
    task
        The attempt.
    notebook
        As it is to be run.
    choice
        The kernel that runs it.
    folder
        The attempt's own.
    store
        Where checkpoints are, and go.
    mask
        Knows the secrets.
    tell
        Receives what is to be told.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        task: AttemptTask,
        notebook: NotebookNode,
        choice: KernelChoice,
        folder: Path,
        *,
        store: ArtifactStore,
        mask: Mask,
        tell: Callable[[Told], None],
        clock: Callable[[], float],
    ) -> None:
        assert isinstance(task.code, NotebookCode)
        self._task = task
        self._code = task.code
        self._notebook = notebook
        self._choice = choice
        self._folder = folder
        self._store = store
        self._mask = mask
        self._tell = tell
        self._clock = clock
        self._plan: Plan | None = None
        self._keeper: Keeper | None = None
        self._notes = Notes(notebook, self._note, mask.text)

    def plan(self) -> AttemptTask:
        """Look at the notebook, and return the task as its kernel is to be started. Blocks."""
        self._plan = plan_checkpoints(
            self._notebook,
            every_s=self._task.checkpoint_s,
            python=is_python(self._choice),
            hidden=holding_secrets(self._task.params),
        )
        if self._plan is None or self._plan.unfit or _HASH_SEED in self._code.env:
            return self._task
        # The order of sets depends on it, and must be the same in each kernel that goes on.
        code = msgspec.structs.replace(self._code, env={**self._code.env, _HASH_SEED: "0"})
        return msgspec.structs.replace(self._task, code=code)

    async def earlier(self) -> Earlier | None:
        """Return where an earlier attempt was; None if there is nothing that can be used."""
        checkpoint = self._task.checkpoint
        if checkpoint is None:
            return None
        unfit = self._plan.unfit if self._plan else "the notebook asks for none any more"
        if unfit:
            self.starts_over(Unresumable(unfit))
            return None
        try:
            return await asyncio.to_thread(
                fetch,
                checkpoint,
                self._notebook,
                self._prefix(checkpoint.cell),
                store=self._store,
                folder=self._folder,
            )
        except Unresumable as error:
            self.starts_over(error)
            return None

    def keeper(self, kernel: Kernel) -> Keeper | None:
        """Return what stores the variables of `kernel`; None if nobody asks for that."""
        if self._plan is None:
            return None
        return Keeper(
            self._notebook,
            kernel,
            self._folder,
            self._plan,
            mask=self._mask,
            notes=self._notes,
            deliver=self._deliver,
        )

    async def restore(self, kernel: Kernel) -> None:
        """Make a fresh kernel what the earlier one was; `Unresumable` if it is not that now."""
        await restore(kernel, self._folder)

    def goes_on(self, earlier: Earlier) -> None:
        """Say that the notebook goes on."""
        self._notes.resumed(earlier.cell)

    def starts_over(self, error: Unresumable) -> None:
        """Say that it does not."""
        self._notes.started_over(str(error))

    async def _deliver(self, cell: int, package: Path, notebook: Path) -> int:
        """Make a checkpoint durable, tell of it, and return its size in bytes."""
        carried: dict[str, bytes] = {}
        if isinstance(self._store, CarriedStore):
            namespace, executed = (self._carried(path, carried) for path in (package, notebook))
        else:
            namespace = await asyncio.to_thread(self._store.put_file, package, "file")
            executed = await asyncio.to_thread(self._store.put_file, notebook, "notebook")
        checkpoint = Checkpoint(cell, self._prefix(cell), namespace, executed, self._clock())
        self._tell(Checkpointed(self._task.id, checkpoint, carried))
        return namespace.size_bytes

    def _carried(self, path: Path, carried: dict[str, bytes]) -> Artifact:
        size_bytes = path.stat().st_size
        if size_bytes > _CARRIED_LIMIT_BYTES:
            raise ArtifactError(
                f"{size_bytes:,} bytes are too much to be sent, and this worker does not see the "
                f"store. Let workers share it"
            )
        data = path.read_bytes()
        digest = digest_of(data)
        carried[digest] = data
        return Artifact("file", digest, size_bytes)

    def _prefix(self, count: int) -> str:
        return prefix_digest(
            self._notebook,
            count,
            code=self._code,
            params=self._task.params,
            kernel=self._choice.name,
        )

    def _note(self, text: str) -> None:
        self._tell(WorkerNote(f"{self._task.id.node} {text}"))
