"""Notebooks that are no local files: what papermill's io handlers reach.

``s3://``, ``gs://``, ``abs://``, ``http://`` and so on, and whatever other packages have registered
with papermill. Each needs its own client library; papermill says which.
"""

from papermill.iorw import LocalHandler, papermill_io

from nbflow.core.errors import NbflowError


class Unreachable(NbflowError):
    """A notebook elsewhere cannot be read or written."""


def is_elsewhere(path: str) -> bool:
    """Whether `path` has the form of an address: ``scheme://…``."""
    return "://" in path


def read_elsewhere(path: str) -> bytes:
    """Return the content of the notebook at `path`.

    Raises
    ------
    Unreachable
        If it cannot be read, or nobody knows how to.
    """
    _require_handler(path)
    try:
        # No extensions to expect: an address may well end in a query.
        text: str = papermill_io.read(path, [])
    except Exception as error:
        # Clients of object stores raise what they like; all of it means that there is no notebook.
        raise Unreachable(f"{path} cannot be read: {_told(error)}") from error
    return text.encode()


def write_elsewhere(data: bytes, path: str) -> None:
    """Write a notebook to `path`.

    Raises
    ------
    Unreachable
        If it cannot be written, or nobody knows how to.
    """
    _require_handler(path)
    try:
        papermill_io.write(data.decode(), path, [])
    except Exception as error:
        # As above.
        raise Unreachable(f"{path} cannot be written: {_told(error)}") from error


def _require_handler(path: str) -> None:
    """Refuse what papermill, for want of a handler, would take for a local path."""
    if isinstance(papermill_io.get_handler(path), LocalHandler):
        scheme = path.partition("://")[0]
        raise Unreachable(
            f"{path} cannot be reached: papermill has no io handler for {scheme}://. Install a "
            "package that brings one, or copy the notebook"
        )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
