"""Tell whether the system kills processes because memory runs out.

Linux counts these kills for each control group, and for the whole machine. A count that has risen
while a kernel ran, and a kernel that ended by SIGKILL, are the evidence that there is: nobody notes
whom the system killed, in a place that a program may read. Elsewhere there is no such count.
"""

from collections.abc import Iterator
from pathlib import Path


class MemoryPressure:
    """Kills by the system since this object was made.

    Parameters
    ----------
    root
        Where the file system begins.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = tuple(_counters(root))
        self._before = self._counts()

    def has_killed(self) -> bool:
        """Whether a process of this control group, or of this machine, was killed since."""
        return any(now > before for now, before in zip(self._counts(), self._before, strict=True))

    def _counts(self) -> list[int]:
        return [_kills(file) for file in self._files]


def _counters(root: Path) -> Iterator[Path]:
    """Yield the files that count: of this process's group if it has one, else of the machine."""
    groups = root / "sys/fs/cgroup"
    # A container may see its own group as the root of all, under a path from outside.
    for hierarchy, path in _memberships(root / "proc/self/cgroup"):
        places = {
            "": [groups / path / "memory.events", groups / "memory.events"],
            "memory": [
                groups / "memory" / path / "memory.oom_control",
                groups / "memory" / "memory.oom_control",
            ],
        }
        for file in places.get(hierarchy, []):
            if file.is_file():
                yield file
                return
    yield root / "proc/vmstat"


def _memberships(file: Path) -> list[tuple[str, str]]:
    """Return the control groups of this process, as pairs of a controller and a path."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    fields = (line.split(":", 2) for line in lines)
    return [(controllers, path.lstrip("/")) for _, controllers, path in fields]


def _kills(file: Path) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")
