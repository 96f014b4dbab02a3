"""Inject parameters by papermill's rules, and values that are not JSON besides.

papermill writes JSON values into the cell ``injected-parameters``. A value that is an
artifact goes through it as a unique placeholder text, whose literal is then replaced by an
expression that loads the artifact from its file. The expression needs nothing but the
libraries of the value itself: the executed notebook can be run again by hand, and the kernel
needs no nbflow.

A parameter with a secret inside stands in the cell as a comment. Its assignment, which no notebook
may hold, is a text of its own (`hidden_assignments`) that runs in the kernel right after the cell
(`assign_hidden`).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from papermill.parameterize import parameterize_notebook
from papermill.translators import PythonTranslator, Translator, papermill_translators
from papermill.utils import find_first_tagged_cell_index

from nbflow.artifacts import under_its_name
from nbflow.core.values import (
    Artifact,
    Binding,
    Fields,
    Inline,
    Items,
    Secret,
    SecretText,
    Value,
    secrets_in,
)
from nbflow.kernels import Kernel
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.reading import KernelChoice

#: How each kind of artifact is loaded, given the literal of its path.
_LOADERS = {
    "parquet": '__import__("pandas").read_parquet({path}, engine="pyarrow")',
    "npy": '__import__("numpy").load({path}, allow_pickle=False)',
    "pickle": '__import__("pickle").loads(__import__("pathlib").Path({path}).read_bytes())',
    "json": '__import__("json").loads(__import__("pathlib").Path({path}).read_text("utf-8"))',
}


def inject(
    notebook: NotebookNode,
    params: Mapping[str, Value],
    kernel: KernelChoice,
    path_of: Callable[[str], Path],
) -> NotebookNode:
    """Return `notebook` with a cell that sets `params`; as it is if there are none.

    Parameters
    ----------
    notebook
        As `read_notebook` returns it.
    params
        Resolved but for their secrets.
    kernel
        Decides how values are written.
    path_of
        Gives a local file with the verified bytes of a digest.

    Raises
    ------
    InvalidInput
        If a value has no form in the kernel's language.
    """
    if not params:
        return notebook
    open_params = {name: it for name, it in params.items() if not any(secrets_in(it))}
    writer = _writer(open_params, kernel, path_of)
    plain = {name: writer.plain(name, value) for name, value in open_params.items()}
    try:
        injected: NotebookNode = parameterize_notebook(
            notebook, plain, kernel_name=kernel.name, language=kernel.language
        )
        comments = [_comment(kernel, name, params[name]) for name in params if name not in plain]
    except (PapermillException, NotImplementedError) as error:
        raise _unwritable(kernel, error) from error
    cell = injected.cells[injected_index(injected)]
    cell.source = writer.expanded(cell.source) + "".join(f"{line}\n" for line in comments)
    injected.metadata.papermill["parameters"] = {
        name: _shown(value) for name, value in params.items()
    }
    return injected


def injected_index(notebook: NotebookNode) -> int:
    """Return the index of the cell that `inject` has added; -1 if there is none."""
    return int(find_first_tagged_cell_index(notebook, "injected-parameters"))


def hidden_assignments(
    params: Mapping[str, Binding], kernel: KernelChoice, path_of: Callable[[str], Path]
) -> str:
    """Return code that sets `params`, whose secrets are revealed, in the kernel's language.

    Raises
    ------
    InvalidInput
        If a value has no form in the kernel's language.
    """
    writer = _writer(params, kernel, path_of)
    plain = {name: writer.plain(name, value) for name, value in params.items()}
    try:
        translator = _translator(kernel)
        # Not `codify`, which formats the code with black, and would log what black says of it.
        lines = [translator.assign(name, translator.translate(plain[name])) for name in plain]
    except (PapermillException, NotImplementedError) as error:
        raise _unwritable(kernel, error) from error
    return writer.expanded("\n".join(lines))


async def assign_hidden(kernel: Kernel, choice: KernelChoice, code: str) -> None:
    """Run what `hidden_assignments` returned, so that nothing in the kernel remembers it.

    Raises
    ------
    KernelDied
        If the kernel ends meanwhile.
    EvaluationFailed
        If the code raises.
    """
    if is_python(choice):
        # As an expression: the source of cells is kept for tracebacks, also of silent ones.
        await kernel.evaluate(f"(lambda b: b.exec({code!r}, b.globals()))(__import__('builtins'))")
        return
    if choice.language == "bash":
        # It would write its history to the user's file when it ends.
        await kernel.run_silently("set +o history")
    await kernel.run_silently(code)


def is_python(kernel: KernelChoice) -> bool:
    """Whether papermill writes Python for `kernel`."""
    try:
        return issubclass(_translator(kernel), PythonTranslator)
    except PapermillException:
        return False


def _translator(kernel: KernelChoice) -> type[Translator]:
    translator: type[Translator] = papermill_translators.find_translator(
        kernel.name, kernel.language
    )
    return translator


def _comment(kernel: KernelChoice, name: str, value: Value) -> str:
    """Return the line that stands in the cell for a parameter that is not shown."""
    secrets = ", ".join(dict.fromkeys(str(secret) for secret in secrets_in(value)))
    text = f"{name}: set by nbflow when this ran, and not shown: it holds {secrets}"
    line: str = _translator(kernel).comment(text)
    return line


def _unwritable(kernel: KernelChoice, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"papermill cannot write these parameters for a {kernel.language} notebook "
        f"({error}). Pass texts and numbers, or no parameters"
    )


def _writer(
    params: Mapping[str, Binding], kernel: KernelChoice, path_of: Callable[[str], Path]
) -> "_Writer":
    if is_python(kernel):
        return _PythonWriter(params, path_of)
    return _JsonWriter(kernel.language, path_of)


class _Writer:
    """Turns values into what papermill can write; subclasses say what becomes of artifacts.

    A file goes as its path, in every language.
    """

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self.path_of = path_of

    def plain(self, name: str, value: Binding) -> Any:
        match value:
            case Inline():
                return value.value
            case Artifact(kind=kind) if kind in _LOADERS:
                return self.loaded(name, value)
            case Artifact():
                return str(under_its_name(self.path_of(value.digest), value))
            case Items(items):
                return [self.plain(name, item) for item in items]
            case Fields(fields):
                return {key: self.plain(name, item) for key, item in fields.items()}
        raise AssertionError(f"parameter {name!r} is not resolved")

    def loaded(self, name: str, value: Artifact) -> Any:
        raise NotImplementedError

    def expanded(self, source: str) -> str:
        return source


class _PythonWriter(_Writer):
    """Puts placeholders in the place of artifacts, and expressions in theirs."""

    def __init__(self, params: Mapping[str, Binding], path_of: Callable[[str], Path]) -> None:
        super().__init__(path_of)
        self._expressions: dict[str, str] = {}
        texts = json.dumps([_inline_values(value) for value in params.values()])
        self._mark = "nbflow-value"
        while self._mark in texts:
            # No text of the user's may be taken for a placeholder.
            self._mark += "-"

    def loaded(self, name: str, value: Artifact) -> Any:  # noqa: ARG002 - all kinds have a form
        placeholder = f"{self._mark}:{len(self._expressions)}:"
        path = json.dumps(str(self.path_of(value.digest)), ensure_ascii=False)
        self._expressions[placeholder] = _LOADERS[value.kind].format(path=path)
        return placeholder

    def expanded(self, source: str) -> str:
        for placeholder, expression in self._expressions.items():
            source = source.replace(f'"{placeholder}"', expression)
        return source


class _JsonWriter(_Writer):
    """Lets through what JSON can say."""

    def __init__(self, language: str, path_of: Callable[[str], Path]) -> None:
        super().__init__(path_of)
        self._language = language

    def loaded(self, name: str, value: Artifact) -> Any:
        if value.kind == "json":
            return json.loads(self.path_of(value.digest).read_bytes())
        raise InvalidInput(
            f"parameter {name!r} is a value of type {value.type_name or value.kind}, but "
            f"{self._language} notebooks take JSON-able values (texts, numbers, lists). "
            f"Let the node before it emit a file or a JSON-able value instead"
        )


def _inline_values(value: Binding) -> list[Any]:
    match value:
        case Inline():
            return [value.value]
        case Items(items):
            return [_inline_values(item) for item in items]
        case Fields(fields):
            return [list(fields), *(_inline_values(item) for item in fields.values())]
        case _:
            return []


def _shown(value: Binding) -> Any:
    """Return what the notebook's metadata says about a parameter: itself, or a short text."""
    match value:
        case Inline():
            return value.value
        case Artifact():
            about = " ".join(text for text in (value.type_name, value.preview) if text)
            return f"<{about or value.kind}, {value.digest}>"
        case Items(items):
            return [_shown(item) for item in items]
        case Fields(fields):
            return {key: _shown(item) for key, item in fields.items()}
        case Secret() | SecretText():
            return str(value)
        case _:
            raise AssertionError(f"not resolved: {value!r}")
