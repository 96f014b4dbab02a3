"""Files that nodes emit, under the names by which they were emitted.

The store names bytes by their hash, but programs look at names: pandas reads ``.csv.gz``
by its ending. So beside an artifact ``abcdef…`` lies, once someone asks for it, a folder
``abcdef….d`` with a second link to the same bytes under the file's own name.
"""

import os
import shutil
from pathlib import Path

from nbflow.core.values import Artifact


def under_its_name(path: Path, artifact: Artifact) -> Path:
    """Return where the bytes at `path` can be found under the name of the emitted file.

    Parameters
    ----------
    path
        The artifact's verified local file.
    artifact
        Of kind ``file``, with the name as its preview; others keep their path.
    """
    name = Path(artifact.preview).name
    if artifact.kind != "file" or not name:
        return path
    named = path.with_name(f"{path.name}.d") / name
    if not named.exists():
        named.parent.mkdir(exist_ok=True)
        link = named.with_name(f".{name}.{os.getpid()}")
        try:
            os.link(path, link)
        except OSError:
            # Some file systems have no second links.
            shutil.copyfile(path, link)
        # Another attempt may have been quicker; its link is as good.
        link.replace(named)
        link.unlink(missing_ok=True)
    return named
