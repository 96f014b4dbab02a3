"""A graph as JSON, for other programs: the shape of ``nbflow graph --json``."""

import json
from collections.abc import Mapping
from typing import Any

from nbflow.core.graph import Edge, Graph
from nbflow.core.spec import NodeSpec, NotebookCode
from nbflow.core.states import NodeState


def draw_json(graph: Graph, states: Mapping[str, NodeState]) -> str:
    """Return the graph as one JSON document; nodes with a known state get a ``status``."""
    document = {
        "flow": graph.spec.name,
        "nodes": [_node(node, states.get(name)) for name, node in graph.nodes.items()],
        "edges": [_edge(edge) for edge in graph.edges],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _node(node: NodeSpec, state: NodeState | None) -> dict[str, Any]:
    notebook = node.code.path if isinstance(node.code, NotebookCode) else None
    # No cell indices means the whole notebook: nodes that are stages of cells name theirs.
    stage = node.code.stage if isinstance(node.code, NotebookCode) else None
    record: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "notebook": notebook,
        "cells": [] if stage is None else [cell.index for cell in stage.cells if not cell.replayed],
    }
    return record if state is None else {**record, "status": str(state)}


def _edge(edge: Edge) -> dict[str, Any]:
    return {
        "from": edge.source,
        "to": edge.target,
        "kind": edge.kind,
        "output": edge.output,
        "param": edge.param,
    }
