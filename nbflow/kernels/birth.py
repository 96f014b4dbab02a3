"""What a process must be born with, and so cannot be given to a kernel that is forked.

The interpreter reads some variables when it starts, and libraries read others when they are
loaded. A fork server has read them once for all its kernels. So kernels that differ in one of
these come from different servers, and everything else is set in the kernel itself.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Beginnings of variables that are read when a process starts or a library is loaded.
_READ_EARLY = (
    "ARROW_",
    "BLIS_",
    "GOMP_",
    "GOTO_",
    "IPYTHON",
    "JUPYTER_",
    "KMP_",
    "LC_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "MPL",
    "NPY_",
    "NUMEXPR_",
    "NUMPY_",
    "OMP_",
    "OPENBLAS_",
    "PYTHON",
    "SCIPY_",
    "SKLEARN_",
    "VECLIB_",
    "XDG_",
)
_READ_EARLY_NAMES = frozenset({"HOME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV"})

#: What a kernel is told about its history: parallel ones would fight over one file. As nbclient.
HISTORY_OPTION = "--HistoryManager.hist_file="
NO_HISTORY_FILE = f"{HISTORY_OPTION}:memory:"

_LAUNCHER = ["-m", "ipykernel_launcher"]


@dataclass(frozen=True, slots=True)
class Birth:
    """An interpreter with its options, a kernel's arguments, and the environment read early."""

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    env: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, command: Sequence[str], arguments: Sequence[str], env: Mapping[str, str]
    ) -> "Birth":
        """Return the birth of a kernel that `command` would start with `arguments` in `env`."""
        early = {
            name: value
            for name, value in env.items()
            if name.startswith(_READ_EARLY) or name in _READ_EARLY_NAMES
        }
        # As IPython sets it before a cell can import matplotlib.
        early.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        return cls(tuple(command), tuple(arguments), tuple(sorted(early.items())))


@dataclass(frozen=True, slots=True)
class IpykernelCommand:
    """A command line that starts IPython's kernel: interpreter and its options, arguments."""

    interpreter: tuple[str, ...]
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, command: Sequence[str]) -> "IpykernelCommand | None":
        """Return the parts of `command`, or None if it starts anything else."""
        for at in range(1, len(command) - 1):
            if list(command[at : at + 2]) == _LAUNCHER:
                return cls(tuple(command[:at]), tuple(command[at + 2 :]))
        return None

    @property
    def is_this_python(self) -> bool:
        """Whether it runs in this very environment."""
        named = shutil.which(self.interpreter[0])
        if named is None:
            return False
        # The links are not resolved: they are what tells virtual environments apart.
        theirs, ours = Path(os.path.abspath(named)), Path(os.path.abspath(sys.executable))  # noqa: PTH100
        return theirs.parent == ours.parent and theirs.samefile(ours)

    def connection_file(self) -> str | None:
        """Return the connection file among the arguments."""
        for option, value in zip(self.arguments, self.arguments[1:], strict=False):
            if option == "-f":
                return value
        return None

    def other_arguments(self) -> tuple[str, ...]:
        """Return the arguments without the connection file."""
        at = self.arguments.index("-f")
        return self.arguments[:at] + self.arguments[at + 2 :]
