"""Judge what the stages of a notebook have done together.

Each stage has been watched by itself: it did what was known of its cells, or it has failed with a
conflict. What only shows when all are seen together is looked for here: a file that one stage has
written and another one has touched, though neither came after the other; memory that two variables
share, and that one stage could change where another one could not see it; a display that one stage
has made and another one has updated.

The verdict is one of four.

============  ========================================================================
``whole``     together they are a run from top to bottom
``failed``    so they are up to the cell that has failed, and nothing after it counts
``in order``  they are not: the notebook has to be run in order
``refused``   so it would, but a stage has done something outside that cannot be undone
============  ========================================================================
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from nbflow.core.stage_results import StageRecord, StageResult
from nbflow.core.stages import StagePlace
from nbflow.core.states import NodeState


class Judged(msgspec.Struct, frozen=True):
    """A stage as it is judged.

    Parameters
    ----------
    place
        What it is in its notebook.
    result
        How it has ended.
    record
        What it has done; None if it left no record.
    completed
        Places of the cells that have run and were not broken off.
    failed_at
        Place of the cell at which it has failed; None if it has not, or outside of a cell.
    """

    place: StagePlace
    result: StageResult
    record: StageRecord | None = None
    completed: frozenset[int] = frozenset()
    failed_at: int | None = None

    @property
    def is_well(self) -> bool:
        """Whether it has succeeded, here or in the run that its result was taken from."""
        state, reason = self.result.state, self.result.reason
        cached = reason is not None and reason.kind == "cached"
        return state is NodeState.SUCCEEDED or (state is NodeState.SKIPPED and cached)

    @property
    def has_run(self) -> bool:
        """Whether its cells may have had effects."""
        return self.result.state in (NodeState.SUCCEEDED, NodeState.FAILED)

    @property
    def conflicts(self) -> bool:
        """Whether it did what was not known of its cells."""
        return self.result.reason is not None and self.result.reason.kind == "conflict"


class Verdict(msgspec.Struct, frozen=True):
    """What the stages are together, and why not more.

    `failed` is the place, in the list of stages, of the one whose failure is the notebook's.
    """

    kind: Literal["whole", "failed", "in order", "refused"]
    why: str = ""
    failed: int | None = None


def judge(stages: Sequence[Judged]) -> Verdict:
    """Return what the stages of a notebook, in the order of the assembly's list, are together."""
    conflict = next(_conflicts(stages), "")
    ended = next(_early_ends(stages), "")
    if not conflict and not ended and all(stage.is_well for stage in stages):
        return Verdict("whole")
    failed = _first_failure(stages)
    if failed is not None and not conflict and _is_reached(stages, failed):
        return Verdict("failed", failed=failed)
    why = conflict or ended or next(_losses(stages), "a stage has not run")
    for stage in stages:
        done = _lasting_effect(stage)
        if done:
            return Verdict(
                "refused", f"{why}; and {stage.place.node} {done}, which cannot be undone"
            )
    return Verdict("in order", why)


def _conflicts(stages: Sequence[Judged]) -> Iterator[str]:
    for stage in stages:
        if stage.conflicts and stage.result.reason is not None:
            yield f"{stage.place.node}: {stage.result.reason.message}"
    yield from _unseen_writers(stages)
    for place, stage in enumerate(stages):
        for other_place, other in enumerate(stages[:place]):
            if stage.record is None or other.record is None:
                continue
            ordered = other_place in stage.place.before or place in other.place.before
            yield from _between(stage, other, stage.record, other.record, ordered=ordered)


def _unseen_writers(stages: Sequence[Judged]) -> Iterator[str]:
    """Yield what stages have written behind Python's back, and were not known to write."""
    if any(stage.place.effects and stage.has_run for stage in stages):
        return  # It may have been that one, which all others have waited for.
    records = [stage.record for stage in stages if stage.record is not None]
    known = {path for record in records for path in record.written_files}
    known.update(path for record in records for path, _ in record.undo)
    for path in sorted({path for record in records for path in record.native_files} - known):
        yield f"{path} has changed meanwhile, and nobody was known to write it"


def _between(
    stage: Judged, other: Judged, mine: StageRecord, theirs: StageRecord, *, ordered: bool
) -> Iterator[str]:
    names = f"{other.place.node} and {stage.place.node}"
    if not ordered:
        written, touched = {*mine.written_files}, {*theirs.written_files, *theirs.read_files}
        both = (written & touched) | ({*theirs.written_files} & {*mine.read_files})
        for path in sorted(both):
            yield f"{names} ran side by side, and one has written {path}, which both touch"
    for one, two in ((stage, other), (other, stage)):
        shared = one.record.shared if one.record is not None else ()
        for pair in shared:
            changed = next((name for name in pair if name in two.place.changes), None)
            if changed is not None:
                yield (
                    f"`{pair[0]}` and `{pair[1]}` share memory, and {two.place.node} may change "
                    f"`{changed}` where the other one cannot be seen"
                )
    for warning in sorted({*mine.warned} & {*theirs.warned}):
        yield f"{names}: both have shown a warning that is shown once: {warning}"
    for display in sorted(
        {*mine.displays} & {*theirs.updates} | {*theirs.displays} & {*mine.updates}
    ):
        yield f"{names}: one has made the display {display!r}, and the other has updated it"


def _lasting_effect(stage: Judged) -> str:
    """Return what a stage has done outside that cannot be undone; empty if there is nothing."""
    if not stage.has_run:
        return ""
    if stage.record is None:
        return "may have done anything outside" if stage.place.effects else ""
    if stage.record.programs:
        return f"has started a program ({stage.record.programs[0]})"
    kept = {path for path, _ in stage.record.undo}
    lost = sorted({*stage.record.written_files} - kept)
    return f"has written {lost[0]}" if lost else ""


def _early_ends(stages: Iterable[Judged]) -> Iterator[str]:
    for stage in stages:
        if stage.is_well and not stage.completed.issuperset(stage.place.cells):
            yield f"{stage.place.node}: a cell has ended the notebook before its last one"


def _losses(stages: Iterable[Judged]) -> Iterator[str]:
    for stage in stages:
        if not stage.is_well:
            reason = stage.result.reason
            said = f": {reason.message}" if reason is not None else ""
            yield f"{stage.place.node} {stage.result.state}{said}"


def _first_failure(stages: Sequence[Judged]) -> int | None:
    """Return the place of the stage that has failed in the earliest cell of all.

    What a cell of another stage, which is only repeated, comes to is said by that stage.
    """
    failed = [
        (stage.failed_at, place)
        for place, stage in enumerate(stages)
        if stage.failed_at is not None
        and stage.failed_at in stage.place.cells
        and stage.result.state is NodeState.FAILED
        and not stage.conflicts
    ]
    return min(failed)[1] if failed else None


def _is_reached(stages: Sequence[Judged], failed: int) -> bool:
    """Whether all cells before the one that has failed have run, as they would have in order."""
    end = stages[failed].failed_at
    assert end is not None
    return all(
        {cell for cell in stage.place.cells if cell < end} <= stage.completed for stage in stages
    )
