"""The document of a run: what `run`, `resume` and `show --json` print.

Its shape is part of the public interface.
"""

from datetime import UTC, datetime
from typing import Any

from nbflow.core.machine import NodeRun, Run
from nbflow.core.reuse import cache_statistics
from nbflow.core.spec import NotebookCode
from nbflow.core.states import RUN_ENDED, RunStatus
from nbflow.core.values import (
    Artifact,
    Binding,
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    Secret,
    SecretText,
    Text,
    Value,
)
from nbflow.core.view import RunView
from nbflow.driver.tasks import notebook_path


def status_of(view: RunView) -> RunStatus:
    """Return the run's status, which is ``interrupted`` if nobody drives it to its end."""
    status = view.run.status
    if status in RUN_ENDED or view.driven:
        return status
    return RunStatus.INTERRUPTED


def run_document(view: RunView, now: float) -> dict[str, Any]:
    """Return everything about a run as plain JSON.

    Parameters
    ----------
    view
        The run.
    now
        Seconds since the epoch, for durations of what has not ended.
    """
    run = view.run
    return {
        "run_id": run.id,
        "flow": run.graph.spec.name,
        "status": str(status_of(view)),
        "started_at": _stamp(run.created_at),
        "ended_at": _stamp(run.ended_at),
        "duration_s": round((run.ended_at or now) - run.created_at, 3),
        **_about_cache(run),
        "nodes": {name: node_document(view, name, now) for name in run.graph.nodes},
    }


def node_document(view: RunView, name: str, now: float) -> dict[str, Any]:
    """Return everything about one node of a run as plain JSON."""
    run = view.run
    node = run[name]
    elapsed_s = view.elapsed_s(name, now)
    reason = node.reason
    document: dict[str, Any] = {
        "status": str(node.state),
        "reason": None if reason is None else {"kind": reason.kind, "message": reason.message},
        "attempts": node.attempt,
        "started_at": _stamp(node.started_at),
        "ended_at": _stamp(node.ended_at),
        "duration_s": None if elapsed_s is None else round(elapsed_s, 3),
        "cached": node.is_cached,
        "notebook": executed_notebook(view, name),
        "outputs": {output: value_document(value) for output, value in node.outputs.items()},
    }
    if node.error is not None:
        error = node.error
        document["error"] = {"type": error.type, "message": error.message, "cell": error.cell}
    if node.due_at is not None:
        document["retry_at"] = _stamp(node.due_at)
    return document


def executed_notebook(view: RunView, name: str) -> str | None:
    """Return the path of the executed notebook for people, once an attempt has written it."""
    node: NodeRun = view.run[name]
    code = view.run.graph.nodes[name].code
    # A result of another run brings its executed notebook along: no attempt has started.
    is_written = node.started_at is not None or (node.is_cached and node.notebook is not None)
    if not isinstance(code, NotebookCode) or not is_written:
        return None
    return str(notebook_path(view.run.output_dir, name, code))


def _about_cache(run: Run) -> dict[str, Any]:
    found = cache_statistics(run)
    if found is None:
        return {}
    return {
        "cache": {
            "hits": found.hits,
            "misses": found.misses,
            "bytes": found.size_bytes,
            "seconds_saved": round(found.saved_s, 3),
        }
    }


def value_document(value: Value) -> dict[str, Any]:
    """Return a value's description; small JSON stands in it as it is, a secret as its reference."""
    match value:
        case Inline(plain):
            return {"kind": "json", "value": plain}
        case Artifact():
            document: dict[str, Any] = {
                "kind": value.kind,
                "bytes": value.size_bytes,
                "artifact": value.digest,
            }
            if value.type_name:
                document["type"] = value.type_name
            if value.preview:
                document["preview"] = value.preview
            return document
        case Items(items):
            return {"kind": "list", "items": [value_document(_resolved(item)) for item in items]}
        case Fields(fields):
            described = {key: value_document(_resolved(item)) for key, item in fields.items()}
            return {"kind": "mapping", "fields": described}
        case Secret() | SecretText():
            return {"kind": "secret", "reference": str(value)}


def _resolved(value: Binding) -> Value:
    assert not isinstance(value, (FromParam, FromOutput, Text)), f"{value} is not resolved"
    return value


def _stamp(at: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
