"""jsonschema, and so nbformat, without two seconds of CPU for nothing.

Where JupyterLab is installed, jsonschema finds the package `rfc3987_syntax`, which
parses a grammar of international addresses when it is imported: about two seconds, in every
process that so much as reads a notebook, though no notebook schema ever asks for that
check. Here a stand-in takes the package's place. It becomes the real one at the first check, or the
first look at anything else in it. What jsonschema can do is unchanged.
"""

import importlib
import importlib.util
import sys
import types
from typing import Any

_GRAMMAR = "rfc3987_syntax"


class _StandIn(types.ModuleType):
    """The package, until it is needed."""

    def is_valid_syntax(self, term: str, value: str) -> bool:
        """Do what the real function does, with the real function."""
        return bool(_real().is_valid_syntax(term, value))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # What the import system asks of every module.
            raise AttributeError(name)
        return getattr(_real(), name)


def defer_grammar() -> None:
    """Have the grammar of international addresses loaded when it is used, and not before.

    Call it before anything imports nbformat. Does nothing if the grammar is there already.
    """
    if _GRAMMAR not in sys.modules and importlib.util.find_spec(_GRAMMAR) is not None:
        sys.modules[_GRAMMAR] = _StandIn(_GRAMMAR)


def _real() -> types.ModuleType:
    if isinstance(sys.modules.get(_GRAMMAR), _StandIn):
        del sys.modules[_GRAMMAR]
    return importlib.import_module(_GRAMMAR)
