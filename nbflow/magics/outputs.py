"""Where the outputs of a cell that runs elsewhere appear: below the cell that has sent it.

Jupyter's front ends take messages for a cell also after it has ended, so there the outputs are
sent as if the cell itself had made them. A client that runs a notebook from top to bottom
(nbclient, papermill) takes none then, but it does take updates of a display: such a cell has one
display, which in the end is its output, or all of them in one. In a terminal they are printed when
the next cell begins.

Such a client is known by its not letting cells ask for input.
"""

import base64
import html
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from IPython.display import display

#: One output, as a notebook has it.
Output = Mapping[str, Any]

_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_IMAGES = ("image/png", "image/jpeg", "image/gif")


class Place(Protocol):
    """Where the outputs of one cell appear."""

    #: Whether it can be closed while no cell is executed.
    any_time: bool

    def tell(self, status: str) -> None:
        """Say how the cell stands; may be called from any thread."""
        ...

    def show(self, outputs: Sequence[Output]) -> None:
        """Show what there is so far; may be called from any thread."""
        ...

    def end(self, outputs: Sequence[Output], note: str) -> None:
        """Show what there is at the end, and perhaps a note; may be called from any thread."""
        ...

    def close(self, outputs: Sequence[Output], note: str) -> None:
        """Do what can only be done between two cells; called once, after `end`."""
        ...


def place_for(shell: Any, name: str, *, waits: bool) -> Place:
    """Return the place for the cell that is being executed.

    Parameters
    ----------
    shell
        IPython's.
    name
        Of the display, if there is only one; it must be new in the notebook.
    waits
        Whether the cell goes on until all outputs are there.
    """
    if not hasattr(shell.display_pub, "pub_socket"):
        return _Terminal()
    parent = shell.kernel.get_parent()
    interactive = bool(parent.get("content", {}).get("allow_stdin", False))
    return _Live(shell.display_pub, parent) if interactive or waits else _Display(name)


class _Live:
    """A front end that takes messages for a cell at any time."""

    any_time = True

    def __init__(self, publisher: Any, parent: Mapping[str, Any]) -> None:
        self._publisher = publisher
        self._parent = parent
        self._status: str | None = None
        self._shown: list[Output] = []
        self._noted = ""

    def tell(self, status: str) -> None:
        if status == self._status:
            return
        # The status is a display of its own, above the outputs.
        self._send_status("display_data" if self._status is None else "update_display_data", status)
        self._status = status

    def show(self, outputs: Sequence[Output]) -> None:
        fresh = _beyond(self._shown, outputs)
        if fresh is None:
            self._clear()
            self._send_status("display_data", self._status or "")
            fresh = list(outputs)
        self._shown = list(outputs)
        for output in fresh:
            self._send(*_message(output))

    def end(self, outputs: Sequence[Output], note: str) -> None:
        self._clear(wait=bool(outputs or note))
        for output in outputs:
            self._send(*_message(output))
        self._note(note)

    def close(self, outputs: Sequence[Output], note: str) -> None:
        del outputs  # they are there
        if note != self._noted:
            self._note(note)

    def _note(self, note: str) -> None:
        self._noted = note
        if note:
            self._send("stream", {"name": "stderr", "text": f"nbflow: {note}\n"})

    def _clear(self, *, wait: bool = True) -> None:
        # With `wait`, what there is stays until something new comes: nothing flickers.
        self._send("clear_output", {"wait": wait})

    def _send_status(self, kind: str, status: str) -> None:
        content = {
            "data": {"text/plain": status},
            "metadata": {},
            "transient": {"display_id": f"nbflow-{self._parent['header']['msg_id']}"},
        }
        self._send(kind, content)

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        publisher = self._publisher
        message = publisher.session.msg(kind, content, parent=self._parent)
        publisher.session.send(publisher.pub_socket, message, ident=publisher.topic)


class _Display:
    """One display, which can be updated while another cell is executed."""

    any_time = False

    def __init__(self, display_id: str) -> None:
        self._id = display_id
        self._made = False

    def tell(self, status: str) -> None:
        # What comes while no cell is executed is lost, so nothing but the beginning is told.
        if not self._made:
            self._made = True
            display({"text/plain": status}, raw=True, display_id=self._id)

    def show(self, outputs: Sequence[Output]) -> None:
        """Only the end is shown."""

    def end(self, outputs: Sequence[Output], note: str) -> None:
        """It is shown by `close`."""

    def close(self, outputs: Sequence[Output], note: str) -> None:
        noted = [{"output_type": "stream", "name": "stderr", "text": f"nbflow: {note}\n"}]
        data, metadata = merged([*outputs, *(noted if note else ())])
        display(data, raw=True, metadata=metadata, display_id=self._id, update=True)


class _Terminal:
    """A terminal: texts only, and between cells."""

    any_time = False

    def __init__(self) -> None:
        self._told = False

    def tell(self, status: str) -> None:
        if not self._told:
            self._told = True
            print(status)  # noqa: T201 - the terminal's display

    def show(self, outputs: Sequence[Output]) -> None:
        """Only the end is shown."""

    def end(self, outputs: Sequence[Output], note: str) -> None:
        """It is shown by `close`."""

    def close(self, outputs: Sequence[Output], note: str) -> None:
        for output in outputs:
            stream = sys.stderr if output.get("name") == "stderr" else sys.stdout
            text = text_of(output)
            stream.write(text if text.endswith("\n") else text + "\n")
        if note:
            sys.stderr.write(f"nbflow: {note}\n")


def publish(shell: Any, outputs: Sequence[Output]) -> None:
    """Make outputs those of the cell that is being executed; called by that cell."""
    if not hasattr(shell.display_pub, "pub_socket"):
        _Terminal().close(outputs, "")
        return
    sys.stdout.flush()
    sys.stderr.flush()
    place = _Live(shell.display_pub, shell.kernel.get_parent())
    place.show(outputs)


def merged(outputs: Sequence[Output]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data and metadata of one display that shows all outputs."""
    if len(outputs) == 1 and "data" in outputs[0]:
        content = _message(outputs[0])[1]
        return content["data"], content["metadata"]
    text = "".join(_line(text_of(each)) for each in outputs).removesuffix("\n")
    data = {"text/plain": text}
    if any("data" in each and each["data"].keys() - {"text/plain"} for each in outputs):
        data["text/html"] = "\n".join(_html_of(each) for each in outputs)
    return data, {}


def text_of(output: Output) -> str:
    """Return an output as plain text, with a terminal's colours."""
    match output["output_type"]:
        case "stream":
            return joined(output["text"])
        case "error":
            return "\n".join(output["traceback"])
    return joined(output["data"].get("text/plain", ""))


def joined(text: str | Sequence[str]) -> str:
    """Return a text that a notebook may hold line by line."""
    return text if isinstance(text, str) else "".join(text)


def _line(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"


def _html_of(output: Output) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return joined(data["text/html"])
    for mime in _IMAGES:
        if mime in data:
            picture = joined(data[mime]).replace("\n", "")
            return f'<img src="data:{mime};base64,{html.escape(picture)}">'
    if "image/svg+xml" in data:
        # As an image, nothing that is written in it can run.
        picture = base64.b64encode(joined(data["image/svg+xml"]).encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{picture}">'
    return f"<pre>{html.escape(_ESCAPE.sub('', text_of(output)))}</pre>"


def _beyond(shown: Sequence[Output], outputs: Sequence[Output]) -> list[Output] | None:
    """Return what `outputs` has beyond what is shown; None if that is not all there still."""
    if len(outputs) < len(shown):
        return None
    fresh = list(outputs[len(shown) :])
    for place, (old, new) in enumerate(zip(shown, outputs, strict=False)):
        if old == new:
            continue
        streams = old["output_type"] == new["output_type"] == "stream"
        if not streams or place != len(shown) - 1 or old["name"] != new["name"]:
            return None
        before, after = joined(old["text"]), joined(new["text"])
        if not after.startswith(before):
            return None
        fresh.insert(0, {**new, "text": after[len(before) :]})
    return fresh


def _message(output: Output) -> tuple[str, dict[str, Any]]:
    """Return the type and the content of the message that makes an output."""
    kind = str(output["output_type"])
    match kind:
        case "stream":
            return kind, {"name": output["name"], "text": joined(output["text"])}
        case "error":
            return kind, {key: output[key] for key in ("ename", "evalue", "traceback")}
    # A widget lives in its own kernel, which is gone.
    data = {
        mime: value if mime.endswith("json") else joined(value)
        for mime, value in output["data"].items()
        if mime != _WIDGET
    }
    content = {"data": data, "metadata": dict(output.get("metadata", {})), "transient": {}}
    if kind == "execute_result":
        content["execution_count"] = output["execution_count"]
    return kind, content
