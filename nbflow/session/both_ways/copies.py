"""A notebook's folder for one run alone, and the files that come out of it.

The copy stands among links to what stands beside the original, three levels up, so that a path such
as ``../data/sales.csv`` leads to the same file. A folder that is too large is not copied: then
all runs work in the original, one after the other, and see what the others have left.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from nbflow.cluster import Embedded
from nbflow.cluster.connecting import Target
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.targets import BareNotebook, load_notebook

#: A folder larger than this is not copied.
COPIED_BYTES = 200_000_000
#: A file larger than this is compared by its digest alone.
_KEPT_BYTES = 1_000_000
#: Folders above the notebook's whose other entries are linked.
_LEVELS = 3
#: What no notebook means to have in its folder.
_IGNORED = frozenset({".nbflow", ".git", ".ipynb_checkpoints", "__pycache__", ".venv"})
#: Kernels that run at once: more than cores, so that stages meet each other in many orders.
_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Which notebook is to be run both ways, and how.

    Parameters
    ----------
    notebook
        A local file.
    params
        Its parameters.
    cluster
        Where; by default a cluster of this machine for each run.
    scratch
        Folder for copies and homes; by default where the system has temporary files.
    told
        Is told what is being done.
    """

    notebook: BareNotebook
    params: Mapping[str, Any] = field(default_factory=dict)
    cluster: Target = Embedded(workers=1, threads=_AT_ONCE)
    scratch: Path | None = None
    told: Callable[[str], None] = lambda _text: None


class FileLeft(msgspec.Struct, frozen=True):
    """A file that a run has written: its digest, and its content if it is small."""

    digest: str
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the runs of one notebook take place, one after the other.

    Parameters
    ----------
    asked
        The notebook is the one in the copy.
    home
        The home of all these runs.
    uncopied
        Why nothing is copied; empty if it is.
    """

    asked: Asked
    home: Path
    original: Path
    folder: Path
    uncopied: str = ""

    def renew(self) -> "Seen":
        """Make the folder as it was, and return what is in it."""
        if not self.uncopied:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            shutil.copytree(self.original, self.folder, symlinks=True, ignore=self._ignored)
        return Seen.of(self.folder)

    def _ignored(self, folder: str, names: list[str]) -> list[str]:
        # The copies, too, may lie in the original: temporary files can be anywhere.
        mine = self.home.parent
        return [it for it in names if it in _IGNORED or Path(folder, it).resolve() == mine]


@dataclass(frozen=True, slots=True)
class Seen:
    """The files of a folder at one moment: by path, size and time of the last change."""

    folder: Path
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, folder: Path) -> "Seen":
        """Look at a folder."""
        return cls(folder, {path: (it.st_size, it.st_mtime_ns) for path, it in _files(folder)})

    def changes(self) -> dict[str, FileLeft]:
        """Return the files that have come, changed or gone since, by path in the folder."""
        now = Seen.of(self.folder).files
        gone = {path: FileLeft("") for path in self.files.keys() - now.keys()}
        new = [path for path, mark in now.items() if self.files.get(path) != mark]
        return {**gone, **{path: _left(self.folder / path) for path in sorted(new)}}


@contextmanager
def workplace(asked: Asked) -> Iterator[Workplace]:
    """Make a place in which a notebook can be run again and again; it is gone afterwards.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If there is no such notebook.
    """
    load_notebook(asked.notebook, flow_class=FlowBuilder)
    root = Path(tempfile.mkdtemp(prefix="nbflow-both-", dir=asked.scratch)).resolve()
    try:
        notebook = Path(asked.notebook.path).absolute()
        original = notebook.parent
        uncopied = _why_not(asked.notebook, original)
        folder = original if uncopied else _among_links(original, root / "copy")
        bare = replace(
            asked.notebook,
            path=str(folder / notebook.name),
            place=asked.notebook.place or asked.notebook.path,
            form=msgspec.structs.replace(
                asked.notebook.form, folder=None, saved_to=None, delivered_to=None
            ),
        )
        yield Workplace(replace(asked, notebook=bare), root / "home", original, folder, uncopied)
    finally:
        shutil.rmtree(root)


def _why_not(notebook: BareNotebook, folder: Path) -> str:
    if notebook.options.cwd is not None:
        return "its kernel works in a folder of its own (--cwd)"
    total = 0
    for _, found in _files(folder):
        total += found.st_size
        if total > COPIED_BYTES:
            return f"its folder has more than {COPIED_BYTES // 1_000_000} MB"
    return ""


def _among_links(original: Path, root: Path) -> Path:
    """Return where the copy goes: below `root`, with links to what stands beside the original."""
    above = [it for it in original.parents if it != it.parent][:_LEVELS]
    place = root
    for inside, parent in zip([*reversed(above[:-1]), original], reversed(above), strict=True):
        place = place / parent.name
        place.mkdir(parents=True)
        for entry in _entries(parent):
            if entry.path != str(inside):
                (place / entry.name).symlink_to(entry.path)
    root.mkdir(parents=True, exist_ok=True)
    return place / (original.name or "root")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        # What may not be listed is not there for the notebook's relative paths, either.
        return []


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _IGNORED]
        for name in names:
            path = Path(where, name)
            try:
                found = path.lstat()
            except FileNotFoundError:
                # A file that something has removed meanwhile is not left.
                continue
            yield str(path.relative_to(folder)), found


def _left(path: Path) -> FileLeft:
    if path.is_symlink():
        return FileLeft(f"link to {path.readlink()}")
    if not path.is_file():
        return FileLeft("special")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    small = path.stat().st_size <= _KEPT_BYTES
    return FileLeft(digest, path.read_bytes() if small else None)
