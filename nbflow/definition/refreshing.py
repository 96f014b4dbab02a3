"""A flow that cannot be read again, as its notebooks are now.

A flow that was made by calls, in a script or a notebook, cannot be made once more. Its notebooks
are files, though, and those are read again, so that a run can be resumed after one has been mended.
Functions stay as they were recorded.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH117

import dataclasses
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from nbflow.core.errors import Problem
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import Value
from nbflow.definition.bindings import digest_of
from nbflow.definition.declared import not_installed
from nbflow.definition.faults import Fault
from nbflow.definition.identity.identities import Identities
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.staged import NOTHING_ASKED, CellsAsked


def refreshed(
    spec: FlowSpec,
    params: Mapping[str, Value] = MappingProxyType({}),
    cells: CellsAsked = NOTHING_ASKED,
) -> tuple[FlowSpec, dict[str, bytes], list[Problem]]:
    """Return `spec` with its notebooks as they are now.

    Parameters
    ----------
    spec
        The flow. What runs as stages does so again.
    params
        All parameters of the run.
    cells
        What is known of the cells of its notebooks.

    Returns
    -------
    FlowSpec
        The flow, with new digests and identities.
    dict
        Bytes by digest of the notebooks that have changed.
    list of Problem
        A warning for each notebook that is no longer there and stays as recorded; an error for
        each that is there, and is no notebook.
    """
    reader = _Reader()
    if not any(node.is_stage for node in spec.nodes):
        return reader.flow(spec), reader.blobs, reader.problems
    # Lazy: with it comes the analysis of cells, which few flows need.
    from nbflow.definition.staged.expansion import Reader, collapsed, expanded, staged_nodes

    whole = reader.flow(collapsed(spec))
    parts = Reader(reader.files, reader.identities)
    cells = dataclasses.replace(cells, earlier=spec)
    again, odd = expanded(whole, staged_nodes(spec), params, parts, cells)
    return again, reader.blobs, [*reader.problems, *odd]


class _Reader:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.problems: list[Problem] = []
        self.files = NotebookFiles()
        self.identities = Identities(self.files)
        #: Notebooks of which has been said that something is wrong.
        self._faulty: set[str] = set()

    def flow(self, spec: FlowSpec) -> FlowSpec:
        """Return a flow without stages as it is now."""
        nodes = tuple(self._node(node) for node in spec.nodes)
        return msgspec.structs.replace(spec, nodes=nodes)

    def _node(self, node: NodeSpec) -> NodeSpec:
        code = node.code
        if isinstance(code, NotebookCode):
            if not os.path.isabs(code.path):
                return node  # no local file: there is nothing to read
            try:
                code = self._read(code)
            except Fault as fault:
                self._say(fault, node, code.path)
                return node
        node = msgspec.structs.replace(node, code=code)
        self.problems += self._missing(node)
        return msgspec.structs.replace(node, identity=self.identities.of(node))

    def _read(self, code: NotebookCode) -> NotebookCode:
        data = self.files.bytes_of(code.path)
        self.files.parsed(code.path)
        digest = digest_of(data)
        if digest == code.digest:
            return code
        self.blobs[digest] = data
        return msgspec.structs.replace(code, digest=digest)

    def _missing(self, node: NodeSpec) -> Iterator[Problem]:
        for package in self.identities.missing_packages(node):
            yield not_installed(package, node.place, node.name)

    def _say(self, fault: Fault, node: NodeSpec, path: str) -> None:
        if path in self._faulty:
            return
        self._faulty.add(path)
        if os.path.lexists(path):
            self.problems.append(fault.at(node.place, node.name))
            return
        self.problems.append(
            Problem(
                place=node.place,
                what=f"the notebook {path} is no longer there, and runs as it was recorded",
                fix="Put it back if it is to run as it is now",
                node=node.name,
                severity="warning",
            )
        )
