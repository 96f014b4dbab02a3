"""A cell, run after nothing but what it depends on, does what it does in the whole notebook.

Notebooks are put together from small pieces that share few names, so that they alias, mutate, close
over and rebind each other's variables;
and run in plain `exec`. Cells that would fail are left out.
"""

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
    PIECES,
    SHOW,
    START,
    VARIABLES,
    notebooks,
)
from hypothesis import HealthCheck, given, settings

from nbflow.core.cells import CellText, analyze


def _run(sources):
    """Return what each source prints, until one fails."""
    namespace = {"__name__": "__main__"}
    printed = []
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is what notebooks use
    for source in sources:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(source, "<cell>", "exec"), namespace)
        except Exception:  # noqa: BLE001 - a notebook ends at its first error
            break
        printed.append(out.getvalue())
    return printed


def _valid(candidates, start):
    """Return the cells that run, one after the other."""
    kept = list(start)
    for each in candidates:
        if len(_run([*kept, each])) > len(kept):
            kept.append(each)
    return kept


def _ancestors(analysis, number):
    found, wanted = set(), {number}
    sources = {}
    for each in analysis.dependences:
        sources.setdefault(each.target, set()).add(each.source)
    while wanted:
        each = wanted.pop()
        found.add(each)
        wanted |= sources.get(each, set()) - found
    return sorted(found)


def check(sources, start=START):
    sources = _valid(sources, start)
    valid = len(sources)
    # What there is at the end counts, too: each variable is shown by a cell of its own.
    shows = [SHOW.format(name=name) for name in (*VARIABLES, "u()", "v()")]
    sources = [*sources, *shows]
    analysis = analyze(
        [CellText(number=i, index=i, text=text) for i, text in enumerate(sources, start=1)]
    )
    for number in range(1, len(sources) + 1):
        if number > valid:
            before = [*sources[:valid], sources[number - 1]]
            whole = _run(before)
            if len(whole) < len(before):
                continue
        else:
            whole = _run(sources[:number])
        cells = [each for each in _ancestors(analysis, number) if each <= valid or each == number]
        part = _run([sources[each - 1] for each in cells])
        told = "\n\n".join(f"# {i}\n{text}" for i, text in enumerate(sources, start=1))
        assert len(part) == len(cells), f"cell {number} fails after {cells}\n{told}"
        assert _plain(part[-1]) == _plain(whole[-1]), f"cell {number} differs after {cells}\n{told}"


def _plain(text):

    return re.sub(r"0x[0-9a-fA-F]+", "0x", text)


#: The same ones each time; ``NOTEBOOKS=500`` tries so many others.
_SETTINGS = settings(
    max_examples=int(os.environ.get("NOTEBOOKS", "60")),
    derandomize="NOTEBOOKS" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@_SETTINGS
@given(notebooks(PIECES))
def test_a_cell_needs_nothing_but_what_it_depends_on(sources):
    check(sources)


@_SETTINGS
@given(notebooks(DATA_PIECES))
@pytest.mark.filterwarnings("ignore")
def test_cells_with_arrays_and_tables(sources):
    check(sources, DATA_START)
