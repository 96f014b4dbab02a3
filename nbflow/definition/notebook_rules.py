"""The rules of a check that are about notebooks: their files, kernels, places and parameters.

What may be there on a worker though it is not here is warned of, and does not stop a run.
"""

import os
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path

from nbflow.core.errors import Problem
from nbflow.core.spec import NotebookCode
from nbflow.definition.checked_flow import CheckedFlow, Placed
from nbflow.definition.faults import Fault, listed, sentences
from nbflow.definition.notebook_file import Notebook

#: The kernel of a notebook that names none, if its language is Python.
DEFAULT_KERNEL = "python3"


def known_folders(flow: CheckedFlow) -> Iterator[Problem]:
    """Working directories exist."""
    for node in flow.nodes:
        cwd = node.spec.code.cwd if isinstance(node.spec.code, NotebookCode) else None
        if cwd and not Path(cwd).is_dir():
            yield node.problem(
                f"its working directory {cwd} is not a folder here",
                "Create it, unless the cluster's workers have it",
                "cwd",
                severity="warning",
            )


def known_interpreters(flow: CheckedFlow) -> Iterator[Problem]:
    """Interpreters, and folders of environments, exist."""
    for node in flow.nodes:
        python = node.spec.code.python if isinstance(node.spec.code, NotebookCode) else None
        if python and not _is_interpreter(Path(python)):
            yield node.problem(
                f"its python {python} is neither an interpreter nor the folder of an environment "
                "here",
                "Check the path, unless the cluster's workers have it",
                "python",
                severity="warning",
            )


def _is_interpreter(path: Path) -> bool:
    # As a worker looks for it (`nbflow.kernels.specs`).
    return os.access(path / "bin" / "python" if path.is_dir() else path, os.X_OK)


def forkable_modules(flow: CheckedFlow) -> Iterator[Problem]:
    """What is to be loaded ahead survives the fork that makes a kernel."""
    if not flow.spec.preload:
        return
    # Lazy: importing it loads Jupyter's client.
    from nbflow.kernels.preloading import known_unsafe

    unfit = known_unsafe(flow.spec.preload)
    if unfit:
        yield Problem(
            place=flow.spec.place,
            what=f"preload names {listed(unfit)}, which kernels load for themselves: what it sets "
            "up when it is imported does not survive a fork",
            fix="Leave it out of preload",
            severity="warning",
        )


def sound_notebooks(flow: CheckedFlow) -> Iterator[Problem]:
    """Each file is judged once, at the first node that uses it; then each node's use of it."""
    faulty: set[str] = set()
    for node in flow.nodes:
        code = node.spec.code
        # An empty path was no path at all: that was noted when it was written.
        if not isinstance(code, NotebookCode) or not code.path or code.path in faulty:
            continue
        try:
            notebook = flow.files.parsed(code.path)
        except Fault as fault:
            faulty.add(code.path)
            yield node.problem(fault.what, fault.fix, "notebook")
            continue
        yield from _known_kernel(flow, node, code, notebook)
        yield from _notebook_params(flow, node, code, notebook)


def _known_kernel(
    flow: CheckedFlow, node: Placed, code: NotebookCode, notebook: Notebook
) -> Iterator[Problem]:
    if code.python is not None:
        # Its kernel is made of that interpreter, whatever the notebook names.
        if not notebook.is_python:
            yield node.problem(
                f"python cannot run {code.path}, whose language is {notebook.language}",
                "Give the node a kernel instead",
                "python",
            )
        return
    kernel = code.kernel or notebook.kernel
    if kernel is None and notebook.is_python:
        kernel = DEFAULT_KERNEL
    if kernel is None:
        yield node.problem(
            f"{code.path} names no kernel, and its language is {notebook.language}",
            "Give the node a kernel",
            "notebook",
        )
    elif flow.kernels is not None and kernel not in flow.kernels:
        known = listed(flow.kernels) or "none"
        if code.kernel:
            what = f"the kernel {kernel!r} is not installed"
        else:
            what = f"{code.path} asks for the kernel {kernel!r}, which is not installed"
        yield node.problem(
            what,
            sentences(
                flow.hints(kernel, flow.kernels),
                f"Installed: {known}. Install it, or give the node one of these (kernel)",
            ),
            "kernel" if code.kernel else "notebook",
        )


def _notebook_params(
    flow: CheckedFlow, node: Placed, code: NotebookCode, notebook: Notebook
) -> Iterator[Problem]:
    if not node.spec.params:
        return
    if notebook.is_python and code.kernel is None:
        for param in node.spec.params:
            if not param.isidentifier() or iskeyword(param):
                yield node.problem(
                    f"parameter {param!r} cannot be a Python variable", "Rename it", "params", param
                )
    known = notebook.parameter_names()
    if known is None:
        return
    if notebook.parameters_source is None:
        yield node.problem(
            f"{code.path} has no cell tagged 'parameters', so its parameters are set on top of it",
            "Tag the cell that holds their defaults",
            "params",
            severity="warning",
        )
        return
    for param in node.spec.params:
        if param not in known:
            yield node.problem(
                f"parameter {param!r} is not in the parameters cell of {code.path}",
                sentences(flow.hints(param, known), f"It has: {listed(known) or 'none'}"),
                "params",
                param,
                severity="warning",
            )
