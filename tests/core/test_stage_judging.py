"""What the stages of a notebook are together."""

import pytest
from msgspec.structs import replace

from nbflow.core.events import ErrorInfo
from nbflow.core.stage_judging import Judged, judge
from nbflow.core.stage_results import StageRecord, StageResult
from nbflow.core.stages import StagePlace
from nbflow.core.states import NodeState, Reason

WELL = StageResult(NodeState.SUCCEEDED)


def stage(name, *cells, before=(), changes=(), effects=False, **record):
    """A stage that has run all of its cells, and has succeeded."""
    return Judged(
        StagePlace(name, cells, before, changes, effects),
        WELL,
        StageRecord(places=cells, **record),
        frozenset(cells),
    )


def failed(judged, cell, kind="error"):
    """The same stage, which has failed in the cell at a place; the cells after it have not run."""
    result = StageResult(
        NodeState.FAILED, reason=Reason(kind, "broken"), error=ErrorInfo("ValueError", "broken", 0)
    )
    done = frozenset(each for each in judged.completed if each < cell)
    return replace(judged, result=result, completed=done, failed_at=cell)


def skipped(judged, kind="upstream_failed"):
    result = StageResult(NodeState.SKIPPED, reason=Reason(kind, "load failed"))
    if kind == "cached":
        return replace(judged, result=result)
    return replace(judged, result=result, record=None, completed=frozenset())


BRANCHES = (
    stage("x/cells-1", 0),
    stage("x/cells-2", 1, 3, before=(0,)),
    stage("x/cells-3", 2, 4, before=(0,)),
    stage("x/cells-6", 5, before=(0, 1, 2)),
)


def with_(place, judged):
    return [*BRANCHES[:place], judged, *BRANCHES[place + 1 :]]


def test_stages_that_are_all_well_are_the_whole_notebook():
    assert judge(BRANCHES).kind == "whole"
    assert judge(with_(1, skipped(BRANCHES[1], "cached"))).kind == "whole"


def test_an_error_is_the_notebooks_if_all_before_it_has_run():
    stages = with_(1, failed(BRANCHES[1], 3))
    stages[3] = skipped(stages[3])
    verdict = judge(stages)
    assert (verdict.kind, verdict.failed) == ("failed", 1)


def test_what_is_only_repeated_fails_for_the_stage_whose_cell_it_is():
    load, score = stage("load", 0, 2), stage("score", 3)
    assert judge([load, failed(score, 2)]).kind == "in order"
    both = judge([failed(load, 2), failed(score, 2)])
    assert (both.kind, both.failed) == ("failed", 0)


def test_of_two_errors_the_earlier_cell_counts():
    stages = with_(1, failed(BRANCHES[1], 3))
    stages[2] = failed(stages[2], 2)
    stages[3] = skipped(stages[3])
    assert judge(stages).failed == 2


def test_an_error_does_not_count_if_a_cell_before_it_has_not_run():
    # The second stage has failed outside of any cell, as with a kernel that does not start.
    stages = with_(2, failed(BRANCHES[2], 4))
    stages[1] = replace(failed(stages[1], 1), failed_at=None)
    assert judge(stages).kind == "in order"


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_conflict_means_to_run_in_order(place):
    stages = with_(place, failed(BRANCHES[place], BRANCHES[place].place.cells[0], "conflict"))
    verdict = judge(stages)
    assert verdict.kind == "in order"
    assert "broken" in verdict.why


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ({"programs": ("rm",)}, "has started a program (rm)"),
        ({"written_files": ("/a",)}, "has written /a"),
    ],
)
def test_what_cannot_be_undone_is_not_done_again(done, told):
    first = stage("x/cells-1", 0, effects=True, **done)
    stages = [first, *with_(1, failed(BRANCHES[1], 1, "conflict"))[1:]]
    verdict = judge(stages)
    assert verdict.kind == "refused"
    assert told in verdict.why
    # Where it has not run, there is nothing to undo.
    assert judge([skipped(first), *stages[1:]]).kind == "in order"


def test_what_can_be_undone_is_done_again():
    first = stage("x/cells-1", 0, effects=True, written_files=("/a",), undo=(("/a", None),))
    stages = [first, *with_(1, failed(BRANCHES[1], 1, "conflict"))[1:]]
    assert judge(stages).kind == "in order"
    # Of one that may have effects and has left no word, anything has to be feared.
    silent = replace(failed(first, 0), record=None, failed_at=None)
    assert judge([silent, *stages[1:]]).kind == "refused"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ({"written_files": ("/a",)}, {"read_files": ("/a",)}, "in order"),
        ({"read_files": ("/a",)}, {"written_files": ("/a",)}, "in order"),
        ({"written_files": ("/a",)}, {"written_files": ("/a",)}, "in order"),
        ({"read_files": ("/a",)}, {"read_files": ("/a",)}, "whole"),
        ({"written_files": ("/a",)}, {"read_files": ("/b",)}, "whole"),
        ({"displays": ("d",)}, {"updates": ("d",)}, "in order"),
        ({"displays": ("d",)}, {"displays": ("d",)}, "whole"),
    ],
)
def test_what_stages_side_by_side_touch_together(one, other, kind):
    kept = {"undo": (("/a", None),)}
    stages = with_(1, stage("x/cells-2", 1, 3, before=(0,), **one, **kept))
    stages[2] = stage("x/cells-3", 2, 4, before=(0,), **other, **kept)
    assert judge(stages).kind == kind


def test_files_may_be_handed_on():
    stages = with_(0, stage("x/cells-1", 0, written_files=("/a",)))
    stages[1] = stage("x/cells-2", 1, 3, before=(0,), read_files=("/a",))
    assert judge(stages).kind == "whole"


def test_files_that_are_written_behind_pythons_back():
    stages = with_(1, stage("x/cells-2", 1, 3, before=(0,), native_files=("/a.parquet",)))
    assert judge(stages).kind == "in order"
    # A stage that writes it, or one that may write anything, explains it.
    stages[2] = stage("x/cells-3", 2, 4, before=(0,), undo=(("/a.parquet", None),))
    assert judge(stages).kind == "whole"
    stages[2] = stage("x/cells-3", 2, 4, before=(0,), effects=True)
    assert judge(stages).kind == "whole"


def test_shared_memory_that_another_stage_may_change():
    stages = with_(1, stage("x/cells-2", 1, 3, before=(0,), shared=(("part", "table"),)))
    assert judge(stages).kind == "whole"
    stages[3] = stage("x/cells-6", 5, before=(0, 1, 2), changes=("table",))
    assert judge(stages).kind == "in order"


def test_a_cell_that_ends_the_notebook():
    stages = with_(1, replace(BRANCHES[1], completed=frozenset({1})))
    verdict = judge(stages)
    assert verdict.kind == "in order"
    assert "ended the notebook" in verdict.why
