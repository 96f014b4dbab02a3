"""A timeline as one self-contained SVG: a Gantt chart, a lane for each attempt at once of a worker.

Waiting in the queue is a thin line, running a bar in the colour of its end. What the bars say
stands in their titles, which browsers show on hover and screen readers tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType

from nbflow.core.states import NodeState
from nbflow.drawing.look import AMBER, GREY, NODE_LOOKS, Look
from nbflow.drawing.timeline import Bar, Ending, Lane, lanes_of
from nbflow.drawing.timeline_axis import Axis, axis_of
from nbflow.drawing.words import duration, one_line, plural

# Lengths are SVG user units: pixels at the natural size.
_WIDTH, _NAMES_WIDTH, _AXIS_HEIGHT, _LANE_HEIGHT, _BAR_HEIGHT = 1000.0, 150.0, 26.0, 20.0, 14.0
_MARGIN = 8.0
#: Lanes beyond this are counted.
_MAX_LANES = 150
#: Mean advance of a character of the bars' font, and the least width of a bar with a name.
_ADVANCE, _NAMED_WIDTH = 6.2, 30.0
_LEAST_WIDTH = 1.5

#: How each ending looks.
ENDING_LOOKS: Mapping[Ending, Look] = MappingProxyType(
    {
        "succeeded": NODE_LOOKS[NodeState.SUCCEEDED],
        "failed": NODE_LOOKS[NodeState.FAILED],
        "lost": Look("!", "lost", AMBER, "yellow"),
        "cancelled": NODE_LOOKS[NodeState.CANCELLED],
        "in_doubt": NODE_LOOKS[NodeState.IN_DOUBT],
        "open": NODE_LOOKS[NodeState.RUNNING],
    }
)


def draw_timeline(bars: Sequence[Bar]) -> str:
    """Return the chart of these attempts as an SVG element; empty if there are none."""
    if not bars:
        return ""
    lanes = lanes_of(bars)
    shown = lanes[:_MAX_LANES]
    axis = axis_of(
        [(bar.queued_at, bar.ended_at) for lane in shown for bar in lane.bars],
        _WIDTH - _NAMES_WIDTH - _MARGIN,
    )
    height = _AXIS_HEIGHT + len(shown) * _LANE_HEIGHT + _MARGIN
    more = len(lanes) - len(shown)
    about = f"{plural(len(bars), 'attempt')} in {plural(len(lanes), 'lane')}"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" width="{_WIDTH:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img">'
    )
    parts = [
        opening,
        f"<title>{escape(about)}</title>",
        *_scale(axis, height),
        *(part for row, lane in enumerate(shown) for part in _lane(lane, row, shown, axis)),
        "</svg>",
    ]
    if more:
        parts.append(f'<p class="soft">… and {plural(more, "more lane")}</p>')
    return "\n".join(parts)


def _scale(axis: Axis, height: float) -> Iterator[str]:
    for tick in axis.ticks():
        x = _NAMES_WIDTH + tick.x
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_AXIS_HEIGHT - 6:.0f}" y2="{height:.0f}" '
            f'stroke="{GREY}" stroke-opacity="0.25"/>'
            f'<text x="{x:.1f}" y="14" font-size="11" text-anchor="middle" class="soft" '
            f'fill="{GREY}">{escape(tick.text)}</text>'
        )
    for cut in axis.cuts():
        x = _NAMES_WIDTH + cut.x
        yield (
            f'<g><title>{escape(cut.text)} without work</title><line x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="4" y2="{height:.0f}" stroke="{GREY}" stroke-width="6" stroke-opacity="0.3" '
            'stroke-dasharray="2 3"/></g>'
        )


def _lane(lane: Lane, row: int, lanes: Sequence[Lane], axis: Axis) -> Iterator[str]:
    top = _AXIS_HEIGHT + row * _LANE_HEIGHT
    if row == 0 or lanes[row - 1].worker != lane.worker:
        yield (
            f'<line x1="0" x2="{_WIDTH:.0f}" y1="{top:.1f}" y2="{top:.1f}" stroke="{GREY}" '
            'stroke-opacity="0.35"/>'
            f'<text x="4" y="{top + 14:.1f}" font-size="11" class="ink">'
            f"<title>{escape(one_line(lane.worker))}</title>{escape(_short(lane.worker))}</text>"
        )
    free_from = 0.0
    for bar in lane.bars:
        yield from _bar(bar, top + _LANE_HEIGHT / 2, axis, free_from)
        free_from = bar.ended_at


def _bar(bar: Bar, y: float, axis: Axis, free_from: float) -> Iterator[str]:
    look = ENDING_LOOKS[bar.ending]
    begun = bar.ended_at if bar.started_at is None else bar.started_at
    queued_x = _NAMES_WIDTH + axis.x(max(bar.queued_at, free_from))
    begun_x, ended_x = _NAMES_WIDTH + axis.x(begun), _NAMES_WIDTH + axis.x(bar.ended_at)
    yield f"<g><title>{escape(_about(bar))}</title>"
    if begun_x > queued_x:
        colour = GREY if bar.started_at is not None else look.colour
        yield (
            f'<line x1="{queued_x:.1f}" x2="{begun_x:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2" stroke-opacity="0.55" class="queued"/>'
        )
    if bar.started_at is not None:
        width = max(_LEAST_WIDTH, ended_x - begun_x)
        dash = ' stroke-dasharray="3 2"' if bar.ending == "open" else ""
        yield (
            f'<rect x="{begun_x:.1f}" y="{y - _BAR_HEIGHT / 2:.1f}" width="{width:.1f}" '
            f'height="{_BAR_HEIGHT:.0f}" rx="2" fill="{look.colour}" fill-opacity="0.28" '
            f'stroke="{look.colour}"{dash} class="{bar.ending}"/>'
        )
        if width >= _NAMED_WIDTH:
            text = one_line(f"{look.glyph} {bar.node}", max(3, int((width - 6) / _ADVANCE)))
            yield (
                f'<text x="{begun_x + 4:.1f}" y="{y + 4:.1f}" font-size="10.5" class="ink">'
                f"{escape(text)}</text>"
            )
    yield "</g>"


def _about(bar: Bar) -> str:
    again = f" (attempt {bar.attempt})" if bar.attempt > 1 else ""
    ran = "did not start" if bar.started_at is None else f"ran {duration(bar.ran_s)}"
    word = "has not ended" if bar.ending == "open" else ENDING_LOOKS[bar.ending].word
    queued = duration(bar.queued_s)
    return one_line(f"{bar.node}{again}: {word}; {queued} in the queue, {ran}")


def _short(worker: str) -> str:
    return one_line(worker.rsplit("://", 1)[-1], 22) or "no worker"
