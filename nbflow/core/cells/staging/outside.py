"""What cells do outside of their kernel, as far as that decides where they may run."""

from nbflow.core.cells.facts import CellFacts

#: What is not the same each time, and yet is no effect: it is only read.
_ONLY_READ = frozenset({"the clock", "the network", "the system's chance", "temporary names"})


def has_effects(cell: CellFacts) -> bool:
    """Whether a cell may write outside: files, programs, services."""
    return bool(files_written(cell)) or does_anything(cell)


def files_written(cell: CellFacts) -> tuple[str, ...]:
    """Return the paths of files that a cell may write, as far as they are known."""
    return tuple(name for name in _written(cell) if name and not name.endswith("/"))


def does_anything(cell: CellFacts) -> bool:
    """Whether a cell may have effects outside that are not known one by one."""
    return (
        "anything" in cell.traits
        or any(not name or name.endswith("/") for name in _written(cell))
        or any(
            use.touch.kind == "world" and use.touch.write and use.touch.name not in _ONLY_READ
            for use in cell.touches
        )
    )


def sets(cell: CellFacts) -> bool:
    """Whether a cell may change settings of its process."""
    return "lasting" in cell.traits or any(
        use.touch.kind == "setting" and use.touch.write for use in cell.touches
    )


def _written(cell: CellFacts) -> list[str]:
    return [u.touch.name for u in cell.touches if u.touch.kind == "file" and u.touch.write]
