"""Which notebook is open in the front end of this kernel.

No protocol tells a kernel. Jupyter Server names the file in a variable of the environment, VS Code
in a variable of the namespace; the first is the name at the time when the kernel was started. What
is read is the file, so what has not been saved is not seen.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from nbflow.magics.errors import Refused

#: Jupyter Server's variable of the environment, and VS Code's variable of the namespace.
JUPYTER, VS_CODE = "JPY_SESSION_NAME", "__vsc_ipynb_file__"


class OpenNotebook(msgspec.Struct, frozen=True):
    """A notebook file, and how it is known that it is the one."""

    path: Path
    known_by: str


def open_notebook(
    named: str, environ: Mapping[str, str], namespace: Mapping[str, object], folder: Path
) -> OpenNotebook | None:
    """Return the notebook that a magic means; None if nobody tells.

    Parameters
    ----------
    named
        What the magic was given; may be empty.
    environ
        Of this process.
    namespace
        The user's variables.
    folder
        The one that the session works in.

    Raises
    ------
    Refused
        If there is no such file as was named.
    """
    if named:
        path = folder / named
        if not path.is_file() or path.suffix != ".ipynb":
            raise Refused(f"there is no notebook {named}. Name an .ipynb file")
        return OpenNotebook(path, "as it was named")
    for told, known_by in (
        (namespace.get(VS_CODE), f"VS Code tells it ({VS_CODE})"),
        (environ.get(JUPYTER), f"Jupyter tells it ({JUPYTER})"),
    ):
        if isinstance(told, str) and told.endswith(".ipynb") and (folder / told).is_file():
            return OpenNotebook(folder / told, known_by)
    return None
