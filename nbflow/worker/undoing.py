"""Keep files as they are, so that what cells write can be undone.

A stage that writes files may have to be taken back: then the notebook is run in order, and must
find the files as they were. Only what is named can be kept; a stage whose effects are not known is
never taken back.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from nbflow.core.values import Artifact
from nbflow.ports import ArtifactStore

#: Larger files are not kept.
LIMIT_BYTES = 1_000_000_000


def keep_files(
    paths: Iterable[str], folder: Path, store: ArtifactStore
) -> tuple[tuple[str, Artifact | None], ...]:
    """Store files that are about to be written; None is for those that are not there. Blocks.

    Parameters
    ----------
    paths
        As the notebook has them.
    folder
        The kernel's working folder, to which they refer.
    store
        Where they go.
    """
    kept: list[tuple[str, Artifact | None]] = []
    for text in paths:
        path = folder / Path(text).expanduser()
        if path.is_file() and path.stat().st_size <= LIMIT_BYTES:
            kept.append((str(path), store.put_file(path, "file", preview=path.name)))
        elif not path.exists():
            kept.append((str(path), None))
    return tuple(kept)


def undo(kept: Iterable[tuple[str, Artifact | None]], store: ArtifactStore) -> None:
    """Make files what they were. Blocks."""
    for text, artifact in kept:
        path = Path(text)
        if artifact is None and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # It was not there: whatever is in it has come since.
        elif artifact is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(store.get(artifact.digest))
