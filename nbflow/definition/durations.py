"""Durations as people write them: ``30`` is seconds, ``"90s"``, ``"15m"``, ``"1h"``, ``"7d"``."""

import math
import re
from typing import Any

from nbflow.definition.faults import wrong

#: Seconds in one of each unit.
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+)\s*")

_EXPECTED = 'a number of seconds above 0, or a duration such as "30s", "15m", "1h" or "7d"'


def parse_duration(what: str, value: Any, *, instead: str = "") -> float:
    """Return the seconds that `value` means.

    Parameters
    ----------
    what
        What takes so long, for the message.
    value
        What was written.
    instead
        What else could have been written, for the message.

    Raises
    ------
    Fault
        If it is no duration, or not above 0.
    """
    seconds: float = 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value)
        unit_s = _UNITS_S.get(match["unit"].lower(), 0) if match else 0
        seconds = float(match["number"]) * unit_s if match else 0.0
    if not 0 < seconds < math.inf:
        raise wrong(what, f"{_EXPECTED}{instead}", value)
    return seconds
