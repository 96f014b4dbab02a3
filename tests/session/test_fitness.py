"""What a flow asks for and a cluster does not have is said before anything waits for it."""

from nbflow.core.policies import Policy
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.ports import ClusterInfo
from nbflow.session.fitness import unfit_for


def problems(resources: dict[str, float], offered: dict[str, float], *, may_grow: bool):
    node = NodeSpec(
        name="train",
        code=FunctionCode("f"),
        policy=Policy(resources=resources),
        place="flow.yaml:7",
    )
    info = ClusterInfo("tcp://x", "", 1, 1, True, frozenset(), offered)
    return list(unfit_for(FlowSpec(name="f", nodes=(node,)), info, may_grow=may_grow))


def test_what_is_offered_is_no_problem() -> None:
    assert problems({"GPU": 1}, {"GPU": 2}, may_grow=False) == []


def test_what_is_lacking_is_an_error_with_its_place_and_a_way_out() -> None:
    (problem,) = problems({"GPU": 2}, {"GPU": 1}, may_grow=False)
    assert problem.severity == "error"
    text = str(problem)
    assert text.startswith("flow.yaml:7: node 'train': it needs GPU: 2")
    assert "--worker-resource GPU 2" in text


def test_on_a_cluster_that_may_grow_it_is_a_warning() -> None:
    (problem,) = problems({"GPU": 1}, {}, may_grow=True)
    assert problem.severity == "warning"
    assert '--resources "GPU=1"' in str(problem)
