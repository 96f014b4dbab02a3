"""``nbflow run NOTEBOOK --verify``: in order and by cells, and whether they are the same."""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.options import Command

if TYPE_CHECKING:
    from nbflow.cli.driving import Manner
    from nbflow.cli.single import Single
    from nbflow.notebooks.comparing import Difference
    from nbflow.session.both_ways import Verified, Way

# The session is imported where a command runs: help must not wait for it.

#: The exit code if something differs that must not.
DIFFERENT = 1
#: Characters of the reason for which a run has failed.
_REASON_LENGTH = 500
#: How cells are cut if nobody says it: twice, and not alike.
_SCHEDULES = ("all", "random:1")


def verify_options(command: Command) -> Command:
    """Add the options of a verification; the command gets its schedules, or None, as ``verify``."""

    @click.option(
        "--verify",
        is_flag=True,
        help="Run a notebook in order and by cells, and compare cell by cell; the exit code is 1 "
        "if they differ. Each run has a copy of the notebook's folder.",
    )
    @click.option(
        "--stages",
        multiple=True,
        metavar="HOW",
        help="With --verify, which stages the cells become: worth (as any run has them), all (as "
        "many as there can be), or random:SEED. May be repeated; by default all and random:1.",
    )
    @functools.wraps(command)
    def with_verification(*, verify: bool, stages: tuple[str, ...], **others: Any) -> Any:
        if stages and not verify:
            raise click.UsageError("--stages says how --verify cuts a notebook. Add --verify")
        return command(verify=(stages or _SCHEDULES) if verify else None, **others)

    return with_verification


def verify_notebook(single: "Single", schedules: Sequence[str], manner: "Manner") -> int:
    """Run a notebook both ways, print what came of it, and return the exit code."""
    from nbflow.cli.driving import warnings_for_people
    from nbflow.cli.interrupts import stopping_in_good_order
    from nbflow.cli.single import write_stdout
    from nbflow.cli.text import print_json
    from nbflow.session.both_ways import Schedule, verify

    try:
        parsed = [Schedule.parse(text) for text in schedules]
    except ValueError as error:
        raise click.UsageError(f"--stages: {error}") from error
    asked = both_ways_of(single, manner)
    with stopping_in_good_order(), warnings_for_people():
        verified = verify(asked, parsed)
    _deliver(single, verified.expected, manner.output_dir)
    if manner.as_json:
        print_json(verified_document(verified))
    elif manner.to_stdout:
        write_stdout(verified.expected.content)
    for line in () if manner.as_json else verified_lines(verified):
        print(line, file=sys.stderr if manner.to_stdout else sys.stdout)
    return 0 if verified.is_equal else DIFFERENT


def both_ways_of(single: "Single", manner: "Manner") -> "Any":
    """Return what is to be run both ways.

    Raises
    ------
    click.UsageError
        If that cannot be done with this notebook, or so.
    """
    from nbflow.session.both_ways import Asked

    if manner.detach or manner.run_id is not None or manner.cache:
        raise click.UsageError(
            "running a notebook both ways leaves no run behind. Leave out --detach, --run-id "
            "and --cache"
        )
    if single.notebook.data is not None:
        raise click.UsageError("a notebook that is run both ways must be a local file")
    choice = manner.choice
    chosen: dict[str, Any] = {}
    if choice.cluster is not None or choice.workers is not None or choice.resources:
        chosen["cluster"] = choice.target()

    def told(text: str) -> None:
        if manner.progress:
            print(f"running {text}", file=sys.stderr, flush=True)

    return Asked(notebook=single.notebook, params=single.params, told=told, **chosen)


def verified_lines(verified: "Verified") -> Iterator[str]:
    """Say whether a notebook is the same both ways; if not, what the first difference is."""
    from nbflow.drawing.words import one_line, plural

    name = verified.notebook
    excused = [each for them in verified.excused.values() for each in them]
    for each in _distinct(excused):
        yield f"{_place(each)} differs, and is not the same each time anyway: {each.unsure}"
    for way in verified.found:
        differences = verified.differences[way.name]
        if differences:
            yield f"{name}: {way.name} is not the same as in order"
            yield from _first(differences)
            if way.outcome != verified.expected.outcome and way.reason:
                yield f"  by cells it failed, for: {one_line(way.reason, _REASON_LENGTH)}"
    if verified.uncopied:
        yield f"all runs had the same folder, for {verified.uncopied}: each saw what others wrote"
    if verified.is_equal:
        cells = plural(verified.cells, "cell")
        ways = "; ".join(f"{_schedule(way)}: {_summary(way)}" for way in verified.found)
        ended = "" if verified.expected.outcome == "succeeded" else f", {verified.expected.outcome}"
        yield f"{name}: the same by cells as in order{ended}; {cells}; {ways}"


def verified_document(verified: "Verified") -> dict[str, Any]:
    """Return what came of a verification as plain JSON."""
    return {
        "notebook": verified.notebook,
        "equal": verified.is_equal,
        "cells": verified.cells,
        "language": verified.language or "python",
        "copied": not verified.uncopied,
        "in_order": {
            "outcome": verified.expected.outcome,
            "duration_s": round(verified.expected.elapsed_s, 3),
        },
        "by_cells": [
            {
                "schedule": _schedule(way),
                "outcome": way.outcome,
                "duration_s": round(way.elapsed_s, 3),
                "stages": len(way.stages) or 1,
                "at_once": way.at_once or 1,
                "conflicts": list(way.conflicts),
                "differences": [_document(it) for it in verified.differences[way.name]],
                "excused": [_document(it) for it in verified.excused[way.name]],
            }
            for way in verified.found
        ],
    }


def _document(difference: "Difference") -> Mapping[str, Any]:
    return {
        "cell": difference.number,
        "index": difference.index,
        "what": difference.what,
        "line": difference.line,
        "in_order": difference.expected,
        "by_cells": difference.found,
        "unsure": difference.unsure or None,
    }


def _first(differences: "Sequence[Difference]") -> Iterator[str]:
    from nbflow.drawing.words import plural

    first, *others = differences
    yield f"{_place(first)}, {first.what}, line {first.line}:"
    yield f"  in order: {first.expected}"
    yield f"  by cells: {first.found}"
    if others:
        yield f"  and {plural(len(others), 'more difference')}; --json has all of them"


def _place(difference: "Difference") -> str:
    from nbflow.drawing.words import one_line

    if difference.index is None:
        return "the notebook"
    number = "" if difference.number is None else f" {difference.number}"
    return f"cell{number} ({one_line(difference.first_line, 60)})"


def _distinct(differences: "Sequence[Difference]") -> "Iterator[Difference]":
    """Yield one difference of each cell."""
    seen: set[object] = set()
    for each in differences:
        if each.index not in seen:
            seen.add(each.index)
            yield each


def _schedule(way: "Way") -> str:
    return way.name.partition("(")[2].rstrip(")")


def _summary(way: "Way") -> str:
    from nbflow.drawing.words import plural

    conflicts = f", {plural(len(way.conflicts), 'conflict')}" if way.conflicts else ""
    return f"{plural(len(way.stages) or 1, 'stage')}, {way.at_once or 1} at once{conflicts}"


def _deliver(single: "Single", way: "Way", output_dir: Path | None) -> None:
    """Write the notebook as it was executed in order to where one was to go."""
    from nbflow.session.delivery import write_notebook

    form = single.notebook.form
    target = form.saved_to or form.delivered_to
    if target is None and output_dir is not None:
        target = str(output_dir / Path(single.notebook.path).name)
    if target is not None:
        write_notebook(way.content, target)
