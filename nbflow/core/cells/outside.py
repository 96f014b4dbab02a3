"""What lies outside of variables: in which order cells may touch it.

*Memory* of a process that is no variable, as the state of a generator or an option, travels with a
chain of cells, so only reading after writing orders two cells. *Files* and the *world* are one
for all kernels: there, writing after reading and writing after writing order cells, too.
"""

from nbflow.core.cells import paths
from nbflow.core.cells.effects.language import Touch
from nbflow.core.cells.facts import DependenceKind
from nbflow.core.cells.ledger import Page
from nbflow.core.cells.values import Act

_SHARED = ("file", "world")


class Outside:
    """Who touched what, as far as the notebook has been followed."""

    def __init__(self) -> None:
        #: The last writers of each piece of memory, and of whatever of a kind.
        self._written: dict[Touch, dict[int, Act]] = {}
        #: Touches of files that a later one may conflict with: (path, is written) -> by cell.
        self._files: dict[tuple[str, bool], dict[int, Act]] = {}
        self._world: dict[int, Act] = {}
        #: Cells that every kernel repeats, with the seeds that they set.
        self._replayed: set[int] = set()
        #: Generators that begin with the system's chance no more.
        self._seeded: set[str] = set()

    def touch(self, page: Page, touch: Touch, act: Act, *, replayed: bool = False) -> None:
        """Note that a cell touches something, and what it depends on for that."""
        if replayed:
            self._replayed.add(page.cell)
        match touch.kind:
            case "file":
                self._touch_file(page, touch, act)
            case "world":
                page.depend(self._world, act, touch.name or "the outside world", "order")
                self._world = {page.cell: act}
            case "random":
                self._touch_random(page, touch, act)
            case _:
                # Settings are replayed in order by every kernel.
                pass

    def _touch_random(self, page: Page, touch: Touch, act: Act) -> None:
        if touch.fresh:
            self._seeded.add(touch.name)
        elif touch.name and touch.name not in self._seeded:
            page.unsure.setdefault(f"{touch.name}, which nothing has seeded", act)
        for known, writers in list(self._written.items()):
            if known.name == touch.name or not known.name or not touch.name:
                if not (touch.fresh and known.name):
                    for cell, earlier in writers.items():
                        kind: DependenceKind = "replay" if cell in self._replayed else "data"
                        page.depend({cell: earlier}, act, known.name or touch.name, kind)
                if not touch.name or known.name == touch.name:
                    del self._written[known]
        self._written[Touch("random", touch.name)] = {page.cell: act}

    def _touch_file(self, page: Page, touch: Touch, act: Act) -> None:
        for (path, written), by in list(self._files.items()):
            if not (written or touch.write) or not paths.may_be_same(path, touch.name):
                continue
            page.depend(by, act, _shown(path or touch.name), "order")
            covered = touch.name in ("", path)
            if touch.write and covered:
                # Whoever comes later depends on those by way of this cell.
                del self._files[path, written]
        by = self._files.setdefault((touch.name, touch.write), {})
        if touch.write:
            by.clear()
        by.setdefault(page.cell, act)


def _shown(path: str) -> str:
    return f"file {path}" if path else "any file"
