"""A journal that has been lost looks like one that was never there.

A file that a copy has left out, or that was emptied, is no new journal where artifacts of its
runs lie beside it; nor is a server's database without tables that has used the same store. To begin
anew there would be to forget these runs without a word, and the next clean-up would take all that
they have stored for waste. So whoever opens a journal may say how to ask for that, and it is asked
before anything is made.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nbflow.core.errors import JournalError

#: Asked for a journal that is not there, by its place: what its runs have stored that is still
#: there, in words; "" if nothing is.
Orphans: TypeAlias = Callable[[str], str]


def refuse(path: Path, place: str, orphans: Orphans) -> None:
    """Refuse a journal of which there is no file, or an empty one, though something is left of it.

    Raises
    ------
    JournalError
        If so; nothing was made.
    """
    left = orphans(place) if _is_void(path) else ""
    # Another process may have made it since, and stored what its first run needs.
    if left and _is_void(path):
        raise _lost(place, "is empty" if path.exists() else "is missing", left)


def refuse_without_tables(place: str, orphans: Orphans | None) -> None:
    """Refuse a database that has no tables, though something is left of a journal there.

    To be asked while nobody else can make them: who did has perhaps stored something since.

    Raises
    ------
    JournalError
        If so.
    """
    if orphans is not None and (left := orphans(place)):
        raise _lost(place, "has no tables", left)


def _lost(place: str, what: str, left: str) -> JournalError:
    return JournalError(
        f"{place} {what}, but {left} holds what its runs have stored: the journal was lost, and "
        "with it what is known of them. Bring it back from a backup. If these results are to be "
        f"given up, move {left} away, or name another home by --home, home= or NBFLOW_HOME"
    )


def _is_void(path: Path) -> bool:
    # A journal that is being made is empty only until it is a database at all.
    try:
        return not path.stat().st_size
    except FileNotFoundError:
        return True
