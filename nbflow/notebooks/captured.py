"""Capture variables of a Python kernel, without a trace in the notebook.

The source of `nbflow.guest` travels to the kernel inside one expression and runs in a namespace of
its own there; so the kernel's environment need not have nbflow, and the user's
namespace gets no new name. What it writes are files, so that values of any size take the same way.
"""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nbflow import guest
from nbflow.kernels import EvaluationFailed, Kernel


class CapturedEntry(msgspec.Struct, frozen=True):
    """What became of one variable; see `nbflow.guest.capture`."""

    type: str = ""
    file: str | None = None
    kind: str = ""
    preview: str = ""
    error: str = ""
    #: Why the disk did not take it, if that was why.
    no_room: str = ""
    near: list[str] = []


async def capture_variables(
    kernel: Kernel, names: Sequence[str], folder: Path
) -> dict[str, CapturedEntry]:
    """Dump the variables `names` into `folder`, and return what became of each.

    Raises
    ------
    KernelDied
        If the kernel ends meanwhile.
    EvaluationFailed
        If the kernel cannot evaluate expressions, or was interrupted.
    """
    # Names of the user's may shadow built-in ones, so they are reached through the module.
    expression = (
        f"(lambda b, guest: (b.exec({inspect.getsource(guest)!r}, guest), "
        f"guest['capture'](b.globals(), {json.dumps(list(names))}, {str(folder)!r})))"
        f"(__import__('builtins'), {{'__name__': 'nbflow.guest'}})"
    )
    await kernel.evaluate(expression)
    try:
        report = (folder / "report.json").read_bytes()
    except FileNotFoundError as error:
        raise EvaluationFailed("the kernel has not written what it was asked for") from error
    return msgspec.json.decode(report, type=dict[str, CapturedEntry])
