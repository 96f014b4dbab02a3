"""What an author says of a cell by tags, where the analysis cannot know.

==================== ==============================================================
``nbflow:barrier``   nothing is moved across the cell
``nbflow:after=X``   it comes after the cell of that number, or all that have the tag X
``nbflow:pure``      it changes nothing and touches nothing outside: only what it binds counts
``nbflow:reads=X``   it reads a variable, or a file; files that are named replace those found
``nbflow:writes=X``  it may change a variable, or writes a file
==================== ==============================================================

Several are separated by commas. What is no identifier is the path of a file.
"""

from collections.abc import Iterable

import msgspec

from nbflow.core.cells.effects.language import Touch

_PREFIX = "nbflow:"


class Declared(msgspec.Struct, frozen=True):
    """What the tags of a cell declare."""

    barrier: bool = False
    pure: bool = False
    after: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    files: tuple[Touch, ...] = ()
    #: Tags that begin as ours do and mean nothing.
    unknown: tuple[str, ...] = ()


def declared(tags: Iterable[str]) -> Declared:
    """Return what tags declare; those that are not nbflow's mean nothing here."""
    flags: set[str] = set()
    lists: dict[str, list[str]] = {"after": [], "reads": [], "writes": []}
    unknown: list[str] = []
    for tag in tags:
        if not tag.startswith(_PREFIX):
            continue
        word, equals, rest = tag.removeprefix(_PREFIX).partition("=")
        names = [name.strip() for name in rest.split(",") if name.strip()]
        if word in lists and names:
            lists[word] += names
        elif word in ("barrier", "pure") and not equals:
            flags.add(word)
        else:
            unknown.append(tag)
    files = [
        Touch("file", name, write)
        for word, write in (("reads", False), ("writes", True))
        for name in lists[word]
        if not name.isidentifier()
    ]
    return Declared(
        barrier="barrier" in flags,
        pure="pure" in flags,
        after=tuple(lists["after"]),
        reads=tuple(name for name in lists["reads"] if name.isidentifier()),
        writes=tuple(name for name in lists["writes"] if name.isidentifier()),
        files=tuple(files),
        unknown=tuple(unknown),
    )
