"""What a magic says when it will not do what it is asked, and how an error of a cell comes home."""

from collections.abc import Sequence

from nbflow.core.errors import NbflowError


class Refused(NbflowError):
    """It cannot be done, and nothing was begun."""


class CellError(Exception):
    """An exception that a cell has raised elsewhere; shown as it was there.

    Parameters
    ----------
    text
        What the exception says.
    traceback
        As its kernel has written it.
    """

    def __init__(self, text: str, traceback: Sequence[str]) -> None:
        super().__init__(text)
        self._traceback = list(traceback)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of where the magic was called."""
        return self._traceback


def cell_error(name: str, text: str, traceback: Sequence[str]) -> CellError:
    """Return an exception that looks like one of the type `name`."""
    return type(name, (CellError,), {})(text, traceback)  # type: ignore[no-any-return]
