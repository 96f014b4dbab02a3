"""A run as one file: `nbflow export` and `nbflow import`.

The file is a zip archive, which any program can open::

    run.json           the run's row in the journal
    records.jsonl      its records, one a line, as the journal's events are written
    artifacts/HEX      what the records name, by SHA-256; the hex digits are the name
    notebooks/NODE.ipynb   the executed notebooks once more, for people
    logs/NAME.jsonl    what nodes have printed, as the run's folder has it
    manifest.json      the format's version, the program, and the SHA-256 and size of all of these

The manifest comes last, as only then all hashes are known; so a file that was cut short has none.
All is written and read in constant memory, but for the records.

Reading trusts nothing. Names are compared with what can occur, and are never used as paths; every
hash is checked before anything is added to the home; and the journal gets the run in one
transaction, after its artifacts. An import that is killed leaves some artifacts that nothing refers
to, for `nbflow gc`.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from nbflow._version import __version__
from nbflow.artifacts.digests import digest_of
from nbflow.artifacts.files import DISK, READ_WRITE, copy_hashed
from nbflow.artifacts.folders import explained
from nbflow.core.errors import JournalError, RunExists, UnknownRun
from nbflow.core.events import Record, RunCreated
from nbflow.core.ids import is_run_id
from nbflow.core.values import Artifact
from nbflow.ports import Journal, RunRow
from nbflow.session import tenants
from nbflow.session.archive_format import (
    FORMAT,
    MANIFEST,
    RECORDS,
    RUN,
    Archived,
    ArchiveError,
    Manifest,
    Member,
    information_of,
    line_of,
)
from nbflow.session.archive_reading import ArchiveReader, opened
from nbflow.session.home import FOLDER, Home, located
from nbflow.session.log_files import FOLDER as LOGS
from nbflow.session.references import live_references
from nbflow.session.run import Run


def export_run(
    run: str | Run, path: str | os.PathLike[str], *, home: str | os.PathLike[str] | None = None
) -> Path:
    """Write a run, as far as it has got, to one file; return its path.

    Parameters
    ----------
    run
        A handle, or an id, or a beginning of one that fits no other run.
    path
        A file that does not exist yet.
    home
        The folder of the run's home; by default the ``.nbflow`` found from here upwards.

    Raises
    ------
    nbflow.core.errors.UnknownRun
        If there is no such home or run.
    nbflow.core.errors.ArtifactError
        If an artifact of the run is missing or damaged, or the file cannot be written.
    nbflow.core.errors.NbflowError
        If the file exists.
    """
    if isinstance(run, Run):
        home, run = run.home, run.id
    its_home = Home.find(home, Path.cwd())
    try:
        write_archive(its_home, its_home.run_row(run).id, Path(path))
    finally:
        its_home.close()
    return Path(path)


def import_run(
    path: str | os.PathLike[str],
    *,
    home: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
) -> Run:
    """Add the run in a file that `export_run` has written to a home; return its handle.

    Parameters
    ----------
    path
        The file.
    home
        The folder of the home, which is made if need be; by default the ``.nbflow`` found from
        here upwards, else a new one here.
    run_id
        The id that the run gets; by default the one that it had.

    Raises
    ------
    nbflow.core.errors.RunExists
        If there is a run of that id.
    nbflow.core.errors.NbflowError
        If the file is damaged, or of a newer nbflow. Nothing was added then.
    """
    folder = located(home, Path.cwd(), os.environ) or Path.cwd() / FOLDER
    with _verified(Path(path), run_id) as (reader, row, records):
        # Only now: a file that is not whole leaves no new home behind.
        its_home = Home.open(folder)
        try:
            _add(its_home, reader, row, records)
            return Run(row.id, its_home)
        except BaseException:
            its_home.close()
            raise


def write_archive(home: Home, run: str, path: Path) -> Archived:
    """Write a run, as far as it has got, to a new file.

    Raises
    ------
    ArchiveError
        If there is something at `path` already.
    ArtifactError
        If an artifact of the run is missing or damaged, or the file cannot be written.
    """
    if path.exists():
        raise ArchiveError(f"{path} exists already. Choose another name, or remove it")
    row = home.journal.row(run)
    records = [record for record in home.journal.read(run) if record.seq <= row.last_seq]
    with (
        explained(f"the folder {path.absolute().parent}", then="then export again"),
        DISK.whole_file(path.absolute(), path.absolute().parent, READ_WRITE) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        logs = home.runs_folder(row.id) / LOGS
        return _Writer(archive, home, logs).write(row, records)


@contextmanager
def _verified(path: Path, run: str | None) -> Iterator[tuple[ArchiveReader, RunRow, list[Record]]]:
    """Open what `write_archive` has written; give the run in it, under the id `run` if given.

    Raises
    ------
    ArchiveError
        If the file is damaged, or of a newer format.
    NewerSchema
        If a newer nbflow has written its records.
    """
    with opened(path) as archive:
        reader = ArchiveReader(archive, path)
        row, records = reader.verified()
        if run is not None:
            if not is_run_id(run):
                raise ArchiveError(f"{run!r} cannot be a run's id")
            row = msgspec.structs.replace(row, id=run)
            records = [msgspec.structs.replace(record, run=run) for record in records]
        yield reader, row, records


def _add(home: Home, reader: ArchiveReader, row: RunRow, records: list[Record]) -> None:
    """Add a run to a home; `RunExists` if it has one of that id."""
    _require_new(home.journal, row.id)
    records = _at_home(records, home)
    tenants.settle(home.store, home.tenant)
    reader.add_artifacts(home)
    home.journal.restore(row, records)
    reader.write_logs(home.runs_folder(row.id) / LOGS)
    _materialise(home, row.id, records)


class _Writer:
    """Writes one archive."""

    def __init__(self, archive: zipfile.ZipFile, home: Home, logs: Path) -> None:
        self._archive = archive
        self._store = home.store
        self._logs = logs
        self._members: dict[str, Member] = {}

    def write(self, row: RunRow, records: list[Record]) -> Archived:
        self._add_bytes(RUN, msgspec.json.encode(row))
        self._add_lines(records)
        artifacts = sorted({each.digest for each in live_references(records)})
        for digest in artifacts:
            self._add_artifact(f"artifacts/{digest.removeprefix('sha256:')}", digest)
        for node, notebook in _notebooks(records).items():
            self._add_artifact(f"notebooks/{node}.ipynb", notebook.digest)
        self._add_logs()
        manifest = Manifest(FORMAT, __version__, row.id, row.flow, self._members)
        self._archive.writestr(information_of(MANIFEST), msgspec.json.encode(manifest))
        size_bytes = sum(member.size_bytes for member in self._members.values())
        return Archived(row.id, len(records), len(artifacts), size_bytes)

    def _add_bytes(self, name: str, data: bytes) -> None:
        self._archive.writestr(information_of(name), data)
        self._members[name] = Member(digest_of(data), len(data))

    def _add_lines(self, records: list[Record]) -> None:
        sha256, size_bytes = hashlib.sha256(), 0
        with self._archive.open(information_of(RECORDS), "w", force_zip64=True) as file:
            for record in records:
                line = line_of(record)
                sha256.update(line)
                size_bytes += file.write(line)
        self._members[RECORDS] = Member(f"sha256:{sha256.hexdigest()}", size_bytes)

    def _add_artifact(self, name: str, digest: str) -> None:
        with (
            self._store.reading(digest) as source,
            self._archive.open(information_of(name), "w", force_zip64=True) as target,
        ):
            found, size_bytes = copy_hashed(source, cast("BinaryIO", target))
        if found != digest:
            # Reading it once more tells the damage in the store's own words.
            self._store.path(digest)
            raise ArchiveError(f"artifact {digest} has changed while it was read. Try again")
        self._members[name] = Member(digest, size_bytes)

    def _add_logs(self) -> None:
        for path in sorted(self._logs.glob("*.jsonl")):
            name = f"logs/{path.name}"
            # What is printed meanwhile may turn the file into the node's old one.
            with (
                suppress(FileNotFoundError),
                path.open("rb") as source,
                self._archive.open(information_of(name), "w", force_zip64=True) as target,
            ):
                self._members[name] = Member(*copy_hashed(source, cast("BinaryIO", target)))


def _require_new(journal: Journal, run: str) -> None:
    with suppress(UnknownRun):
        journal.row(run)
        raise RunExists(f"there is a run {run!r} already. Import it under another id by --as")


def _notebooks(records: list[Record]) -> dict[str, Artifact]:
    """Return the latest executed notebook of each node that has one."""
    latest: dict[str, Artifact] = {}
    for record in records:
        notebook = getattr(record.event, "notebook", None)
        if isinstance(notebook, Artifact) and record.node is not None:
            latest[record.node] = notebook
    return latest


def _at_home(records: list[Record], home: Home) -> list[Record]:
    """Return the records with the folder of the executed notebooks in this home.

    The one that they name is another machine's, or another run's.
    """
    first = records[0]
    if not isinstance(first.event, RunCreated):
        raise JournalError(f"the history of run {first.run} does not begin with its creation")
    folder = str(home.runs_folder(first.run))
    event = msgspec.structs.replace(first.event, output_dir=folder)
    return [msgspec.structs.replace(first, event=event), *records[1:]]


def _materialise(home: Home, run: str, records: list[Record]) -> None:
    for node, notebook in _notebooks(records).items():
        home.store.materialise(notebook.digest, home.runs_folder(run) / f"{node}.ipynb")
