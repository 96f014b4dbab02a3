"""What a node of a run gave: the handle `run["train"]`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow._jsonschema import defer_grammar
from nbflow.artifacts import FileStore, load_value, under_its_name
from nbflow.core.events import ErrorInfo, Record
from nbflow.core.machine import NodeRun
from nbflow.core.states import NodeState, Reason
from nbflow.core.values import Artifact, Fields, Inline, Items, Value
from nbflow.session.document import executed_notebook, value_document
from nbflow.session.sources import Source

if TYPE_CHECKING:
    from nbflow.journal import SqlJournal


class Outputs(Mapping[str, Any]):
    """The outputs of one node, by name; a value is read from the store when it is asked for.

    Parameters
    ----------
    node
        The node's name, for messages.
    values
        What the journal says of the outputs.
    store
        Where the bytes are.
    """

    def __init__(self, node: str, values: Mapping[str, Value], store: FileStore) -> None:
        self._node = node
        self._values = values
        self._store = store

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            known = ", ".join(self._values) or "none"
            raise KeyError(
                f"node {self._node!r} has no output {name!r} (it has: {known}). Kept are outputs "
                "that another node uses, that the node emits, or that outputs= names"
            )
        return loaded(self._values[name], self._store)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        parts = []
        for name, value in self._values.items():
            about = value_document(value)
            text = repr(about["value"]) if "value" in about else about.get("preview", "…")
            parts.append(f"{name}: {about.get('type', about['kind'])} {text}")
        return f"<outputs of {self._node}: {'; '.join(parts) or 'none'}>"


class NodeHandle:
    """One node of a run, as it stands at each look.

    Parameters
    ----------
    name
        The node.
    source, journal, store
        Where its state, its story and its values are.
    """

    def __init__(self, name: str, source: Source, journal: "SqlJournal", store: FileStore) -> None:
        self.name = name
        self._source = source
        self._journal = journal
        self._store = store

    def __repr__(self) -> str:
        reason = f" ({self.reason.message})" if self.reason else ""
        return f"<node {self.name}: {self.status}{reason}>"

    @property
    def status(self) -> NodeState:
        """Where the node stands."""
        return self._node.state

    @property
    def reason(self) -> Reason | None:
        """Why it stands there: of failed and skipped nodes always, else after a lost attempt."""
        return self._node.reason

    @property
    def error(self) -> ErrorInfo | None:
        """The exception that ended the latest attempt, if one did."""
        return self._node.error

    @property
    def attempts(self) -> int:
        """How many attempts there have been."""
        return self._node.attempt

    @property
    def outputs(self) -> Outputs:
        """The node's outputs by name."""
        return Outputs(self.name, self._node.outputs, self._store)

    @property
    def notebook_path(self) -> Path | None:
        """Where the executed notebook is, as far as it has got; None for a function."""
        path = executed_notebook(self._source.view(), self.name)
        return None if path is None else Path(path)

    @property
    def notebook(self) -> Any:
        """The executed notebook as a `nbformat.NotebookNode`; None if there is none yet."""
        data = self.notebook_bytes
        if data is None:
            return None
        defer_grammar()
        import nbformat  # lazy: a script that only looks at outputs does not need it

        return nbformat.reads(data.decode(), as_version=4)

    @property
    def notebook_bytes(self) -> bytes | None:
        """The executed notebook as the content of a file; None if there is none yet."""
        kept = self._node.notebook
        # While an attempt runs, what is kept is an earlier one's.
        if kept is not None and self._node.state is not NodeState.RUNNING:
            return self._store.get(kept.digest)
        path = self.notebook_path
        return path.read_bytes() if path is not None and path.is_file() else None

    @property
    def story(self) -> list[Record]:
        """All events of the node, in order."""
        run = self._source.view().run
        return [record for record in self._journal.read(run.id) if record.node == self.name]

    @property
    def logs(self) -> str:
        """What the node printed: a function's streams, or a notebook's, cell by cell."""
        if self._node.log is not None:
            return self._store.get(self._node.log.digest).decode(errors="replace")
        notebook = self.notebook
        return "" if notebook is None else "".join(_streams(notebook))

    @property
    def _node(self) -> NodeRun:
        return self._source.view().run[self.name]


def loaded(value: Value, store: FileStore) -> Any:
    """Return the Python value that `value` stands for.

    Raises
    ------
    nbflow.core.errors.ArtifactError
        If its bytes are missing or damaged.
    """
    match value:
        case Inline(plain):
            return plain
        case Artifact(kind="file" | "notebook" | "namespace"):
            return under_its_name(store.path(value.digest), value)
        case Artifact(kind="text"):
            return store.get(value.digest).decode(errors="replace")
        case Artifact():
            return load_value(value, store)
        case Items(items):
            return [loaded(item, store) for item in items]  # type: ignore[arg-type]
        case Fields(fields):
            return {key: loaded(item, store) for key, item in fields.items()}  # type: ignore[arg-type]


def _streams(notebook: Any) -> Iterator[str]:
    """Yield what each cell printed, under a line that says which cell it was."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        texts = [_text_of(output) for output in cell.outputs]
        if any(texts):
            yield f"--- cell {index}\n"
            yield from (text if text.endswith("\n") else text + "\n" for text in texts if text)


def _text_of(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return ""
