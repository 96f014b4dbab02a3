"""Find what the tables say of a function, a method, or an attribute."""

import functools

from nbflow.core.cells.effects import arrays, plots, python, standard, tables
from nbflow.core.cells.effects.language import SELF, Effect, Library, Type

_LIBRARIES: dict[str, Library] = {
    library.module: library
    for library in (
        python.BUILTINS,
        *standard.STANDARD,
        *arrays.LIBRARIES,
        *tables.LIBRARIES,
        *plots.LIBRARIES,
    )
}
_TYPES: dict[str, Type] = {
    each.name: each
    for each in (*python.TYPES, *standard.TYPES, *arrays.TYPES, *tables.TYPES, *plots.TYPES)
}
#: Packages of which at least one module is listed.
_PACKAGES = frozenset(name.partition(".")[0] for name in _LIBRARIES)
#: What nothing is known of: it may change its receiver and all its arguments, and hold them.
UNKNOWN = Effect(result="view", mutates=(SELF,), stores=True)


def is_known_module(name: str) -> bool:
    """Whether the tables speak of a module, or of modules inside it."""
    return name.partition(".")[0] in _PACKAGES


@functools.cache
def function_effect(name: str) -> Effect | None:
    """Return the effect of calling what has this full dotted name; None if it is unknown."""
    library, rest = _library_of(name)
    if library is None:
        return None
    return library.functions.get(rest, library.default)


@functools.cache
def module_object(name: str) -> str | None:
    """Return the type of the object with this full dotted name; None if it is no such object."""
    library, rest = _library_of(name)
    return None if library is None else library.objects.get(rest)


def is_module(name: str) -> bool:
    """Whether this is the full name of a listed module, or of a package of listed modules."""
    return name in _LIBRARIES or any(known.startswith(f"{name}.") for known in _LIBRARIES)


@functools.cache
def out_keywords(name: str) -> tuple[str, ...]:
    """Return the keywords by which a function of this full name is given what it changes."""
    library, _ = _library_of(name)
    return () if library is None else library.out


def type_named(name: str) -> Type | None:
    """Return the type of that name, if there is one."""
    return _TYPES.get(name)


@functools.cache
def method_effects(type_name: str, method: str) -> tuple[Effect, ...]:
    """Return what a call of a method may do: several effects if the type is not known.

    Nothing at all means that nothing is known of it.
    """
    if type_name:
        known = _TYPES.get(type_name)
        effect = None if known is None else known.methods.get(method, known.default)
        return () if effect is None else (effect,)
    found = [each.methods[method] for each in _TYPES.values() if method in each.methods]
    return tuple(dict.fromkeys(found))


@functools.cache
def attribute_type(type_name: str, attribute: str) -> str | None:
    """Return the type of a value's attribute; None if it is not known."""
    known = _TYPES.get(type_name)
    return None if known is None else known.attributes.get(attribute)


def _library_of(name: str) -> tuple[Library | None, str]:
    """Return the innermost listed module that a full name lies in, and the rest of the name."""
    module = name
    while module:
        module, _, _ = module.rpartition(".")
        if module in _LIBRARIES:
            return _LIBRARIES[module], name[len(module) + 1 :]
    return None, name
