"""Figures and places in a few words, for summaries and suggestions."""

from nbflow.core.stacks import StackFrame

_MINUTE_S = 60.0
_KILO = 1000.0
_TEXT_LENGTH = 60


def span(seconds: float) -> str:
    """Return a length of time, roughly.

    >>> span(3.21), span(75), span(700), span(9000)
    ('3.2 s', '75 s', '12 min', '2.5 h')
    """
    if seconds < 10:  # noqa: PLR2004 - a decimal tells nothing from here on
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE_S
    return f"{minutes:.0f} min" if minutes < 2 * _MINUTE_S else f"{minutes / _MINUTE_S:.1f} h"


def amount(size_bytes: float) -> str:
    """Return a size, roughly.

    >>> amount(512), amount(7_800_000), amount(2e9)
    ('512 B', '7.8 MB', '2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < _KILO:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= _KILO
    return f"{size_bytes:.3g} TB"


def counted(count: int, noun: str) -> str:
    """Return ``1 node`` or ``2 nodes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def place(cell: int | None, frame: StackFrame | None) -> str:
    """Return where a notebook is: ``cell 3, line 7 (`fit(x)`)``; empty if nobody knows."""
    if frame is None:
        return "" if cell is None else f"cell {cell}"
    text = " ".join(frame.text.split())
    if len(text) > _TEXT_LENGTH:
        text = text[: _TEXT_LENGTH - 1] + "…"
    return f"cell {frame.cell}, line {frame.line}" + (f" (`{text}`)" if text else "")
