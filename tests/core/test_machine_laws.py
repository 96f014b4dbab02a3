"""Laws that hold of every run, whatever happens to it in whatever order."""

import random
from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.decisions import Decision, event_of
from nbflow.core.making import fingerprint_of
from nbflow.core.policies import Policy, Retry
from nbflow.core.resuming import Wish, plan, recognized
from nbflow.core.spec import FlowSpec, FunctionCode, Identity, NodeSpec
from nbflow.core.states import (
    IN_FLIGHT,
    NODE_TRANSITIONS,
    RUN_ENDED,
    NodeState,
    Reason,
    RunStatus,
)
from nbflow.core.values import FromOutput, Inline
from nbflow.testing.invariants import validate

MOST_NODES = 7
LIVE = (RunStatus.RUNNING, RunStatus.CANCELLING)


@st.composite
def flows(draw, most_nodes=MOST_NODES, effects=("idempotent",)):
    """A random graph without cycles, with data and order edges and random policies."""
    nodes = []
    for number in range(draw(st.integers(0, most_nodes))):
        edges = {
            f"n{source}": draw(st.sampled_from(["none", "data", "order", "order"]))
            for source in range(number)
        }
        nodes.append(
            NodeSpec(
                name=f"n{number}",
                code=FunctionCode("f"),
                params={
                    f"p_{source}": FromOutput(source, "x")
                    for source, kind in edges.items()
                    if kind == "data"
                },
                after=tuple(s for s, kind in edges.items() if kind == "order"),
                policy=Policy(
                    retries=Retry(times=draw(st.integers(0, 2))),
                    continue_on_failure=draw(st.booleans()),
                    effect=draw(st.sampled_from(effects)),
                ),
            )
        )
    # The order in which nodes are written is no topological order.
    return FlowSpec(name="f", nodes=tuple(draw(st.permutations(nodes))))


class Driver:
    """Performs commands as a driver does; keeps what was issued and not yet performed."""

    def __init__(self, flow: FlowSpec) -> None:
        record = ev.Record("r", 1, 0, 0.0, ev.RunCreated(flow, {}, "out"))
        self.records = [record]
        self.epoch = 0
        self.run, commands = m.begin(record)
        self.issued = list(commands)

    def tell(self, event) -> None:
        record = ev.Record("r", self.run.seq + 1, self.epoch, float(self.run.seq), event)
        self.run, commands = m.apply(self.run, record)
        self.records.append(record)
        self.issued = [c for c in (*self.issued, *commands) if m.still_owed(self.run, c)]

    def claim(self) -> None:
        self.epoch += 1
        self.tell(ev.RunClaimed("d"))

    def perform(self, command: m.Command) -> None:
        match command:
            case m.StartAttempt(node, attempt):
                made_of = fingerprint_of(self.run, node)
                instead = recognized(self.run, node, made_of)
                if instead is not None:
                    self.tell(instead)
                    return
                self._check_start(node)
                self.tell(ev.AttemptScheduled(node, attempt, made_of))
            case m.CancelAttempt(node, attempt):
                self.tell(ev.NodeCancelled(node, attempt))
            case m.CancelNode(node):
                self.tell(ev.NodeCancelled(node))
            case m.SkipNode(node, reason):
                self.tell(ev.NodeSkipped(node, reason))
            case m.ScheduleRetry(node, attempt):
                self.tell(ev.RetryScheduled(node, attempt, due_at=9.0))
            case m.WaitForRetry(node, attempt):
                self.tell(ev.RetryDue(node, attempt))
            case m.EndRun(status):
                self.tell(ev.RunEnded(status))

    def report(self, node: str, what: str) -> None:
        attempt = self.run[node].attempt
        match what:
            case "started":
                self.tell(ev.AttemptStarted(node, attempt, "w", 1.0))
            case "succeeded":
                outputs = {name: Inline(1) for name in self.run.graph.wanted_outputs(node)}
                self.tell(ev.AttemptSucceeded(node, attempt, 1.0, 2.0, outputs))
            case "failed":
                self.tell(ev.AttemptFailed(node, attempt, Reason("error", f"<{node}> broke")))
            case "invalid":
                reason = Reason("invalid_input", f"<{node}> broke")
                self.tell(ev.AttemptFailed(node, attempt, reason))
            case "lost":
                self.tell(m.after_loss(self.run, node, f"<{node}> broke"))
            case "stopped":
                careful = is_careful(self.run, node)
                stopped = ev.AttemptInDoubt if careful else ev.AttemptLost
                self.tell(stopped(node, attempt, Reason("interrupted", "Ctrl-C")))
            case "withdrawn":
                self.tell(ev.AttemptLost(node, attempt, Reason("not_begun", "Ctrl-C")))

    def decide(self, node: str, verdict: str) -> None:
        succeeded = verdict == "succeeded"
        received = self.run.graph.received_outputs(node) if succeeded else ()
        decision = Decision(node, verdict, "me", {name: Inline(1) for name in received})
        self.tell(event_of(self.run, decision, 9.0))

    def in_doubt(self) -> list[str]:
        return [n for n, node in self.run.nodes.items() if node.state is NodeState.IN_DOUBT]

    def in_flight(self) -> list[str]:
        return [name for name, node in self.run.nodes.items() if node.state in IN_FLIGHT]

    def _check_start(self, name: str) -> None:
        """Law: whoever starts has been let pass by all, and has what it was promised."""
        graph = self.run.graph
        for source in graph.upstream[name]:
            node = self.run[source]
            assert m.lets_pass(self.run, source, name, node)
            if (source, name) in graph.data_pairs:
                assert node.has_result
        m.resolve_params(self.run, name)

    def finish(self, outcome: str = "succeeded") -> None:
        """Perform all that is owed and let all that runs end with `outcome`."""
        # Each node can be started, retried, and cancelled or skipped a few times at most.
        for _ in range(20 * (len(self.run.nodes) + 1)):
            if self.run.status in RUN_ENDED:
                return
            for name in self.in_flight():
                self.report(name, outcome)
            for name in self.in_doubt():
                self.decide(name, "succeeded")
            for command in m.obligations(self.run):
                if m.still_owed(self.run, command):
                    self.perform(command)
        raise AssertionError(f"the run is stuck: {self.run.nodes}")


class AnyLegalOrder(RuleBasedStateMachine):
    """Every legal thing may happen at any time."""

    # Few nodes: what goes wrong between two events seldom needs more than four.
    @initialize(flow=flows(most_nodes=4, effects=("idempotent", "idempotent", "at_most_once")))
    def create(self, flow):
        self.driver = Driver(flow)
        self.clean = True  # Neither cancelled nor resumed so far.
        self.driver.claim()

    @property
    def run(self):
        return self.driver.run

    @precondition(lambda self: self.driver.issued)
    @rule(data=st.data())
    def perform(self, data):
        self.driver.perform(data.draw(st.sampled_from(self.driver.issued)))

    @precondition(lambda self: self.driver.in_flight())
    @rule(
        data=st.data(), what=st.sampled_from(["succeeded", "failed", "invalid", "lost", "stopped"])
    )
    def report(self, data, what):
        self.driver.report(data.draw(st.sampled_from(sorted(self.driver.in_flight()))), what)

    @precondition(lambda self: any(n.state is NodeState.QUEUED for n in self.run.nodes.values()))
    @rule(data=st.data())
    def announce(self, data):
        queued = [name for name, n in self.run.nodes.items() if n.state is NodeState.QUEUED]
        self.driver.report(data.draw(st.sampled_from(sorted(queued))), "started")

    @precondition(lambda self: any(n.state is NodeState.QUEUED for n in self.run.nodes.values()))
    @rule(data=st.data())
    def withdraw(self, data):
        queued = [name for name, n in self.run.nodes.items() if n.state is NodeState.QUEUED]
        self.driver.report(data.draw(st.sampled_from(sorted(queued))), "withdrawn")

    @precondition(lambda self: self.driver.in_doubt() and self.run.status is RunStatus.RUNNING)
    @rule(data=st.data(), verdict=st.sampled_from(["succeeded", "failed", "retry"]))
    def decide(self, data, verdict):
        self.clean = False
        self.driver.decide(data.draw(st.sampled_from(sorted(self.driver.in_doubt()))), verdict)

    @precondition(lambda self: self.run.status is RunStatus.RUNNING)
    @rule()
    def cancel(self):
        self.clean = False
        self.driver.tell(ev.CancelRequested("me"))

    @precondition(lambda self: self.run.status in LIVE)
    @rule()
    def take_over(self):
        """Another driver forgets what this one was told, and asks the state."""
        self.driver.issued = []
        self.driver.claim()

    @precondition(lambda self: self.run.status in RUN_ENDED | {RunStatus.CANCELLING})
    @rule()
    def reopen(self):
        self.clean = False
        self.driver.epoch += 1
        self.driver.tell(ev.RunReopened("d"))

    @precondition(
        lambda self: (
            self.run.status is RunStatus.RUNNING
            and any(can_be_reset(node) for node in self.run.nodes.values())
        )
    )
    @rule(data=st.data(), kind=st.sampled_from(["resumed", "code", "upstream", "forced"]))
    def reset(self, data, kind):
        self.clean = False
        names = [name for name, node in self.run.nodes.items() if can_be_reset(node)]
        self.driver.tell(ev.NodeReset(data.draw(st.sampled_from(sorted(names))), "again", kind))

    @precondition(lambda self: self.run.status is RunStatus.RUNNING and not self.driver.in_flight())
    @rule(data=st.data())
    def change_the_flow(self, data):
        """Some nodes get other code, or what they had; one may go, and another come."""
        self.clean = False
        spec = self.run.graph.spec
        changed = data.draw(st.sets(st.sampled_from([n.name for n in spec.nodes] or ["n0"])))
        code = data.draw(st.sampled_from(["", "2"]))
        nodes = [
            msgspec.structs.replace(each, identity=Identity(code=code))
            if each.name in changed
            else each
            for each in spec.nodes
        ]
        if data.draw(st.booleans()):
            nodes.append(NodeSpec(name=f"m{self.run.seq}", code=FunctionCode("f")))
        leaves = [n for n in nodes if not self.run.graph.downstream.get(n.name)]
        if data.draw(st.booleans()) and leaves:
            nodes.remove(data.draw(st.sampled_from(leaves)))
        self.driver.tell(ev.FlowChanged(msgspec.structs.replace(spec, nodes=tuple(nodes)), {}))

    @precondition(lambda self: self.run.status is RunStatus.RUNNING and not self.driver.in_flight())
    @rule(data=st.data(), force=st.booleans())
    def resume_by_plan(self, data, force):
        self.clean = False
        names = sorted(self.run.nodes)
        begin_at = data.draw(st.sets(st.sampled_from(names))) if names else ()
        for step in plan(self.run, Wish(tuple(begin_at), force=force), {}):
            self.driver.tell(step)
        for name in begin_at or (names if force else ()):
            node = self.run[name]
            assert node.forced or node.state is NodeState.IN_DOUBT

    @invariant()
    def it_is_valid(self):
        validate(self.run)

    @invariant()
    def replay_equals_life(self):
        assert m.replay(self.driver.records) == self.run

    @invariant()
    def at_most_once_means_at_most_once(self):
        begun = Counter(
            record.node
            for record in self.driver.records
            if isinstance(record.event, ev.AttemptScheduled)
        )
        allowed = Counter(
            record.node
            for record in self.driver.records
            if isinstance(record.event, ev.AttemptLost)
            and record.event.reason.kind in ("resolved", "not_begun")
        )
        for name in self.run.graph.nodes:
            if is_careful(self.run, name):
                assert begun[name] <= 1 + allowed[name]

    @invariant()
    def what_is_forced_runs_before_it_has_a_result(self):
        for name, node in self.run.nodes.items():
            told = [record.event for record in self.driver.records if record.node == name]
            resets = [at for at, event in enumerate(told) if isinstance(event, ev.NodeReset)]
            if node.has_result and resets and told[resets[-1]].kind == "forced":
                begun = (ev.AttemptScheduled, ev.AttemptInDoubt)
                assert any(isinstance(event, begun) for event in told[resets[-1] :])

    @invariant()
    def nothing_owed_was_left_unsaid(self):
        """Amnesia: what a driver was told and has not done is what the state says it owes."""
        assert set(self.driver.issued) == set(m.obligations(self.run))

    @invariant()
    def the_skipped_name_a_failure(self):
        for name, node in self.run.nodes.items():
            if self.clean and node.state is NodeState.SKIPPED:
                roots = ancestors(self.run, name)
                failed = {r for r in roots if self.run[r].state is NodeState.FAILED}
                assert any(f"<{root}> broke" in node.reason.message for root in failed)

    @invariant()
    def it_has_failed_iff_a_node_has(self):
        if self.clean and self.run.status in RUN_ENDED:
            failed = any(node.state is NodeState.FAILED for node in self.run.nodes.values())
            assert self.run.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)

    def teardown(self):
        if not hasattr(self, "driver"):
            return
        cancelled = self.run.status in (RunStatus.CANCELLING, RunStatus.CANCELLED)
        self.driver.finish()
        validate(self.run)
        assert m.obligations(self.run) == ()
        assert (self.run.status is RunStatus.CANCELLED) == cancelled


TestAnyLegalOrder = AnyLegalOrder.TestCase
TestAnyLegalOrder.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def can_be_reset(node):
    return "NodeReset" in NODE_TRANSITIONS[node.state]


def is_careful(run, name):
    return run.graph.nodes[name].policy.effect == "at_most_once"


def ancestors(run, name):
    found, stack = set(), [name]
    while stack:
        for source in run.graph.upstream[stack.pop()]:
            if source not in found:
                found.add(source)
                stack.append(source)
    return found


# --- a model: what becomes of a flow does not depend on the order in which things happen -------


def model(flow, failures):
    """What each node must come to, told from the graph alone.

    `failures` says how often in a row each node fails before it would succeed.
    """
    graph = m.Graph(flow)
    fate = {}
    for name in graph.topological_order():
        passes = all(
            fate[source] is NodeState.SUCCEEDED
            or (
                graph.nodes[source].policy.continue_on_failure
                and (source, name) not in graph.data_pairs
            )
            for source in graph.upstream[name]
        )
        mended = failures.get(name, 0) <= graph.nodes[name].policy.retries.times
        if not passes:
            fate[name] = NodeState.SKIPPED
        else:
            fate[name] = NodeState.SUCCEEDED if mended else NodeState.FAILED
    return fate


def simulate(flow, failures, rng):
    """Run `flow` to its end, choosing at random among all that may happen next."""
    driver = Driver(flow)
    driver.claim()
    while driver.run.status not in RUN_ENDED:
        steps = [(driver.perform, (command,)) for command in driver.issued]
        for name in driver.in_flight():
            node = driver.run[name]
            what = "failed" if node.failures < failures.get(name, 0) else "succeeded"
            # Two losses at most, so that the third does not become a failure.
            whats = (
                [what, "lost"] if node.losses < m.MAX_LOSSES - 1 and rng.random() < 0.2 else [what]
            )
            steps += [(driver.report, (name, each)) for each in whats]
        act, arguments = rng.choice(steps)
        act(*arguments)
    return driver.run


fates = st.dictionaries(st.integers(0, MOST_NODES).map("n{}".format), st.integers(0, 3))


@given(flow=flows(), failures=fates, seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_what_becomes_of_a_flow_does_not_depend_on_the_order_of_events(flow, failures, seed):
    run = simulate(flow, failures, random.Random(seed))
    assert {name: node.state for name, node in run.nodes.items()} == model(flow, failures)


@given(flow=flows(), failures=fates, seed=st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_resume_after_all_is_mended_succeeds_and_repeats_no_success(flow, failures, seed):
    driver = Driver(flow)
    driver.run = simulate(flow, failures, random.Random(seed))
    driver.epoch = driver.run.epoch + 1
    succeeded = {
        name: node for name, node in driver.run.nodes.items() if node.state is NodeState.SUCCEEDED
    }
    driver.tell(ev.RunReopened("d"))
    for step in plan(driver.run, Wish(), {}):
        driver.tell(step)
        validate(driver.run)
    driver.finish()
    assert driver.run.status is RunStatus.SUCCEEDED
    for name, node in succeeded.items():
        behind_mended = any(name not in succeeded for name in ancestors(driver.run, name))
        if behind_mended:
            # It only came after what failed, which has been made since: so it follows.
            assert driver.run[name].state is NodeState.SUCCEEDED
        else:
            assert driver.run[name] == node


@given(flow=flows())
@settings(max_examples=40, deadline=None)
def test_a_node_that_always_loses_its_worker_does_not_keep_a_run_for_ever(flow):
    driver = Driver(flow)
    driver.claim()
    driver.finish("lost")
    assert driver.run.status is (RunStatus.FAILED if flow.nodes else RunStatus.SUCCEEDED)
