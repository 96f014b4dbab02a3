"""Which names a run from top to bottom may know that the kernel of a stage does not have.

Where a cell asks for such a name in vain, it may be that only this kernel misses it. Where no cell
of another stage can have bound it, it is an error of the cell's own.
"""

import re
import unicodedata
from collections.abc import Iterator

from nbformat import NotebookNode

from nbflow.core.stages import StageSpec

_WORD = re.compile(r"[^\W\d]\w*")
#: What may bind names that do not stand in the cell. Magics do, but for some.
_UNNAMED = re.compile(
    r"\b(?:exec|eval|compile|globals|locals|vars|setattr|get_ipython|user_ns|run_cell|__dict__)\b"
    r"|import\s*\(?\s*\*"
    r"|^\s*%(?!%?(?:matplotlib|time|timeit|capture|config|env|cd|ls|pwd|html|precision)\b)",
    re.MULTILINE,
)

#: What Python binds by itself.
_IMPLICIT = frozenset({"__annotations__", "__warningregistry__"})


def earlier_names(written: NotebookNode, spec: StageSpec) -> frozenset[str] | None:
    """Return all names that cells of other stages may bind before the last cell of a stage.

    Parameters
    ----------
    written
        The whole notebook as it was written.
    spec
        The stage.

    Returns
    -------
    frozenset of str or None
        None stands for any name.
    """
    names = set(_IMPLICIT)
    for text in _texts(written, spec):
        if _UNNAMED.search(text):
            return None
        # As Python reads names.
        names.update(_WORD.findall(unicodedata.normalize("NFKC", text)))
    return None if spec.injected else frozenset(names)


def _texts(written: NotebookNode, spec: StageSpec) -> Iterator[str]:
    own = {cell.index for cell in spec.cells}
    for index, cell in enumerate(written.cells[: max(own, default=0)]):
        if index not in own and cell.cell_type == "code":
            yield cell.source
