"""A live session: a real kernel, driven as a front end does, or as nbclient does."""

import contextlib
import os

import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
TIMEOUT_S = 150


def executed(folder, *cells):
    """The outputs of each cell, when nbclient runs them in one kernel; errors do not stop it."""
    sources = [nbformat.v4.new_code_cell(cell) for cell in cells]
    book = nbformat.v4.new_notebook(cells=sources, metadata=KERNEL)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=TIMEOUT_S, allow_errors=True, resources=place).execute()
    return [cell.outputs for cell in book.cells]


def write_notebook(path, *cells):
    sources = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=sources, metadata=KERNEL), path)


def plain(outputs):
    """Outputs as their texts, one after another."""
    return "".join(_text(output) for output in outputs)


def _text(output):
    match output["output_type"]:
        case "stream":
            return output["text"]
        case "error":
            return f"{output['ename']}: {output['evalue']}"
    return output["data"]["text/plain"]


class Session:
    """A kernel with a front end that takes messages at any time, as JupyterLab does."""

    def __init__(self, folder, env=None):
        self._manager, self._client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), env={**os.environ, **(env or {})}
        )
        #: The messages of each request, by its id, in order.
        self.messages = {}

    def run(self, source):
        """Execute a cell, and return its id once it has ended."""
        request = self._client.execute(source, allow_stdin=True)
        self._until(lambda: ("idle", request) in self._seen(request))
        return request

    def wait_for(self, request, wanted):
        """Wait until the outputs of a cell are as wanted, and return them."""
        self._until(lambda: wanted(self.outputs(request)))
        return self.outputs(request)

    def outputs(self, request):
        """What a front end shows below a cell."""
        shown, displays, clear = [], {}, False
        for kind, content in self.messages.get(request, []):
            if kind == "clear_output":
                if not content["wait"]:
                    shown = []
                clear = content["wait"]
                continue
            if kind == "update_display_data":
                displays[content["transient"]["display_id"]]["data"] = content["data"]
                continue
            if kind not in ("stream", "display_data", "execute_result", "error"):
                continue
            if clear:
                shown, clear = [], False
            output = {"output_type": kind, **content}
            if (content.get("transient") or {}).get("display_id"):
                displays[content["transient"]["display_id"]] = output
            last = shown[-1] if shown else {"output_type": ""}
            if kind == last["output_type"] == "stream" and last["name"] == content["name"]:
                last["text"] += content["text"]
            else:
                shown.append(output)
        return shown

    def close(self):
        # A kernel has only a few seconds for its end; a cluster that is under way may want more.
        self.run("%unload_ext nbflow")
        self._client.stop_channels()
        with contextlib.suppress(RuntimeError):
            self._manager.shutdown_kernel()

    def _seen(self, request):
        return [
            (content["execution_state"], request)
            for kind, content in self.messages.get(request, [])
            if kind == "status"
        ]

    def _until(self, wanted):
        while not wanted():
            message = self._client.get_iopub_msg(timeout=TIMEOUT_S)
            parent = message["parent_header"].get("msg_id")
            self.messages.setdefault(parent, []).append((message["msg_type"], message["content"]))
