"""Sizes as people write them: ``2GB`` is 2·10⁹ bytes, ``2GiB`` is 2·2³⁰, a number is bytes."""

import re
from fractions import Fraction
from typing import Any

from nbflow.definition.faults import wrong

#: Bytes in one of each unit; units are matched without regard to case.
_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")

_EXPECTED = 'a size such as "2GB" or "512MiB", or a whole number of bytes, above 0'


def parse_size(what: str, value: Any, *, instead: str = "") -> int:
    """Return the bytes that `value` means.

    Parameters
    ----------
    what
        What the size is of, for the message.
    value
        What was written.
    instead
        What else could have been written, for the message.

    Raises
    ------
    Fault
        If it is no size, not above 0, or not a whole number of bytes.
    """
    size: Fraction | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size = Fraction(value)
    elif isinstance(value, str):
        match = _SIZE.fullmatch(value)
        factor = _UNITS.get(match["unit"].lower()) if match else None
        # A Fraction is exact where a float of "0.1TB" would not be.
        size = Fraction(match["number"]) * factor if match and factor else None
    if size is None or size <= 0 or size.denominator != 1:
        raise wrong(what, f"{_EXPECTED}{instead}", value)
    return int(size)
