"""What a node is declared to depend on besides its code: files that it reads, and packages."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbflow.core.errors import Problem
from nbflow.definition.faults import Fault, described, wrong
from nbflow.definition.kernel_options import parse_path

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._\-]*[A-Za-z0-9])?")


def parse_input(written: Any) -> str:
    """Return the path or pattern of files that a node reads."""
    path = parse_path("a file in inputs", written)
    if "${" in path:
        raise Fault(
            f"inputs: {path} must not refer to anything",
            "Name a folder or a pattern that holds all the files, or leave inputs out: parameters "
            "count anyway",
        )
    if _ADDRESS.match(path):
        raise Fault(
            f"inputs: {path} is an address, and only files can be compared",
            "Pass what tells its versions apart as a parameter",
        )
    return path


def not_installed(package: str, place: str, node: str) -> Problem:
    """Return the warning that a declared package is not there."""
    return Problem(
        place=place,
        what=f"the package {package} is not installed in its environment here, so its version "
        "cannot be told, and no result of the node is taken from a cache",
        fix="Install it, correct its name, or leave it out of packages",
        node=node,
        severity="warning",
    )


def parse_packages(written: Any, instead: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of installed packages, each once; `instead` if nothing is written."""
    if written is None:
        return instead
    if isinstance(written, str):
        written = (written,)
    if not isinstance(written, Iterable) or isinstance(written, Mapping):
        raise wrong("packages", "a list of names", written)
    names: dict[str, None] = {}
    for name in written:
        if not isinstance(name, str) or not _PACKAGE.fullmatch(name):
            raise Fault(
                f"packages must be a list of names, but has {described(name)}",
                "Write each as it was installed, without a version: scikit-learn",
            )
        names[name] = None
    return tuple(names)
