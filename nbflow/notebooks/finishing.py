"""Finish the file of a notebook whose worker has died, and so can no longer do that itself.

The worker saved the file while it ran; there it stands, with a cell that "runs" for ever. Whoever
learns of the worker's death says in it what is known: the cell that ran has failed, and why. The
file may be a second old; which cell has begun since may be known from elsewhere, but what was
printed since is lost.
"""

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any


def finish_file(
    path: Path, error: str, message: str, now: datetime, *, last_seen: int | None = None
) -> bool:
    """Let the notebook at `path` say how its execution ended; False if it is none that goes on.

    Parameters
    ----------
    path
        Where it is, if it is on this machine at all.
    error
        The name of what went wrong, as that of an exception.
    message
        What went wrong.
    now
        The time, with a time zone.
    last_seen
        Index of the last cell that was seen to begin, if any was.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    """
    try:
        notebook = json.loads(path.read_bytes())
        told = notebook["metadata"]["papermill"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False  # It had not come to the first save.
    if told.get("start_time") is None or told.get("end_time") is not None:
        return False
    if last_seen is not None:
        _catch_up(notebook["cells"][: last_seen + 1], now)
    for cell in notebook["cells"]:
        status = cell["metadata"].get("papermill", {})
        if status.get("status") == "running":
            _end(status, now)
            status.update(status="failed", exception=True)
            if cell["cell_type"] == "code":
                cell["outputs"].append(_error(error, message))
    _end(told, now)
    told["exception"] = True
    _replace(path, json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return True


def _catch_up(begun: list[dict[str, Any]], now: datetime) -> None:
    """Let cells that began since the last save read so: all but the last of them ran to the end."""
    for cell in begun:
        status = cell["metadata"].get("papermill", {})
        if cell is begun[-1] and status.get("status") == "pending":
            status.update(status="running", start_time=now.isoformat())
        elif cell is not begun[-1] and not _is_skipped(cell):
            status.update(status="completed", exception=bool(status.get("exception")))


def _is_skipped(cell: dict[str, Any]) -> bool:
    return "skip-execution" in cell["metadata"].get("tags", [])


def _end(told: dict[str, Any], now: datetime) -> None:
    told["end_time"] = now.isoformat()
    told["duration"] = (now - datetime.fromisoformat(told["start_time"])).total_seconds()


def _error(name: str, message: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": [message]}


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            os.fchmod(file.fileno(), mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
