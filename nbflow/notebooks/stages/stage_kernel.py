"""The kernel of a stage, as it is asked before and after its cells.

The code that answers (`nbflow.guest_namespace`) is sent into it once, by way of files in a folder;
so are the requests and their answers, which may be large. Nothing of it shows in the notebook: no
name is bound, no execution is counted, nothing is printed.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from nbflow.core.stage_results import LessonKind
from nbflow.core.stages import StageCell, StageSpec
from nbflow.guest_namespace import STAGE_MODULES
from nbflow.guest_namespace.moving import MOVERS
from nbflow.kernels import EvaluationFailed, Kernel
from nbflow.notebooks.guest_text import compiled_modules, joined_modules

#: Runs in the kernel. Its Python may be another, which loads no code of ours.
_BOOT = """\
import importlib.util, marshal, sys, types
from pathlib import Path
data = Path(folder, "guest.bin").read_bytes()
if data.startswith(importlib.util.MAGIC_NUMBER):
    code = marshal.loads(data[len(importlib.util.MAGIC_NUMBER) :])
else:
    code = compile(Path(folder, "guest.py").read_text("utf-8"), "<nbflow>", "exec")
home = sys.modules[name] = types.ModuleType(name)
exec(code, vars(home))
home.serve_stage(folder)
"""


class StageEnd(msgspec.Struct, frozen=True):
    """What a stage has done.

    Parameters
    ----------
    problems
        Why it is a conflict, in sentences; empty if it kept to what was declared.
    lessons
        What is to be known of its cells next time: place in `StageSpec.cells`, kind, name.
    given
        Files, in the stage's folder, of what is wanted of it. Several names may have one file.
    types
        The dotted names of the types of what was given.
    read_files, written_files
        Absolute paths, as far as they could be seen.
    shared
        Pairs of variables, the first made here, the second taken from elsewhere, that share memory
        and are not in one file.
    kept_files
        Of written files, the copy of what they were before; None is for what was not there.
    programs
        What programs were started.
    warned
        Warnings of libraries that were shown, and are shown once in a kernel.
    left
        What cannot be written, and need not be, and why; see `StageSpec.optional`.
    """

    problems: tuple[str, ...] = ()
    lessons: tuple[tuple[int, LessonKind, str], ...] = ()
    given: dict[str, Path] = {}
    types: dict[str, str] = {}
    read_files: tuple[str, ...] = ()
    written_files: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    kept_files: dict[str, Path | None] = {}
    programs: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


class _Plan(msgspec.Struct, frozen=True):
    """What the kernel is told; see `nbflow.guest_namespace.stage.Stage`."""

    origin: str
    cells: list["_Cell"]
    generators: tuple[str, ...]
    settings: bool
    writes_files: tuple[str, ...]
    writes_anything: bool
    background: bool
    given: dict[str, str]
    wanted: list[str]
    optional: tuple[str, ...]
    settled: dict[str, list[str]]
    sequential: list[str] | None
    ignored: list[str]


class _Cell(msgspec.Struct, frozen=True):
    replayed: bool
    takes: tuple[str, ...]
    hides: tuple[str, ...]
    changes: tuple[str, ...]
    writes: tuple[str, ...]


class StageKernel:
    """The kernel of a stage.

    Parameters
    ----------
    kernel
        Has run nothing yet.
    folder
        Files are exchanged there; what is given lies there at the end.
    spec
        What the stage runs, and what it may do.
    given
        Files by the names of variables and generators; several names may have one file.
    wanted
        What is to be written at the end, as far as it is there.
    sequential
        Names that a run from top to bottom would know somewhere before the last cell: where one is
        missing here, that is a conflict, and no error of the cell's. None stands for any name.
    ignored
        Folders whose files do not count.
    """

    def __init__(
        self,
        kernel: Kernel,
        folder: Path,
        spec: StageSpec,
        *,
        given: Mapping[str, Path],
        wanted: Sequence[str],
        sequential: Collection[str] | None = None,
        ignored: Sequence[str] = (),
    ) -> None:
        self._kernel = kernel
        self._folder = folder
        self._spec = spec
        self._settled = _settled(spec, wanted)
        self._plan = _Plan(
            origin=spec.origin or _origin(spec),
            cells=[
                _Cell(it.replayed, it.takes, it.hides, it.changes, it.writes) for it in spec.cells
            ],
            generators=spec.generators,
            settings=spec.settings,
            writes_files=spec.writes_files,
            writes_anything=spec.writes_anything,
            background=spec.background,
            given={name: str(path) for name, path in given.items()},
            wanted=list(wanted),
            optional=spec.optional,
            settled={str(place): names for place, names in self._settled.items()},
            sequential=None if sequential is None else list(sequential),
            ignored=list(ignored),
        )
        #: The number that the next cell would have of itself.
        self._next = 1

    async def begin(self) -> None:
        """Prepare the kernel, and begin to watch it; before its first cell.

        Raises
        ------
        KernelDied
            If the kernel ends meanwhile.
        EvaluationFailed
            If it cannot be asked.
        """
        (self._folder / "request.json").write_bytes(msgspec.json.encode(self._plan))
        (self._folder / "guest.bin").write_bytes(compiled_modules(STAGE_MODULES))
        (self._folder / "guest.py").write_text(joined_modules(STAGE_MODULES), "utf-8")
        (self._folder / "boot.py").write_text(_BOOT, "utf-8")
        # Names of the user's may shadow built-in ones, so they are reached through modules.
        boot, names = str(self._folder / "boot.py"), {"folder": str(self._folder), "name": MOVERS}
        await self._kernel.evaluate(
            f"(lambda b: b.exec(b.open({boot!r}, encoding='utf-8').read(), {names!r}))"
            f"(__import__('builtins'))"
        )

    async def before(self, position: int, count: int) -> None:
        """Prepare the cell at `position` of the specification, which is to become ``In [count]``.

        Raises
        ------
        KernelDied, EvaluationFailed
            As `begin`.
        """
        is_needed = count != self._next or self._is_stop(position)
        self._next = count + 1
        if is_needed:
            await self._ask(f"prepare_cell({position}, {count})")

    async def end(self, is_error: bool = False) -> StageEnd:
        """Return what was done; after the last cell, or after the one that has raised an error.

        Raises
        ------
        KernelDied, EvaluationFailed
            As `begin`.
        """
        report = self._folder / "report.json"
        await self._ask(f"end_stage({str(self._folder)!r}, {bool(is_error)!r})")
        if not report.exists():
            raise EvaluationFailed("the kernel has not written what it was asked for")
        return msgspec.json.decode(report.read_bytes(), type=StageEnd, dec_hook=_path)

    async def _ask(self, call: str) -> None:
        await self._kernel.evaluate(f"__import__('sys').modules[{MOVERS!r}].{call}")

    def _is_stop(self, position: int) -> bool:
        """Whether there is something to be done before a cell, or a stretch of cells ends."""
        cell = self._spec.cells[position]
        before = self._spec.cells[position - 1] if position else cell
        return bool(cell.takes or cell.hides or self._settled.get(position)) or (
            cell.replayed != before.replayed
        )


def _origin(spec: StageSpec) -> str:
    return ",".join(str(cell.index) for cell in spec.cells if not cell.replayed)


def _path(kind: type, value: object) -> object:
    assert kind is Path
    return Path(str(value))


def _settled(spec: StageSpec, wanted: Sequence[str]) -> dict[int, list[str]]:
    """Return, by the place of a cell, which wanted variables nothing is to change from there on."""
    own = [place for place, cell in enumerate(spec.cells) if not cell.replayed]
    found: dict[int, list[str]] = {}
    for name in wanted:
        places = [place for place, cell in enumerate(spec.cells) if _touches(cell, name)]
        if places and own and places[-1] < own[-1]:
            found.setdefault(places[-1] + 1, []).append(name)
    return found


def _touches(cell: StageCell, name: str) -> bool:
    return (
        name in cell.writes
        or name in cell.changes
        or {"*"} & {*cell.writes, *cell.changes} != set()
    )
