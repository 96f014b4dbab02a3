"""What a diagnosis rests on: one look at a run, and what is known besides.

Facts are plain values, so that every rule can be tried on made-up ones. `NodeFacts` is the part of
them that concerns one node, with the questions that several rules ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nbflow.core.attempts import Progress, WorkerState
from nbflow.core.diagnosis.words import place
from nbflow.core.expecting import Expectation
from nbflow.core.findings import Finding, FindingKind, Severity
from nbflow.core.ids import groups_of
from nbflow.core.run import NodeRun, Run
from nbflow.core.spec import NodeSpec
from nbflow.core.stacks import Stack, StackFrame, ThreadStack
from nbflow.core.states import IN_FLIGHT, NodeState, RunStatus
from nbflow.core.usage import Doing, Usage
from nbflow.core.view import RunView

#: The nodes whose worker was lost, as if they were a group; no group has an empty name.
SUSPECTS = ""

#: Calls of a stack that evidence shows, the innermost ones.
_FRAMES_SHOWN = 12

#: Samples over which a mean is taken.
_RECENT = 5


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a diagnosis rests on."""

    view: RunView
    #: Seconds since the epoch.
    now: float
    #: What is expected of each node, where anything is known.
    expected: Mapping[str, Expectation] = field(default_factory=dict)
    #: What commands need to find the run's home from here: `` --home H``, or nothing.
    home_option: str = ""

    @property
    def run(self) -> Run:
        """The run's state."""
        return self.view.run

    @property
    def workers(self) -> tuple[WorkerState, ...] | None:
        """The workers, as far as a live driver tells; None if nobody does."""
        return self.view.workers if self.view.driven else None

    @property
    def slots(self) -> int | None:
        """How many attempts the cluster runs at once; None if nobody tells."""
        return None if self.workers is None else sum(worker.threads for worker in self.workers)

    def command(self, name: str, *words: str) -> str:
        """Return a command line about this run: ``nbflow cancel RUN``."""
        return " ".join((f"nbflow {name} {self.run.id}", *words)) + self.home_option

    def in_state(self, *states: NodeState) -> list[str]:
        """Return the nodes in these states, state by state, in the order of the flow."""
        return [name for state in states for name in self._by_state.get(state, ())]

    @cached_property
    def worker_of(self) -> Mapping[str, WorkerState]:
        """The workers by address."""
        return {worker.address: worker for worker in self.workers or ()}

    @cached_property
    def holders(self) -> Mapping[str | None, list[str]]:
        """Nodes that hold a place: of each limited group, and of the flow under None."""
        limits = self.run.graph.spec.limits
        found: dict[str | None, list[str]] = {None: self.in_state(*IN_FLIGHT), SUSPECTS: []}
        for name in found[None]:
            for group in groups_of(name):
                if group in limits.groups:
                    found.setdefault(group, []).append(name)
            if self.run[name].losses:
                found[SUSPECTS].append(name)
        return found

    @cached_property
    def _by_state(self) -> Mapping[NodeState, list[str]]:
        found: dict[NodeState, list[str]] = {}
        nodes = self.run.nodes
        for name in self.run.graph.nodes:
            found.setdefault(nodes[name].state, []).append(name)
        return found

    @property
    def status(self) -> RunStatus:
        """Where the run stands, seen from outside."""
        if self.run.ended_at is None and not self.view.driven:
            return RunStatus.INTERRUPTED
        return self.run.status


@dataclass(frozen=True)
class NodeFacts:
    """What is known of one node."""

    facts: Facts
    name: str

    @cached_property
    def node(self) -> NodeRun:
        """Where it stands."""
        return self.facts.run[self.name]

    @cached_property
    def spec(self) -> NodeSpec:
        """What it is."""
        return self.facts.run.graph.nodes[self.name]

    @cached_property
    def elapsed_s(self) -> float:
        """Seconds since its attempt started; 0 before that."""
        return self.facts.view.elapsed_s(self.name, self.facts.now) or 0.0

    @property
    def expectation(self) -> Expectation | None:
        """What is expected of it."""
        return self.facts.expected.get(self.name)

    @cached_property
    def samples(self) -> tuple[Usage, ...]:
        """Its latest samples, oldest first: of an attempt that runs, no other's."""
        begun_at = self.node.started_at or 0.0
        recent = self.facts.view.usage.get(self.name, ())[-_RECENT:]
        # The first sample of an attempt may be stamped just before the worker's announcement.
        return tuple(usage for usage in recent if usage.at >= begun_at - 1.0)

    @property
    def usage(self) -> Usage | None:
        """What it used last."""
        return self.samples[-1] if self.samples else None

    @property
    def doing(self) -> Doing:
        """What the thread that runs its cells does."""
        return Doing() if self.usage is None else self.usage.doing

    @property
    def cpu_percent(self) -> float:
        """Of one core, over the last seconds."""
        cpu = [usage.cpu_percent for usage in self.samples]
        return sum(cpu) / len(cpu) if cpu else 0.0

    @property
    def progress(self) -> Progress | None:
        """Which of its cells runs."""
        return self.facts.view.progress.get(self.name)

    @property
    def stack(self) -> Stack | None:
        """Its threads, if it has been silent for a while."""
        return self.facts.view.stacks.get(self.name)

    @property
    def frame(self) -> StackFrame | None:
        """The innermost line of the notebook that runs."""
        return None if self.stack is None else self.stack.cell_frame

    @property
    def cell(self) -> int | None:
        """Index of the cell that runs."""
        if self.frame is not None:
            return self.frame.cell
        return None if self.progress is None else self.progress.cell

    @property
    def place(self) -> str:
        """Where it is, in words; empty if nobody knows."""
        return place(self.cell, self.frame)

    @property
    def where(self) -> str:
        """What a summary speaks of: the place, or the node itself."""
        return self.place or self.name

    @property
    def worker(self) -> WorkerState | None:
        """The worker that it runs on, if that is known."""
        return self.facts.worker_of.get(self.node.worker)

    def finding(
        self,
        kind: FindingKind,
        severity: Severity,
        summary: str,
        *suggestions: str,
        since_s: float | None = None,
        **evidence: Any,
    ) -> Finding:
        """Return a finding about this node, with what is known of it as evidence."""
        expectation = self.expectation
        running = self._of_a_running_node() if self.node.state in IN_FLIGHT else {}
        return Finding(
            node=self.name,
            kind=kind,
            severity=severity,
            summary=summary,
            since_s=None if since_s is None else round(since_s, 3),
            expected_s=None if expectation is None else round(expectation.expected_s, 3),
            evidence={**running, **evidence},
            suggestions=tuple(text for text in suggestions if text),
        )

    def _of_a_running_node(self) -> dict[str, Any]:
        """Return the evidence that every finding about a running node has."""
        known: dict[str, Any] = {}
        if self.node.started_at is not None:
            known = {"elapsed_s": round(self.elapsed_s, 3), "worker": self.node.worker}
        if self.cell is not None:
            known["cell"] = self.cell
        if self.frame is not None:
            known |= {"line": self.frame.line, "function": self.frame.function}
            known["text"] = self.frame.text
        if self.usage is not None:
            doing = self.doing
            known |= {"state": doing.state, "call": doing.call, "target": doing.target}
            known |= {"timed": doing.timed, "cpu_percent": round(self.cpu_percent, 1)}
            known |= {"memory_bytes": self.usage.memory_bytes, "processes": self.usage.processes}
        if self.stack is not None:
            known["threads"] = [_shown(it) for it in self.stack.threads if not it.service]
        return known


def _shown(thread: ThreadStack) -> dict[str, Any]:
    """Return a thread as plain JSON, its innermost calls first."""
    lines = [
        f"{frame.file}:{frame.line} {frame.function}" + (f": {frame.text}" if frame.text else "")
        for frame in thread.frames[:_FRAMES_SHOWN]
    ]
    return {"name": thread.name, "main": thread.main, "call": thread.call, "frames": lines}
