"""The cells of a notebook as the analysis wants them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nbflow.core.cells import Analysis, CellFacts, CellText, analyze
from nbflow.definition.cell_text.transforming import cell_transformer, plain_python
from nbflow.definition.code_cells import CodeCell, running
from nbflow.definition.notebook_file import Notebook


def cell_texts(cells: Iterable[CodeCell]) -> tuple[CellText, ...]:
    """Return cells as plain Python, numbered as Jupyter counts those that run.

    Empty cells and those tagged ``skip-execution`` are not run, and have no number.
    """
    transform = _Transformer()
    texts: list[CellText] = []
    for number, cell in enumerate(running(cells), start=1):
        plain = plain_python(cell.source, transform)
        texts.append(
            CellText(
                number=number,
                index=cell.index,
                text=plain.text,
                source="" if plain.text == cell.source else cell.source,
                tags=cell.tags,
                local=plain.local,
                captures=plain.captures,
                unsure=plain.unsure,
            )
        )
    return tuple(texts)


def analyze_notebook(notebook: Notebook) -> Analysis:
    """Return what the cells of a notebook do, and how they depend on each other.

    Of another language nothing is known: the analysis says which, and has no dependences.
    """
    if notebook.is_python:
        return analyze(cell_texts(notebook.cells))
    cells = tuple(
        CellFacts(number=number, index=cell.index, first_line=_first_line(cell.source))
        for number, cell in enumerate(running(notebook.cells), start=1)
    )
    return Analysis(cells, (), notebook.language or "")


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")


@dataclass
class _Transformer:
    """IPython's transformer, made when the first cell needs it."""

    transform: Callable[[str], str] | None = None

    def __call__(self, source: str) -> str:
        if self.transform is None:
            self.transform = cell_transformer()
        return self.transform(source)
