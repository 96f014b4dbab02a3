"""Importing jsonschema, and so nbformat, without two seconds of CPU for nothing.

Where JupyterLab is installed, jsonschema finds the package `rfc3987_syntax`, which
parses a grammar of international addresses when it is imported: about two seconds, in every
process that so much as reads a notebook, though no notebook schema ever asks for that
check. Here jsonschema is imported with a stand-in in that package's place, which imports the
real one at the first check that needs it. The stand-in is gone from `sys.modules` when this
returns, so nobody else meets it; what jsonschema can do is unchanged.
"""

import importlib
import importlib.util
import sys
import types

_GRAMMAR = "rfc3987_syntax"


def import_jsonschema() -> None:
    """Import jsonschema, once, without its grammar of international addresses.

    Does nothing if either has been imported already.
    """
    if "jsonschema" in sys.modules or _GRAMMAR in sys.modules:
        return
    if importlib.util.find_spec("jsonschema") is None or importlib.util.find_spec(_GRAMMAR) is None:
        return
    stand_in = types.ModuleType(_GRAMMAR)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = stand_in
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]


def _is_valid_syntax(term: str, value: str) -> bool:
    """Do what the real function does, with the real function."""
    return bool(importlib.import_module(_GRAMMAR).is_valid_syntax(term, value))
