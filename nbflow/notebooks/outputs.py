"""Collect a notebook's outputs, and keep them.

An output ``x`` is what the notebook emitted under that name; else the variable ``x``, if
somebody asked for it. Emitted outputs are kept whether or not anybody asked, and also when the
notebook failed. One output that cannot be kept does not cost the others.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from nbformat import NotebookNode

from nbflow.core.errors import ArtifactError
from nbflow.core.values import INLINE_LIMIT_BYTES, ArtifactKind, Inline, Value
from nbflow.kernels import Kernel
from nbflow.notebooks.captured import CapturedEntry, capture_variables
from nbflow.notebooks.emitted import (
    Emitted,
    EmittedFile,
    EmittedTable,
    EmittedValue,
    emitted_files,
    scraps,
    tagged_names,
)
from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.keeping import keep_value, not_stored, refuse_secrets
from nbflow.notebooks.masking import NO_SECRETS, Mask
from nbflow.ports import ArtifactStore


class Kept(msgspec.Struct, frozen=True):
    """Outputs that are durable now, and what is wrong with the others."""

    outputs: dict[str, Value]
    problems: tuple[OutputProblem, ...]


class Collected(msgspec.Struct, frozen=True):
    """Outputs that were found, before they are stored."""

    emitted: dict[str, Emitted | OutputProblem]
    captured: dict[str, CapturedEntry] = {}
    #: Where the captured variables' files lie.
    folder: Path = Path()
    #: What a name that was not found says; empty when variables were captured.
    hint: str = ""


def collect_emitted(notebook: NotebookNode, folder: Path, mask: Mask = NO_SECRETS) -> Collected:
    """Return what `notebook` has emitted so far, also into the outputs folder `folder`.

    `mask` has been applied to the outputs of its cells.
    """
    return Collected({**scraps(notebook, mask), **emitted_files(folder)})


async def collect(
    notebook: NotebookNode,
    wanted: Sequence[str],
    folder: Path,
    *,
    kernel: Kernel,
    python: bool,
    staging: Path,
    mask: Mask = NO_SECRETS,
) -> Collected:
    """Return all outputs of a notebook whose cells have run.

    Parameters
    ----------
    notebook
        Executed.
    wanted
        Outputs that somebody asked for.
    folder
        The outputs folder.
    kernel
        Still runs.
    python
        Whether its variables can be captured.
    staging
        An empty folder for the values of variables.
    mask
        Has been applied to the outputs of its cells.

    Raises
    ------
    KernelDied, EvaluationFailed
        If the kernel does not give its variables.
    """
    emitted = collect_emitted(notebook, folder, mask).emitted
    if not python:
        hint = "In this language, a notebook hands on files in the folder $NBFLOW_OUTPUTS"
        return Collected(emitted, hint=hint)
    tagged = [name for name in tagged_names(notebook) if name not in emitted]
    asked = [name for name in wanted if name not in emitted]
    if not (tagged or asked):
        return Collected(emitted)
    captured = await capture_variables(kernel, list(dict.fromkeys([*asked, *tagged])), staging)
    # A cell tagged `outputs` may leave a name unassigned, by a branch; nobody asked for it.
    present = {name: entry for name, entry in captured.items() if name in asked or entry.type}
    return Collected(emitted, present, staging)


def keep(
    collected: Collected, wanted: Iterable[str], store: ArtifactStore, mask: Mask = NO_SECRETS
) -> Kept:
    """Store what was collected, durably, but for what holds a secret. Blocks.

    What the store cannot take is a problem of that output alone: on a full disk, there may be
    room for the others.
    """
    outputs: dict[str, Value] = {}
    problems: list[OutputProblem] = []
    for name, found in {**collected.emitted, **collected.captured}.items():
        try:
            outputs[name] = (
                _keep_captured(name, found, collected.folder, store, mask)
                if isinstance(found, CapturedEntry)
                else _keep_emitted(name, found, store, mask)
            )
        except OutputProblem as problem:
            problems.append(problem)
        except ArtifactError as error:
            problems.append(not_stored(name, error))
    known = {*collected.emitted, *collected.captured}
    problems += [_missing(name, (), collected.hint) for name in wanted if name not in known]
    return Kept(outputs, tuple(problems))


def _keep_emitted(
    name: str, emitted: Emitted | OutputProblem, store: ArtifactStore, mask: Mask
) -> Value:
    match emitted:
        case OutputProblem():
            raise emitted
        case EmittedValue(value):
            return keep_value(name, value, store, mask)
        case EmittedTable(data):
            refuse_secrets(name, "parquet", data, mask)
            return store.put(data, "parquet", type_name="pandas.DataFrame", preview=name)
        case EmittedFile(path, kind):
            refuse_secrets(name, kind, path, mask)
            preview = mask.text(path.name)
            return store.put_file(path, kind, type_name=_TYPE_NAMES[kind], preview=preview)


_TYPE_NAMES = {
    "parquet": "pandas.DataFrame",
    "npy": "numpy.ndarray",
    "pickle": "object",
    "file": "file",
}


def _keep_captured(
    name: str, entry: CapturedEntry, folder: Path, store: ArtifactStore, mask: Mask
) -> Value:
    if entry.no_room:
        raise OutputProblem(
            "OutputNotStored",
            f"output {name!r}, a value of type {entry.type}, could not be written to {folder} "
            f"({entry.no_room}). Free some space there, then resume",
        )
    if entry.error:
        raise OutputProblem(
            "OutputNotStorable",
            f"output {name!r} is a value of type {entry.type}, which cannot be stored "
            f"({entry.error}). Hand on something else (what it was made from, or the path of a "
            f"file), or do not ask for it",
        )
    if entry.file is None:
        raise _missing(name, entry.near, "")
    path = folder / entry.file
    refuse_secrets(name, entry.kind, path, mask)
    if entry.kind == "json" and path.stat().st_size <= INLINE_LIMIT_BYTES:
        return Inline(json.loads(path.read_bytes()))
    kind = msgspec.convert(entry.kind, ArtifactKind)
    preview = mask.text(entry.preview)
    return store.put_file(path, kind, type_name=entry.type, preview=preview)


def _missing(name: str, near: Iterable[str], hint: str) -> OutputProblem:
    alike = " or ".join(repr(each) for each in near)
    advice = hint or "Set a variable of that name, or emit it with nbflow.emit"
    return OutputProblem(
        "OutputMissing",
        f"output {name!r} was asked for, but the notebook ended without it"
        + (f" (did you mean {alike}?)" if alike else "")
        + f". {advice}",
    )
