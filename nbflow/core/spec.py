"""The definition of a flow as plain data: what the journal stores and the machine runs.

A `FlowSpec` is complete in itself. It holds no Python callables and reads no
files: notebooks and functions are named by the digest of their bytes in the
artifact store, so that a run can be resumed by a process that never saw the
program that defined it, and edits to a notebook do not reach a run that has begun.
"""

from typing import TypeAlias

import msgspec

from nbflow.core.policies import Cache, Limits, Policy
from nbflow.core.stages import StagePlace, StageSpec
from nbflow.core.values import Binding, Value


class PapermillForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """What papermill's command line can say of a notebook, and a flow has other words for."""

    #: Language in which parameters are written, instead of the one that the notebook names.
    language: str | None = None
    #: Whether the executed notebook hides the source of its code.
    report_mode: bool = False
    #: Folder in which the kernel works by default, instead of the notebook's own.
    folder: str | None = None
    #: The paths of the notebook and of the executed one as they were typed, for its metadata.
    input_path: str | None = None
    output_path: str | None = None
    #: Absolute path to which the executed notebook is saved while it runs, instead of in the
    #: run's folder.
    saved_to: str | None = None
    #: Absolute path or URL to which the program that drives the run writes it at the end.
    delivered_to: str | None = None
    #: Absolute paths of existing files to which workers write what cells print.
    stdout_file: str | None = None
    stderr_file: str | None = None


class NotebookCode(msgspec.Struct, frozen=True, tag="notebook", omit_defaults=True):
    """A notebook: where it was read from, and the bytes that were read.

    `path` is absolute, or what was typed if it is no local file; `kernel` overrides the kernel
    that the notebook names; `cwd` is the kernel's working directory (default: the notebook's
    folder). `python` is the interpreter, or the folder of an environment, whose ipykernel runs the
    notebook; `env` are environment variables of the kernel, besides the worker's own.

    With `stage`, only these of its cells are run; with `stages`, its cells are run by other nodes,
    and it puts together what these bring. See `nbflow.core.stages`.
    """

    path: str
    digest: str = ""
    kernel: str | None = None
    cwd: str | None = None
    python: str | None = None
    env: dict[str, str] = {}
    papermill: PapermillForm = PapermillForm()
    stage: StageSpec | None = None
    stages: tuple[StagePlace, ...] = ()


class FunctionCode(msgspec.Struct, frozen=True, tag="function", omit_defaults=True):
    """A Python function, pickled by cloudpickle; `label` is its dotted name, for people."""

    label: str
    digest: str = ""


Code: TypeAlias = NotebookCode | FunctionCode


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node is, as digests: by these a later run tells what has changed.

    Parameters
    ----------
    code
        Of the sources of a notebook's cells (not their outputs) or of a function.
    modules
        Of the local modules that these import, and that those import.
    environment
        Of the interpreter, the kernel, the variables and the declared packages.
    inputs
        Absolute paths of the files that the node is declared to read.
    unknown
        What could not be told, in words. Such a node is never taken from a cache.
    packages
        Names of the packages whose installed versions are part of `environment`.
    """

    code: str = ""
    modules: str = ""
    environment: str = ""
    inputs: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a flow."""

    name: str
    code: Code
    params: dict[str, Binding] = {}
    #: Nodes that must end first, though nothing is received from them.
    after: tuple[str, ...] = ()
    #: Outputs to keep even if no other node asks for them.
    outputs: tuple[str, ...] = ()
    policy: Policy = Policy()
    identity: Identity = Identity()
    #: Where the node was written, as ``file:line``, for messages.
    place: str = ""

    @property
    def kind(self) -> str:
        """``notebook``, ``stage`` or ``function``."""
        if isinstance(self.code, FunctionCode):
            return "function"
        return "notebook" if self.code.stage is None else "stage"

    @property
    def is_stage(self) -> bool:
        """Whether it is a stage of a notebook that another node puts together."""
        return isinstance(self.code, NotebookCode) and self.code.stage is not None

    @property
    def stages(self) -> tuple[StagePlace, ...]:
        """The stages that it puts together, if it does."""
        return self.code.stages if isinstance(self.code, NotebookCode) else ()


class FlowSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A flow: its nodes in the order in which they were written, parameters and limits."""

    name: str
    nodes: tuple[NodeSpec, ...]
    params: dict[str, Value] = {}
    limits: Limits = Limits()
    #: What the run was asked to do about caches; its nodes' policies say so already. A cache is
    #: for all nodes that have no word of their own about it; False is none for any node.
    cache: Cache | bool | None = None
    #: What the run was asked to do about the cells of notebooks that have no word of their own: to
    #: run them as stages. False is for no notebook at all.
    cells: bool | None = None
    #: Modules that warm kernels should have loaded: what the notebooks import, and what was named.
    preload: tuple[str, ...] = ()
    #: Where the flow was written, for messages.
    place: str = ""
    #: What `nbflow.load` needs to read the flow again (``/folder/flow.py:flow``); empty if
    #: it was made by calls that cannot be repeated.
    target: str = ""
