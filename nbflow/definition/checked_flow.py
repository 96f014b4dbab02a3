"""What the rules of a check look at: a flow, its nodes, and where their parts were written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbflow.core.errors import Problem
from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.definition.faults import did_you_mean
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.places import Where

#: So many misspelt names of one flow are compared with the known ones.
_HINTS = 10


@dataclass(frozen=True, slots=True)
class Placed:
    """A node, and where its parts were written."""

    spec: NodeSpec
    where: Where

    def problem(self, what: str, fix: str, *path: str, severity: str = "error") -> Problem:
        """Return a problem at the part `path` of the node."""
        return Problem(
            place=self.where(*path), what=what, fix=fix, node=self.spec.name, severity=severity
        )


class Hints:
    """Looks for what was meant, but not ten thousand times among ten thousand names."""

    def __init__(self) -> None:
        self._left = _HINTS

    def __call__(self, name: str, known: Iterable[str]) -> str:
        """Return ``Did you mean 'x'?``, or nothing once it has been asked too often."""
        if self._left == 0:
            return ""
        self._left -= 1
        return did_you_mean(name, known)


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """A flow, and what rules need besides."""

    spec: FlowSpec
    nodes: Sequence[Placed]
    by_name: Mapping[str, NodeSpec]
    kernels: frozenset[str] | None
    files: NotebookFiles
    hints: Hints
    #: The names of its nodes, for messages; made once, because there may be many of both.
    node_names: str
