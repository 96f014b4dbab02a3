"""A run in the hand: records events as a driver would, and checks the run after each."""

from collections.abc import Callable

import pytest

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.making import fingerprint_of
from nbflow.core.policies import Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import FailureKind, NodeState, Reason
from nbflow.core.values import FromOutput, Inline
from nbflow.testing.invariants import validate

NOW = 1_000.0


def make_node(
    name,
    *,
    after=(),
    wants=(),
    retries=0,
    continue_on_failure=False,
    effect="idempotent",
    cache=None,
    **more,
):
    """A node that comes `after` some, and `wants` output ``x`` of others."""
    return NodeSpec(
        name=name,
        code=FunctionCode(name),
        params={f"from_{source}": FromOutput(source, "x") for source in wants},
        after=tuple(after),
        policy=Policy(
            retries=Retry(times=retries),
            continue_on_failure=continue_on_failure,
            effect=effect,
            cache=cache,
        ),
        **more,
    )


class Story:
    """One run from its creation, record by record."""

    def __init__(self, flow: FlowSpec) -> None:
        self.records = [ev.Record("r", 1, 0, NOW, ev.RunCreated(flow, {}, "out"))]
        self.run, self.commands = m.begin(self.records[0])
        self.epoch = 0
        validate(self.run)

    def next_record(self, event):
        seq = self.run.seq + 1
        return ev.Record("r", seq, self.epoch, NOW + seq, event)

    def tell(self, *events):
        """Record events; return the commands that the last one gave."""
        for event in events:
            record = self.next_record(event)
            self.run, self.commands = m.apply(self.run, record)
            self.records.append(record)
            validate(self.run)
        return self.commands

    def claim(self):
        self.epoch += 1
        return self.tell(ev.RunClaimed("driver"))

    def reopen(self):
        self.epoch += 1
        return self.tell(ev.RunReopened("driver"))

    def schedule(self, name):
        made_of = fingerprint_of(self.run, name)
        return self.tell(ev.AttemptScheduled(name, self.run[name].attempt + 1, made_of))

    def start(self, name):
        self.schedule(name)
        return self.tell(ev.AttemptStarted(name, self.run[name].attempt, "w1", NOW))

    def succeed(self, name):
        self.start(name)
        return self.tell(self.success(name))

    def success(self, name):
        outputs = {output: Inline(1) for output in self.run.graph.wanted_outputs(name)}
        return ev.AttemptSucceeded(name, self.run[name].attempt, NOW, NOW + 1, outputs)

    def fail(self, name, kind: FailureKind = "error"):
        self.start(name)
        reason = Reason(kind, f"{name} broke")
        error = ev.ErrorInfo("ValueError", f"{name} broke", cell=2)
        return self.tell(
            ev.AttemptFailed(name, self.run[name].attempt, reason, ended_at=NOW + 2, error=error)
        )

    def lose(self, name, kind="worker_lost"):
        return self.tell(ev.AttemptLost(name, self.run[name].attempt, Reason(kind, "gone")))

    def state(self, name) -> NodeState:
        return self.run[name].state

    def reset(self, *names):
        return self.tell(*(ev.NodeReset(name, "resumed") for name in names))


@pytest.fixture
def story() -> Callable[..., Story]:
    """Make a story of the given nodes; with `claimed`, a driver holds the run already."""

    def make(*nodes: NodeSpec, claimed: bool = True) -> Story:
        told = Story(FlowSpec(name="f", nodes=nodes))
        if claimed:
            told.claim()
        return told

    return make


@pytest.fixture
def node():
    return make_node
