"""The state of a run, and the questions that can be answered by looking at it.

Both structs are immutable. Node runs live in a persistent map, so that a step
copies a few tree nodes and not ten thousand entries, and every snapshot may be handed to other
threads. Only `machine.apply` makes new ones.
"""

import msgspec
from rpds import HashTrieMap

from nbflow.core.events import Checkpoint, ErrorInfo
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.graph import Graph
from nbflow.core.spec import NotebookCode
from nbflow.core.states import ENDED, NOT_RETRIED, NodeState, Reason, RunStatus
from nbflow.core.usage import UsageSum
from nbflow.core.values import Artifact, FromOutput, Value, resolve


class Earlier(msgspec.Struct, frozen=True):
    """What a node had brought when it was reset."""

    fingerprint: Fingerprint
    outputs: dict[str, Value]
    notebook: Artifact | None
    log: Artifact | None
    started_at: float | None
    ended_at: float | None
    #: As of `NodeRun`, where the result came from another run.
    source: str = ""
    saved_s: float = 0.0


class NodeRun(msgspec.Struct, frozen=True):
    """One node within one run."""

    state: NodeState
    #: Distinct upstream nodes that do not let this node pass. True of every node that
    #: is not settled; what it was when a node settled says nothing.
    missing: int
    #: The number of the latest attempt; 0 before the first.
    attempt: int = 0
    #: The epoch of the driver that has scheduled it. A node that was dropped from the flow and came
    #: back counts its attempts from one again; with the epoch, each is told from all others.
    epoch: int = 0
    #: Failed attempts since the node was last reset.
    failures: int = 0
    #: Workers lost in a row.
    losses: int = 0
    reason: Reason | None = None
    error: ErrorInfo | None = None
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None
    worker: str = ""
    scheduled_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    #: What the latest attempt has used in all; None before its end, and where nobody could look.
    usage: UsageSum | None = None
    #: When the next attempt may start; only while backing off.
    due_at: float | None = None
    #: What the latest attempt, or the cached result, is made of.
    fingerprint: Fingerprint | None = None
    #: What may stand again; only from a reset to the next attempt.
    earlier: Earlier | None = None
    #: From where the next attempt may go on.
    checkpoint: Checkpoint | None = None
    #: Somebody wants it to run again, whatever it or other runs have done; until the next attempt.
    forced: bool = False
    #: A node that is declared at most once may begin all the same: a person has decided so, or
    #: nothing of its latest attempt had run. Until it does, or an earlier result stands after all.
    may_repeat: bool = False
    #: The run whose result stands for this node's, and the seconds that it took there.
    source: str = ""
    saved_s: float = 0.0

    @property
    def is_cached(self) -> bool:
        """Whether the result of another run stands for this node's."""
        return bool(self.source)

    @property
    def has_result(self) -> bool:
        """Whether the node's outputs are there to be used."""
        return self.state is NodeState.SUCCEEDED or (
            self.state is NodeState.SKIPPED and self.is_cached
        )


class Run(msgspec.Struct, frozen=True):
    """The state of a run: a fold of its journal."""

    id: str
    graph: Graph
    params: dict[str, Value]
    status: RunStatus
    nodes: "HashTrieMap[str, NodeRun]"
    #: Nodes that are not settled: they, or the driver, have something left to do.
    open: int
    seq: int
    epoch: int
    created_at: float
    output_dir: str
    #: Settled nodes that keep the run from being a success (see `spoils`).
    failed: int = 0
    ended_at: float | None = None
    #: Names of the parameters that were given for this run.
    given: tuple[str, ...] = ()
    #: The run whose results this one began with.
    forked_from: str = ""

    def __getitem__(self, node: str) -> NodeRun:
        return self.nodes[node]


def retry_owed(run: Run, name: str, node: NodeRun) -> bool:
    """Whether a failed node has tries left."""
    return (
        node.state is NodeState.FAILED
        and (node.reason is None or node.reason.kind not in NOT_RETRIED)
        and node.failures <= run.graph.nodes[name].policy.retries.times
        and run.graph.nodes[name].policy.effect != "at_most_once"
    )


def settled(run: Run, name: str, node: NodeRun) -> bool:
    """Whether `node` has ended and nothing will start it again within this run."""
    return node.state in ENDED and not retry_owed(run, name, node)


def spoils(run: Run, name: str, node: NodeRun) -> bool:
    """Whether `node` keeps its run from being a success.

    Failed nodes do. So do cancelled ones, and those skipped behind either: a resume
    may have mended the cause without running them. Stages of a notebook never do: the node that
    puts them together comes after them however they end, and says what their notebook has come to.
    """
    if run.graph.nodes[name].is_stage:
        return False
    if node.state is NodeState.SKIPPED:
        return node.reason is not None and node.reason.kind == "upstream_failed"
    return node.state is NodeState.CANCELLED or (
        node.state is NodeState.FAILED and settled(run, name, node)
    )


def lets_pass(run: Run, source: str, target: str, node: NodeRun) -> bool:
    """Whether `source`, which stands as `node`, no longer holds up `target`.

    A success does, here or in the run that it was taken from. So does a failed or skipped node
    that is declared `continue_on_failure`, but only for nodes that merely come after it: whoever
    wants its output cannot have it. The node that puts stages together waits for no success.
    """
    if node.has_result:
        return True
    if node.state is NodeState.FAILED or node.state is NodeState.SKIPPED:
        return (
            _goes_on(run, source, target)
            and (source, target) not in run.graph.data_pairs
            and settled(run, source, node)
        )
    return False


def _goes_on(run: Run, source: str, target: str) -> bool:
    nodes = run.graph.nodes
    if nodes[source].is_stage:
        # What puts the stages of a notebook together wants to know how each has ended; another
        # stage would go on where a run from top to bottom had stopped.
        return bool(nodes[target].stages)
    return nodes[source].policy.continue_on_failure


def missing_upstream(run: Run, name: str) -> int:
    """Count the distinct upstream nodes that do not let `name` pass."""
    return sum(
        not lets_pass(run, source, name, run.nodes[source]) for source in run.graph.upstream[name]
    )


def must_not_repeat(run: Run, name: str) -> bool:
    """Whether another attempt of `name` needs a person's decision."""
    node = run.nodes[name]
    return (
        run.graph.nodes[name].policy.effect == "at_most_once"
        and node.attempt > 0
        and not node.may_repeat
    )


def resolve_params(run: Run, node: str) -> dict[str, Value]:
    """Return the parameters of `node` with every reference replaced by its value.

    Raises
    ------
    KeyError
        If an output that a parameter refers to does not exist (its key is the reference).
    nbflow.core.values.NotText
        If a text refers to something that is not a plain scalar.
    """

    def output(reference: FromOutput) -> Value:
        outputs = run[reference.node].outputs
        if reference.output not in outputs:
            raise KeyError(reference)
        return outputs[reference.output]

    bindings = run.graph.nodes[node].params
    return {
        name: resolve(binding, run.params, output)
        for name, binding in bindings.items()
        if not (isinstance(binding, FromOutput) and _is_unbound(run, node, binding))
    }


def _is_unbound(run: Run, node: str, reference: FromOutput) -> bool:
    """Whether a stage would take a variable that does not exist after another has succeeded.

    Its cells bind it only sometimes, or it has been deleted. Who does not find it in a run from top
    to bottom does not find it here.
    """
    giver = run.graph.nodes[reference.node]
    return (
        run.graph.nodes[node].is_stage
        and isinstance(giver.code, NotebookCode)
        and giver.code.stage is not None
        and reference.output not in giver.code.stage.optional
        and run[reference.node].has_result
        and reference.output not in run[reference.node].outputs
    )
