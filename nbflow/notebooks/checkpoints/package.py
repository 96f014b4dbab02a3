"""A checkpoint as one file: what the kernel has written, and what its notebook has emitted so far.

It is a ZIP archive without compression, written and read in constant memory:
``variables.pickle`` and ``manifest.json`` are the kernel's, ``worker.json`` is about the rest, and
``outputs/NAME`` are the files in the outputs folder, which would go with the attempt.
"""

import mmap
import os
import shutil
import zipfile
from pathlib import Path

import msgspec

from nbflow.notebooks.masking import Mask

_KERNELS = ("variables.pickle", "manifest.json")
_WORKERS = "worker.json"
#: Folder of emitted files.
EMITTED = "outputs"


class Unpackable(Exception):
    """There can be no such file; the text says why."""


class Besides(msgspec.Struct, frozen=True):
    """What belongs to a checkpoint besides the kernel's files.

    Parameters
    ----------
    taken_bytes
        Bytes of output that count against the notebook's limit.
    times_ns
        When each file in the outputs folder was last written: of two for one output, the younger
        counts.
    """

    taken_bytes: int
    times_ns: dict[str, int]


def pack(folder: Path, outputs: Path, taken_bytes: int, mask: Mask, *, private: Path) -> Path:
    """Return the file that holds a checkpoint.

    Parameters
    ----------
    folder
        Where the kernel has written.
    outputs
        The outputs folder.
    taken_bytes
        See `Besides`.
    mask
        Knows the secrets, none of which may be in it.
    private
        The attempt's own folder, which nothing may name: it will be gone.

    Raises
    ------
    Unpackable
        If it would hold what it must not.
    """
    emitted = [path for path in sorted(outputs.iterdir()) if not path.name.startswith(".")]
    for path in [*(folder / name for name in _KERNELS), *emitted]:
        if not path.is_file():
            raise Unpackable(f"{path.name!r} in NBFLOW_OUTPUTS is not a file")
        leak = mask.leak_in_file(path)
        if leak is not None:
            raise Unpackable(f"it would contain the secret {leak}")
    if any(_names(folder / name, str(private)) for name in _KERNELS):
        raise Unpackable("a variable names a folder that goes with the attempt")
    times_ns = {path.name: path.stat().st_mtime_ns for path in emitted}
    package = folder / "checkpoint.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for name in _KERNELS:
            archive.write(folder / name, name)
        for path in emitted:
            archive.write(path, f"{EMITTED}/{path.name}")
        archive.writestr(_WORKERS, msgspec.json.encode(Besides(taken_bytes, times_ns)))
    return package


def unpack(package: Path, folder: Path) -> Besides:
    """Put everything into `folder`, and return what is known besides.

    Raises
    ------
    Unpackable
        If the file is none that `pack` has written.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            besides = msgspec.json.decode(archive.read(_WORKERS), type=Besides)
            for name in _KERNELS:
                _extract(archive, name, folder / name)
            for name, time_ns in besides.times_ns.items():
                target = folder / EMITTED / name
                _extract(archive, f"{EMITTED}/{name}", target)
                os.utime(target, ns=(time_ns, time_ns))
    except (zipfile.BadZipFile, KeyError, msgspec.DecodeError) as error:
        raise Unpackable(f"the checkpoint cannot be read ({error})") from error
    return besides


def _names(path: Path, text: str) -> bool:
    """Whether `text` stands in a file, as texts and arrays of texts are pickled."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(text.encode(code)) != -1 for code in ("utf-8", "utf-32-le"))


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
