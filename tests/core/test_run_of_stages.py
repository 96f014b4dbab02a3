"""Stages of a notebook in the machine: who waits for whom, and what a run comes to."""

import pytest
from msgspec.structs import replace
from staged_run import StagedRun, node

from nbflow.core import events as ev
from nbflow.core.making import fingerprint_of
from nbflow.core.policies import Policy
from nbflow.core.resuming import Wish, plan
from nbflow.core.spec import NodeSpec, NotebookCode
from nbflow.core.stages import StageCell, StagePlace, StageSpec
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.values import FromOutput


def stage(number, **fields):
    cells = (StageCell(index=number - 1, number=number),)
    code = NotebookCode("/nb/x.ipynb", stage=StageSpec(cells=cells))
    return NodeSpec(name=f"x/cells-{number}", code=code, **fields)


LOAD = stage(1)
LEFT = stage(2, params={"df": FromOutput("x/cells-1", "df")})
RIGHT = stage(3, after=("x/cells-1",))
STAGES = (LOAD, LEFT, RIGHT)
WHOLE = NodeSpec(
    name="x",
    code=NotebookCode(
        "/nb/x.ipynb",
        stages=tuple(StagePlace(each.name, (number,)) for number, each in enumerate(STAGES)),
    ),
    after=tuple(each.name for each in STAGES),
)


class FingerprintedRun(StagedRun):
    """A run whose attempts are made of what they are made of."""

    def queue(self, name):
        made_of = fingerprint_of(self.run, name)
        return self.do(ev.AttemptScheduled(name, self.run[name].attempt + 1, made_of))


def states(run):
    return {name: it.state for name, it in run.run.nodes.items()}


def test_kinds():
    assert [each.kind for each in (LOAD, WHOLE, node("f", function=True))] == [
        "stage",
        "notebook",
        "function",
    ]


def test_the_whole_comes_after_stages_however_they_end():
    run = StagedRun(*STAGES, WHOLE).succeed("x/cells-1").fail("x/cells-2").succeed("x/cells-3")
    assert states(run)["x"] is NodeState.READY
    run.succeed("x")
    assert run.run.status is RunStatus.SUCCEEDED


def test_stages_behind_one_that_failed_do_not_run():
    run = StagedRun(*STAGES, WHOLE).fail("x/cells-1")
    assert states(run) == {
        "x/cells-1": NodeState.FAILED,
        "x/cells-2": NodeState.SKIPPED,
        "x/cells-3": NodeState.SKIPPED,
        "x": NodeState.READY,
    }


def test_a_policy_lets_no_stage_go_on_behind_one_that_failed():
    goes_on = Policy(continue_on_failure=True)
    run = StagedRun(*(replace(each, policy=goes_on) for each in STAGES), WHOLE).fail("x/cells-1")
    assert states(run)["x/cells-3"] is NodeState.SKIPPED


@pytest.mark.parametrize("ends", ["fail", "succeed"])
def test_the_run_comes_to_what_the_whole_comes_to(ends):
    run = StagedRun(*STAGES, WHOLE).fail("x/cells-1")
    getattr(run, ends)("x")
    ended = RunStatus.FAILED if ends == "fail" else RunStatus.SUCCEEDED
    assert run.run.status is ended


NO_WISH = Wish()


def again(run, wish=NO_WISH):
    """The nodes that begin anew when the run is resumed."""
    return [step.node for step in plan(run.run, wish, {})]


def test_a_notebook_that_has_come_to_its_result_makes_up_for_its_stages():
    run = FingerprintedRun(*STAGES, WHOLE, node("other")).succeed("x/cells-1").fail("x/cells-2")
    run.succeed("x/cells-3").succeed("x").fail("other")
    assert run.run.status is RunStatus.FAILED
    assert again(run) == ["other"]


def test_a_notebook_that_failed_is_tried_again_with_the_stages_that_did():
    run = FingerprintedRun(*STAGES, WHOLE).succeed("x/cells-1").fail("x/cells-2")
    run.succeed("x/cells-3").fail("x")
    assert again(run) == ["x/cells-2", "x"]


@pytest.mark.parametrize("wish", [Wish(begin_at=("x",)), Wish(only=("x",), force=True)])
def test_who_names_a_notebook_means_its_stages(wish):
    run = FingerprintedRun(*STAGES, WHOLE, node("other"))
    run.succeed("x/cells-1").succeed("x/cells-2").succeed("x/cells-3").succeed("x")
    run.succeed("other")
    assert again(run, wish) == ["x/cells-1", "x/cells-2", "x/cells-3", "x"]
