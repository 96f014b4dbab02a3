"""A kernel in whose memory nothing lies where it did.

What nobody has set, an array of `numpy.empty` say, shows what lay there before; and in order that
may be the same each time, by chance. So between two cells, what is free is overwritten: numpy keeps
small pieces of memory for itself, the others are the C library's, which can be asked for that.
"""

import inspect
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: glibc writes (the complement of) this byte into memory that it hands out and takes back.
_FILL = 90


@contextmanager
def stirring() -> Iterator[Mapping[str, str]]:
    """Give the variables of a kernel of IPython that stirs its memory before each cell."""
    with tempfile.TemporaryDirectory(prefix="nbflow-stir-") as folder:
        startup = Path(folder, "profile_default", "startup")
        startup.mkdir(parents=True)
        startup.joinpath("stir.py").write_text(f"{inspect.getsource(_begin)}\n_begin()\ndel _begin")
        yield {"IPYTHONDIR": folder, "MALLOC_PERTURB_": str(_FILL)}


def _begin() -> None:
    """Stir the memory from now on. Its source is run in the kernel."""
    import sys
    from typing import Any

    from IPython.core.getipython import get_ipython

    # numpy keeps up to seven pieces of each size below a kilobyte.
    pieces, sizes, fill = 8, range(1, 1024), 90

    def stir(*_: object) -> None:
        numpy: Any = sys.modules.get("numpy")
        for size in sizes if numpy is not None else ():
            _kept = [numpy.full(size, fill, "u1") for _ in range(pieces)]

    shell: Any = get_ipython()
    shell.events.register("pre_run_cell", stir)
