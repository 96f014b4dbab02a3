"""Which variables have to travel together, since they share something that can be changed.

Where a list is in two variables, two copies of it would be two lists. So variables that share an
object, or memory of arrays, are one group. Functions and classes of the notebook do not make a
group: they are known again wherever they come from (`carrying`); but who holds a part of one
without going through it, or another function with a common closure, belongs to its group.
"""

import enum
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.guest_namespace.carrying import can_be_changed
from nbflow.guest_namespace.graph import Reach, is_array, is_main, memory_span, parts
from nbflow.guest_namespace.tables import arrays_of_tables, tables_see_to_sharing


class Holding:
    """What a variable, function or class holds without going through functions and classes."""

    def __init__(self) -> None:
        #: What can be changed, so that it counts whether there are one or two of it.
        self.objects: dict[int, Any] = {}
        self.arrays: dict[int, Any] = {}
        self.tracked: dict[int, Any] = {}


class Groups:
    """Variables as groups that share something.

    Parameters
    ----------
    variables
        By any keys.
    reach
        All that these consist of.
    """

    def __init__(self, variables: Mapping[Any, Any], reach: Reach) -> None:
        self._reach = reach
        #: Arrays that lie in tables.
        self.tables = arrays_of_tables(reach, variables)
        self._apart = self.tables if self.tables and tables_see_to_sharing() else frozenset()
        self._leader: dict[Any, Any] = {key: key for key in variables}
        self._inside: dict[int, Holding] = {}
        self._users: dict[int, set[Any]] = {}
        self._holders: dict[int, list[Any]] = {}
        self._arrays: dict[int, tuple[Any, list[Any]]] = {}
        for key, value in variables.items():
            self._hold(key, value)
        self._join_by_tracked()
        self._join_by_memory()

    def leader(self, key: Any) -> Any:
        """Return by what the group of a variable is known."""
        while self._leader[key] != key:
            key = self._leader[key]
        return key

    def _join(self, keys: Sequence[Any]) -> None:
        for other in keys[1:]:
            self._leader[self.leader(other)] = self.leader(keys[0])

    def _hold(self, key: Any, value: Any) -> None:
        holding = self._held([value])
        for number in holding.objects:
            holders = self._holders.setdefault(number, [])
            self._join([*holders[:1], key])
            holders.append(key)
        self._note_arrays(holding, [key])
        waiting = list(holding.tracked.values())
        while waiting:
            thing = waiting.pop()
            users = self._users.setdefault(id(thing), set())
            if key not in users:
                users.add(key)
                waiting += self._inside_of(thing).tracked.values()

    def _inside_of(self, tracked: Any) -> Holding:
        found = self._inside.get(id(tracked))
        if found is None:
            found = self._inside[id(tracked)] = self._held(_inner_parts(tracked))
        return found

    def _held(self, values: list[Any]) -> Holding:
        holding = Holding()
        seen: set[int] = set()
        while values:
            thing = values.pop()
            number = id(thing)
            if number in seen or number not in self._reach.objects:
                continue
            seen.add(number)
            if is_tracked(thing):
                holding.tracked[number] = thing
                continue
            if is_array(thing):
                holding.arrays[number] = thing
            if number not in self._apart and can_be_changed(thing):
                holding.objects[number] = thing
            values += _parts_to_share(thing)
        return holding

    def _note_arrays(self, holding: Holding, keys: list[Any]) -> None:
        for number, array in holding.arrays.items():
            self._arrays.setdefault(number, (array, []))[1].extend(keys)

    def _join_by_tracked(self) -> None:
        """Join those that hold a part of a function or class otherwise than through it."""
        inside: dict[int, list[int]] = {}
        for tracked, holding in self._inside.items():
            self._note_arrays(holding, list(self._users[tracked]))
            for number in holding.objects:
                inside.setdefault(number, []).append(tracked)
        for number, holders in inside.items():
            users = [self._users[each] for each in holders]
            everyone = set[Any]().union(*users)
            direct = self._holders.get(number, [])
            if direct or everyone not in users:
                self._join([*direct, *everyone])

    def _join_by_memory(self) -> None:
        spans = sorted(
            ((*memory_span(array), array, keys) for array, keys in self._arrays.values()),
            key=lambda span: span[:2],
        )
        before: list[tuple[int, Any, list[Any]]] = []
        for begin, end, array, keys in spans:
            before = [span for span in before if span[0] > begin]
            for _, other, others in before:
                if not (id(array) in self._apart and id(other) in self._apart):
                    self._join([*others, *keys])
            if end > begin:
                before.append((end, array, keys))


def is_tracked(thing: Any) -> bool:
    """Whether `thing` is known again wherever it comes from."""
    return isinstance(thing, types.FunctionType) or (isinstance(thing, type) and is_main(thing))


def _parts_to_share(thing: Any) -> list[Any]:
    """Return what of `thing` somebody else could hold, too.

    An index never changes. A table's columns are its own, but for arrays of objects, whose items
    anybody may have, and arrays that look into its memory.
    """
    if isinstance(thing, enum.Enum):
        return [type(thing)]
    pandas = sys.modules.get("pandas")
    if pandas is None or not tables_see_to_sharing():
        return parts(thing)
    if isinstance(thing, (pandas.Index, pandas.api.extensions.ExtensionDtype)):
        return []
    if isinstance(thing, pandas.api.extensions.ExtensionArray):
        return (
            [it for it in vars(thing).values() if is_array(it)]
            if hasattr(thing, "__dict__")
            else []
        )
    if not isinstance(thing, (pandas.DataFrame, pandas.Series)):
        return parts(thing)
    own = [it for name, it in vars(thing).items() if name not in _OF_TABLES]
    columns = [block.values for block in thing._mgr.blocks]  # noqa: SLF001 - no public way is free of copies
    held = [it for it in columns if is_array(it)]
    for column in columns:
        if not is_array(column):
            held += _parts_to_share(column)
    return own + held + [thing.attrs]


_OF_TABLES = frozenset({"_mgr", "_item_cache", "_attrs", "_flags", "_name", "_cache"})


def _inner_parts(tracked: Any) -> list[Any]:
    if isinstance(tracked, type):
        # Its dictionary is no object that anybody could hold.
        return [*vars(tracked).values(), *tracked.__bases__]
    return parts(tracked)
