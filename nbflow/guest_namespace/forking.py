"""Do something in a copy of the kernel's process, so that nothing of it stays in the kernel."""

import contextlib
import gc
import json
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from nbflow.guest_namespace.files import OWN_FORK

#: So many problems are named, at most.
PROBLEMS = 3


def in_a_fork(work: Callable[[], list[str]], limit_s: float) -> list[str]:
    """Do `work` in a copy of this process, and return what it returns."""
    reading, writing = os.pipe()
    child = _forked()
    if child == 0:
        os.close(reading)
        _be_the_fork(work, writing)
    os.close(writing)
    try:
        answer = _read_all(reading, limit_s)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if answer is None:
        return [f"it took longer than {limit_s:g} s"]
    if not answer:
        return ["the process that was to store it died"]
    problems: list[str] = json.loads(answer)
    return problems


def _forked() -> int:
    """Fork, and let Python not warn of it: the fork does nothing that other threads could hold."""
    ignoring = ("ignore", None, DeprecationWarning, None, 0)
    # Behind the back of the module, since a change that it notes makes it warn anew of everything.
    warnings.filters.insert(0, ignoring)  # type: ignore[attr-defined]
    sys.audit(OWN_FORK, True)
    try:
        return os.fork()
    finally:
        sys.audit(OWN_FORK, False)
        warnings.filters.remove(ignoring)  # type: ignore[attr-defined]


def _be_the_fork(work: Callable[[], list[str]], writing: int) -> None:
    try:
        gc.disable()
        with contextlib.suppress(OSError):
            # If memory gets short, this process is to die, and not the kernel.
            Path("/proc/self/oom_score_adj").write_text("1000")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the end
        try:
            problems = work()
        except BaseException as error:  # noqa: BLE001 - foreign code; the report is the only way out
            problems = [f"{type(error).__name__}: {error}"]
        os.write(writing, json.dumps(problems[:PROBLEMS]).encode())
    finally:
        os._exit(0)


def _read_all(descriptor: int, limit_s: float) -> bytes | None:
    """Return what is written before the other end is closed; None if that takes too long."""
    answer = b""
    while select.select([descriptor], [], [], limit_s)[0]:
        piece = os.read(descriptor, 65536)
        if not piece:
            return answer
        answer += piece
    return None
