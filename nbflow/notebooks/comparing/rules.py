"""What cannot be equal in two runs, and what stands for it: one row each, with its reason.

A rule is as narrow as it can be: what it hides is compared no more. Where a name is made at random,
but is referred to, names are numbered as they come, so that it is still compared *which* places
have the same one.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """Brings to one form what two runs cannot have equal.

    Parameters
    ----------
    name
        What it is about.
    why
        Why that cannot be equal.
    form
        Makes a text's common form.
    mimes
        Of which texts: beginnings of MIME types; empty is all, printed text among them.
    """

    name: str
    why: str
    form: Callable[[str], str]
    mimes: tuple[str, ...] = ()


def common_form(text: str, mime: str) -> str:
    """Return a text with everything replaced that cannot be equal in two runs.

    Parameters
    ----------
    text
        What a cell gave.
    mime
        Its MIME type; ``text/plain`` for what was printed.
    """
    for rule in RULES:
        if not rule.mimes or mime.startswith(rule.mimes):
            text = rule.form(text)
    return text


def _replaced(pattern: str, by: str, holds: str = "") -> Callable[[str], str]:
    """Replace what is found; a text in which `holds` does not stand is not even searched."""
    compiled = re.compile(pattern)
    return lambda text: compiled.sub(by, text) if holds in text else text


def _numbered(pattern: str, word: str) -> Callable[[str], str]:
    """Let the first name that is found be ``word 1``, wherever it stands, and so on."""
    compiled = re.compile(pattern)

    def form(text: str) -> str:
        names = list(dict.fromkeys(match[1] for match in compiled.finditer(text)))
        if not names:
            return text
        numbers = {name: number for number, name in enumerate(names, start=1)}
        alternatives = "|".join(map(re.escape, names))
        whole = re.compile(rf"(?<![0-9A-Za-z])(?:{alternatives})(?![0-9A-Za-z])")
        return whole.sub(lambda match: f"<{word} {numbers[match[0]]}>", text)

    return form


_BAR = re.compile(r"\d+%\|.*\|")
_COUNTS = re.compile(r"\s*\d+%\|.*\| *(\S+/\S+) \[.*\]")


def _finished_bars(text: str) -> str:
    """Keep of a progress bar only how far it came in the end."""
    if not _BAR.search(text):
        return text
    lines = (line.split("\r")[-1] if _BAR.search(line) else line for line in text.split("\n"))
    return "\n".join(_COUNTS.sub(r"<progress \1>", line) for line in lines)


def _without_profile(text: str) -> str:
    """Drop the table of a profile, whose very order is by time."""
    head, found, _ = text.partition(" function calls")
    return head.rstrip("0123456789") + "<profile>" if found and "ncalls" in text else text


_PAGES = ("text/html", "application/", "image/svg")
_NUMBER = r"[\d.,]+(?:e[+-]?\d+)?"
_UNIT = r"(?:[nuµμm]?s|min|h|d)\b"

RULES: Final = (
    Rule(
        "memory addresses",
        "where an object lies is chosen anew by each process",
        _replaced(r"\bat 0x[0-9a-fA-F]{6,16}\b|\b0x(?:5[56]|7[ef])[0-9a-f]{10}\b", "<address>"),
    ),
    Rule(
        "files of cells",
        "the file name of a cell in a warning or a traceback has the kernel's process id",
        _replaced(r"\S{0,200}ipykernel_\d+[\\/](\d+)\.py", r"<cell file \1>", "ipykernel_"),
    ),
    Rule(
        "temporary names",
        "tempfile chooses names at random",
        _replaced(r"(?<=[\\/])tmp[a-z0-9_]{8}\b", "<temporary>"),
    ),
    Rule(
        "process ids",
        "the system gives them out",
        _replaced(r"(?i)\b(pid|process id)([ =:]+)\d+", r"\1\2<number>"),
    ),
    Rule(
        "CPU times and wall time",
        "%time: no two runs take as long",
        _replaced(r"(?m)^ ?(?:CPU times|Wall time|Compiler) *: .*$", "<time>"),
    ),
    Rule(
        "loops of timeit",
        "%timeit: no two runs take as long, or need as many loops",
        _replaced(
            rf"(?:The slowest run took .*\n)?{_NUMBER} {_UNIT}.* per loop.*", "<time per loop>"
        ),
    ),
    Rule(
        "memory of memit",
        "%memit: no two runs need as much memory",
        _replaced(r"peak memory: .* MiB, increment: .* MiB", "<memory>"),
    ),
    Rule(
        "profiles",
        "%prun: no two runs take as long",
        _without_profile,
    ),
    Rule(
        "progress bars",
        "how often a bar is drawn, and the speed beside it, depend on time",
        _finished_bars,
    ),
    Rule(
        "random identifiers",
        "uuid1 and uuid4 are random; plotly, bokeh, xarray and others name parts of a page so",
        _numbered(r"\b([0-9a-f]{8}-[0-9a-f]{4}-[14][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b", "id"),
    ),
    Rule(
        "random identifiers without dashes",
        "altair and ipywidgets name parts of a page so",
        _numbered(r"(?<![0-9a-fA-F])([0-9a-f]{32})(?![0-9a-fA-F])", "id"),
        _PAGES,
    ),
    Rule(
        "ids in an SVG",
        "matplotlib names clip paths, markers and images at random",
        _numbered(r"\bid=\"((?:[a-z]|image)[0-9a-f]{10})\"", "id"),
        ("image/svg", "text/html"),
    ),
    Rule(
        "dates in an SVG",
        "matplotlib writes when it was made",
        _replaced(r"<dc:date>[^<]*</dc:date>", "<date>"),
        ("image/svg", "text/html"),
    ),
    Rule(
        "ids of styled tables",
        "pandas' Styler names each table at random",
        _numbered(r"\b(T_[0-9a-f]{5})(?![0-9A-Za-z])", "table"),
        _PAGES,
    ),
    Rule(
        "ids of estimators",
        "scikit-learn counts what its process has shown so far",
        _numbered(r"(sk-(?:container|estimator)-id-\d+)", "estimator"),
        _PAGES,
    ),
)
