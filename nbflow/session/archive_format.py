"""The format of an exported run; `nbflow.session.archives` tells of it."""

import re
import zipfile
from pathlib import Path

import msgspec

from nbflow.core.errors import NbflowError
from nbflow.core.events import Record
from nbflow.journal import codec
from nbflow.journal.versions import HISTORY

#: Version of the format. Since 2, what was printed is in it.
FORMAT = 2

MANIFEST, RUN, RECORDS = "manifest.json", "run.json", "records.jsonl"
ARTIFACT = re.compile(r"artifacts/([0-9a-f]{64})")
NOTEBOOK = re.compile(r"notebooks/(.+)\.ipynb")
#: Names as `nbflow.session.log_files` gives them.
LOG = re.compile(r"logs/([\w.~%-]+\.jsonl)", re.ASCII)
#: A manifest that is larger was not made by us, in bytes: one names a million artifacts in this.
MANIFEST_LIMIT_BYTES = 256 << 20


class ArchiveError(NbflowError):
    """A file cannot be written, or is not a run that can be imported."""


class Member(msgspec.Struct, frozen=True):
    """What a member of an archive holds."""

    digest: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds, and who wrote it."""

    format: int
    program: str
    run: str
    flow: str
    members: dict[str, Member]


class Line(msgspec.Struct, frozen=True):
    """A record as a line of ``records.jsonl``."""

    seq: int
    epoch: int
    at: float
    type: str
    version: int
    body: msgspec.Raw


class Archived(msgspec.Struct, frozen=True):
    """What was written to a file, or read from one."""

    run: str
    records: int
    artifacts: int
    size_bytes: int


def information_of(name: str) -> zipfile.ZipInfo:
    """Return the head of a member, the same in each export of the same."""
    information = zipfile.ZipInfo(name)
    information.compress_type = zipfile.ZIP_DEFLATED
    information.external_attr = 0o644 << 16
    return information


def line_of(record: Record) -> bytes:
    """Return a record as a line."""
    kind = record.type
    body = msgspec.Raw(codec.encode(record.event))
    line = Line(record.seq, record.epoch, record.at, kind, HISTORY.of(kind), body)
    return msgspec.json.encode(line) + b"\n"


def damage(path: Path, what: str) -> ArchiveError:
    """Return the error of a file that is not whole, or not ours."""
    return ArchiveError(
        f"{path} cannot be imported: {what}. Nothing was added; export the run again, or fetch "
        "the file once more"
    )
