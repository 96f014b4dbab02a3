"""Small texts for people: durations, sizes, counts, and foreign text made safe for one line.

Node names, cell descriptions and error messages come from other people's notebooks. They may
hold line breaks, terminal escapes or text-direction tricks, none of which may reach a screen.
"""

import math
import re
import unicodedata
from datetime import datetime

_MINUTE_S = 60
_HOUR_S = 60 * _MINUTE_S
_DAY_S = 24 * _HOUR_S
#: A kilobyte, as sizes of files are told.
_KILO = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")

#: CSI and OSC sequences whole, so that no ``[31m`` is left when their escape character goes.
_TERMINAL_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


def duration(seconds: float) -> str:
    """Return a length of time with the precision that a person wants.

    >>> duration(1.234), duration(75), duration(7500), duration(200_000)
    ('1.2 s', '1 min 15 s', '2 h 05 min', '2 d 7 h')
    """
    if seconds < 9.95:  # noqa: PLR2004 - from here on, one decimal would round to 10.0
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def size(size_bytes: float) -> str:
    """Return a size, roughly.

    >>> size(512), size(123_456), size(7_800_000)
    ('512 B', '123 kB', '7.8 MB')
    """
    if size_bytes < _KILO:
        return f"{size_bytes:.0f} B"
    power = min(len(_UNITS) - 1, int(math.log(size_bytes, _KILO)))
    return f"{size_bytes / _KILO**power:.3g} {_UNITS[power]}"


def local_time(at: float) -> str:
    """Return a time (seconds since the epoch) to the second, in the local zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def one_line(text: str, limit: int = 200) -> str:
    """Return `text` as one line of at most `limit` characters, without control characters.

    Escape sequences of terminals go, runs of white space become one space, and so does
    every control, format (text direction), surrogate or private character.
    """
    # Cut first: a message may be megabytes long, and only its beginning is shown.
    text = _TERMINAL_ESCAPE.sub("", text[: 8 * limit])
    kept = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text)
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def plural(count: int, noun: str) -> str:
    """Return ``1 node`` or ``2 nodes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
