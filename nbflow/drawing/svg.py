"""A graph as one self-contained SVG file.

It has no background, and every text stands on a ground that it brings along, so that
the picture reads on light and dark pages alike. Graphs run down; one that would not fit
a page, and is narrower that way, runs to the right. A label of an edge takes the first of
a few places along its edge where it covers neither a box nor another label. On a long edge it
stands beside the last box that the edge passes, away from the crowd before the target.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise

import msgspec

from nbflow.core.graph import Graph
from nbflow.core.spec import NodeSpec
from nbflow.core.states import NodeState
from nbflow.drawing.layout import Layout, lay_out
from nbflow.drawing.links import Link, describe, links_of
from nbflow.drawing.look import GREY, NODE_LOOKS, Look
from nbflow.drawing.words import one_line, plural

# Lengths are SVG user units: pixels at the natural size.
_BOX_HEIGHT = 44.0
_BOX_WIDTH_MIN = 96.0
_BOX_WIDTH_MAX = 240.0
_MARGIN = 12.0
_LAYER_GAP_DOWN = 60.0
_LAYER_GAP_RIGHT = 110.0
_SIDE_GAP_DOWN = 28.0
_SIDE_GAP_RIGHT = 16.0
#: What fits a page of a notebook or a README.
_PAGE_WIDTH = 1000.0
#: Mean advance of a character, in ems, of the sans-serif fonts that readers have.
_ADVANCE_EM = 0.6
_NAME_SIZE, _ABOUT_SIZE, _LABEL_SIZE = 13.0, 11.0, 10.0
_LABEL_HEIGHT = 15.0
#: Where along its edge a label may stand, best first: so many pieces before the last, and at which
#: share of that piece. Every other piece passes a layer, straight; there is none on short edges.
_LABEL_PLACES = (
    (1, 0.5),
    *((0, share) for share in (0.5, 0.36, 0.64, 0.24, 0.76)),
    *((2, share) for share in (0.5, 0.36, 0.64)),
)
#: Beyond so many labels and boxes in one place, labels are not kept apart any more.
_KEPT_APART = 100

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_INK, _SOFT_INK, _PAPER = "#1f2328", "#57606a", "#fbfbfc"


class Point(msgspec.Struct, frozen=True):
    """A place in the picture."""

    x: float
    y: float


class Box(msgspec.Struct, frozen=True):
    """An upright rectangle around its centre."""

    centre: Point
    width: float
    height: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        return (
            abs(self.centre.x - other.centre.x) * 2 < self.width + other.width
            and abs(self.centre.y - other.centre.y) * 2 < self.height + other.height
        )


def draw_svg(graph: Graph, states: Mapping[str, NodeState]) -> str:
    """Return the graph as an SVG document."""
    widths = {name: _box_width(node, states.get(name)) for name, node in graph.nodes.items()}
    frame = _frame(graph, widths)
    boxes = {name: Box(frame.node(name), widths[name], _BOX_HEIGHT) for name in graph.nodes}
    links = links_of(graph)
    curves = {(link.source, link.target): frame.curve(link, boxes) for link in links}
    labels = _placed_labels(links, curves, boxes, frame)
    about = f"{graph.spec.name}: {plural(len(graph.nodes), 'node')}"
    return "\n".join(
        [
            _opening(frame, labels, one_line(about)),
            *(_path(link, curves[link.source, link.target]) for link in links),
            *(_label(link, box) for link, box in labels),
            *(_box(graph.nodes[name], box, states.get(name)) for name, box in boxes.items()),
            "</svg>\n",
        ]
    )


# --- places -----------------------------------------------------------------------------------


class _Frame(msgspec.Struct, frozen=True):
    """Turns a layout, which knows no direction, into places."""

    layout: Layout
    down: bool
    #: Size of a layer along the direction of flow, and the distance from one to the next.
    depth: float
    pitch: float

    @property
    def size(self) -> tuple[float, float]:
        layers = len(self.layout.layers)
        along = (layers - 1) * self.pitch + self.depth if layers else 0.0
        extents = (self.layout.extent, along) if self.down else (along, self.layout.extent)
        return extents[0] + 2 * _MARGIN, extents[1] + 2 * _MARGIN

    def at(self, layer: float, across: float) -> Point:
        along = _MARGIN + self.depth / 2 + layer * self.pitch
        across += _MARGIN
        return Point(across, along) if self.down else Point(along, across)

    def node(self, name: str) -> Point:
        return self.at(self.layout.layer[name], self.layout.across[name])

    def curve(self, link: Link, boxes: Mapping[str, Box]) -> list[Point]:
        """Return a chain of cubic Bézier curves (1 + 3n points) along the link's bends."""
        source, target = boxes[link.source], boxes[link.target]
        start, end = source.centre, target.centre
        if self.down:
            start = Point(start.x, start.y + source.height / 2)
            end = Point(end.x, end.y - target.height / 2)
        else:
            start = Point(start.x + source.width / 2, start.y)
            end = Point(end.x - target.width / 2, end.y)
        stations = [start]
        first = self.layout.layer[link.source] + 1
        for index, across in enumerate(self.layout.bends[link.source, link.target]):
            # Straight past the layer's boxes, so that the curve cannot cut a corner.
            middle, half = self.at(first + index, across), self.depth / 2
            shift = Point(0.0, half) if self.down else Point(half, 0.0)
            stations.append(Point(middle.x - shift.x, middle.y - shift.y))
            stations.append(Point(middle.x + shift.x, middle.y + shift.y))
        stations.append(end)
        return self._smooth(stations)

    def _smooth(self, stations: Sequence[Point]) -> list[Point]:
        points = [stations[0]]
        for a, b in pairwise(stations):
            if self.down:
                half = (b.y - a.y) / 2
                points += [Point(a.x, a.y + half), Point(b.x, b.y - half), b]
            else:
                half = (b.x - a.x) / 2
                points += [Point(a.x + half, a.y), Point(b.x - half, b.y), b]
        return points


def _frame(graph: Graph, widths: Mapping[str, float]) -> _Frame:
    down = lay_out(graph, widths, _SIDE_GAP_DOWN)
    depth = max(widths.values(), default=0.0)
    pitch = depth + _LAYER_GAP_RIGHT
    if down.extent <= max(_PAGE_WIDTH, pitch * len(down.layers)):
        return _Frame(down, down=True, depth=_BOX_HEIGHT, pitch=_BOX_HEIGHT + _LAYER_GAP_DOWN)
    right = lay_out(graph, dict.fromkeys(widths, _BOX_HEIGHT), _SIDE_GAP_RIGHT)
    return _Frame(right, down=False, depth=depth, pitch=pitch)


def _box_width(node: NodeSpec, state: NodeState | None) -> float:
    texts = ((node.name, _NAME_SIZE), (_about(node, state), _ABOUT_SIZE))
    needed = max(len(text) * size * _ADVANCE_EM for text, size in texts) + 24
    return min(_BOX_WIDTH_MAX, max(_BOX_WIDTH_MIN, needed))


def _on_curve(curve: Sequence[Point], back: int, share: float) -> Point:
    """Return the point at `share` of the piece that comes `back` pieces before the last."""
    end = len(curve) - 3 * back
    a, b, c, d = curve[end - 4 : end]
    t, u = share, 1 - share
    weights = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
    pairs = list(zip(weights, (a, b, c, d), strict=True))
    return Point(sum(w * p.x for w, p in pairs), sum(w * p.y for w, p in pairs))


def _placed_labels(
    links: Iterable[Link],
    curves: Mapping[tuple[str, str], Sequence[Point]],
    boxes: Mapping[str, Box],
    frame: _Frame,
) -> list[tuple[Link, Box]]:
    # What is even is a layer, with its boxes; what is odd is the gap behind it. A label stands in
    # one of them, and can only meet what else is there.
    taken: dict[int, list[Box]] = {}
    for name, layer in frame.layout.layer.items():
        taken.setdefault(2 * layer, []).append(boxes[name])
    placed: list[tuple[Link, Box]] = []
    for link in links:
        if link.outputs:
            strip, box = _label_place(link, curves[link.source, link.target], frame, taken)
            taken.setdefault(strip, []).append(box)
            placed.append((link, box))
    return placed


def _label_place(
    link: Link, curve: Sequence[Point], frame: _Frame, taken: Mapping[int, Sequence[Box]]
) -> tuple[int, Box]:
    """Return the strip (layer or gap) that the label stands in, and where."""
    width = len(link.label) * _LABEL_SIZE * _ADVANCE_EM + 10
    last = 2 * frame.layout.layer[link.target] - 1
    choices = [
        (last - back, Box(_on_curve(curve, back, share), width, _LABEL_HEIGHT))
        for back, share in _LABEL_PLACES
        if 3 * back < len(curve) - 1
    ]
    for strip, box in choices:
        others = taken.get(strip, ())
        if len(others) <= _KEPT_APART and not any(box.overlaps(other) for other in others):
            return strip, box
    return next(choice for choice in choices if choice[0] == last)


# --- elements ---------------------------------------------------------------------------------


def _opening(frame: _Frame, labels: Iterable[tuple[Link, Box]], title: str) -> str:
    width, height = frame.size
    # A long label may reach beyond the boxes of a narrow graph.
    spans = [(box.centre.x - box.width / 2, box.centre.x + box.width / 2) for _, box in labels]
    left = min((start - 1 for start, _ in spans), default=0.0)
    left, right = min(left, 0.0), max([width, *(end + 1 for _, end in spans)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{right - left:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.0f} 0 {right - left:.0f} {height:.0f}" role="img" '
        f'font-family="{escape(_FONT)}">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="nbflow-tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto" markerUnits="userSpaceOnUse">'
        f'<path d="M0.5 0.5 8 4 0.5 7.5Z" fill="{GREY}"/></marker></defs>'
    )


def _path(link: Link, curve: Sequence[Point]) -> str:
    first, *rest = (f"{point.x:.1f} {point.y:.1f}" for point in curve)
    dash = "" if link.outputs else ' stroke-dasharray="5 4"'
    what = ", ".join(link.outputs) or "order only"
    title = escape(one_line(f"{link.source} → {link.target}: {what}"))
    return (
        f'<path d="M{first} C{" ".join(rest)}" fill="none" stroke="{GREY}" stroke-width="1.5"'
        f'{dash} marker-end="url(#nbflow-tip)"><title>{title}</title></path>'
    )


def _label(link: Link, box: Box) -> str:
    ground = _rectangle(box, radius=4, fill=_PAPER, stroke="#c9ced6", stroke_width=0.75)
    return ground + _text(link.label, box.centre.x, box.centre.y + 3.5, _LABEL_SIZE, _SOFT_INK)


def _box(node: NodeSpec, box: Box, state: NodeState | None) -> str:
    look = None if state is None else NODE_LOOKS[state]
    name = _fitted(node.name, box.width, _NAME_SIZE)
    about = _fitted(_about(node, state), box.width, _ABOUT_SIZE)
    x, y = box.centre.x, box.centre.y
    title = escape(one_line(f"{node.name}: {_about(node, state)}"))
    return "\n".join(
        [
            f"<g><title>{title}</title>",
            *_ground(box, look, radius=22 if node.kind == "function" else 8),
            _text(name, x, y - 3, _NAME_SIZE, _INK, bold=True),
            _text(about, x, y + 13, _ABOUT_SIZE, _SOFT_INK),
            "</g>",
        ]
    )


def _ground(box: Box, look: Look | None, radius: float) -> Iterable[str]:
    colour = GREY if look is None else look.colour
    hollow = look is None or look.hollow
    yield _rectangle(box, radius=radius, fill=_PAPER, stroke="none", stroke_width=0)
    yield _rectangle(
        box,
        radius=radius,
        fill="none" if hollow else colour,
        stroke=colour,
        stroke_width=1.25 if hollow else 2,
        fill_opacity=0.14,
    )


def _about(node: NodeSpec, state: NodeState | None) -> str:
    if state is None:
        return describe(node)
    look = NODE_LOOKS[state]
    return f"{look.glyph} {look.word} · {describe(node)}"


def _fitted(text: str, width: float, size: float) -> str:
    return one_line(text, max(4, int((width - 16) / (size * _ADVANCE_EM))))


def _rectangle(
    box: Box, *, radius: float, fill: str, stroke: str, stroke_width: float, fill_opacity: float = 1
) -> str:
    x, y = box.centre.x - box.width / 2, box.centre.y - box.height / 2
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{radius:g}" fill="{fill}" fill-opacity="{fill_opacity:g}" stroke="{stroke}" '
        f'stroke-width="{stroke_width:g}"/>'
    )


def _text(text: str, x: float, y: float, size: float, colour: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{weight} fill="{colour}" '
        f'text-anchor="middle">{escape(text)}</text>'
    )
