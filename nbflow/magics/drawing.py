"""What is known of the cells of the open notebook: drawn, and told, as the command line does it."""

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click
import nbformat
from IPython.display import display

from nbflow.magics.errors import Refused
from nbflow.magics.executed import Executed
from nbflow.magics.open_notebook import open_notebook
from nbflow.magics.sending import working_folder

#: Name of the notebook that the executed cells of a session make.
SESSION = "session.ipynb"


class Shown:
    """A notebook whose cells are looked at.

    Parameters
    ----------
    path
        The file.
    what
        Which one it is, and how that is known, for people.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what


@contextmanager
def shown_notebook(named: str, executed: Executed, namespace: dict[str, Any]) -> Iterator[Shown]:
    """Give the notebook that a magic means; where nobody tells, the session's executed cells."""
    found = open_notebook(named, os.environ, namespace, working_folder())
    if found is not None:
        yield Shown(found.path, f"{found.path.name}, as it was saved ({found.known_by})")
        return
    with tempfile.TemporaryDirectory(prefix="nbflow-session-") as folder:
        path = Path(folder, SESSION)
        cells = [nbformat.v4.new_code_cell(each.source) for each in executed.cells()]
        info = {"language_info": {"name": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=info), path)
        yield Shown(path, "the cells that this session has executed (no notebook file is known)")


def draw(shown: Shown) -> None:
    """Display the stages of a notebook: SVG in a front end, text in a terminal."""
    pictures = {
        mime: command("graph", str(shown.path), "--cells", "--format", form)
        for mime, form in (("image/svg+xml", "svg"), ("text/plain", "text"))
    }
    display(pictures, raw=True)


def tell(shown: Shown, name: str, *arguments: str) -> None:
    """Print what a command of nbflow says of a notebook."""
    text = command(name, str(shown.path), *arguments)
    print(text.replace(str(shown.path), shown.path.name).rstrip())  # noqa: T201 - a magic's answer


def command(*arguments: str) -> str:
    """Return what a command of nbflow prints.

    Raises
    ------
    Refused
        If it cannot be used like this.
    nbflow.core.errors.NbflowError
        As of the command.
    """
    from nbflow.cli.commands import root  # lazy: most sessions never ask

    told = io.StringIO()
    try:
        with redirect_stdout(told):
            root.main(args=list(arguments), prog_name="nbflow", standalone_mode=False)
    except click.ClickException as error:
        raise Refused(error.format_message()) from error
    return told.getvalue()


def numbers(words: Sequence[str], usage: str) -> list[str]:
    """Return words that are numbers of cells.

    Raises
    ------
    Refused
        If one is none.
    """
    if not words or not all(word.isdecimal() for word in words):
        raise Refused(f"cells are named by their numbers, as in: {usage}")
    return list(words)
