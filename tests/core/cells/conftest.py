"""Notebooks as lists of texts, analysed."""

import pytest

from nbflow.core.cells import CellText, analyze


@pytest.fixture
def analysed():
    """Analyses cells that are given as plain Python; a pair is a text and its tags."""

    def analysed(*cells):
        pairs = [each if isinstance(each, tuple) else (each, ()) for each in cells]
        return analyze(
            [
                CellText(number=number, index=number - 1, text=text, tags=tuple(tags))
                for number, (text, tags) in enumerate(pairs, start=1)
            ]
        )

    return analysed
