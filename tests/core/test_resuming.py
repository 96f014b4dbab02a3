"""Which nodes of a resumed run begin anew, why, and where the wave of a change ends."""

import msgspec
import pytest

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.making import fingerprint_of
from nbflow.core.resuming import Wish, plan, recognized
from nbflow.core.spec import FlowSpec, Identity
from nbflow.core.states import NodeState, Reason, RunStatus
from nbflow.core.values import FromParam, Inline

NO_WISH = Wish()


def with_code(node, code, **more):
    return msgspec.structs.replace(node, identity=Identity(code=code, **more))


def change(told, *nodes, params=None):
    """Resume the run with these nodes in place of its own of the same names."""
    new = {each.name: each for each in nodes}
    spec = told.run.graph.spec
    kept = tuple(new.pop(each.name, each) for each in spec.nodes)
    flow = FlowSpec(name="f", nodes=(*kept, *new.values()))
    told.reopen()
    told.tell(ev.FlowChanged(flow, params if params is not None else told.run.params))


def causes(told, wish=NO_WISH, files=None):
    steps = plan(told.run, wish, files or {})
    return {step.node: step.kind for step in steps if isinstance(step, ev.NodeReset)}


def carry_out(told, wish=NO_WISH, outputs=None):
    """Do what a driver does until the run has ended; return the nodes that really ran."""
    for step in plan(told.run, wish, {}):
        told.tell(step)
    ran = []
    while told.run.status not in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        for command in m.obligations(told.run):
            match command:
                case m.StartAttempt(name):
                    instead = recognized(told.run, name, fingerprint_of(told.run, name))
                    if instead is not None:
                        told.tell(instead)
                        continue
                    ran.append(name)
                    told.start(name)
                    value = (outputs or {}).get(name, 1)
                    wanted = told.run.graph.wanted_outputs(name)
                    told.tell(
                        ev.AttemptSucceeded(
                            name,
                            told.run[name].attempt,
                            1.0,
                            2.0,
                            {output: Inline(value) for output in wanted},
                        )
                    )
                case m.SkipNode(name, reason):
                    told.tell(ev.NodeSkipped(name, reason))
                case m.EndRun(status):
                    told.tell(ev.RunEnded(status))
    return ran


@pytest.fixture
def chain(story, node):
    """a → b → c by data, d after c; all have succeeded."""
    nodes = [
        with_code(node("a"), "a1"),
        with_code(node("b", wants=["a"]), "b1"),
        with_code(node("c", wants=["b"]), "c1"),
        with_code(node("d", after=["c"]), "d1"),
    ]
    told = story(*nodes)
    for name in "abcd":
        told.succeed(name)
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    return told


def test_an_unchanged_run_that_has_succeeded_owes_nothing(chain):
    chain.reopen()
    assert plan(chain.run, NO_WISH, {}) == []


def test_changed_code_runs_again_and_the_wave_stops_where_outputs_are_equal(chain, node):
    change(chain, with_code(node("b", wants=["a"]), "b2"))
    assert causes(chain) == {"b": "code", "c": "upstream", "d": "upstream"}
    assert carry_out(chain) == ["b"]
    assert chain.run.status is RunStatus.SUCCEEDED
    assert [record.type for record in chain.records].count("NodeKept") == 2


def test_a_changed_output_carries_the_wave_on(chain, node):
    change(chain, with_code(node("b", wants=["a"]), "b2"))
    assert carry_out(chain, outputs={"b": 7}) == ["b", "c", "d"]


def test_what_merely_comes_after_follows_whatever_was_made_of_something_else(chain, node):
    change(chain, with_code(node("c", wants=["b"]), "c2"))
    assert carry_out(chain) == ["c", "d"]


def test_what_is_kept_has_the_outputs_and_times_that_it_had(chain, node):
    before = chain.run["c"]
    change(chain, with_code(node("b", wants=["a"]), "b2"))
    carry_out(chain)
    after = chain.run["c"]
    assert (after.outputs, after.started_at, after.ended_at, after.attempt) == (
        before.outputs,
        before.started_at,
        before.ended_at,
        before.attempt,
    )
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("identity", "kind", "word"),
    [
        (Identity(code="b2"), "code", "code"),
        (Identity(code="b1", modules="m"), "code", "module"),
        (Identity(code="b1", environment="e"), "environment", "packages"),
    ],
)
def test_each_part_of_a_node_is_a_cause_of_its_own(chain, node, identity, kind, word):
    change(chain, msgspec.structs.replace(node("b", wants=["a"]), identity=identity))
    (reset, *_) = plan(chain.run, NO_WISH, {})
    assert (reset.node, reset.kind) == ("b", kind)
    assert word in reset.why


def test_a_changed_file_is_a_cause(chain):
    chain.reopen()
    assert causes(chain, files={"b": "digest of what it reads"})["b"] == "file"


def test_a_changed_parameter_is_a_cause_for_those_who_use_it(story, node):
    uses = msgspec.structs.replace(node("a"), params={"p": FromParam("p")})
    told = story(uses, node("z"))
    told.run = msgspec.structs.replace(told.run, params={"p": Inline(1)})
    told.succeed("a")
    told.succeed("z")
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    told.reopen()
    told.tell(ev.FlowChanged(told.run.graph.spec, {"p": Inline(2)}))
    assert causes(told) == {"a": "parameter"}


def test_what_failed_or_was_skipped_for_that_is_tried_again(story, node):
    told = story(node("a"), node("b", after=["a"]), node("z"))
    told.fail("a")
    told.tell(ev.NodeSkipped("b", Reason("upstream_failed", "a failed")))
    told.succeed("z")
    told.tell(ev.RunEnded(RunStatus.FAILED))
    told.reopen()
    assert causes(told) == {"a": "resumed", "b": "resumed"}


def test_a_success_without_a_fingerprint_stands(story, node):
    told = story(node("a"))
    told.tell(ev.AttemptScheduled("a", 1))
    told.tell(told.success("a"))
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    change(told, with_code(node("a"), "new"))
    assert causes(told) == {}


def test_a_wish_to_begin_at_a_node_runs_it_and_whatever_changes_behind_it(chain):
    chain.reopen()
    wish = Wish(begin_at=("b",))
    assert causes(chain, wish) == {"b": "forced", "c": "upstream", "d": "upstream"}
    assert carry_out(chain, wish) == ["b"]


def test_force_keeps_nothing_of_what_it_means(chain):
    chain.reopen()
    assert set(causes(chain, Wish(force=True)).values()) == {"forced"}
    behind = Wish(begin_at=("c",), force=True)
    assert causes(chain, behind) == {"c": "forced", "d": "forced"}
    assert carry_out(chain, behind) == ["c", "d"]


@pytest.mark.parametrize("wish", [Wish(force=True), Wish(begin_at=("b", "c"))])
def test_what_is_wished_for_before_its_turn_is_not_kept(chain, node, wish):
    change(chain, with_code(node("a"), "a2"))
    for step in plan(chain.run, NO_WISH, {}):
        chain.tell(step)
    chain.succeed("a")
    chain.claim()
    assert (chain.state("b"), chain.state("c")) == (NodeState.READY, NodeState.WAITING)
    assert {"b": "forced", "c": "forced"}.items() <= causes(chain, wish).items()
    assert {"b", "c"} <= set(carry_out(chain, wish))


def test_what_is_wished_for_does_not_wait_for_its_next_try(story, node):
    told = story(node("a", retries=1))
    told.fail("a")
    told.tell(ev.RetryScheduled("a", 1, 9.0))
    told.claim()
    assert causes(told) == {}
    assert carry_out(told, Wish(begin_at=("a",))) == ["a"]


def test_what_is_in_doubt_stays_a_question_whoever_wants_it_to_run(story, node):
    told = story(node("a", effect="at_most_once"), node("b", wants=["a"]))
    told.start("a")
    told.tell(ev.AttemptInDoubt("a", 1, Reason("driver_lost", "gone")))
    told.claim()
    assert causes(told, Wish(force=True)) == {"b": "forced"}


def test_what_somebody_wants_to_see_run_takes_nothing_from_other_runs(story, node):
    told = story(node("a"))
    told.tell(ev.NodeReset("a", "wanted", "forced"))
    with pytest.raises(m.IllegalTransition, match="NodeCached"):
        told.tell(ev.NodeCached("a", fingerprint_of(told.run, "a"), "other", 1.0))


def test_only_runs_nothing_else(story, node):
    told = story(node("a"), node("b", after=["a"]), node("z"))
    told.succeed("a")
    told.fail("b")
    # z never had its turn: the driver died.
    told.claim()
    wish = Wish(only=("b",))
    steps = plan(told.run, wish, {})
    assert [(type(step).__name__, step.node) for step in steps] == [
        ("NodeReset", "b"),
        ("NodeCancelled", "z"),
    ]
    assert carry_out(told, wish) == ["b"]
    assert told.run.status is RunStatus.FAILED, "z is left for later"
    told.reopen()
    assert carry_out(told) == ["z"]
    assert told.run.status is RunStatus.SUCCEEDED


def test_nodes_can_come_and_go_with_a_changed_flow(chain, node):
    flow = FlowSpec(
        name="f",
        nodes=(
            *(each for each in chain.run.graph.spec.nodes if each.name != "d"),
            node("e", after=["c"]),
        ),
    )
    chain.reopen()
    chain.tell(ev.FlowChanged(flow, {}))
    assert sorted(chain.run.nodes) == ["a", "b", "c", "e"]
    assert carry_out(chain) == ["e"]


def test_a_flow_cannot_change_under_an_attempt(story, node):
    told = story(node("a"))
    told.start("a")
    with pytest.raises(m.IllegalTransition, match="at work on a"):
        told.tell(ev.FlowChanged(told.run.graph.spec, {}))


def test_a_result_of_another_run_stands_again_as_such(story, node):
    told = story(with_code(node("a"), "a1"), with_code(node("b", wants=["a"]), "b1"))
    told.succeed("a")
    made_of = fingerprint_of(told.run, "b")
    told.tell(ev.NodeCached("b", made_of, "other", 12.5, {}))
    assert told.state("b") is NodeState.SKIPPED
    assert told.run["b"].reason.kind == "cached"
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    change(told, with_code(node("a"), "a2"))
    assert carry_out(told) == ["a"]
    assert (told.run["b"].source, told.run["b"].saved_s) == ("other", 12.5)


def test_a_cached_node_lets_pass_and_is_not_tried_again(story, node):
    told = story(node("a"), node("b", wants=["a"]))
    made_of = fingerprint_of(told.run, "a")
    told.tell(ev.NodeCached("a", made_of, "other", 1.0, {"x": Inline(5)}))
    assert m.resolve_params(told.run, "b") == {"from_a": Inline(5)}
    told.succeed("b")
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    told.reopen()
    assert causes(told) == {}
