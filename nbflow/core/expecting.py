"""How long a node is expected to run, and from when on it counts as stuck.

What its author declares comes first. Else its own past speaks: durations of earlier successes,
those of the same code if there are enough. A quantile says what is expected, not the mean, so that
one run that hung, or one that had nothing to do, does not move it. Where the size of what a node
receives, or a number among its parameters, explains the durations clearly better than chance, the
expectation is for the size that it has now: durations are taken as a power of the size, by the
median of the slopes between all pairs (Theil and Sen), which a third of wild samples cannot move.

The cells that have run so far tell how long a node may go on, which is good enough for a display
and never for an alarm: the last cell may take longer than all others together.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Literal, TypeAlias

import msgspec

from nbflow.core.policies import Expected
from nbflow.core.values import Inline, Value, artifacts_in

Basis: TypeAlias = Literal["declared", "history", "cells"]

#: Samples without which nothing is learned, and without which no size is asked.
MIN_SAMPLES, MIN_EXPLAINED = 3, 6

#: Share of earlier durations that lie below what is expected; and the range of four in five.
_EXPECTED_SHARE, _LOW_SHARE, _HIGH_SHARE = 0.9, 0.1, 0.9

#: Longest over shortest duration below which there is nothing to explain.
_ALIKE = 1.5
#: A size explains durations if it leaves at most this share of their spread (of logarithms).
_CLEARLY_BETTER = 0.5
#: How steep durations may grow with a size: the cube of it.
_STEEPEST = 3.0

#: What a learned expectation allows beyond itself in any case, in seconds: short nodes vary.
_LEAST_SLACK_S = 5.0

#: The range around a declared duration of which there is no history.
_DECLARED_LOW, _DECLARED_HIGH = 0.7, 1.5

#: Name of the size of all artifacts that a node receives, in bytes.
RECEIVED = "received_bytes"


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One earlier success of a node."""

    seconds: float
    #: Digest of its code; empty if unknown.
    code: str = ""
    #: Sizes of what it received, by name; see `sizes_of`.
    sizes: dict[str, float] = {}


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """How long one attempt of a node is expected to take, in seconds."""

    basis: Basis
    #: The figure that the alarm rests on: declared, or what nine in ten did not exceed.
    expected_s: float
    #: For forecasts: the middle, and the range of four in five.
    likely_s: float
    low_s: float
    high_s: float
    #: Beyond this it counts as stuck; None is never.
    limit_s: float | None = None


def expect(
    declared: Expected | None,
    samples: Sequence[Sample],
    *,
    sizes: Mapping[str, float],
    code: str,
    factor: float | None = None,
) -> Expectation | None:
    """Return what is expected of a node's attempt; None if nothing is known.

    Parameters
    ----------
    declared
        What its author says.
    samples
        Its earlier successes, in other runs.
    sizes, code
        What it receives now, and what it is, as in the samples.
    factor
        It counts as stuck beyond so many times what is expected; None is the author's, or 2.
    """
    seconds = _seconds_now(_comparable(samples, code), sizes)
    if declared is not None:
        low_s, high_s = declared.seconds * _DECLARED_LOW, declared.seconds * _DECLARED_HIGH
        return Expectation(
            basis="declared",
            expected_s=declared.seconds,
            likely_s=median(seconds) if seconds else declared.seconds,
            low_s=quantile(seconds, _LOW_SHARE) if seconds else low_s,
            high_s=quantile(seconds, _HIGH_SHARE) if seconds else high_s,
            limit_s=declared.seconds * (factor or declared.factor),
        )
    if not seconds:
        return None
    expected_s = quantile(seconds, _EXPECTED_SHARE)
    return Expectation(
        basis="history",
        expected_s=expected_s,
        likely_s=median(seconds),
        low_s=quantile(seconds, _LOW_SHARE),
        high_s=quantile(seconds, _HIGH_SHARE),
        limit_s=max(expected_s * (factor or 2.0), expected_s + _LEAST_SLACK_S),
    )


def from_cells(done: int, total: int, elapsed_s: float) -> Expectation | None:
    """Return what the cells so far let expect, which is no ground for an alarm."""
    if done < 1 or total <= done or elapsed_s <= 0:
        return None
    whole_s = elapsed_s * total / done
    return Expectation(
        basis="cells",
        expected_s=whole_s,
        likely_s=whole_s,
        low_s=elapsed_s + (whole_s - elapsed_s) / 3,
        high_s=elapsed_s + (whole_s - elapsed_s) * 3,
    )


def sizes_of(params: Mapping[str, Value]) -> dict[str, float]:
    """Return what may explain how long a node takes: bytes that it receives, numbers, lengths."""
    sizes = {
        RECEIVED: float(
            sum(it.size_bytes for value in params.values() for it in artifacts_in(value))
        )
    }
    for name, value in params.items():
        if not isinstance(value, Inline):
            continue
        match value.value:
            case bool():
                pass
            case int() | float() as number if number > 0:
                sizes[name] = float(number)
            case list() | dict() as items:
                sizes[name] = float(len(items))
    return sizes


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of `values` lies; between two, in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _comparable(samples: Sequence[Sample], code: str) -> Sequence[Sample]:
    """Return the samples of the same code if they are enough, else all if those are, else none."""
    same = [sample for sample in samples if code and sample.code == code]
    if len(same) >= MIN_SAMPLES:
        return same
    return samples if len(samples) >= MIN_SAMPLES else ()


def _seconds_now(samples: Sequence[Sample], sizes: Mapping[str, float]) -> list[float]:
    """Return how long each sample would take now, with the sizes of now as far as they explain."""
    seconds = [max(sample.seconds, 1e-3) for sample in samples]
    if len(seconds) < MIN_EXPLAINED or max(seconds) < _ALIKE * min(seconds):
        return seconds
    best, best_spread = seconds, _spread(seconds) * _CLEARLY_BETTER
    for name, size in sizes.items():
        if any(name not in sample.sizes for sample in samples):
            continue
        scaled = _scaled(seconds, [sample.sizes[name] for sample in samples], size)
        if scaled is not None and _spread(scaled) <= best_spread:
            best, best_spread = scaled, _spread(scaled)
    return best


def _scaled(seconds: Sequence[float], sizes: Sequence[float], size: float) -> list[float] | None:
    """Return `seconds` carried over from `sizes` to `size`; None if they do not grow with it."""
    if len(set(sizes)) < MIN_SAMPLES:
        return None
    points = [(math.log(x + 1), math.log(s)) for x, s in zip(sizes, seconds, strict=True)]
    slopes = [
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in combinations(points, 2)
        if after[0] != before[0]
    ]
    # As many pairs of one size as of different ones: that is a switch, not a size.
    if len(slopes) < len(points):
        return None
    slope = median(slopes)
    if not 0 < slope <= _STEEPEST:
        return None
    now = math.log(size + 1)
    return [math.exp(s + slope * (now - x)) for x, s in points]


def _spread(seconds: Sequence[float]) -> float:
    # Of the middle half: a wild sample in ten says nothing about a size.
    return math.log(quantile(seconds, 0.75) / quantile(seconds, 0.25))
