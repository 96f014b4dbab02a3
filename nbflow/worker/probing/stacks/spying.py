"""Ask py-spy, if it is installed, where the threads of a process stand; it only reads memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from nbflow.worker.probing.stacks.asking import NoAnswer
from nbflow.worker.probing.stacks.dump import DumpedFrame

_TIMEOUT_S = 10.0


class SpiedThread(NamedTuple):
    """One thread."""

    native: int
    name: str
    frames: tuple[DumpedFrame, ...]


def find_spy() -> str | None:
    """Return the path of py-spy: of this environment, or else wherever it is found."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy")


def spy(program: str, pid: int) -> tuple[SpiedThread, ...]:
    """Return the threads of a process, which goes on meanwhile: it is not even halted.

    Raises
    ------
    NoAnswer
        If py-spy may not read it, or cannot.
    """
    # Not halted ("nonblocking"): to go on from a halt breaks off some calls, as a signal does.
    command = [program, "dump", "--nonblocking", "--json", "--pid", str(pid)]
    try:
        ended = subprocess.run(  # noqa: S603 - see `find_spy`
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(f"py-spy did not answer: {error}") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise NoAnswer(f"py-spy failed: {said[-1] if said else ended.returncode}")
    return tuple(
        SpiedThread(
            native=thread.get("os_thread_id") or 0,
            name=thread.get("thread_name") or "",
            frames=tuple(
                DumpedFrame(it["filename"], it["line"], it["name"]) for it in thread["frames"]
            ),
        )
        for thread in json.loads(ended.stdout)
    )
