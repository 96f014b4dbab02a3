"""What a command line or `nbflow.load` may name as a flow: the one place that tells them apart.

=================  ==========================================================
``flow.yaml``      a flow file
``note.ipynb``     a bare notebook: a flow of one node
``path.py:flow``   the flow of that name in a Python file
``module:flow``    the flow of that name in an importable module
=================  ==========================================================

The flow of a bare notebook declares no parameters of its own: as with papermill, any parameter is
passed on, and the check warns of those that its parameters cell does not know.
"""

import os
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from nbflow.core.errors import DefinitionError, Problem
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.draft import FlowDraft, legal_name
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.options import NodeOptions
from nbflow.definition.places import everywhere
from nbflow.definition.python_code import PythonCode

_Flow = TypeVar("_Flow", bound=FlowBuilder)

_FORMS = "A target is FLOW.yaml, NOTEBOOK.ipynb, PATH.py:NAME or MODULE:NAME"


def load_target(
    target: str | os.PathLike[str],
    *,
    flow_class: type[_Flow],
    base_dir: str | Path | None = None,
) -> _Flow:
    """Return the flow that `target` names; see the table above.

    Parameters
    ----------
    target
        What a user typed.
    flow_class
        The class of flows to make, and to look for in Python code.
    base_dir
        Folder to which a relative target refers; by default the current one.

    Raises
    ------
    DefinitionError
        If it names no flow, or a file whose shape is wrong. Other faults come out when the flow is
        checked.
    """
    text = os.fspath(target)
    folder = Path.cwd() if base_dir is None else Path(base_dir).absolute()
    suffix = Path(text).suffix.lower()
    try:
        if suffix in (".yaml", ".yml"):
            return _from_file(folder / text, text, flow_class)
        if suffix == ".ipynb":
            return _from_notebook(folder / text, text, flow_class)
        if suffix == ".py" or ":" in text:
            return _from_python(text, folder, flow_class)
    except Fault as fault:
        raise DefinitionError([fault.at(text)]) from fault
    raise DefinitionError([_not_a_target(text, folder)])


def _from_file(path: Path, shown: str, flow_class: type[_Flow]) -> _Flow:
    from nbflow.definition.yaml_file import read_flow_file  # pydantic: only flow files need it

    return flow_class.from_draft(read_flow_file(path, shown))


def _from_notebook(path: Path, shown: str, flow_class: type[_Flow]) -> _Flow:
    # Raises now rather than at the check: a target that is not there is a slip of the command line.
    NotebookFiles().bytes_of(str(path))
    where = everywhere(shown)
    draft = FlowDraft(legal_name(path.stem), where, [str(path.parent)], open_params=True)
    draft.add_notebook(str(path), NodeOptions(), where)
    return flow_class.from_draft(draft)


def _from_python(text: str, folder: Path, flow_class: type[_Flow]) -> _Flow:
    source, colon, name = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    if not source or (colon and not name):
        raise Fault("this is not a target", _FORMS)
    code = PythonCode(folder)
    module = code.module(source)
    flows = _flows_of(module, flow_class)
    if not colon:
        return _only(flows, source)
    found: Any = flows.get(name)
    if found is None and hasattr(module, name):
        found = getattr(module, name)
    if isinstance(found, flow_class):
        return found
    known = f"Flows there: {listed(flows)}" if flows else "There is no flow in it"
    if found is not None:
        raise Fault(f"{name!r} is not a flow; its type is {type(found).__name__}", known)
    raise Fault(f"{source} has no {name!r}", sentences(did_you_mean(name, flows), known))


def _flows_of(module: ModuleType, flow_class: type[_Flow]) -> dict[str, _Flow]:
    return {name: it for name, it in vars(module).items() if isinstance(it, flow_class)}


def _only(flows: dict[str, _Flow], source: str) -> _Flow:
    distinct = {id(flow): flow for flow in flows.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    if not flows:
        raise Fault(f"there is no flow in {source}", "Write flow = nbflow.Flow(…) at its top level")
    raise Fault(f"{source} has several flows: {listed(flows)}", f"Choose one: {source}:NAME")


def _not_a_target(text: str, folder: Path) -> Problem:
    path = folder / text
    if path.is_dir():
        inside = [file.name for file in path.iterdir() if file.suffix in (".yaml", ".yml")]
        names = f"Flow files in it: {listed(inside)}" if inside else _FORMS
        return Problem(text, "this is a folder", names)
    return Problem(text, "this is not a target", _FORMS)
