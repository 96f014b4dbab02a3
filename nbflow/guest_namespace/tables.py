"""Arrays of tables: pandas sees to it itself who sees what, when two tables share memory.

From version 3 on it copies before it writes, so that nobody can see whether memory was shared; only
an array that was taken out of a table, or put into one, shares its memory for all to see.
"""

import gc
import sys
from collections.abc import Container, Mapping
from typing import Any

from nbflow.guest_namespace.graph import Reach
from nbflow.guest_namespace.moving import is_owner, owner_of


def share_apart(one: Any, other: Any, tables: Container[int]) -> bool:
    """Whether copies of two arrays that share memory are as good; `tables` are ids of theirs."""
    of_tables = (id(one) in tables) + (id(other) in tables)
    if of_tables:
        return of_tables == _BOTH and tables_see_to_sharing()
    return owner_of(one) is owner_of(other) and is_owner(owner_of(one)) and is_exact(one, other)


_BOTH = 2


def is_exact(*arrays: Any) -> bool:
    """Whether arrays are nothing but arrays, and hold no objects."""
    return all(
        type(array) is sys.modules["numpy"].ndarray and array.dtype.kind != "O" for array in arrays
    )


def tables_see_to_sharing() -> bool:
    """Whether pandas copies before it writes, so that nobody can see what is shared."""
    return int(sys.modules["pandas"].__version__.partition(".")[0]) >= _COPY_ON_WRITE


_COPY_ON_WRITE = 3


def arrays_of_tables(reach: Reach, variables: Mapping[str, Any]) -> frozenset[int]:
    """Return the ids of arrays whose sharing tables see to: theirs, and what these look into.

    Where one table's memory is looked into from outside, and no other table shares it, that is
    sharing like any other.
    """
    if "numpy" not in sys.modules or "pandas" not in sys.modules:
        return frozenset()
    direct, others = _held_arrays(reach, variables)
    inside = {id(each) for array in direct.values() for each in _chain(array)} - others
    looked_into = set()
    counts: dict[int, int] = {}
    for key in direct.keys() - others:
        root = id(owner_of(direct[key]))
        counts[root] = counts.get(root, 0) + 1
    for array in reach.arrays():
        root = id(owner_of(array))
        if id(array) not in inside and counts.get(root) == 1:
            looked_into.add(root)
    return frozenset(
        id(array)
        for array in reach.arrays()
        if id(array) in inside and id(owner_of(array)) not in looked_into
    )


def _held_arrays(reach: Reach, variables: Mapping[str, Any]) -> tuple[dict[int, Any], set[int]]:
    """Return the arrays that tables hold themselves, by id, and the ids of what others hold."""
    numpy = sys.modules["numpy"]
    direct: dict[int, Any] = {}
    others = {id(value) for value in variables.values()}
    inside = [thing for thing in reach.objects.values() if _is_inside(thing)]
    attributes = {id(part) for it in inside for part in gc.get_referents(it) if type(part) is dict}
    for thing in [it for key, it in reach.objects.items() if key not in attributes]:
        if isinstance(thing, numpy.ndarray):
            held = thing.ravel().tolist() if thing.dtype.kind == "O" else []
            others.update(map(id, held))
        elif not _is_inside(thing):
            others.update(map(id, gc.get_referents(thing)))
        else:
            for part in gc.get_referents(thing):
                values = part.values() if type(part) is dict else [part]
                direct.update({id(it): it for it in values if isinstance(it, numpy.ndarray)})
    return direct, others


def _is_inside(thing: Any) -> bool:
    """Whether `thing` is what tables are made of."""
    pandas = sys.modules["pandas"]
    return type(thing).__module__.startswith(_PANDAS) or isinstance(
        thing, (pandas.Index, pandas.api.extensions.ExtensionArray)
    )


def _chain(array: Any) -> list[Any]:
    """Return an array and those that it looks into."""
    chain = []
    while isinstance(array, sys.modules["numpy"].ndarray):
        chain.append(array)
        array = array.base
    return chain


_PANDAS = (
    "pandas._libs.internals",
    "pandas.core.arrays",
    "pandas.core.indexes",
    "pandas.core.internals",
)
