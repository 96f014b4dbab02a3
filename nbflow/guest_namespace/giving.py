"""What a stage hands on: variables, by groups that share something, each group in a file.

Every file is read again, as another kernel would, and compared with what was written: what merely
pickles need not come back as the same.
"""

import builtins
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nbflow.guest_namespace.carrying import (
    Carrier,
    Receiver,
    Tracks,
    as_a_stranger,
    write_variables,
)
from nbflow.guest_namespace.graph import ATOMS, Place, Reach, module_values, overlapping
from nbflow.guest_namespace.moving import names_of
from nbflow.guest_namespace.parcels import open_parcel
from nbflow.guest_namespace.rules import Unmovable, type_label
from nbflow.guest_namespace.sameness import Different, Sameness
from nbflow.guest_namespace.sharing import Groups
from nbflow.guest_namespace.tables import share_apart

#: So many files of small groups may there be; beyond that, they share files.
_FILES = 16
#: Variables of so many small groups are in one file then.
_BATCH = 256


class Given(NamedTuple):
    """What was written."""

    files: dict[str, str]
    types: dict[str, str]
    #: Pairs of variables, one made here and one taken, that share something.
    shared: list[tuple[str, str]]
    #: Variables that cannot be handed on, and why.
    refused: dict[str, str]


class Giver:
    """Writes variables into files.

    Parameters
    ----------
    folder
        Where to.
    namespace
        The notebook's.
    tracks
        What the kernel knows.
    """

    def __init__(self, folder: Path, namespace: dict[str, Any], tracks: Tracks) -> None:
        self._folder = folder
        self._namespace = namespace
        self._tracks = tracks
        with _no_collections():
            self._places: dict[int, Place] = module_values()
        self._names = known_names(namespace, tracks)
        self._count = 0

    def give(self, variables: Mapping[str, Any], taken: Sequence[tuple[str, Any]]) -> Given:
        """Write `variables`; `taken` are values that came from other stages, with their names."""
        given = Given({}, {}, [], {})
        simple = {name: it for name, it in variables.items() if type(it) in ATOMS}
        others = {name: it for name, it in variables.items() if name not in simple}
        # Two of one name may have been taken, before and after it was changed elsewhere.
        outside = {(name, number): it for number, (name, it) in enumerate(taken)}
        reach = Reach({**others, **outside}, self._namespace, self._places)  # type: ignore[dict-item]
        groups = Groups({**others, **outside}, reach)
        members: dict[Any, list[str]] = {}
        for name in others:
            members.setdefault(groups.leader(name), []).append(name)
        for names in [*_batches(list(simple)), *_batched(list(members.values()), reach)]:
            self._write({name: variables[name] for name in names}, groups, given)
        given.shared.extend(self._pairs(others, outside, groups, given))
        return given

    def _write(self, variables: dict[str, Any], groups: Groups, given: Given) -> None:
        self._count += 1
        path = self._folder / f"variables-{self._count}"
        why = self._written(path, variables, groups)
        if why:
            given.refused.update(self._blamed(variables, why))
            return
        for name, value in variables.items():
            given.files[name] = str(path)
            given.types[name] = type_label(type(value))

    def _written(self, path: Path, variables: dict[str, Any], groups: Groups) -> str:
        """Write a file; return why it is of no use, empty if it is."""
        reach = Reach(variables, self._namespace, self._places)
        tables = groups.tables
        shared = overlapping(reach.arrays(), lambda one, other: share_apart(one, other, tables))
        if shared is not None:
            return "arrays in it share memory, and copies would not"
        carrier = self._carrier(tables)
        try:
            write_variables(path, variables, carrier)
        except Unmovable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - foreign reducers raise what they like
            return f"{type(error).__name__}: {error}"
        return self._copy_is_other(path, variables, tables, reach)

    def _carrier(self, tables: Iterable[int]) -> Callable[..., Carrier]:
        def make(file: Any, **more: Any) -> Carrier:
            return Carrier(
                file,
                self._namespace,
                self._places,
                tables,
                names=self._names,
                tracks=self._tracks,
                **more,
            )

        return make

    def _copy_is_other(
        self, path: Path, variables: dict[str, Any], tables: frozenset[int], reach: Reach
    ) -> str:
        namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        # What was written as it lies in memory is the same, as long as the file is whole.
        trusted = {id(it) for it in reach.arrays() if it.dtype.kind in "biufcmMSUV"}
        with as_a_stranger() as tracks:
            try:
                parcel = open_parcel(path)
                with parcel.stream:
                    copies = Receiver(parcel, namespace, tracks).load()
                namespace.update(copies)
                sameness = Sameness(self._namespace, namespace, self._places, tables, trusted)
                for name, value in variables.items():
                    sameness.check(value, copies[name])
            except Different as error:
                return f"a copy would not be the same ({error})"
            except Exception as error:  # noqa: BLE001 - foreign code again
                return f"a copy cannot be read ({type(error).__name__}: {error})"
        return ""

    def _blamed(self, variables: dict[str, Any], why: str) -> dict[str, str]:
        """Return which of the variables of a group cannot be moved, and why."""
        if len(variables) == 1:
            return dict.fromkeys(variables, why)
        blamed = {}
        for name, value in variables.items():
            path = self._folder / "trial"
            groups = Groups({name: value}, Reach({name: value}, self._namespace, self._places))
            alone = self._written(path, {name: value}, groups)
            if alone:
                blamed[name] = alone
        return blamed or dict.fromkeys(variables, why)

    def _pairs(
        self, made: Mapping[str, Any], taken: Mapping[Any, Any], groups: Groups, given: Given
    ) -> Iterator[tuple[str, str]]:
        ids = {id(value) for value in taken.values()}
        leaders = {key: groups.leader(key) for key in taken}
        for name, value in made.items():
            if id(value) in ids or name not in given.files:
                continue
            for key, leader in leaders.items():
                other = key[0]
                together = given.files.get(other) == given.files[name]
                if leader == groups.leader(name) and other != name and not together:
                    yield name, other


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile, since there is none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def known_names(namespace: dict[str, Any], tracks: Tracks) -> dict[int, tuple[str, ...]]:
    """Return by what is found what a `Carrier` does not copy."""
    names = names_of(namespace)
    names[id(tracks)] = ("tracks",)
    return names


def _batches(names: list[str]) -> Iterator[list[str]]:
    """Yield names in lists of a bounded length; few are alone."""
    size = 1 if len(names) <= _FILES else _BATCH
    for begin in range(0, len(names), size):
        yield names[begin : begin + size]


def _batched(groups: list[list[str]], reach: Reach) -> Iterator[list[str]]:
    """Yield groups as they are, or if there are many, some of them together."""
    del reach
    if len(groups) <= _FILES:
        yield from groups
        return
    for begin in range(0, len(groups), _BATCH):
        yield [name for group in groups[begin : begin + _BATCH] for name in group]
