"""How soon it is named that a kernel swaps, for real: needs Linux, root, and cgroups of version 1.

It makes a swap file, puts the kernel into a group that may have less memory than it uses, and takes
both away again. So it is no test, which has to run everywhere.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

import nbflow
from benchmarks.stall_cases import Watch

_MEMORY = Path("/sys/fs/cgroup/memory")
_USED, _ALLOWED, _SWAP = 450_000_000, 160_000_000, 700_000_000
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: The first cell moves its kernel into the group; the second walks through more than that may have.
_JOIN = "import os\nopen({group!r}, 'w').write(str(os.getpid()))"
_WALK = (
    "kept = bytearray({used})\nopen({mark!r}, 'w').close()\nwhile True:\n"
    "    for place in range(0, len(kept), 4096):\n        kept[place] = 1"
)


@click.command()
def swapping() -> None:
    """Let a kernel swap, and measure how soon that is named."""
    if os.geteuid() or not _MEMORY.is_dir():
        raise click.ClickException("this needs root and cgroups of version 1")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with _swap(folder / "swap"), _group() as group:
            after_s, summary = _named(folder, group)
    print(f"named after {after_s:.1f} s: {summary}")


def _named(folder: Path, group: Path) -> tuple[float, str]:
    mark = folder / "walks.mark"
    cells = (
        _JOIN.format(group=str(group / "cgroup.procs")),
        _WALK.format(used=_USED, mark=str(mark)),
    )
    book = new_notebook(
        cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": _KERNEL}
    )
    nbformat.write(book, folder / "walks.ipynb")
    flow = nbflow.Flow("swapping", base_dir=folder)
    flow.notebook("walks.ipynb")
    run = flow.start(cluster=nbflow.Embedded(workers=1))
    try:
        watch = Watch(run)
        finding = watch.named("walks", "memory_pressure")
        # From when the memory is there: all of it had to be written once, which swaps already.
        begun = time.monotonic() - (time.time() - mark.stat().st_mtime)
        return watch.first["walks", "memory_pressure"][0] - begun, finding.summary
    finally:
        run.cancel()
        run.wait(60)


@contextmanager
def _swap(file: Path) -> Iterator[None]:
    with file.open("wb") as space:
        os.posix_fallocate(space.fileno(), 0, _SWAP)
    file.chmod(0o600)
    subprocess.run(["mkswap", file], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", file], check=True)
    try:
        yield
    finally:
        subprocess.run(["swapoff", file], check=True)


@contextmanager
def _group() -> Iterator[Path]:
    own = next(
        line.partition("memory:")[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if ":memory:" in line
    )
    group = _MEMORY / own.lstrip("/") / "nbflow-swapping"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(_ALLOWED))
        yield group
    finally:
        group.rmdir()
