"""Paths as papermill's users write them: with parameters inside, ``-`` for a stream, addresses."""

import os
import stat
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

#: Standard input or output.
STREAM = "-"
#: The same, as the system names them.
_STDIN, _STDOUT = "/dev/stdin", "/dev/stdout"
_FLOW_SUFFIXES = (".yaml", ".yml", ".py")


def is_notebook(target: str, *, has_output: bool) -> bool:
    """Whether `target` is a notebook rather than a flow; if there is an OUTPUT, in doubt it is."""
    suffix = Path(target).suffix.lower()
    if target in (STREAM, _STDIN) or suffix == ".ipynb":
        return True
    if suffix in _FLOW_SUFFIXES:
        return False
    return "://" in target or (has_output and ":" not in target)


def is_stdin_piped() -> bool:
    """Whether another program writes to standard input."""
    try:
        return stat.S_ISFIFO(os.fstat(0).st_mode)
    except OSError:
        return False


def is_stream(path: str | None) -> bool:
    """Whether `path` is standard input or output."""
    return path in (STREAM, _STDIN, _STDOUT)


def is_private(path: str) -> bool:
    """Whether what `path` leads to may depend on which process asks, as with ``/dev/fd/3``."""
    return Path(path).absolute().parts[1:2] in (("dev",), ("proc",))


def is_special(path: str) -> bool:
    """Whether `path` is anything but a plain file, now or when it is written."""
    return is_private(path) or (Path(path).exists() and not Path(path).is_file())


def path_values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may stand in the braces of a path: the parameters, and papermill's ``pm``."""
    builtin = {
        "run_uuid": str(uuid.uuid4()),
        "current_datetime_local": datetime.now(),  # noqa: DTZ005 - papermill's has no zone either
        "current_datetime_utc": datetime.now(UTC),
    }
    return {"pm": builtin, **params}


def formatted(path: str, values: Mapping[str, Any]) -> str:
    """Return `path` with the values of its braces, as papermill formats it.

    Raises
    ------
    click.UsageError
        If a value is missing, or the braces are faulty.
    """
    try:
        return path.format(**values)
    except (KeyError, IndexError) as error:
        missing = f"the parameter {error.args[0]!r}" if isinstance(error, KeyError) else "a name"
        raise click.UsageError(
            f"the path {path!r} needs {missing}. Give it by -p NAME VALUE; for a brace as "
            "such, write it twice"
        ) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise click.UsageError(
            f"the path {path!r} has faulty braces ({error}). For a brace as such, write it twice"
        ) from error
