"""What a kernel that runs a stage of a notebook does besides its cells.

Before a cell, variables are hidden or taken from files; at the end, what was done is compared with
what was declared, and variables are written. In between nothing is asked, so a *stretch* of cells
is looked at as a whole: where something in it was not declared, each of its cells may have done it.
"""

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbflow.guest_namespace.carrying import Tracks, read_variables
from nbflow.guest_namespace.effects import Effects, unexpected_files
from nbflow.guest_namespace.generators import GENERATORS, generator_marks
from nbflow.guest_namespace.giving import Given, Giver, known_names
from nbflow.guest_namespace.graph import ATOMS, is_foreign
from nbflow.guest_namespace.rules import Unmovable
from nbflow.guest_namespace.surroundings import (
    Background,
    changed_surroundings,
    read_surroundings,
    told_once,
)
from nbflow.guest_namespace.unchanged import Mappings, Marks

#: Names that IPython and Python bind by themselves.
_MANAGED = re.compile(
    r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h|In|Out|exit|quit|open|get_ipython|__\w+__|_exit_code"
)
ANY = "*"


class Stage:
    """The cells of a stage as the kernel sees them; see `core.stages.StageSpec` for `plan`.

    Parameters
    ----------
    shell
        IPython's.
    folder
        Where files are exchanged.
    plan
        The specification as plain values, and what was given and is wanted.
    """

    def __init__(self, shell: Any, folder: Path, plan: Mapping[str, Any]) -> None:
        self._shell = shell
        self._folder = folder
        self._plan = plan
        self._cells: list[Mapping[str, Any]] = plan["cells"]
        self._problems: list[str] = []
        self._lessons: list[tuple[int, str, str]] = []
        self._tracks = Tracks(plan["origin"])
        self._mappings = Mappings()
        self._loaded: dict[str, dict[str, Any]] = {}
        #: Variables of other stages, as they came in.
        self._taken: list[tuple[str, Any]] = []
        #: Values that must not change: whose, since which cell, and their marks.
        self._marked: list[tuple[str, Any, int, bytes]] = []
        #: Made when it is needed; which modules there are may change with each cell.
        self._marker: Marks | None = None
        #: Whatever was hidden lives on, as it would in a run from top to bottom.
        self._hidden: list[Any] = []
        #: The cell at which the stretch begins that runs now, and what it found.
        self._from = 0
        self._names: dict[str, Any] = {}
        self._generators: dict[str, Any] = {}
        self._surroundings: dict[str, Any] = {}
        self._told: set[str] = set()
        #: Warnings that cells have shown, and that are shown once.
        self._warned: set[str] = set()
        #: How many cells had begun before it.
        self._begun = 0
        self._folders = {os.getcwd()}  # noqa: PTH109 - the text itself is wanted
        self._background = Background()
        self._effects = Effects([str(folder), *plan["ignored"]], self._position_now, str(folder))
        #: The last error that a cell has raised, be it that the notebook goes on after it.
        self._error = getattr(sys, "last_value", None)
        self._open(0)

    def before(self, position: int, count: int) -> None:
        """Prepare the cell at `position`, which is to be the `count`-th."""
        with self._effects.unheard():
            self._look_for_missing_names()
            self._close(position)
            cell = self._cells[position]
            space = self._shell.user_ns
            for name in cell["hides"]:
                if name in space:
                    self._hidden.append(space.pop(name))
            for name in cell["takes"]:
                self._take(name, position)
            self._mark_settled(position)
            self._shell.execution_count = count
            self._open(position)

    def end(self, is_error: bool) -> dict[str, Any]:
        """Compare what was done with what was declared, and write what is wanted."""
        with self._effects.unheard():
            states = {
                name: GENERATORS[name].read()
                for name in self._plan["wanted"]
                if name in GENERATORS and GENERATORS[name].library in sys.modules
            }
            self._close(len(self._cells))
            if not self._plan["background"]:
                for what in self._background.left():
                    self._conflict(f"a cell has left something behind: {what}", "barrier")
            self._look_for_missing_names()
            self._look_for_changes()
            if is_error and self._is_replayed(self._position_now()):
                # Perhaps it needs what its own kernel has done before it.
                self._lessons.append((self._position_now(), "barrier", ""))
            read, written, programs = self._outside()
            given = Given({}, {}, [], {})
            if not self._problems and not is_error:
                given = self._give(states)
        return {
            "problems": self._problems,
            "lessons": self._lessons,
            "given": given.files,
            "types": given.types,
            "read_files": read,
            "written_files": written,
            "shared": given.shared,
            "kept_files": self._effects.kept(),
            "programs": programs,
            "warned": sorted(self._warned),
            "left": [each for each in given.refused.items() if self._may_stay(each[0])],
        }

    def _open(self, position: int) -> None:
        """Begin a stretch of cells."""
        self._from = position
        self._marker = None
        self._begun = len(self._shell.history_manager.input_hist_raw)
        self._names = dict(self._shell.user_ns)
        if self._is_replayed(position):
            return
        self._told = told_once()
        self._generators = generator_marks()
        if not self._plan["settings"]:
            self._surroundings = read_surroundings(self._shell)

    def _close(self, position: int) -> None:
        """End the stretch before the cell at `position`: look at what its cells have done."""
        self._folders.add(os.getcwd())  # noqa: PTH109 - the text itself is wanted
        cells = range(self._from, position)
        if not cells or self._is_replayed(self._from):
            return
        self._warned |= told_once() - self._told
        allowed = {name for number in cells for name in self._cells[number]["writes"]}
        if ANY not in allowed:
            for name in _rebound(self._names, self._shell.user_ns):
                if name not in allowed:
                    self._conflict(f"`{name}` was bound or deleted", "writes", name, cells)
        now = generator_marks()
        for name in self._generators.keys() & now.keys() - set(self._plan["generators"]):
            if self._generators[name] != now[name]:
                self._conflict(f"{name} was used", "barrier", name, cells)
        if not self._plan["settings"]:
            for name in changed_surroundings(self._surroundings, read_surroundings(self._shell)):
                self._conflict(f"a setting was changed: {name}", "barrier", name, cells)

    def _is_replayed(self, position: int) -> bool:
        return position < len(self._cells) and bool(self._cells[position]["replayed"])

    def _conflict(
        self, why: str, kind: str, name: str = "", cells: range | list[int] | None = None
    ) -> None:
        self._problems.append(why)
        for position in self._own(range(len(self._cells)))[-1:] if cells is None else cells:
            self._lessons.append((position, kind, name))

    def _own(self, cells: range) -> list[int]:
        return [number for number in cells if not self._cells[number]["replayed"]]

    def _take(self, name: str, position: int) -> None:
        path = self._plan["given"].get(name)
        if path is None:
            return  # It was not bound there: perhaps the cell binds it only sometimes.
        if path not in self._loaded:
            try:
                self._loaded[path], mapping = read_variables(
                    Path(path), self._shell.user_ns, self._tracks
                )
            except Unmovable as error:
                self._conflict(str(error), "pinned", name, [position])
                return
            if mapping is not None:
                self._mappings.add(Path(path), mapping)
        value = self._loaded[path][name]
        if name in GENERATORS:
            __import__(GENERATORS[name].library)
            GENERATORS[name].write(value)
            return
        self._shell.user_ns[name] = value
        self._taken.append((name, value))
        if not self._may_change(name, position):
            self._mark(name, value, position)

    def _may_change(self, name: str, position: int) -> bool:
        """Whether a cell from `position` on may change a variable in place."""
        return any(
            name in cell["changes"] or ANY in cell["changes"] for cell in self._cells[position:]
        )

    def _mark_settled(self, position: int) -> None:
        """Mark what is wanted and not to be touched from this cell on, but was until now."""
        for name in self._plan["settled"].get(str(position), ()):
            if name in self._shell.user_ns:
                self._mark(name, self._shell.user_ns[name], position)

    def _mark(self, name: str, value: Any, position: int) -> None:
        if type(value) in ATOMS or is_foreign(value, self._shell.user_ns):
            return
        mark = self._marks().of(value)
        if mark is None:
            why = f"nobody could tell whether `{name}` is changed"
            self._conflict(why, "pinned", name, [position])
        else:
            self._marked.append((name, value, position, mark))

    def _marks(self) -> Marks:
        if self._marker is None:
            # What modules have is looked into like anything else.
            names = known_names(self._shell.user_ns, self._tracks)
            self._marker = Marks(self._shell.user_ns, names, self._tracks, self._mappings)
        return self._marker

    def _look_for_changes(self) -> None:
        self._marker = None
        for name, value, position, mark in self._marked:
            if self._marks().of(value) != mark:
                cells = self._own(range(position, len(self._cells)))
                self._conflict(f"the value of `{name}` was changed", "changes", name, cells)

    def _look_for_missing_names(self) -> None:
        """See whether an error comes from a name that is only missing here."""
        raised, self._error = self._error, getattr(sys, "last_value", None)
        for error in _chain_of(None if raised is self._error else self._error):
            known = self._plan["sequential"]
            name = _missing_name(error, known)
            if name and (known is None or name in known) and name not in self._shell.user_ns:
                why = f"`{name}` is read, which was not known"
                self._conflict(why, "reads", name, [self._position_now()])
            elif "<module '__main__'" in str(error):
                # Something has looked into the notebook's namespace by name, as pickles do.
                self._conflict(f"the notebook's variables were looked into: {error}", "barrier")
            elif "does not own its data" in str(error):
                self._conflict(f"an array is not as before: {error}", "barrier")

    def _position_now(self) -> int:
        """Return the place of the cell that runs, or has run last."""
        begun = len(self._shell.history_manager.input_hist_raw) - self._begun
        return min(self._from + max(begun - 1, 0), len(self._cells) - 1)

    def _outside(self) -> tuple[list[str], list[str], list[str]]:
        written, programs = self._effects.written(), self._effects.programs()
        if not self._plan["writes_anything"]:
            expected = self._plan["writes_files"]
            for path in unexpected_files(written, expected, self._folders):
                self._conflict(f"the file {path} was written", "touches", path, [written[path]])
            for name, place in programs.items():
                self._conflict(f"a program was started: {name}", "touches", name, [place])
        return self._effects.read(), list(written), list(programs)

    def _give(self, states: Mapping[str, Any]) -> Given:
        space = self._shell.user_ns
        wanted = {name: space[name] for name in self._plan["wanted"] if name in space}
        if not wanted and not states:
            return Given({}, {}, [], {})
        giver = Giver(self._folder, space, self._tracks)
        given = giver.give({**wanted, **states}, self._taken)
        for name, why in given.refused.items():
            if not self._may_stay(name):
                self._conflict(
                    f"`{name}` cannot be handed on: {why}", "pinned", name, self._makers(name)
                )
        return given

    def _may_stay(self, name: str) -> bool:
        return name in self._plan["optional"]

    def _makers(self, name: str) -> list[int]:
        """Return the last cell that binds a variable, or the last of all."""
        own = self._own(range(len(self._cells)))
        makers = [it for it in own if name in self._cells[it]["writes"]]
        return makers[-1:] or own[-1:]


def _rebound(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    missing = object()
    for name in {**before, **now}:
        is_other = before.get(name, missing) is not now.get(name, missing)
        if is_other and not _MANAGED.fullmatch(name):
            yield name


def _chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that it came from."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _missing_name(error: BaseException, known: Collection[str] | None) -> str:
    """Return the variable that an error may come from, if it looks as if it came from one.

    Libraries that read variables out of their caller's frame, as numexpr does, may fail in any way
    that dictionaries fail in.
    """
    if isinstance(error, UnboundLocalError):
        return ""
    if isinstance(error, NameError):
        found = re.search(r"name '(\w+)'", str(error))
        return error.name or (found.group(1) if found else "")
    looked_up = isinstance(error, KeyError) and len(error.args) == 1 and known is not None
    return error.args[0] if looked_up and isinstance(error.args[0], str) else ""
