"""Flow files: from YAML to a draft, with the line of everything that is wrong.

Shape first (`nbflow.definition.document`): a file whose shape is wrong is not looked into any
further, because what it means is not clear. Then its nodes are drafted as Python's would be.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nbflow.core.errors import DefinitionError, Problem
from nbflow.definition.document import FlowModel, NodeModel, PolicyModel, read_document
from nbflow.definition.draft import FlowDraft
from nbflow.definition.faults import Fault, near_file
from nbflow.definition.options import NodeOptions
from nbflow.definition.python_code import PythonCode
from nbflow.definition.yaml_source import SyntaxFault, YamlSource, text_of


def read_flow_file(path: Path, shown: str) -> FlowDraft:
    """Return the flow that is written in the file at `path`.

    Parameters
    ----------
    path
        The file.
    shown
        What messages call it.

    Raises
    ------
    DefinitionError
        If it cannot be read, is no YAML, or its shape is wrong. Other faults are noted in the
        draft.
    """
    try:
        source = YamlSource(text_of(path.read_bytes(), shown), shown)
    except OSError as error:
        raise DefinitionError([_unreadable(path, shown, error)]) from error
    except SyntaxFault as fault:
        raise DefinitionError([fault.problem]) from fault
    document = read_document(source.value)
    if not isinstance(document, FlowModel):
        raise DefinitionError(
            fault.at(source.where(*fault.path), _node_of(fault.path)) for fault in document
        )
    return _drafted(document, source, path.absolute().parent)


def _drafted(document: FlowModel, source: YamlSource, folder: Path) -> FlowDraft:
    draft = FlowDraft(document.flow, source.where, [str(folder)])
    draft.declare(
        params=document.params,
        defaults=_policies(source.value.get("defaults", {})),
        limit=document.limits.flow,
        groups=document.limits.groups,
        preload=document.preload,
    )
    code = PythonCode(folder)
    problems: list[Problem] = []
    for name, node in document.nodes.items():
        where = partial(source.where, "nodes", name)
        try:
            options = _options(name, node, source.value["nodes"][name])
            _add(draft, node, options, where, code)
        except Fault as fault:
            problems.append(fault.at(where("function"), name))
    if problems:
        # A node that could not be added would make every reference to it look wrong.
        raise DefinitionError([*draft.problems, *problems])
    return draft


def _add(
    draft: FlowDraft,
    node: NodeModel,
    options: NodeOptions,
    where: "partial[str]",
    code: PythonCode,
) -> None:
    if (node.notebook is None) == (node.function is None):
        what = "is neither" if node.notebook is None else "names both"
        raise Fault(
            f"a node is either a notebook or a function, and this {what}",
            "Write notebook: PATH or function: MODULE:NAME",
        )
    if node.notebook is not None:
        draft.add_notebook(node.notebook, options, where)
        return
    assert node.function is not None
    function = code.attribute(node.function)
    if not callable(function):
        raise Fault(
            f"{node.function} is not a function; its type is {type(function).__name__}",
            "Check the name",
        )
    draft.add_function(function, options, where)


def _options(name: str, node: NodeModel, written: Mapping[str, Any]) -> NodeOptions:
    return NodeOptions(
        name=name,
        params=node.params,
        after=node.after,
        outputs=node.outputs,
        kernel=node.kernel,
        python=node.python,
        env=node.env,
        cwd=node.cwd,
        **_policies(written),
    )


def _policies(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policies among what is written, as `nbflow.definition.options` reads them."""
    return {name: written[name] for name in PolicyModel.model_fields if name in written}


def _node_of(path: tuple[str | int, ...]) -> str | None:
    names_node = len(path) > 1 and path[0] == "nodes" and isinstance(path[1], str)
    return str(path[1]) if names_node else None


def _unreadable(path: Path, shown: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(shown, "there is no such file", near_file(path))
    if path.is_dir():
        return Problem(shown, "this is a folder, not a flow file", "Name the file inside")
    return Problem(shown, f"the file cannot be read ({error.strerror})", "Check its permissions")
