"""Turn messages into outputs of a notebook, and join pieces of text into one.

nbformat validates every output as it is made, which takes longer than most cells. Here what is
plainly right is taken as it is, and only the rest goes the long way.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import output_from_msg

from nbflow.notebooks.masking import Mask

#: How often the text of an open stream is put together, at most.
_INTERVAL_S = 0.25
#: Putting it together takes no more than this share of the time, however long it is.
_PATIENCE = 10


def output_node(message: dict[str, Any]) -> NotebookNode:
    """Return the output that a message stands for.

    Raises
    ------
    ValueError
        If it stands for none, or for one that no notebook can hold.
    """
    kind, content = message["header"]["msg_type"], message["content"]
    node: NotebookNode
    if kind in ("display_data", "execute_result") and _is_displayable(content):
        parts = {"data": content["data"], "metadata": content["metadata"]}
        if kind == "execute_result":
            parts["execution_count"] = content["execution_count"]
    elif kind == "error" and _is_error(content):
        parts = {key: content[key] for key in ("ename", "evalue", "traceback")}
    else:
        try:
            node = output_from_msg(message)
        except (KeyError, nbformat.ValidationError) as error:
            raise ValueError(f"a {kind} message that no notebook can hold: {error}") from error
        return node
    node = nbformat.from_dict({"output_type": kind, **parts})
    return node


def _is_displayable(content: dict[str, Any]) -> bool:
    data, count = content.get("data"), content.get("execution_count")
    return (
        isinstance(data, dict)
        and all(isinstance(value, str) or _is_json(mime) for mime, value in data.items())
        and isinstance(content.get("metadata"), dict)
        and (count is None or (type(count) is int and count >= 0))
    )


def _is_json(mime: str) -> bool:
    return mime.startswith("application/") and mime.endswith(("+json", "/json"))


def _is_error(content: dict[str, Any]) -> bool:
    texts = [content.get("ename"), content.get("evalue"), *content.get("traceback", [None])]
    return all(isinstance(text, str) for text in texts)


def stream_node(name: str, text: str) -> NotebookNode:
    """Return a stream output."""
    return NotebookNode(output_type="stream", name=name, text=text)


class StreamJoiner:
    """Joins the texts that a cell writes to one stream without anything between them.

    Each piece costs the same, however much there is before it: pieces are put together only now
    and then, and at the end. Until then the output's `text` is behind by a fraction of a second.

    Parameters
    ----------
    mask
        Hides secrets, also those that are split over pieces.
    heard
        Called with each piece as soon as it can be shown.
    changed
        Called when the text of the output has changed.
    """

    def __init__(
        self, mask: Mask, heard: Callable[[NotebookNode], None], changed: Callable[[], None]
    ) -> None:
        self._mask = mask
        self._heard = heard
        self._changed = changed
        self._masked = mask.stream()
        self._output: NotebookNode | None = None
        self._pieces: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._interval_s = _INTERVAL_S

    def write(self, outputs: list[NotebookNode], name: str, text: str) -> NotebookNode:
        """Append a piece, to the last output if it is of this stream; return the output."""
        output = self._output
        if output is None or output["name"] != name or outputs[-1:] != [output]:
            self.close()
            output = self._output = stream_node(name, "")
            outputs.append(output)
            self._add(self._masked.feed(text))
            self._join()
        else:
            self._add(self._masked.feed(text))
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._interval_s, self._join)
        return output

    def close(self, *, whole: bool = True) -> None:
        """Put the text together, and let the next piece begin an output of its own.

        If the text is not `whole`, its end may be half a secret, and is dropped.
        """
        if self._output is not None:
            if whole:
                self._add(self._masked.rest())
            self._join()
            self.drop()

    def drop(self) -> None:
        """Forget the output: it has been cleared away."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._output = None
        self._masked = self._mask.stream()
        self._pieces = []

    def _add(self, piece: str) -> None:
        if piece:
            assert self._output is not None
            self._pieces.append(piece)
            self._heard(stream_node(self._output["name"], piece))

    def _join(self) -> None:
        assert self._output is not None
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began_at = loop.time()
        self._pieces = ["".join(self._pieces)]
        self._output["text"] = self._pieces[0]
        self._interval_s = max(_INTERVAL_S, _PATIENCE * (loop.time() - began_at))
        self._changed()
