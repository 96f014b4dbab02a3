"""Stages that are cut anywhere, run in any order that they allow, do what the notebook does."""

import contextlib
import io
import os
import random
import re

import numpy as np
import pytest
from cell_pieces import (
    DATA_PIECES,
    DATA_START,
    INTO_TABLES,
    PIECES,
    SHOW,
    START,
    VARIABLES,
    notebooks,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planned_kernels import Namespace, NotMovable, run_stages

from nbflow.core.cells import CellText, analyze
from nbflow.core.cells.staging import Worth, stage_cells

MOVED_PIECES = tuple(piece for piece in DATA_PIECES if piece not in INTO_TABLES)
#: The same ones each time; ``NOTEBOOKS=500`` tries so many others.
_SETTINGS = settings(
    max_examples=int(os.environ.get("NOTEBOOKS", "40")),
    derandomize="NOTEBOOKS" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def _sequential(sources):
    """Return what each source prints, until one fails, and the namespace."""
    kernel = Namespace()
    printed = []
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    for source in sources:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(source, "<cell>", "exec"), kernel.names)
        except Exception:  # noqa: BLE001 - a notebook ends at its first error
            break
        printed.append(out.getvalue())
    return printed, kernel


def _valid(candidates, start):
    kept = list(start)
    for each in candidates:
        if len(_sequential([*kept, each])[0]) > len(kept):
            kept.append(each)
    return kept


def _order(staging, rng):
    """Return an order in which stages may run."""
    left = list(range(len(staging.stages)))
    order = []
    while left:
        ready = [at for at in left if set(staging.before(at)) <= set(order)]
        order.append(rng.choice(ready))
        left.remove(order[-1])
    return order


def _plain(text):
    return re.sub(r"0x[0-9a-fA-F]+", "0x", text)


def _told(stage):
    cells = " ".join(
        f"{cell.number}{'*' if cell.replayed else ''}"
        f"{' takes ' + ','.join(cell.takes) if cell.takes else ''}"
        f"{' hides ' + ','.join(cell.hides) if cell.hides else ''};"
        for cell in stage.spec.cells
    )
    return f"{cells} {stage.sources} {stage.after}"


def check_rules(analysis, staging):
    """Check what holds of every staging, whatever the cells do."""
    stages = staging.stages
    home = {number: at for at, stage in enumerate(stages) for number in stage.spec.numbers}
    assert sorted(n for stage in stages for n in stage.spec.numbers) == sorted(home)
    assert sorted(home) == [cell.number for cell in analysis.cells]
    replayed = [cell.number for cell in analysis.cells if cell.replayed]
    before = [set(staging.before(at)) for at in range(len(stages))]
    for at, stage in enumerate(stages):
        numbers = [cell.number for cell in stage.spec.cells]
        assert numbers == sorted(numbers)
        last = max(stage.spec.numbers)
        assert {each for each in replayed if each < last} <= set(numbers)
        assert all(each < at for each in before[at])
        takes = [name for cell in stage.spec.cells for name in cell.takes]
        assert len(takes) == len(set(takes))
        assert set(takes) == set(stage.sources)
        if stage.spec.has_effects:
            first = min(set(stage.spec.numbers) - set(replayed))
            earlier = {home[n] for n in home if n < first and n not in replayed}
            assert earlier - {at} <= before[at]
    for each in analysis.dependences:
        source, target = home[each.source], home[each.target]
        if each.kind != "replay" and source != target and each.source not in replayed:
            assert source in before[target], each


def check(candidates, start, seed):
    rng = random.Random(seed)
    shows = [SHOW.format(name=name) for name in (*VARIABLES, "u()", "v()")]
    sources = _valid([*candidates, *shows], start)
    expected, whole = _sequential(sources)
    analysis = analyze(
        [CellText(number=i, index=i, text=text) for i, text in enumerate(sources, start=1)]
    )
    heads = frozenset(
        number for number in range(1, len(sources) + 1) if rng.random() < rng.choice((0.3, 0.6, 1))
    )
    staging = stage_cells(analysis, worth=Worth(heads=heads))
    check_rules(analysis, staging)
    told = "\n\n".join(f"# {i}\n{text}" for i, text in enumerate(sources, start=1))
    told += "".join(f"\n# {_told(stage)}" for stage in staging.stages)
    try:
        printed, kernels = run_stages(
            staging, dict(enumerate(sources, start=1)), _order(staging, rng)
        )
    except NotMovable:
        # A library has given an iterator that nobody could have known of: a conflict at run time.
        return 0
    except Exception as error:
        error.add_note(told)
        raise
    for number, text in enumerate(expected, start=1):
        assert _plain(printed[number]) == _plain(text), f"cell {number} differs\n{told}"
    for name in VARIABLES:
        place = staging.holder(name)
        if place is not None and SHOW.format(name=name) in sources:
            held = kernels[place].names
            assert name in held, f"{name} is not held\n{told}"
            assert _plain(repr(held[name])) == _plain(repr(whole.names[name])), f"{name}\n{told}"
    return len(staging.stages)


@_SETTINGS
@given(notebooks(PIECES), st.integers(0, 1000))
def test_stages_give_what_the_notebook_gives(sources, seed):
    check(sources, START, seed)


@_SETTINGS
@given(notebooks(MOVED_PIECES), st.integers(0, 1000))
@pytest.mark.filterwarnings("ignore")
def test_stages_with_arrays_and_tables(sources, seed):
    check(sources, DATA_START, seed)
