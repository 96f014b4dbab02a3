"""Which modules a cell imports, as far as its text shows.

Found by patterns, not by Python's parser: cells hold magics, unfinished code, and texts of which a
parser would warn in the author's terminal. A wrong guess costs a warm kernel a module that was
loaded for nothing, and never an answer. Only what stands at the margin counts, because what a
function imports may never be needed.
"""

import re
from collections.abc import Iterator

_MODULE = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_FROM = re.compile(rf"\s*from\s+({_MODULE})\s+import\b")
_IMPORT = re.compile(r"\s*import\s+(.+)")
_IMPORTED = re.compile(rf"\s*({_MODULE})(?:\s+as\s+\w+)?\s*")

#: Cell magics whose cell is Python and runs in the kernel itself.
_TRANSPARENT = frozenset({"capture", "prun", "time", "timeit"})


def imported_modules(source: str) -> Iterator[str]:
    """Yield the modules that a Python cell imports, in order: ``a.b`` of ``from a.b import c``."""
    if not _is_python(source):
        return
    for line in source.replace("\\\n", " ").splitlines():
        if not line.startswith(("import", "from")):
            continue
        for statement in line.partition("#")[0].split(";"):
            yield from _named(statement)


def _named(statement: str) -> Iterator[str]:
    if match := _FROM.match(statement):
        yield match[1]
    elif match := _IMPORT.fullmatch(statement):
        imported = map(_IMPORTED.fullmatch, match[1].split(","))
        yield from (found[1] for found in imported if found)


def _is_python(source: str) -> bool:
    if not source.startswith("%%"):
        return True
    magic = source[2:].split(maxsplit=1)
    return bool(magic) and magic[0] in _TRANSPARENT
