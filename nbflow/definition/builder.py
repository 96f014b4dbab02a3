"""The Python interface for writing a flow.

``flow.notebook(…)`` and ``@flow.task`` return a `Node`; ``node["output"]`` beside a
parameter is a data edge, ``after=[node]`` an order edge. Nothing raises while a flow is
written: faults are collected with the line of the call and come out together when the flow is
checked or run.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeAlias, overload

from nbflow.core.errors import Problem
from nbflow.core.policies import Cache, Expected, OutputLimit, Policy, Retry, Timeout
from nbflow.core.spec import FlowSpec
from nbflow.definition import preparation
from nbflow.definition.draft import FlowDraft
from nbflow.definition.faults import described, did_you_mean, sentences
from nbflow.definition.options import NodeOptions
from nbflow.definition.places import caller_folder, caller_place, everywhere, working_folder
from nbflow.definition.preparation import Prepared
from nbflow.definition.references import Node, ParamRef
from nbflow.definition.staged.asking import NOTHING_ASKED, CellsAsked

Effect: TypeAlias = Literal["idempotent", "at_most_once"]
#: Whether there is a cache, or for how long its results are good; None leaves it open.
CacheOption: TypeAlias = bool | float | str | Mapping[str, Any] | Cache | None


class FlowBuilder:
    """A flow in the making.

    Parameters
    ----------
    name
        What the flow is called.
    params
        The flow's parameters and their defaults; a run may give other values.
    defaults
        Policies of nodes that do not name their own: any of the policies of `notebook`, its
        `inputs`, `packages` and `cells`.
    max_concurrent
        How many nodes may be queued or running at once.
    limits
        The same for the nodes of a group (``{"models": 2}`` for ``models/forest`` and its like).
    base_dir
        Folder to which relative paths refer. Without it they refer to the current folder and,
        where a file does not exist there, to the folder of the file in which the flow is written.
    preload
        Modules that warm kernels have loaded, besides those that the notebooks are seen to import
        and that are known to survive a fork.
    """

    def __init__(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Any] | Policy | None = None,
        max_concurrent: int | None = None,
        limits: Mapping[str, int] | None = None,
        base_dir: str | Path | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        here = str(working_folder()) if base_dir is None else str(Path(base_dir).absolute())
        beside = caller_folder() if base_dir is None else None
        folders = [here] if beside in (None, here) else [here, str(beside)]
        self.draft = FlowDraft(name, everywhere(caller_place()), folders)
        self.draft.declare(
            params=params,
            defaults=defaults,
            limit=max_concurrent,
            groups=limits,
            preload=preload,
        )

    @classmethod
    def from_draft(cls, draft: FlowDraft) -> Self:
        """Return a flow around what was written elsewhere, for instance in a flow file."""
        flow = cls(draft.name)
        flow.draft = draft
        return flow

    @property
    def name(self) -> str:
        """What the flow is called."""
        return self.draft.name

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes in the order in which they were written."""
        return tuple(self.draft.nodes)

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """Bytes by digest of what `spec` names; complete after ``spec(with_code=True)``."""
        return self.draft.binder.blobs

    def param(self, name: str) -> ParamRef:
        """Return a reference to the flow's parameter `name`, for a node's ``params``."""
        return ParamRef(name, self.draft)

    def notebook(  # noqa: PLR0913 - the keywords of the interface
        self,
        path: str | Path,
        params: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        after: Iterable[Node | str] | Node | str = (),
        outputs: Iterable[str] = (),
        retries: int | Retry | None = None,
        timeout: float | Timeout | None = None,
        memory: str | int | None = None,
        output_limit: str | int | Mapping[str, Any] | OutputLimit | None = None,
        cpus: int | None = None,
        nice: int | None = None,
        start_timeout: float | None = None,
        priority: int | None = None,
        resources: Mapping[str, float] | None = None,
        continue_on_failure: bool | None = None,
        effect: Effect | None = None,
        cache: CacheOption = None,
        checkpoint: float | str | None = None,
        cells: bool | None = None,
        expected: float | str | Expected | None = None,
        inputs: Iterable[str | Path] | str | Path | None = None,
        packages: Iterable[str] | str | None = None,
        kernel: str | None = None,
        python: str | Path | None = None,
        env: Mapping[str, str | float] | None = None,
        cwd: str | Path | None = None,
    ) -> Node:
        """Add a notebook as a node and return it.

        Parameters
        ----------
        path
            The notebook's file.
        params
            What is injected: values, ``node["output"]``, ``flow.param("name")``, text with
            ``${node.output}`` inside, or lists and mappings of these.
        name
            The node's name; by default the file's. ``models/forest`` is in the group ``models``.
        after
            Nodes that must end first, though nothing is received from them.
        outputs
            Variables to keep even if no other node asks for them.
        retries, timeout
            Tries beyond the first, or a `Retry`; seconds until it is killed, or a `Timeout`.
        memory, output_limit
            Bytes that it may use, and that each cell may print and show; numbers, sizes such as
            ``"2GB"`` or, for output, False (no limit) or an `OutputLimit`.
        cpus, nice
            Cores that it has for itself; by how much it yields to other processes (0 to 19).
        start_timeout
            Seconds until its kernel must have answered.
        priority, resources
            Higher starts earlier; Dask worker resources that it occupies.
        continue_on_failure
            Whether nodes that merely come `after` this one run even when it failed.
        effect
            Whether it may be run again if nobody knows what became of an attempt
            (``"idempotent"``), or never unless a person decides so (``"at_most_once"``).
        cache
            Whether results of earlier runs that did the very same may stand for it: True, for how
            many seconds, a duration such as ``"7d"``, or a `Cache`.
        checkpoint
            Seconds after which its variables are kept at the end of a cell, so that a resumed run
            goes on from there.
        cells
            Whether its cells run side by side where that is worth it: as *stages*, nodes of their
            own, with the same answer as from top to bottom.
        expected
            Seconds that an attempt is expected to take, a duration such as ``"10m"``, or an
            `Expected`; far beyond that, `Run.diagnose` says why. By default as earlier runs took.
        inputs, packages
            Files that it reads, with ``*`` and the like in them, and installed packages: if their
            content or versions change, the node is another one.
        kernel, python
            What runs it instead of the kernel that it names: another kernel, or the ipykernel of
            an interpreter or of an environment's folder.
        env, cwd
            Environment variables of the kernel, besides the worker's; its working directory, by
            default the notebook's folder.
        """
        options = NodeOptions(
            name=name,
            params=params,
            after=after,
            outputs=outputs,
            kernel=kernel,
            python=python,
            env=env,
            cwd=cwd,
            retries=retries,
            timeout=timeout,
            memory=memory,
            output_limit=output_limit,
            cpus=cpus,
            nice=nice,
            start_timeout=start_timeout,
            priority=priority,
            resources=resources,
            continue_on_failure=continue_on_failure,
            effect=effect,
            cache=cache,
            checkpoint=checkpoint,
            cells=cells,
            expected=expected,
            inputs=inputs,
            packages=packages,
        )
        return self.draft.add_notebook(path, options, everywhere(caller_place()))

    @overload
    def task(self, function: Callable[..., Any], /, **options: Any) -> Node: ...

    @overload
    def task(self, function: None = None, /, **options: Any) -> Callable[..., Node]: ...

    def task(  # noqa: PLR0913 - the overloads leave the keywords to it
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        after: Iterable[Node | str] | Node | str = (),
        outputs: Iterable[str] = (),
        retries: int | Retry | None = None,
        timeout: float | Timeout | None = None,
        memory: str | int | None = None,
        priority: int | None = None,
        resources: Mapping[str, float] | None = None,
        continue_on_failure: bool | None = None,
        effect: Effect | None = None,
        cache: CacheOption = None,
        expected: float | str | Expected | None = None,
        inputs: Iterable[str | Path] | str | Path | None = None,
        packages: Iterable[str] | str | None = None,
        **others: Any,
    ) -> Node | Callable[[Callable[..., Any]], Node]:
        """Add a Python function as a node and return it: ``@flow.task`` or ``@flow.task(…)``.

        The function's parameters are bound by its defaults
        (``def score(model=train["model"])``) or by `params`, which wins. What it returns is the
        output ``result`` (``node.output``). With ``outputs=("a", "b")`` it must return a
        mapping with these keys. The function itself remains as ``node.function``. The other
        parameters are those of `notebook`, but for what needs a kernel: `others` are refused.
        """
        _refuse_unknown(others)
        options = NodeOptions(
            name=name,
            params=params,
            after=after,
            outputs=outputs,
            retries=retries,
            timeout=timeout,
            memory=memory,
            priority=priority,
            resources=resources,
            continue_on_failure=continue_on_failure,
            effect=effect,
            cache=cache,
            expected=expected,
            inputs=inputs,
            packages=packages,
            **others,
        )

        def add(task: Any) -> Node:
            if isinstance(task, Node) or not callable(task):
                raise TypeError(f"flow.task takes a function, not {described(task)}")
            return self.draft.add_function(task, options, everywhere(caller_place()))

        return add if function is None else add(function)

    def spec(self, given: Mapping[str, Any] | None = None, *, with_code: bool = False) -> FlowSpec:
        """Return the flow as plain data, whether or not it is fit to run.

        Parameters
        ----------
        given
            Parameters of a run; they matter only to a flow that is a bare notebook.
        with_code
            Whether to read the notebooks and pickle the functions, so that their digests are in the
            result and their bytes in `blobs`.
        """
        if with_code:
            return preparation.examine(self.draft, given or {}, kernels=None)[0].spec
        nodes = [written.spec for written in self.draft.written]
        return preparation.assembled(self.draft, nodes, given or {})

    def check(
        self, given: Mapping[str, Any] | None = None, *, kernels: frozenset[str] | None = None
    ) -> list[Problem]:
        """Return every problem of the flow, warnings included; an empty list is a fit flow.

        Parameters
        ----------
        given
            Parameters of a run, to be checked as well.
        kernels
            Kernels that can be started; None if that cannot be known yet.
        """
        return preparation.examine(self.draft, given or {}, kernels=kernels)[1]

    def prepare(
        self,
        given: Mapping[str, Any] | None = None,
        *,
        kernels: frozenset[str] | None = None,
        cache: CacheOption = None,
        cells: CellsAsked = NOTHING_ASKED,
    ) -> Prepared:
        """Return all that a run with parameters `given` needs.

        Parameters
        ----------
        given, kernels
            As of `check`.
        cache
            As of `Flow.run`.
        cells
            Which notebooks run as stages, and what is known of their cells.

        Raises
        ------
        DefinitionError
            With every error, if the flow is not fit to run.
        """
        return preparation.prepare(
            self.draft, given or {}, kernels=kernels, cache=cache, cells=cells
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the flow {self.name!r} is a definition and cannot be used inside its own tasks"
        )

    def __repr__(self) -> str:
        count = len(self.draft.nodes)
        return f"<flow {self.name!r}: {count} node{'' if count == 1 else 's'}>"


def _refuse_unknown(keywords: Iterable[str]) -> None:
    known = [field.name for field in dataclasses.fields(NodeOptions)]
    for keyword in keywords:
        if keyword not in known:
            what = f"flow.task got an unexpected keyword argument {keyword!r}"
            raise TypeError(sentences(what, did_you_mean(keyword, known)))
