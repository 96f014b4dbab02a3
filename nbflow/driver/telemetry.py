"""What a driver hears besides facts: progress, samples, stacks, workers, remarks.

None of it is recorded, and nothing that the driver does depends on it. It is written in the loop's
thread and read from any other: each field is an immutable value that is replaced as a whole.

An attempt's samples are kept for its whole length, thinned out towards its beginning. Of nodes that
have ended, the latest keep theirs, for whoever looks at what happened.
"""

from collections import deque

from rpds import HashTrieMap

from nbflow.core.attempts import Printed, Progress, Sampled, WorkerNote, Workers, WorkerState
from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack
from nbflow.core.usage import Usage, with_sample

#: Nodes without an attempt whose samples are kept.
_ENDED_KEPT = 500


class Telemetry:
    """The latest of everything, by node. Made for one driver."""

    def __init__(self) -> None:
        self.progress: HashTrieMap[str, Progress] = HashTrieMap()
        self.usage: HashTrieMap[str, tuple[Usage, ...]] = HashTrieMap()
        self.stacks: HashTrieMap[str, Stack] = HashTrieMap()
        self.workers: tuple[WorkerState, ...] | None = None
        #: Remarks about the cluster, oldest first.
        self.notes: tuple[str, ...] = ()
        #: Which attempt's samples `usage` has.
        self._sampled: dict[str, AttemptId] = {}
        self._ended: deque[str] = deque()

    def note(self, report: WorkerNote | Workers) -> None:
        """Take in what concerns no attempt."""
        match report:
            case Workers(workers=workers):
                self.workers = workers
            case WorkerNote(message):
                self.notes = (*self.notes, message)

    def hear(self, report: Progress | Printed | Sampled | Stack) -> None:
        """Take in what concerns an attempt that is under way."""
        node = report.id.node
        match report:
            case Progress():
                self.progress = self.progress.insert(node, report)
                # The cell that it was taken in is over.
                self._forget_stack(node)
            case Printed():
                self._forget_stack(node)
            case Sampled(id=attempt, usage=usage):
                earlier = self.usage.get(node, ()) if self._sampled.get(node) == attempt else ()
                self._sampled[node] = attempt
                self.usage = self.usage.insert(node, with_sample(earlier, usage))
            case Stack():
                self.stacks = self.stacks.insert(node, report)

    def attempt_over(self, node: str) -> None:
        """Forget what is of no use once the node's attempt has ended."""
        self._forget_stack(node)
        if node in self.usage:
            self._ended.append(node)
        if len(self._ended) > _ENDED_KEPT:
            # It may have begun again meanwhile; then it will be told again, too.
            self.usage = self.usage.discard(self._ended.popleft())

    def _forget_stack(self, node: str) -> None:
        if node in self.stacks:
            self.stacks = self.stacks.discard(node)
