"""The text of `nbflow.guest_namespace`, and how it is asked in a kernel.

It runs in a module of its own that is gone afterwards: the user's namespace gets no new name, no
execution is counted, and what it prints is dropped.
"""

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nbflow import guest_namespace
from nbflow.kernels import EvaluationFailed, Kernel
from nbflow.notebooks.guest_text import joined_modules


class _Report(msgspec.Struct, frozen=True):
    problems: list[str]


async def ask_guest(
    kernel: Kernel, action: str, folder: Path, request: Mapping[str, Any]
) -> list[str]:
    """Let a kernel do what `nbflow.guest_namespace.keeping` can do, and return the problems.

    Parameters
    ----------
    kernel
        Runs no cell now.
    action
        ``"begin"``, ``"keep"`` or ``"restore"``.
    folder
        Files are exchanged there.
    request
        What else the action needs; plain values only.

    Raises
    ------
    KernelDied
        If the kernel ends meanwhile.
    EvaluationFailed
        If something goes wrong in a way that nobody has thought of, or the kernel was interrupted.
    """
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    # Names of the user's may shadow built-in ones, so they are reached through modules. A message
    # that is not small would make ZeroMQ start a thread.
    packed = base64.b85encode(zlib.compress(guest_text().encode())).decode()
    text = f"__import__('zlib').decompress(__import__('base64').b85decode({packed!r}))"
    expression = (
        f"(lambda b, m: (b.exec(b.compile({text}, '<nbflow>', 'exec'), m.__dict__), "
        f"m.serve({action!r}, {str(folder)!r}, {dict(request)!r}))[-1])"
        f"(__import__('builtins'), __import__('types').ModuleType('nbflow_movers'))"
    )
    await kernel.evaluate(expression)
    if not report.exists():
        raise EvaluationFailed("the kernel has not written what it was asked for")
    return msgspec.json.decode(report.read_bytes(), type=_Report).problems


def guest_text() -> str:
    """Return all modules that the kernel needs as one."""
    return joined_modules(guest_namespace.MODULES)
