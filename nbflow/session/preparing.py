"""A notebook with its parameters in it, and nothing run: papermill's ``--prepare-only``."""

from collections.abc import Mapping
from typing import Any

from nbflow.core.errors import Problem
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Artifact, Inline, Value
from nbflow.notebooks.metadata import prepare
from nbflow.notebooks.parameters import inject
from nbflow.notebooks.reading import choose_kernel, read_notebook
from nbflow.notebooks.writing import to_bytes
from nbflow.session.flow import Flow


def prepared_notebook(flow: Flow, params: Mapping[str, Any]) -> tuple[bytes, tuple[Problem, ...]]:
    """Return the notebook of a flow of one, with `params` injected, and what is odd about it.

    Parameters
    ----------
    flow
        What `load_notebook` returns.
    params
        As for `Flow.run`. All of them are written into the notebook as they are.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it is not fit to run.
    nbflow.core.errors.NbflowError
        If the parameters cannot be written in its language.
    """
    prepared = flow.prepare(params)
    (node,) = prepared.spec.nodes
    assert isinstance(node.code, NotebookCode)
    code, form = node.code, node.code.papermill
    notebook = read_notebook(prepared.blobs[code.digest], code.path)
    choice = choose_kernel(notebook, code.kernel, form.language)
    # There is no store from which the notebook could load a value, so a large one is
    # written out, too.
    values: dict[str, Value] = {
        name: Inline(params[name]) if isinstance(prepared.params[name], Artifact) else value
        for name, value in prepared.params.items()
    }
    injected = inject(notebook, values, choice, _no_file)
    ready = prepare(
        injected,
        form.input_path or code.path,
        form.output_path,
        report_mode=form.report_mode,
    )
    return to_bytes(ready), prepared.warnings


def _no_file(digest: str) -> Any:
    raise AssertionError(f"the artifact {digest} in a notebook that is only prepared")
