import msgspec
import pytest

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Policy, Retry
from nbflow.core.run import Earlier, NodeRun, Run, settled, spoils
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import NodeState, Reason, RunStatus
from nbflow.core.values import Inline
from nbflow.testing.invariants import validate

ERROR = Reason("error", "broke")
SKIP = Reason("upstream_failed", "a failed")
EARLIER = Earlier(Fingerprint("code"), {}, None, None, 1.0, 2.0)


@pytest.fixture
def run() -> Run:
    """A running run of ``a``, and ``b`` after it; ``b`` may be retried once."""
    code = FunctionCode("f")
    flow = FlowSpec(
        name="f",
        nodes=(
            NodeSpec(name="a", code=code, outputs=("x",)),
            NodeSpec(name="b", code=code, after=("a",), policy=Policy(retries=Retry(1))),
        ),
    )
    created, _ = m.begin(ev.Record("r", 1, 0, 0.0, ev.RunCreated(flow, {}, "out")))
    claimed, _ = m.apply(created, ev.Record("r", 2, 1, 0.0, ev.RunClaimed("d")))
    return claimed


def test_a_run_that_only_the_machine_has_touched_is_valid(run):
    validate(run)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"open": 1}, "open says 1, a recount 2"),
        ({"failed": 1}, "failed says 1, a recount 0"),
        ({"ended_at": 3.0}, "ended_at must be set while the run has ended, and only then"),
        ({"status": RunStatus.SUCCEEDED, "ended_at": 1.0}, "an ended run must have no open node"),
        ({"status": RunStatus.INTERRUPTED}, "interrupted is what observers see"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(run, fields, message):
    with pytest.raises(AssertionError, match=rf"run r \(.*, seq 2\): {message}"):
        validate(msgspec.structs.replace(run, **fields))


def test_the_nodes_are_those_of_the_graph(run):
    broken = msgspec.structs.replace(run, nodes=run.nodes.remove("b"))
    with pytest.raises(AssertionError, match="exactly the nodes of its graph"):
        validate(broken)


@pytest.mark.parametrize(
    ("name", "node", "message"),
    [
        ("b", NodeRun(NodeState.WAITING, 0), "missing says 0, a recount 1"),
        ("b", NodeRun(NodeState.READY, 1), "what is ready must miss nothing"),
        ("b", NodeRun(NodeState.WAITING, 1, due_at=3.0), "due_at must be set while backing off"),
        ("a", NodeRun(NodeState.READY, 0, failures=1), "must not outnumber attempts"),
        ("a", NodeRun(NodeState.QUEUED, 0), "must have a number and a time"),
        (
            "a",
            NodeRun(NodeState.READY, 0, forced=True, earlier=EARLIER),
            "have nothing that stands",
        ),
        (
            "a",
            NodeRun(NodeState.RUNNING, 0, attempt=1, scheduled_at=1.0),
            "an attempt has started when it runs, and only then",
        ),
        (
            "a",
            NodeRun(NodeState.QUEUED, 0, attempt=1, scheduled_at=1.0, ended_at=2.0),
            "must not have ended",
        ),
        (
            "b",
            NodeRun(NodeState.BACKING_OFF, 1, attempt=2, failures=2, reason=ERROR, due_at=1.0),
            "there must be tries left",
        ),
        (
            "b",
            NodeRun(NodeState.BACKING_OFF, 1, attempt=1, due_at=1.0),
            "a retry must follow a failure with a reason",
        ),
        (
            "b",
            NodeRun(
                NodeState.BACKING_OFF,
                1,
                attempt=1,
                failures=1,
                due_at=1.0,
                reason=Reason("invalid_input", "no"),
            ),
            "invalid_input must not be retried",
        ),
    ],
)
def test_what_is_wrong_with_an_open_node_is_named(run, name, node, message):
    broken = msgspec.structs.replace(run, nodes=run.nodes.insert(name, node))
    with pytest.raises(AssertionError, match=f"node '{name}' \\({node.state}\\): .*{message}"):
        validate(broken)


def counted(run, **nodes):
    """Put `nodes` into `run`, with true counters."""
    for name, node in nodes.items():
        run = msgspec.structs.replace(run, nodes=run.nodes.insert(name, node))
    return msgspec.structs.replace(
        run,
        open=sum(not settled(run, name, node) for name, node in nodes.items()),
        failed=sum(spoils(run, name, node) for name, node in nodes.items()),
    )


def ended(state, **fields):
    return NodeRun(state, 0, **{"attempt": 1, "started_at": 1.0, "ended_at": 2.0, **fields})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (ended(NodeState.SUCCEEDED), "the outputs that were asked for, \\['x'\\] too"),
        (ended(NodeState.SUCCEEDED, reason=ERROR), "neither reason nor error"),
        (ended(NodeState.SUCCEEDED, attempt=0), "must have been attempted"),
        (ended(NodeState.SUCCEEDED, forced=True), "have nothing that stands"),
        (ended(NodeState.SUCCEEDED, may_repeat=True), "must not be allowed to repeat"),
        (ended(NodeState.SUCCEEDED, ended_at=None), "must say when it ended"),
        (ended(NodeState.FAILED, failures=1), "must carry a reason of failure"),
        (ended(NodeState.FAILED, failures=1, reason=SKIP), "must carry a reason of failure"),
        (ended(NodeState.FAILED, reason=ERROR), "must have been counted"),
        (ended(NodeState.SKIPPED), "must carry a reason for skipping"),
        (
            ended(NodeState.SKIPPED, reason=SKIP, error=ev.ErrorInfo("E", "m")),
            "must not carry an error",
        ),
    ],
)
def test_what_is_wrong_with_an_ended_node_is_named(run, node, message):
    broken = counted(run, a=node, b=NodeRun(NodeState.WAITING, 1))
    if node.state is NodeState.SUCCEEDED:
        broken = counted(run, a=node, b=NodeRun(NodeState.READY, 0))
    with pytest.raises(AssertionError, match=f"node 'a' \\({node.state}\\): .*{message}"):
        validate(broken)


FAILED = ended(NodeState.FAILED, failures=1, reason=ERROR)
SKIPPED = ended(NodeState.SKIPPED, reason=SKIP, attempt=0)
SUCCEEDED = ended(NodeState.SUCCEEDED, outputs={"x": Inline(1)})


@pytest.mark.parametrize(
    ("status", "nodes", "message"),
    [
        (RunStatus.SUCCEEDED, (FAILED, SKIPPED), "with failed nodes must not have succeeded"),
        (RunStatus.FAILED, (SUCCEEDED, SUCCEEDED), "a failed run must have a node that failed"),
        (RunStatus.SUBMITTED, (SUCCEEDED, SUCCEEDED), "must have no attempts"),
    ],
)
def test_what_is_wrong_with_the_end_of_a_run_is_named(run, status, nodes, message):
    broken = counted(run, **dict(zip("ab", nodes, strict=True)))
    ended_at = None if status is RunStatus.SUBMITTED else 9.0
    with pytest.raises(AssertionError, match=message):
        validate(msgspec.structs.replace(broken, status=status, ended_at=ended_at))


def test_a_run_must_not_end_while_a_retry_is_owed(run):
    retried = counted(run, a=SUCCEEDED, b=FAILED)
    broken = msgspec.structs.replace(retried, status=RunStatus.FAILED, ended_at=9.0, open=0)
    with pytest.raises(AssertionError, match="open says 0, a recount 1"):
        validate(broken)
