"""What the cells of a Python notebook reach: Python, and the magics around it.

A cell is read by Python's parser. Where it is no Python, lines that are magics, shell commands or
questions to IPython are taken out first. Of these, some run Python files (``%run``), some change
where modules are found (``%cd``), and a shell command may name scripts.
"""

import re
import shlex
from dataclasses import replace

from nbflow.definition.identity.scanning import (
    Import,
    Scan,
    Script,
    Unseen,
    joined,
    parsed,
    scanned,
)
from nbflow.notebooks.imports import imported_modules

#: Cell magics whose cell is Python, in the kernel or in a process of its own.
_PYTHON_CELLS = frozenset({"capture", "prun", "time", "timeit", "python", "python3", "pypy"})
_SHELL_CELLS = frozenset({"bash", "sh", "script", "system", "sx", "!"})
#: Line magics whose line is Python.
_PYTHON_LINES = frozenset({"time", "timeit", "prun", "memit", "lprun"})
_SHELL_LINES = frozenset({"sx", "system", "sc"})
#: What a shell command names and runs, as far as the name shows it.
_SCRIPT = re.compile(r"[\w./~\-]+\.(?:py|sh|bash|R|jl|ipynb)\b")

_MAGIC_LINE = re.compile(r"(?P<indent>\s*)(?:[\w.,\s\[\]'\"]+=\s*)?(?P<kind>%|!+)(?P<rest>.*)")
_QUESTION = re.compile(r"(?P<indent>\s*)(?:\?{1,2}.*|[%\w.*\[\]'\"]+\?{1,2})\s*")
_RUNTIME = re.compile(r"[${]")

_PLAIN_PATH = "Write the path as plain text"


def scan_cell(source: str) -> Scan:
    """Return what one cell reaches."""
    if not source.startswith("%%"):
        return _scan_lines(source)
    head, _, body = source.partition("\n")
    words = head[2:].split()
    name = words[0] if words else ""
    # An empty line stands for the magic, so that lines keep their numbers.
    body = "\n" + body
    if name in _SHELL_CELLS:
        return _shell(body, 2)
    if name in ("writefile", "file"):
        written = tuple(word for word in words[1:] if not word.startswith("-"))
        tree = parsed(body)
        return replace(scanned(tree) if tree else Scan(), written=written)
    if name in _PYTHON_CELLS:
        return _scan_lines(body)
    # Somebody else's: it may be Python or anything.
    tree = parsed(body)
    return scanned(tree) if tree else Scan()


def _scan_lines(source: str) -> Scan:
    tree = parsed(source)
    if tree is not None:
        return scanned(tree)
    plain: list[str] = []
    found: list[Scan] = []
    lines = iter(enumerate(source.splitlines(), start=1))
    for number, line in lines:
        match = _MAGIC_LINE.fullmatch(line)
        if match is None:
            question = _QUESTION.fullmatch(line)
            plain.append(f"{question['indent']}pass" if question else line)
            continue
        rest = match["rest"]
        while rest.endswith("\\"):
            rest = rest[:-1] + next(lines, (0, ""))[1]
            plain.append("")
        scan, instead = _magic(match["kind"], rest, number)
        found.append(scan)
        plain.append(match["indent"] + instead)
    tree = parsed("\n".join(plain))
    return joined(scanned(tree) if tree else _unreadable(source), *found)


def _unreadable(source: str) -> Scan:
    modules = tuple(Import(module, optional=True) for module in imported_modules(source))
    unseen = Unseen("cannot be read as Python", "Mend the cell, or mark it as raw text")
    return Scan(imports=modules, unseen=(unseen,))


def _magic(kind: str, rest: str, line: int) -> tuple[Scan, str]:
    """Return what a magic or a shell command reaches, and a line of Python in its place."""
    if kind != "%":
        return _shell(rest, line), "pass"
    name, _, arguments = rest.partition(" ")
    if name in _PYTHON_LINES:
        return Scan(), arguments if parsed(arguments) else "pass"
    if name in _SHELL_LINES:
        return _shell(arguments, line), "pass"
    if name == "run":
        return _run(arguments, line), "pass"
    if name == "load_ext" and arguments.strip().isidentifier():
        return Scan(imports=(Import(arguments.strip(), optional=True, line=line),)), "pass"
    if name in ("cd", "pushd") and arguments.strip():
        return _cd(arguments.strip().strip("'\""), line), "pass"
    return Scan(), "pass"


def _run(arguments: str, line: int) -> Scan:
    words = _words(arguments)
    if "-m" in words[:-1]:
        module = words[words.index("-m") + 1]
        return Scan(imports=(Import(module, ("__main__",), line=line),))
    files = [word for word in words if not word.startswith("-")]
    if not files:
        return Scan()
    if _RUNTIME.search(files[0]):
        return Scan(unseen=(Unseen(f"runs {files[0]} by %run", _PLAIN_PATH, line),))
    return Scan(scripts=(Script(files[0], line=line),))


def _cd(folder: str, line: int) -> Scan:
    if folder.startswith("-") or _RUNTIME.search(folder):
        return Scan(unseen=(Unseen(f"goes to the folder {folder} by %cd", _PLAIN_PATH, line),))
    return Scan(folders=(folder,))


def _shell(text: str, line: int) -> Scan:
    named = dict.fromkeys(match[0] for match in _SCRIPT.finditer(text))
    return Scan(scripts=tuple(Script(path, optional=True, line=line) for path in named))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
