"""The identities of the nodes of one flow: by these a later run tells what has changed.

Of a notebook count the sources of its code cells, in order, with their tags; not its texts, outputs
and execution counts, which change with every look at it. Of a function counts what Python made of
it, in this process. The local modules that they reach are told apart from their own code.

Of a stage count the cells that it runs, with what it may do and is given: a change of one cell is a
change of its stage alone, and of those to which it then gives something else.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH100, PTH117, PTH120

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nbflow.core.fingerprints import digest
from nbflow.core.spec import FunctionCode, Identity, NodeSpec, NotebookCode
from nbflow.core.stages import INJECTED, StageSpec
from nbflow.definition.code_cells import CodeCell
from nbflow.definition.identity.cells import scan_cell
from nbflow.definition.identity.environment import Environment, Environments
from nbflow.definition.identity.functions import FunctionIdentities
from nbflow.definition.identity.modules import LocalModules, Search
from nbflow.definition.identity.sources import Sources
from nbflow.definition.installed import Installation
from nbflow.definition.notebook_file import Notebook, NotebookFiles

#: Tags that change what is done with a cell; others are marks for people.
_TAGS = frozenset(
    {"parameters", "injected-parameters", "skip-execution", "raises-exception", "outputs"}
)


@dataclass(frozen=True, slots=True)
class _Own:
    """A node's code: its digest, that of the local modules, and what could not be seen."""

    code: str
    modules: str = ""
    unknown: tuple[str, ...] = ()


class Identities:
    """Makes identities, and does once what many nodes have in common.

    Parameters
    ----------
    files
        The notebooks.
    """

    def __init__(self, files: NotebookFiles) -> None:
        self._files = files
        installation = Installation()
        self._modules = LocalModules(Sources(), installation)
        self._functions = FunctionIdentities(self._modules, installation)
        self._environments = Environments()
        self._notebooks: dict[object, _Own] = {}

    def of(self, node: NodeSpec, function: Callable[..., Any] | None = None) -> Identity:
        """Return the identity of a node; what it declares is in its present one.

        Parameters
        ----------
        node
            The node, with the digest of its code.
        function
            Its function. Without it the code of a function node is taken to be as it was.

        Raises
        ------
        Fault
            If its notebook cannot be read.
        """
        declared = node.identity
        if isinstance(node.code, NotebookCode):
            own = self._of_notebook(node.code)
        else:
            own = self._of_function(node.code, declared, function)
        environment = self._environment(node)
        return msgspec.structs.replace(
            declared,
            code=own.code,
            modules=own.modules,
            environment=environment.digest,
            unknown=tuple(dict.fromkeys((*own.unknown, *environment.unknown))),
        )

    def missing_packages(self, node: NodeSpec) -> tuple[str, ...]:
        """Return the packages that a node declares, and that are not there; faults as of `of`."""
        return self._environment(node).missing if node.identity.packages else ()

    def _environment(self, node: NodeSpec) -> Environment:
        packages = node.identity.packages
        if not isinstance(node.code, NotebookCode):
            return self._environments.of_function(packages)
        kernel = node.code.kernel or self._files.parsed(node.code.path).kernel
        cwd = _working_folder(node.code) or ""
        return self._environments.of_notebook(node.code, kernel, cwd, packages)

    def _of_function(
        self, code: FunctionCode, before: Identity, function: Callable[..., Any] | None
    ) -> _Own:
        if function is None:
            return _Own(before.code or code.digest, before.modules, before.unknown)
        found = self._functions.of(function)
        return _Own(found.code, found.modules, found.unknown)

    def _of_notebook(self, code: NotebookCode) -> _Own:
        notebook = self._files.parsed(code.path)
        python_path = code.env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        cwd = _working_folder(code)
        folders = tuple(filter(None, [cwd, *python_path.split(os.pathsep)]))
        search = Search(folders, cwd, code.python is None)
        if code.stage is not None:
            return self._of_stage(notebook, code.stage, search)
        key = (code.path, cwd, code.python is None, python_path)
        if key not in self._notebooks:
            pieces = map(_piece, notebook.cells)
            self._notebooks[key] = self._read(
                notebook, notebook.cells, digest(b"notebook", *pieces), search
            )
        return self._notebooks[key]

    def _of_stage(self, notebook: Notebook, stage: StageSpec, search: Search) -> _Own:
        by_index = {cell.index: cell for cell in notebook.cells}
        # What is injected is in the node's parameters.
        cells = [by_index[cell.index] for cell in stage.cells if cell.index != INJECTED]
        code = digest(b"stage", msgspec.json.encode(stage), *map(_piece, cells))
        return self._read(notebook, cells, code, search)

    def _read(
        self, notebook: Notebook, cells: Sequence[CodeCell], code: str, search: Search
    ) -> _Own:
        if not notebook.is_python:
            return _Own(code, unknown=(_other_language(notebook.language),))
        scans = [(f"cell {cell.index}", scan_cell(cell.source)) for cell in cells]
        reached = self._modules.reached(scans, search)
        modules = digest(b"modules", *reached.pieces()) if reached.files else ""
        return _Own(code, modules, tuple(reached.unseen))


def _piece(cell: CodeCell) -> bytes:
    """Return what tells a cell from others."""
    tags = (tag.encode() for tag in cell.tags if tag in _TAGS)
    return digest(cell.source.encode(), *tags).encode()


def _working_folder(code: NotebookCode) -> str | None:
    """Return the folder in which the kernel works; None if that is the attempt's own."""
    if code.cwd is not None:
        return code.cwd
    if code.papermill.folder is not None:
        return os.path.abspath(code.papermill.folder)
    return os.path.dirname(code.path) if os.path.isabs(code.path) else None


def _other_language(language: str | None) -> str:
    return (
        f"its language is {language}, and local sources that it may read are not followed. "
        "Pass what changes as a parameter, or make it a node of its own"
    )
