"""Definitions: from what people write (Python, YAML, a bare notebook) to a checked `FlowSpec`.

========================  =================================================================
`builder`                 `FlowBuilder`, the Python interface
`targets`                 what a command line may name as a flow
`yaml_file`               flow files; their shape is in `document`, their lines in `yaml_source`
`draft`                   a flow while it is being written, whichever way
`references`, `bindings`  what stands beside a parameter
`options`                 what stands beside a node: `policies`, `kernel_options`
`functions`               Python functions as nodes
`preparation`, `check`    reading, pickling, and judging a flow before it runs
========================  =================================================================

Importing this package loads neither pydantic nor nbformat nor papermill: each is loaded by the
first flow that needs it.
"""

from nbflow.definition.builder import FlowBuilder
from nbflow.definition.check import check, check_params
from nbflow.definition.faults import Fault
from nbflow.definition.preparation import Prepared
from nbflow.definition.references import Node, OutputRef, ParamRef
from nbflow.definition.targets import BareNotebook, load_notebook, load_target

__all__ = [
    "BareNotebook",
    "Fault",
    "FlowBuilder",
    "Node",
    "OutputRef",
    "ParamRef",
    "Prepared",
    "check",
    "check_params",
    "load_notebook",
    "load_target",
]
