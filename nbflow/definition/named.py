"""Names, and what is beside names, as authors write them."""

from collections.abc import Iterable, Mapping
from typing import Any

from nbflow.definition.faults import Fault, described
from nbflow.definition.references import Node


def mapping_of(option: str, written: Any) -> Mapping[str, Any]:
    """Return a mapping of names to anything; an empty one if nothing is written."""
    if written is None:
        return {}
    if not isinstance(written, Mapping):
        raise Fault(f"{option} must be a mapping of names to values, not {described(written)}")
    for name in written:
        if not isinstance(name, str):
            raise Fault(f"{option} has the name {described(name)}, which is not text", "Quote it")
    return written


def names_of(option: str, written: Any, owner: object = None) -> tuple[str, ...]:
    """Return the names in a list of names or, where `owner` is given, of its nodes."""
    if written is None:
        return ()
    if isinstance(written, (str, Node)):
        written = (written,)
    wanted = "names" if owner is None else "nodes or their names"
    if not isinstance(written, Iterable) or isinstance(written, Mapping):
        raise Fault(f"{option} must be a list of {wanted}, not {described(written)}")
    names: dict[str, None] = {}
    for item in written:
        if isinstance(item, Node) and owner is not None:
            if item.owner is not owner:
                raise Fault(f"{option} names {item!r}, which belongs to another flow")
            names[item.name] = None
        elif isinstance(item, str):
            names[item] = None
        else:
            raise Fault(f"{option} must be a list of {wanted}, but has {described(item)}")
    return tuple(names)
