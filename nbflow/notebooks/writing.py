"""Write a notebook as the bytes of its file, exactly as nbformat does, and several times faster.

nbformat copies the whole notebook, splits texts into lines in the copy, and drops what is not to
be stored. Here nothing is copied: each cell is looked at as it would be stored, and encoded
by `nbflow.notebooks.encoding`. A file is a frame (its beginning and its end) with the cells in
between, each of which can be encoded by itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from nbflow.notebooks.encoding import Gap, Lines, LongText, Piece, encode, joined, line_break

#: What nbformat drops from the metadata of a notebook, and of a cell.
_TRANSIENT = frozenset({"orig_nbformat", "orig_nbformat_minor", "signature"})
_TRANSIENT_OF_CELLS = frozenset({"trusted"})
#: What nbformat splits into lines besides ``text/*``.
_SPLIT_TYPES = frozenset({"application/javascript", "image/svg+xml"})
#: How deep a cell is indented.
_CELL_DEPTH = 2


def to_bytes(notebook: NotebookNode) -> bytes:
    """Return `notebook` as the content of an ``.ipynb`` file.

    That is what ``nbformat.v4.writes`` gives, and a newline. Nothing is validated: a notebook
    is when it is read, and each output when it arrives.

    Raises
    ------
    TypeError
        If something in it has no form in JSON.
    """
    return b"".join(encoded(notebook_pieces(notebook)))


def write_file(notebook: NotebookNode, path: Path) -> None:
    """Write what `to_bytes` returns to a new file, in little memory."""
    with path.open("wb") as file:
        file.writelines(encoded(notebook_pieces(notebook)))


def encoded(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Yield the bytes of `pieces`."""
    for piece in pieces:
        if isinstance(piece, LongText):
            yield from piece.chunks()
        else:
            yield piece


def notebook_pieces(notebook: NotebookNode) -> Iterator[Piece]:
    """Yield the pieces of a whole notebook."""
    before, after = frame_pieces(notebook)
    yield from before
    for index, cell in enumerate(notebook["cells"]):
        yield from cell_pieces(cell, index)
    yield from after


def frame_pieces(notebook: NotebookNode) -> tuple[list[Piece], list[Piece]]:
    """Return what comes before the first cell, and what comes after the last one."""
    top: dict[str, Any] = dict(notebook)
    top["metadata"] = _without(notebook["metadata"], _TRANSIENT)
    if notebook["cells"]:
        top["cells"] = [Gap()]
    pieces: list[Any] = []
    encode(top, 0, pieces)
    pieces.append(b"\n")
    gap = next((at for at, piece in enumerate(pieces) if isinstance(piece, Gap)), len(pieces))
    return joined(pieces[:gap]), joined(pieces[gap + 1 :])


def cell_pieces(cell: NotebookNode, index: int) -> list[Piece]:
    """Return the pieces of one cell, after what separates it from the one before it."""
    pieces: list[Any] = [b"," + line_break(_CELL_DEPTH)] if index else []
    encode(_stored_cell(cell), _CELL_DEPTH, pieces)
    return joined(pieces)


def _stored_cell(cell: NotebookNode) -> dict[str, Any]:
    """Return `cell` as it is stored; what is not changed is not copied."""
    stored: dict[str, Any] = dict(cell)
    stored["metadata"] = _without(cell["metadata"], _TRANSIENT_OF_CELLS)
    if isinstance(cell.get("source"), str):
        stored["source"] = Lines(cell["source"])
    if "attachments" in cell:
        attachments = cell["attachments"].items()
        stored["attachments"] = {name: _stored_bundle(bundle) for name, bundle in attachments}
    if cell["cell_type"] == "code":
        stored["outputs"] = [_stored_output(output) for output in cell["outputs"]]
    return stored


def _stored_output(output: NotebookNode) -> Mapping[str, Any]:
    kind = output["output_type"]
    if kind in ("execute_result", "display_data") and "data" in output:
        return {**output, "data": _stored_bundle(output["data"])}
    if kind == "stream" and isinstance(output["text"], str):
        return {**output, "text": Lines(output["text"])}
    return output


def _stored_bundle(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: Lines(data) if _is_split(kind, data) else data for kind, data in bundle.items()}


def _is_split(kind: str, data: object) -> bool:
    return isinstance(data, str) and (kind.startswith("text/") or kind in _SPLIT_TYPES)


def _without(metadata: Mapping[str, Any], dropped: frozenset[str]) -> Mapping[str, Any]:
    if dropped.isdisjoint(metadata):
        return metadata
    return {key: value for key, value in metadata.items() if key not in dropped}
