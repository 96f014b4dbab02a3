"""The cells of an executed notebook as a panel shows them: bounded, and never markup.

Whatever a notebook has produced is foreign. Text goes as text; images as bytes that the browser
only ever uses as an image; HTML as the source of a frame in which nothing runs. Each of them
has a limit, as a notebook may hold megabytes, and may be read while it is being written.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

#: Most that is read and shown: bytes of the file, characters, outputs of a cell, cells.
MAX_FILE_BYTES = 64_000_000
_MAX_SOURCE, _MAX_TEXT, _MAX_HTML, _MAX_IMAGE = 4_000, 6_000, 60_000, 400_000
_MAX_OUTPUTS, _MAX_CELLS = 12, 200
_MAX_IMAGES_IN_ALL = 1_500_000

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml")
_TERMINAL_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


class ShownOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """One output: a text, or an image or page besides."""

    kind: str
    text: str = ""
    #: Base64, or the source of an SVG; with its MIME type.
    image: str = ""
    mime: str = ""
    html: str = ""


class ShownCell(msgspec.Struct, frozen=True, omit_defaults=True):
    """One code cell. `index` counts all cells of the notebook."""

    index: int
    #: ``pending``, ``running``, ``completed``, ``failed``; empty if nobody has noted it.
    status: str
    source: str
    duration_s: float | None = None
    outputs: list[ShownOutput] = []
    #: Outputs that are not shown.
    more: int = 0


def cells_of(data: bytes) -> list[ShownCell]:
    """Return the code cells of a notebook's file.

    Raises
    ------
    ValueError
        If it is no notebook.
    """
    try:
        book = msgspec.json.decode(data)
        cells = list(book["cells"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"the executed notebook cannot be read: {error}") from error
    code = [(index, cell) for index, cell in enumerate(cells) if cell.get("cell_type") == "code"]
    room = _MAX_IMAGES_IN_ALL
    shown: list[ShownCell] = []
    # From the end: what has come last matters most.
    for index, cell in reversed(code[-_MAX_CELLS:]):
        outputs = [_output(each, room) for each in cell.get("outputs", [])[-_MAX_OUTPUTS:]]
        room -= sum(len(output.image) for output in outputs)
        shown.append(_cell(index, cell, outputs))
    return shown[::-1]


def _cell(index: int, cell: Mapping[str, Any], outputs: list[ShownOutput]) -> ShownCell:
    noted = cell.get("metadata", {}).get("papermill", {})
    duration = noted.get("duration")
    return ShownCell(
        index=index,
        status="failed" if noted.get("exception") else str(noted.get("status") or ""),
        source=_cut(_joined(cell.get("source", "")), _MAX_SOURCE),
        duration_s=float(duration) if isinstance(duration, int | float) else None,
        outputs=outputs,
        more=max(0, len(cell.get("outputs", [])) - _MAX_OUTPUTS),
    )


def _output(output: Mapping[str, Any], room: int) -> ShownOutput:
    match output.get("output_type"):
        case "stream":
            text = _joined(output.get("text", ""))
            # Of a stream the end matters, of a value the beginning.
            return ShownOutput(str(output.get("name", "stdout")), _tail(plain(text), _MAX_TEXT))
        case "error":
            text = "\n".join(str(line) for line in output.get("traceback", ()))
            said = f"{output.get('ename', '')}: {output.get('evalue', '')}"
            return ShownOutput("error", _tail(plain(text) or said, _MAX_TEXT))
        case _:
            return _display(output.get("data", {}), room)


def _display(data: Mapping[str, Any], room: int) -> ShownOutput:
    text = _cut(plain(_joined(data.get("text/plain", ""))), _MAX_TEXT)
    for mime in _IMAGES:
        image = _joined(data[mime]) if mime in data else ""
        if image and len(image) <= min(_MAX_IMAGE, room):
            return ShownOutput("display", text, image=image, mime=mime)
        if image:
            return ShownOutput("display", f"{text}\n(an image of {len(image):,} bytes)".strip())
    html = _joined(data.get("text/html", ""))
    return ShownOutput("display", text, html=html if len(html) <= _MAX_HTML else "")


def plain(text: str) -> str:
    """Return `text` without the escape sequences of terminals."""
    return _TERMINAL_ESCAPE.sub("", text)


def _joined(text: Any) -> str:
    if isinstance(text, str):
        return text
    return "".join(map(str, text)) if isinstance(text, Sequence) else str(text)


def _cut(text: str, limit: int) -> str:
    return (
        text if len(text) <= limit else text[:limit] + f"\n… {len(text) - limit:,} more characters"
    )


def _tail(text: str, limit: int) -> str:
    return (
        text
        if len(text) <= limit
        else f"{len(text) - limit:,} characters before …\n" + text[-limit:]
    )
