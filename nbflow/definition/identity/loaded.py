"""Whether a module that has been imported is still what its file says.

A function takes with it what this process has loaded. If the file has been edited since, what it
says now does not run. Python keeps no record of what it has loaded, but two traces: the file's time
and size in the compiled copy beside it, unless another process has made a newer one; and the code
of the functions in the module.
"""

import importlib.util
import types
from collections.abc import Iterator
from pathlib import Path

#: Where the time (in seconds) and size of the source stand in a compiled file, four bytes each.
_STAMP = slice(8, 16)
_HEADER_BYTES = 16


def is_as_loaded(module: types.ModuleType, file: str) -> bool:
    """Whether nothing shows that `file` has been edited since `module` was loaded from it."""
    path = Path(file)
    if path.suffix != ".py":
        return True
    try:
        data = path.read_bytes()
        compiled = compile(data, file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return False
    return _is_stamped(path) and _has_the_functions(module, compiled)


def _is_stamped(path: Path) -> bool:
    try:
        header = Path(importlib.util.cache_from_source(str(path))).read_bytes()[:_HEADER_BYTES]
        status = path.stat()
    except (OSError, NotImplementedError):
        return True  # there is no compiled copy to compare with
    if len(header) < _HEADER_BYTES or header[4:8] != bytes(4):
        return True  # compiled by another rule
    mask = 0xFFFF_FFFF
    parts = (int(status.st_mtime) & mask, status.st_size & mask)
    return header[_STAMP] == b"".join(part.to_bytes(4, "little") for part in parts)


def _has_the_functions(module: types.ModuleType, compiled: types.CodeType) -> bool:
    by_name = {code.co_qualname: code for code in _inside(compiled)}
    for thing in vars(module).values():
        if isinstance(thing, types.FunctionType) and thing.__globals__ is vars(module):
            written = by_name.get(thing.__code__.co_qualname)
            if written is not None and written != thing.__code__:
                return False
    return True


def _inside(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inside(constant)
