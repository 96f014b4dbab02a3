"""Packages whose names are loaded when they are first used.

What a package offers together may cost very different imports: `nbflow.emit` is wanted in every
kernel, and Dask is not.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of `package` (PEP 562).

    Parameters
    ----------
    package
        Its name.
    places
        The module of each name that it offers; relative ones begin with a dot.
    """

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(places[name], package), name)
        # The next use finds it without coming here.
        setattr(sys.modules[package], name, value)
        return value

    return load
