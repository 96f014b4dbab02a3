"""What a command line or `nbflow.load` may name as a flow: the one place that tells them apart.

=================  ==========================================================
``flow.yaml``      a flow file
``note.ipynb``     a bare notebook: a flow of one node
``path.py:flow``   the flow of that name in a Python file
``module:flow``    the flow of that name in an importable module; in front may stand
                   the folder from which it is imported
=================  ==========================================================

The flow of a bare notebook declares no parameters of its own: as with papermill, any parameter is
passed on, and the check warns of those that its parameters cell does not know.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import msgspec

from nbflow.core.errors import DefinitionError, Problem
from nbflow.core.spec import NotebookCode, PapermillForm
from nbflow.definition.builder import FlowBuilder
from nbflow.definition.draft import FlowDraft, Written, legal_name
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
            bare = BareNotebook(path=str(folder / text), place=text)
            flow = load_notebook(bare, flow_class=flow_class)
            flow.draft.came_from(_absolute(folder / text))
            return flow
        if suffix == ".py" or ":" in text:
            return _from_python(text, folder, flow_class)
    except Fault as fault:
        raise DefinitionError([fault.at(text)]) from fault
    raise DefinitionError([_not_a_target(text, folder)])


@dataclass(frozen=True, kw_only=True, slots=True)
class BareNotebook:
    """A notebook by itself, and how it is to run."""

    #: Its path, or an address or another name, if it is no local file.
    path: str
    #: How messages name it; by default by its path.
    place: str | None = None
    #: Its content, if it is no local file.
    data: bytes | None = None
    #: The name of its node; by default that of the file.
    name: str | None = None
    options: NodeOptions = NodeOptions()
    form: PapermillForm = PapermillForm()


def load_notebook(notebook: BareNotebook, *, flow_class: type[_Flow]) -> _Flow:
    """Return the flow of one node that a bare notebook is.

    It lies in the notebook's folder or, if that is no local one, in the current folder.

    Raises
    ------
    DefinitionError
        If there is no such file. Other faults come out when the flow is checked.
    """
    place = notebook.place or notebook.path
    if notebook.data is None:
        path = Path(notebook.path).absolute()
        folder, located = path.parent, str(path)
        try:
            # Now rather than at the check: a file that is not there is a slip of the command line.
            NotebookFiles().bytes_of(located)
        except Fault as fault:
            raise DefinitionError([fault.at(place)]) from fault
    else:
        folder, located = Path.cwd(), notebook.path
    name = legal_name(notebook.name or Path(notebook.path).stem)
    where = everywhere(place)
    draft = FlowDraft(name, where, [str(folder)], open_params=True)
    if notebook.data is not None:
        draft.contents[located] = notebook.data
    draft.add_notebook(located, replace(notebook.options, name=name), where)
    draft.written[0] = _with_form(draft.written[0], notebook.form)
    return flow_class.from_draft(draft)


def _from_file(path: Path, shown: str, flow_class: type[_Flow]) -> _Flow:
    from nbflow.definition.yaml_file import read_flow_file  # pydantic: only flow files need it

    flow = flow_class.from_draft(read_flow_file(path, shown))
    flow.draft.came_from(_absolute(path))
    return flow


def _absolute(path: Path) -> str:
    # Links are kept: they are how people know the file.
    return os.path.abspath(path)  # noqa: PTH100


def _with_form(written: Written, form: PapermillForm) -> Written:
    assert isinstance(written.spec.code, NotebookCode)
    code = msgspec.structs.replace(written.spec.code, papermill=form)
    return replace(written, spec=msgspec.structs.replace(written.spec, code=code))


def _from_python(text: str, folder: Path, flow_class: type[_Flow]) -> _Flow:
    source, colon, name = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    if not source or (colon and not name):
        raise Fault("this is not a target", _FORMS)
    if os.sep in source and not source.endswith(".py"):
        # A module and the folder from which it is imported: ``/project/package.flows:flow``.
        folder, source = folder / os.path.dirname(source), os.path.basename(source)  # noqa: PTH119, PTH120
    module = PythonCode(folder).module(source)
    flows = _flows_of(module, flow_class)
    found = flows.get(name, getattr(module, name, None)) if colon else _only(flows, source)
    if isinstance(found, flow_class):
        found.draft.came_from(_absolute(folder / source) + colon + name)
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
