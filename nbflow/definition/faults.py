"""A fault that is found before it is known where: what is wrong, and what to do about it.

Parsers of small things (a size, a reference, a policy) raise `Fault`; whoever called
them knows the place and the node and turns it into a `Problem`. So no parser carries a place
around, and every problem has one.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbflow.core.errors import Problem

#: Names shown when all are listed, and characters of a value.
_LISTED = 12
_SHOWN = 60


class Fault(ValueError):
    """Something an author wrote cannot be used."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}. {fix}" if fix else what)
        self.what = what
        self.fix = fix

    def at(self, place: str, node: str | None = None) -> Problem:
        """Return this fault as a problem at `place`."""
        return Problem(place=place, what=self.what, fix=self.fix, node=node)


def wrong(what: str, expected: str, value: Any) -> Fault:
    """Return the fault of a `value` that is not what was expected."""
    return Fault(f"{what} must be {expected}, not {described(value)}")


def described(value: Any) -> str:
    """Return a value for a message: short things as they are written, others by their kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?``, or nothing if no known name is near."""
    candidates = list(known)
    same_letters = [other for other in candidates if other.casefold() == name.casefold()]
    near = same_letters or difflib.get_close_matches(name, candidates, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def near_file(path: Path) -> str:
    """Return ``Did you mean 'x.yaml'?`` of a file that lies where `path` should be."""
    if not path.parent.is_dir():
        return f"The folder {path.parent} does not exist either"
    if path.is_symlink():
        return f"It is a link to {path.readlink()}, which does not exist"
    stems = {file.stem: file.name for file in path.parent.glob(f"*{path.suffix}")}
    near = difflib.get_close_matches(path.stem, stems, n=1)
    return f"Did you mean {stems[near[0]]!r}?" if near else "Check the path"


def listed(names: Iterable[str]) -> str:
    """Return names for a message: ``a, b, c`` and how many more there are."""
    all_names = sorted(names)
    shown = ", ".join(all_names[:_LISTED])
    more = len(all_names) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def sentences(*parts: str) -> str:
    """Join those parts of a `fix` that are not empty; the last one stays without a full stop."""
    present = [part for part in parts if part]
    ended = [part if part.endswith(("?", ".")) else f"{part}." for part in present[:-1]]
    return " ".join([*ended, *present[-1:]])
