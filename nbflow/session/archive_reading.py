"""Reading an exported run, without trust in what it says of itself."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from nbflow.artifacts.files import copy_hashed, hashed
from nbflow.core import machine
from nbflow.core.events import Record
from nbflow.core.ids import is_node_name, is_run_id
from nbflow.journal import codec
from nbflow.ports import RunRow
from nbflow.session.archive_format import (
    ARTIFACT,
    FORMAT,
    LOG,
    MANIFEST,
    MANIFEST_LIMIT_BYTES,
    NOTEBOOK,
    RECORDS,
    RUN,
    ArchiveError,
    Line,
    Manifest,
    Member,
    damage,
)
from nbflow.session.home import Home
from nbflow.session.references import live_references


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a file as a zip archive; `ArchiveError` if it is none, or has been cut short."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise damage(path, f"it is no whole zip file ({error})") from error
    with archive:
        yield archive


class ArchiveReader:
    """Reads one archive.

    Parameters
    ----------
    archive, path
        The open file.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        self._members: dict[str, Member] = {}

    def verified(self) -> tuple[RunRow, list[Record]]:
        """Return the run, once all that the archive holds is known to be whole and needed."""
        manifest = self._manifest()
        self._members = manifest.members
        self._check_names()
        for name, member in manifest.members.items():
            with self._member(name) as file:
                if hashed(cast("BinaryIO", file)) != (member.digest, member.size_bytes):
                    raise self._damaged(f"{name} does not fit its hash")
        row, records = self._row(), list(self._records(manifest.run))
        numbers = [each.seq for each in records]
        if row.id != manifest.run or numbers != [*range(1, row.last_seq + 1)]:
            raise self._damaged("its records are not those of one run, from first to last")
        try:
            machine.replay(records)
        except machine.IllegalTransition as error:
            raise self._damaged(f"its history is impossible ({error})") from error
        missing = {each.digest for each in live_references(records)} - self._artifacts().keys()
        if missing:
            raise self._damaged(f"it lacks artifact {min(missing)}")
        return row, records

    def add_artifacts(self, home: Home) -> None:
        """Put all artifacts into the store."""
        for digest, name in self._artifacts().items():
            with home.store.staging() as folder:
                staged = folder / "content"
                with self._member(name) as source, staged.open("xb") as target:
                    copy_hashed(cast("BinaryIO", source), target)
                stored = home.store.put_file(staged, "file")
            if stored.digest != digest:
                raise self._damaged(f"{name} has changed while it was read")

    def write_logs(self, folder: Path) -> None:
        """Put what nodes have printed into a folder, which is made if there is anything."""
        for name in self._members:
            if match := LOG.fullmatch(name):
                folder.mkdir(parents=True, exist_ok=True)
                with self._member(name) as source, (folder / match[1]).open("wb") as target:
                    copy_hashed(cast("BinaryIO", source), target)

    def _artifacts(self) -> dict[str, str]:
        found = [(ARTIFACT.fullmatch(name), name) for name in self._members]
        return {f"sha256:{match[1]}": name for match, name in found if match}

    def _manifest(self) -> Manifest:
        names = self._archive.namelist()
        if MANIFEST not in names:
            raise ArchiveError(f"{self._path} is a zip file, but no run that nbflow has exported")
        if self._archive.getinfo(MANIFEST).file_size > MANIFEST_LIMIT_BYTES:
            raise self._damaged("its manifest is too large")
        with self._member(MANIFEST) as file:
            data = file.read()
        try:
            version = msgspec.json.decode(data, type=dict[str, msgspec.Raw])["format"]
            if msgspec.json.decode(version, type=int) > FORMAT:
                raise ArchiveError(
                    f"{self._path} was written by a newer nbflow, in another format than "
                    f"{FORMAT}, which this program knows. Upgrade nbflow to import it"
                )
            return msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
            raise self._damaged(f"its manifest cannot be read ({error})") from error

    def _check_names(self) -> None:
        """Refuse names that no export gives, whatever they might do."""
        names = self._archive.namelist()
        if sorted(names) != sorted([*self._members, MANIFEST]):
            raise self._damaged("its manifest does not name what is in it")
        for name, member in self._members.items():
            artifact, notebook = ARTIFACT.fullmatch(name), NOTEBOOK.fullmatch(name)
            known = (
                name in (RUN, RECORDS)
                or (artifact and member.digest == f"sha256:{artifact[1]}")
                or (notebook and is_node_name(notebook[1]))
                or LOG.fullmatch(name)
            )
            if not known:
                raise self._damaged(f"{name[:100]!r} has no place in a run")
        if not {RUN, RECORDS} <= self._members.keys():
            raise self._damaged("it has no records")

    def _row(self) -> RunRow:
        with self._member(RUN) as file:
            try:
                row = msgspec.json.decode(file.read(), type=RunRow)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise self._damaged(f"{RUN} cannot be read ({error})") from error
        if not is_run_id(row.id):
            raise self._damaged(f"{row.id[:100]!r} cannot be a run's id")
        return msgspec.structs.replace(row, holder="", lease_until=0.0)

    def _records(self, run: str) -> Iterator[Record]:
        decoder = msgspec.json.Decoder(Line)
        with self._member(RECORDS) as file:
            for text in file:
                try:
                    line = decoder.decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise self._damaged(f"a line of {RECORDS} cannot be read ({error})") from error
                place = f"{self._path}, seq {line.seq}"
                event = codec.decode(line.type, line.version, bytes(line.body), place)
                yield Record(run, line.seq, line.epoch, line.at, event)

    @contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        with _explained(self._path), self._archive.open(name) as file:
            yield file

    def _damaged(self, what: str) -> ArchiveError:
        return damage(self._path, what)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the zip format's libraries raise into one error."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise damage(path, str(error)) from error
    except Exception as error:
        # zlib's and lzma's own errors derive from nothing else.
        if type(error).__module__ in ("zlib", "lzma", "_lzma", "_bz2"):
            raise damage(path, str(error)) from error
        raise
