"""The examples as a user has them: a copy of the folder, and the program to run them with."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

SOURCES = Path(__file__).parents[2] / "notebooks"
#: What runs leave beside the notebooks.
LEFT_BY_RUNS = shutil.ignore_patterns(".nbflow", ".ipynb_checkpoints", "out")


class Examples:
    """A copy of ``notebooks/``, with a folder for what comes out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "notebooks"
        self.out = folder / "out"
        shutil.copytree(SOURCES, self.folder, ignore=LEFT_BY_RUNS)

    def start(self, target: str, *words: str, out: str) -> "Program":
        """Start ``nbflow run TARGET … -o OUT --json``."""
        place = ["-o", str(self.out / out), "--json"]
        return Program(["run", target, *words, *place], self.folder)


class Program:
    """The program in a process of its own, from its start to the document that it prints."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nbflow", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def document(self, code: int = 0) -> dict:
        """Wait for the end, which must have this exit code, and return what was printed."""
        out, err = self._process.communicate()
        assert self._process.returncode == code, err
        return json.loads(out)


class Executed:
    """An executed notebook, which is a valid one."""

    def __init__(self, path: str | Path) -> None:
        self.book = nbformat.read(path, as_version=4)
        nbformat.validate(self.book)
        self.papermill = self.book.metadata.papermill

    @property
    def statuses(self) -> list[str]:
        """What papermill's metadata say of each code cell."""
        cells = self.book.cells
        return [cell.metadata.papermill.status for cell in cells if cell.cell_type == "code"]

    def outputs(self, mime_type: str) -> list[str]:
        """What all cells displayed in this form, in order."""
        return [
            output.data[mime_type]
            for cell in self.book.cells
            for output in cell.get("outputs", [])
            if mime_type in output.get("data", {})
        ]

    @property
    def printed(self) -> str:
        """What all cells wrote to standard output."""
        return "".join(
            output.text
            for cell in self.book.cells
            for output in cell.get("outputs", [])
            if output.output_type == "stream" and output.name == "stdout"
        )
