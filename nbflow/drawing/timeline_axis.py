"""The axis of a timeline: from times to places, with long times without any work left out.

A run that was resumed on the next day would otherwise be two specks at the ends of a line.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from nbflow.drawing.words import duration

#: A pause is left out if it is longer than so much of all the work's time.
_PAUSE_SHARE = 0.25
#: What is left of it, as a share of the axis; and how many are left out at most.
_CUT_SHARE, _CUTS = 0.03, 8
#: Labels of an axis, about.
_TICKS = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200)
_DAY_S = 86_400


class Stretch(msgspec.Struct, frozen=True):
    """A time in which something went on, and where it is drawn."""

    start: float
    end: float
    left: float
    right: float


class Tick(msgspec.Struct, frozen=True):
    """A label of the axis."""

    x: float
    text: str


class Axis(msgspec.Struct, frozen=True):
    """Maps times (seconds since the epoch) to places from 0 to `width`."""

    stretches: tuple[Stretch, ...]
    width: float

    def x(self, at: float) -> float:
        """Return the place of a time; one that was left out lies at the cut."""
        for stretch in self.stretches:
            if at <= stretch.end:
                share = (max(at, stretch.start) - stretch.start) / _length(stretch)
                return stretch.left + share * (stretch.right - stretch.left)
        return self.width

    def ticks(self) -> Iterator[Tick]:
        """Yield labels with the time since the beginning."""
        began = self.stretches[0].start
        step_s = _step(sum(map(_length, self.stretches)) / _TICKS)
        last_x = -self.width
        for stretch in self.stretches:
            first = math.ceil((stretch.start - began) / step_s)
            last = math.floor((stretch.end - began) / step_s)
            for number in range(first, last + 1):
                x = self.x(began + number * step_s)
                if x - last_x >= self.width / (2 * _TICKS):
                    yield Tick(x, _told(number * step_s))
                    last_x = x

    def cuts(self) -> Iterator[Tick]:
        """Yield the places where time was left out, and how much."""
        for before, after in pairwise(self.stretches):
            yield Tick((before.right + after.left) / 2, duration(after.start - before.end))


def axis_of(spans: Iterable[tuple[float, float]], width: float) -> Axis:
    """Return the axis on which all `spans` (start and end) have their place."""
    busy = _joined(sorted(spans))
    if not busy:
        busy = [(0.0, 1.0)]
    if busy[-1][1] <= busy[0][0]:
        busy = [(busy[0][0], busy[0][0] + 1.0)]
    total_s = sum(end - start for start, end in busy)
    pauses = sorted((b[0] - a[1] for a, b in pairwise(busy)), reverse=True)
    least_s = max(_PAUSE_SHARE * total_s, pauses[_CUTS] if len(pauses) > _CUTS else 0.0)
    kept: list[tuple[float, float]] = [busy[0]]
    for start, end in busy[1:]:
        if start - kept[-1][1] > least_s:
            kept.append((start, end))
        else:
            kept[-1] = (kept[-1][0], end)
    return Axis(tuple(_placed(kept, width)), width)


def _placed(spans: Sequence[tuple[float, float]], width: float) -> Iterator[Stretch]:
    cut = _CUT_SHARE * width
    room = width - cut * (len(spans) - 1)
    total_s = sum(end - start for start, end in spans) or 1.0
    left = 0.0
    for start, end in spans:
        right = left + room * (end - start) / total_s
        yield Stretch(start, end, left, right)
        left = right + cut


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join what overlaps; `spans` are sorted."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _length(stretch: Stretch) -> float:
    return max(stretch.end - stretch.start, 1e-9)


def _step(least_s: float) -> float:
    """Return the next round length of time from `least_s` on."""
    if least_s < 1:
        power = 10.0 ** math.floor(math.log10(max(least_s, 1e-3)))
        return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least_s)
    found = next((step for step in _STEPS if step >= least_s), None)
    return float(found) if found is not None else _DAY_S * math.ceil(least_s / _DAY_S)


def _told(seconds: float) -> str:
    if seconds < 1 or seconds != int(seconds):
        return f"{seconds:g} s"
    return duration(seconds).replace(".0 s", " s").replace(" 00 s", "").replace(" 00 min", "")
