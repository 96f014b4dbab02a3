"""What a notebook's kernel is to be like: which one, with which variables and modules.

Here is judged what was written, whatever machine it is for. Whether a kernel or an interpreter is
there is for the check (with a warning, since workers may be elsewhere) and for the worker to say.
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from nbflow.definition.faults import Fault, described, wrong

#: Variables by which nbflow and the code in a kernel know each other.
_OWN_PREFIX = "NBFLOW_"

_NO_REFERENCES = (
    "Pass it as a parameter: an environment reaches every program that the kernel starts, and a "
    "secret would with it. Write $${ for a literal ${"
)


def parse_path(what: str, written: Any) -> str:
    """Return the path that `written` is, as text."""
    try:
        path = os.fspath(written)
    except TypeError:
        raise Fault(f"{what} is named by a path, not by {described(written)}") from None
    if not isinstance(path, str) or not path:
        raise Fault(f"{what} is named by a path, not by {described(path)}")
    return path


def parse_kernel(written: Any) -> str | None:
    """Return the name of a kernel; None is the notebook's own."""
    if written is not None and (not isinstance(written, str) or not written):
        raise Fault(f"kernel must be the name of a kernel, not {described(written)}")
    return written


def parse_variable(name: str, value: Any) -> str:
    """Return the text of the environment variable `name`; a number stands for its own."""
    _refuse_name(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    if not isinstance(value, str):
        raise Fault(f"env: {name} must be a text or a number, not {described(value)}", "Quote it")
    if "\0" in value:
        raise Fault(f"env: {name} has a NUL inside, which no environment can hold", "Remove it")
    if "${" in value.replace("$${", ""):
        raise Fault(f"env: {name} is plain text, and must not refer to anything", _NO_REFERENCES)
    return value.replace("$${", "${")


def parse_preload(written: Any) -> tuple[str, ...]:
    """Return names of modules, each once."""
    if isinstance(written, str):
        written = (written,)
    if written is None:
        return ()
    if not isinstance(written, Iterable) or isinstance(written, Mapping):
        raise wrong("preload", "a list of modules", written)
    names: dict[str, None] = {}
    for name in written:
        if not isinstance(name, str) or not all(map(str.isidentifier, name.split("."))):
            raise Fault(
                f"preload must be a list of modules, but has {described(name)}",
                "Write each as it stands behind import: sklearn.linear_model",
            )
        names[name] = None
    return tuple(names)


def _refuse_name(name: str) -> None:
    if not name or "=" in name or "\0" in name:
        raise Fault(f"env: {described(name)} cannot be the name of an environment variable")
    if name.startswith(_OWN_PREFIX):
        raise Fault(
            f"env: {name} cannot be set: nbflow itself sets the variables that begin with "
            f"{_OWN_PREFIX}",
            "Choose another name",
        )
