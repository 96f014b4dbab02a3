"""A flow while it is being written: what has been said so far, and what was wrong with it.

The draft is the common ground of the Python interface (`FlowBuilder`) and of flow
files. It never raises about what an author wrote: it notes a `Problem` and goes on,
so that one check names every fault. `nbflow.definition.preparation` makes a flow of it
that can run.
"""

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from nbflow.core.errors import Problem
from nbflow.core.policies import Limits, Policy
from nbflow.core.spec import FunctionCode, Identity, NodeSpec, NotebookCode
from nbflow.core.values import Binding, FromOutput, FromParam, Text, Value, references
from nbflow.definition.bindings import Binder
from nbflow.definition.declared import parse_input, parse_packages
from nbflow.definition.faults import Fault, described, wrong
from nbflow.definition.functions import label_of, signature_of
from nbflow.definition.kernel_options import parse_kernel, parse_path, parse_preload, parse_variable
from nbflow.definition.named import mapping_of, names_of
from nbflow.definition.options import (
    NodeOptions,
    cells_conflict,
    conflict,
    function_faults,
    limits_from,
    policy_from,
    policy_options,
)
from nbflow.definition.places import Where
from nbflow.definition.policies import parse_flag
from nbflow.definition.references import RESULT, Node

_T = TypeVar("_T")

_NOTHING: Mapping[str, Any] = {}
_NO_NAMES: tuple[str, ...] = ()
#: Options that are not policies, and may stand among the defaults all the same.
_DECLARATIONS = frozenset({"inputs", "packages", "cells"})

_TWO_KERNELS = Fault(
    "kernel and python are both given, and either alone says what runs the notebook",
    "Remove one of them",
)


@dataclass(frozen=True, slots=True)
class Written:
    """A node as it was written; its code has no digest yet."""

    spec: NodeSpec
    where: Where
    function: Callable[..., Any] | None = None
    #: Whether the node itself has a word about its cache.
    says_cache: bool = False
    #: Whether it is to run as stages of cells, and whether that is the node's own word.
    cells: bool = False
    says_cells: bool = False


class FlowDraft:
    """The nodes, parameters and limits of one flow.

    Parameters
    ----------
    name
        The flow's name.
    where
        Where the flow was written.
    folders
        Absolute folders to which relative paths refer; the first in which a file exists wins.
    open_params
        Whether parameters that the flow does not declare are passed on to every node, as papermill
        does with a notebook's.
    """

    def __init__(
        self, name: Any, where: Where, folders: Sequence[str], *, open_params: bool = False
    ) -> None:
        self.name: str = name if isinstance(name, str) else ""
        self.where = where
        self.open_params = open_params
        self.params: dict[str, Value] = {}
        self.limits = Limits()
        #: Modules that the author wants warm kernels to have loaded.
        self.preload: tuple[str, ...] = ()
        self.problems: list[Problem] = []
        #: Content of notebooks that are no local files, by what their nodes name them.
        self.contents: dict[str, bytes] = {}
        #: Specifications of the nodes, and the handles that authors hold, in the same order.
        self.written: list[Written] = []
        self.nodes: list[Node] = []
        self.binder = Binder(self)
        self._folders = tuple(folders)
        self._defaults = Policy()
        #: `inputs` and `packages` of nodes that name none.
        self._declared = Identity()
        #: Whether notebooks that say nothing about it run as stages of cells.
        self._cells = False
        #: What leads to this flow once more, and how many nodes it had when it was read.
        self._origin = ("", 0)
        #: The folder that would have to be the current one again for its paths to mean the same.
        self._tied_to: str | None = None
        if not self.name:
            fault = Fault(f"a flow's name must be text, not {described(name)}", "Name it")
            self._note(fault, where("flow"), None)

    @property
    def folder(self) -> str:
        """The folder in which the flow lies: beside its file, or else the current one."""
        return self._folders[-1]

    @property
    def target(self) -> str:
        """What leads to this flow from any folder; empty if nothing does."""
        target, count = self._origin
        # What was added since is in no file; and who reads it again works in its own folder.
        is_whole = len(self.written) == count
        is_free = self._tied_to in (None, os.path.dirname(target))  # noqa: PTH120 - it is text
        return target if is_whole and is_free else ""

    def came_from(self, target: str) -> None:
        """Note the absolute `target` that this flow, as it is now, was read from."""
        self._origin = (target, len(self.written))

    def declare(
        self,
        *,
        params: Any = None,
        defaults: Any = None,
        limit: Any = None,
        groups: Any = None,
        preload: Any = None,
    ) -> None:
        """Set what holds for the whole flow; to be called before nodes are added."""
        written = self._attempt(
            lambda: mapping_of("params", params), _NOTHING, None, self.where, "params"
        )
        for name, value in written.items():
            try:
                self.params[name] = self._flow_param(name, value)
            except Fault as fault:
                self._note(fault, self.where("params", name), None)
        if isinstance(defaults, Policy):
            self._defaults = defaults
        else:
            written = self._attempt(
                lambda: mapping_of("defaults", defaults), _NOTHING, None, self.where, "defaults"
            )
            self._declared = self._declarations(written.get, Identity(), None, self._in_defaults)
            self._cells = self._flag("cells", written.get("cells"), None, self._in_defaults)
            policies = {key: it for key, it in written.items() if key not in _DECLARATIONS}
            self._defaults, misfits = policy_from(policies, Policy())
            for option, misfit in misfits:
                self._note(misfit, self.where("defaults", option), None)
        self.limits, misfits = limits_from(limit, {} if groups is None else groups)
        for part, misfit in misfits:
            self._note(misfit, self.where("limits", part), None)
        self.preload = self._attempt(
            lambda: parse_preload(preload), _NO_NAMES, None, self.where, "preload"
        )

    def add_notebook(self, path: Any, options: NodeOptions, where: Where) -> Node:
        """Add a notebook node."""
        name = options.name
        text = self._attempt(lambda: parse_path("a notebook", path), "", name, where, "notebook")
        if name is None:
            name = legal_name(Path(text).stem)
        if options.kernel is not None and options.python is not None:
            self._note(_TWO_KERNELS, where("python"), name)
        code = NotebookCode(
            path=self._located(text),
            kernel=self._attempt(lambda: parse_kernel(options.kernel), None, name, where, "kernel"),
            cwd=self._attempt(lambda: self._place("cwd", options.cwd), None, name, where, "cwd"),
            python=self._attempt(
                lambda: self._place("python", options.python), None, name, where, "python"
            ),
            env=self._environment(options.env, name, where),
        )
        return self._add(name, code, options, where)

    def add_function(
        self, function: Callable[..., Any], options: NodeOptions, where: Where
    ) -> Node:
        """Add a function node."""
        name = options.name
        if name is None:
            name = legal_name(getattr(function, "__name__", "") or type(function).__name__)
        for option, misfit in function_faults(options):
            self._note(misfit, where(option), name)
        params = self._attempt(
            lambda: mapping_of("params", options.params), _NOTHING, name, where, "params"
        )
        try:
            signature = signature_of(function)
        except Fault as fault:
            self._note(fault, where("function"), name)
        else:
            params = {**signature.defaults, **params}
            for misfit in signature.faults(params):
                self._note(misfit, where("params"), name)
        options = replace(options, params=params, outputs=options.outputs or (RESULT,))
        return self._add(name, FunctionCode(label_of(function)), options, where, function)

    def _add(
        self,
        name: str,
        code: NotebookCode | FunctionCode,
        options: NodeOptions,
        where: Where,
        function: Callable[..., Any] | None = None,
    ) -> Node:
        if not isinstance(name, str):
            self._note(Fault(f"a node's name must be text, not {described(name)}"), where(), None)
            name = legal_name(str(name))
        outputs = self._attempt(
            lambda: names_of("outputs", options.outputs), _NO_NAMES, name, where, "outputs"
        )
        after = self._attempt(
            lambda: names_of("after", options.after, self), _NO_NAMES, name, where, "after"
        )
        policy, misfits = policy_from(policy_options(options), self._defaults)
        for option, misfit in misfits:
            self._note(misfit, where(option), name)
        cells = self._flag("cells", options.cells, name, where)
        for option, contradiction in (
            ("effect", conflict(policy)),
            ("cells", cells_conflict(policy) if cells else None),
        ):
            if contradiction is not None:
                self._note(contradiction, where(option), name)
        spec = NodeSpec(
            name=name,
            code=code,
            params=self._bindings(options.params, name, where),
            after=after,
            outputs=outputs,
            policy=policy,
            identity=self._declarations(
                lambda option: getattr(options, option), self._declared, name, where
            ),
            place=where(),
        )
        self.written.append(
            Written(
                spec,
                where,
                function,
                says_cache=options.cache is not None,
                cells=function is None and (self._cells if options.cells is None else cells),
                says_cells=options.cells is not None,
            )
        )
        node = Node(name, spec.kind, outputs, self, function)
        self.nodes.append(node)
        return node

    def _declarations(
        self, written: Callable[[str], Any], base: Identity, node: str | None, where: Where
    ) -> Identity:
        """Return the inputs and packages that are written, each in place of those of `base`."""
        inputs = self._attempt(
            lambda: self._inputs(written("inputs"), base), base.inputs, node, where, "inputs"
        )
        packages = self._attempt(
            lambda: parse_packages(written("packages"), base.packages),
            base.packages,
            node,
            where,
            "packages",
        )
        if (inputs, packages) == (base.inputs, base.packages):
            return base
        return Identity(inputs=inputs, packages=packages)

    def _flag(self, option: str, written: Any, node: str | None, where: Where) -> bool:
        """Return a flag; False if it is not written."""
        if written is None:
            return False
        return self._attempt(lambda: parse_flag(written, option), False, node, where, option)

    def _inputs(self, written: Any, base: Identity) -> tuple[str, ...]:
        if written is None:
            return base.inputs
        items = [written] if isinstance(written, (str, os.PathLike)) else written
        if not isinstance(items, Iterable) or isinstance(items, Mapping):
            raise wrong("inputs", "a list of paths", written)
        return tuple(dict.fromkeys(self._located(parse_input(item)) for item in items))

    def _in_defaults(self, *path: str) -> str:
        return self.where("defaults", *path)

    def _environment(self, env: Any, node: str, where: Where) -> dict[str, str]:
        variables: dict[str, str] = {}
        written = self._attempt(lambda: mapping_of("env", env), _NOTHING, node, where, "env")
        for name, value in written.items():
            try:
                variables[name] = parse_variable(name, value)
            except Fault as fault:
                self._note(fault, where("env", name), node)
        return variables

    def _bindings(self, params: Any, node: str, where: Where) -> dict[str, Binding]:
        bindings: dict[str, Binding] = {}
        written = self._attempt(
            lambda: mapping_of("params", params), _NOTHING, node, where, "params"
        )
        for name, value in written.items():
            try:
                bindings[name] = self.binder.bind(value)
            except Fault as fault:
                named = Fault(f"parameter {name!r}: {fault.what}", fault.fix)
                self._note(named, where("params", name), node)
        return bindings

    def _flow_param(self, name: str, value: Any) -> Value:
        if not name.isidentifier():
            raise Fault(
                f"the flow's parameter {name!r} has an illegal name",
                "Use letters, digits and underscores, and no digit first",
            )
        try:
            binding = self.binder.bind(value)
        except Fault as fault:
            raise Fault(f"the flow's parameter {name!r}: {fault.what}", fault.fix) from fault
        if not isinstance(binding, (FromParam, FromOutput, Text)) and not any(references(binding)):
            return binding
        raise Fault(
            f"the flow's parameter {name!r} refers to something else",
            "A flow's parameters are plain values; write the reference beside a node's parameter",
        )

    def _place(self, option: str, written: Any) -> str | None:
        return None if written is None else self._located(parse_path(option, written))

    def _located(self, path: str) -> str:
        """Return the absolute path of a file that is named relative to the flow."""
        if not path or path in self.contents:
            return path
        expanded = os.path.expanduser(path)  # noqa: PTH111 - Path would drop a leading "./" too late
        places = [os.path.normpath(os.path.join(folder, expanded)) for folder in self._folders]  # noqa: PTH118 - as above
        located = next(filter(_is_there, places), places[0])
        if located != places[-1]:
            self._tied_to = self._folders[0]
        return located

    def _attempt(
        self, parse: Callable[[], _T], instead: _T, node: str | None, where: Where, *path: str
    ) -> _T:
        """Return what `parse` gives; if it is a fault, note it and go on with `instead`."""
        try:
            return parse()
        except Fault as fault:
            self._note(fault, where(*path), node)
            return instead

    def _note(self, fault: Fault, place: str, node: str | None) -> None:
        self.problems.append(fault.at(place, node))


def _is_there(place: str) -> bool:
    """Whether there is such a file or folder, or any that fits such a pattern."""
    if os.path.exists(place):  # noqa: PTH110 - called for every node
        return True
    return glob.has_magic(place) and any(glob.iglob(place, recursive=True))  # noqa: PTH207


def legal_name(text: str) -> str:
    """Return the node name that is nearest to `text`: ``01 load`` becomes ``01-load``."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "node"
