"""Plain text for terminals: tables, times, paths. And JSON for programs."""

import json
import os
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbflow.drawing.words import duration, local_time

_DAY_S = 24 * 60 * 60
_WIDTH = 80


def print_json(document: Any) -> None:
    """Print one JSON document. All ASCII, so that no encoding of a pipe can damage it."""
    print(json.dumps(document, indent=2))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return `rows` in aligned columns, two spaces apart, without trailing spaces."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def wrapped(text: str, indent: str = "") -> list[str]:
    """Return `text` in lines of at most 80 columns; a path or another long word stays whole."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def utc_time(at: float) -> str:
    """Return a time (seconds since the epoch) as JSON documents hold it: ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def ago(at: float, now: float) -> str:
    """Return how long ago a time was, roughly: ``12 s ago``, ``3 min ago``, ``2 h ago``."""
    # The first of the units that `duration` tells.
    return " ".join(duration(max(0.0, round(now - at))).split()[:2]).replace(".0", "") + " ago"


def when(at: float, now: float) -> str:
    """Return a time shortly: the hour and how long ago, or the date if that is over a day."""
    stamp = local_time(at)
    return stamp[:16] if now - at > _DAY_S else f"{stamp[11:16]}, {ago(at, now)}"


def near_path(path: str | os.PathLike[str]) -> str:
    """Return a path as seen from the current folder, if it lies in it."""
    absolute = Path(path).absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
