"""What a store calls the things that have no hash for a name: receipts and entries.

As these names are built from checked parts only, none leads out of the store.
"""

from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId, is_node_name, is_run_id

#: Stands for ``/`` in a receipt's file name. Node names cannot hold it, so no two collide.
_SLASH = "~"
_ENTRIES = "entries/"
_RECEIPTS = "receipts"


def of_entry(name: str) -> str:
    """Return the file of the entry `name`, or the folder of the entries below it.

    Raises
    ------
    ArtifactError
        If it is no name: segments of letters, digits and ``_.-``, joined by ``/``.
    """
    if not is_node_name(name):
        raise ArtifactError(
            f"{name[:100]!r} cannot be the name of an entry: it is made of segments like those "
            "of a node's name, as in 'cache/ab/abcdef'"
        )
    return _ENTRIES + name


def of_entries(prefix: str) -> str:
    """Return the folder of the entries below `prefix`, or of all."""
    return of_entry(prefix) if prefix else _ENTRIES.rstrip("/")


def entry_of(file: str) -> str:
    """Return the name of the entry in a file."""
    return file.removeprefix(_ENTRIES)


def of_receipt(attempt: AttemptId) -> str:
    """Return the file of an attempt's receipt."""
    if not is_run_id(attempt.run) or not is_node_name(attempt.node):
        raise ArtifactError(
            f"there can be no receipt of {attempt} in run {attempt.run!r}: "
            "its names are not fit for files"
        )
    return f"{_RECEIPTS}/{attempt.run}/{attempt.node.replace('/', _SLASH)}.{attempt.number}"


def of_receipts(run: str | None) -> str:
    """Return the folder of a run's receipts, or of all."""
    if run is None:
        return _RECEIPTS
    if not is_run_id(run):
        raise ArtifactError(f"there can be no receipts of run {run!r}: it is no run's id")
    return f"{_RECEIPTS}/{run}"


def attempt_of(file: str) -> AttemptId | None:
    """Return the attempt whose receipt is in a file, with the epoch 0; None for other files."""
    _, _, rest = file.partition("/")
    run, _, name = rest.partition("/")
    node, _, number = name.rpartition(".")
    node = node.replace(_SLASH, "/")
    if not (is_run_id(run) and is_node_name(node) and number.isdecimal()):
        return None
    return AttemptId(run, node, int(number), 0)
