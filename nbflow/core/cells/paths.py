"""Paths as far as they can be read in a notebook's source, and whether two may be one file."""

import posixpath

from nbflow.core.cells.values import Text, Value

#: A path of which nothing is known: any file.
ANY = ""
_WILD = "*?["
_REMOTE = ("://",)


def path_of(text: Text | None) -> str:
    """Return a path as tokens have it: normalized; a folder ends in ``/``; empty is any file."""
    if text is None or not text.text:
        return ANY
    plain, exact = text.text, text.exact
    for mark in _WILD:
        if mark in plain:
            plain, exact = plain.partition(mark)[0], False
    if not exact:
        # What is known is a beginning: all that can be said is in which folder it lies.
        folder = plain.rpartition("/")[0]
        return _normal(folder) + "/" if folder else ANY
    return _normal(plain)


def is_remote(path: str) -> bool:
    """Whether a path is an address."""
    return any(mark in path for mark in _REMOTE)


def may_be_same(first: str, second: str) -> bool:
    """Whether two paths may mean one file, or one lies in the other."""
    if first == second or ANY in (first, second):
        return True
    if is_remote(first) or is_remote(second):
        return is_remote(first) == is_remote(second)
    if not (_is_absolute(first) and _is_absolute(second)) and (_is_free(first) or _is_free(second)):
        # One is absolute, the other relative to a folder that is not known.
        return True
    one, other = first.rstrip("/") + "/", second.rstrip("/") + "/"
    return "./" in (one, other) or one.startswith(other) or other.startswith(one)


def join(first: Text | None, second: Text | None, between: str = "/") -> Text | None:
    """Return what two texts are in sequence."""
    if first is None:
        return None
    if not first.exact:
        return first
    if second is None:
        return Text(first.text + between, exact=False)
    if between and second.text.startswith("/"):
        return second
    return Text(first.text + between + second.text, second.exact)


def joined_paths(parts: list[Value]) -> Text | None:
    """Return what ``Path(*parts)`` or ``os.path.join(*parts)`` is."""
    if not parts:
        return Text(".")
    whole = parts[0].text
    for part in parts[1:]:
        whole = join(whole, part.text)
    return whole


def _is_free(path: str) -> bool:
    """Whether a path may lead anywhere, seen from the working directory."""
    return path.startswith(("..", "~", "/"))


def _normal(path: str) -> str:
    return path if is_remote(path) else posixpath.normpath(path)


def _is_absolute(path: str) -> bool:
    return path.startswith("/")
