"""The requests that the kernel of a stage serves: begin, before a cell, end.

The module stays in the kernel, under a name that no notebook uses, until the kernel ends.
"""

import json
import sys
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from nbflow.guest_namespace.moving import MOVERS
from nbflow.guest_namespace.stage import Stage

STAGE_REQUEST, STAGE_REPORT = "request.json", "report.json"


def serve_stage(folder: str) -> None:
    """Begin to watch, as asked in a file of `folder`."""
    plan = json.loads(Path(folder, STAGE_REQUEST).read_text())
    home: Any = sys.modules[MOVERS]
    home.stage = Stage(get_ipython(), Path(folder), plan)


def prepare_cell(position: int, count: int) -> None:
    """Prepare the cell at `position`, which is to be the `count`-th."""
    _stage().before(position, count)


def end_stage(folder: str, is_error: bool) -> None:
    """Write what was done into a file of `folder`."""
    report = _stage().end(is_error)
    Path(folder, STAGE_REPORT).write_text(json.dumps(report))


def _stage() -> Stage:
    stage: Stage = vars(sys.modules[MOVERS])["stage"]
    return stage
