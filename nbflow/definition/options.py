"""The policies of a node as people write them: ``retries=2``, ``timeout=600``, ``memory="2GB"``.

One parser for the Python interface and for flow files, so both accept and refuse the
same. Each function raises `Fault` in words; `policy_from` names the option with it.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

from nbflow.core.policies import Limits, Policy, Retry, Timeout
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences

_T = TypeVar("_T")

#: Bytes in one of each unit; units are matched without regard to case.
_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeOptions:
    """Everything that may be written about a node besides its code; None was not written."""

    name: str | None = None
    params: Any = None
    after: Any = ()
    outputs: Any = ()
    kernel: Any = None
    cwd: Any = None
    retries: Any = None
    timeout: Any = None
    memory: Any = None
    priority: Any = None
    resources: Any = None
    continue_on_failure: Any = None


def policy_from(written: Mapping[str, Any], base: Policy) -> tuple[Policy, list[tuple[str, Fault]]]:
    """Return `base` with what is written on top, and the options that could not be used.

    An option replaces the default as a whole. Options that are None are not written.
    """
    changes: dict[str, Any] = {}
    faults: list[tuple[str, Fault]] = []
    for option, value in written.items():
        if value is None:
            continue
        try:
            target, parse = _known_option(option)
            changes[target] = parse(value)
        except Fault as fault:
            faults.append((option, fault))
    return (msgspec.structs.replace(base, **changes) if changes else base), faults


def policy_options(options: NodeOptions) -> dict[str, Any]:
    """Return the part of `options` that is about policies."""
    return {option: getattr(options, option) for option in _POLICY_OPTIONS}


def limits_from(flow: Any, groups: Any) -> tuple[Limits, list[tuple[str, Fault]]]:
    """Return limits on concurrent nodes, and what could not be used of them."""
    faults: list[tuple[str, Fault]] = []
    limit: int | None = None
    by_group: dict[str, int] = {}
    try:
        limit = None if flow is None else parse_limit(flow)
    except Fault as fault:
        faults.append(("flow", fault))
    if not isinstance(groups, Mapping):
        faults.append(("groups", _wrong("limits", "a mapping of groups to numbers", groups)))
        return Limits(flow=limit), faults
    for group, value in groups.items():
        try:
            by_group[str(group)] = parse_limit(value)
        except Fault as fault:
            faults.append(("groups", Fault(f"group {group!r}: {fault.what}", fault.fix)))
    return Limits(flow=limit, groups=by_group), faults


def parse_limit(value: Any) -> int:
    """Return how many nodes may be in flight at once."""
    if not _is_whole(value) or value < 1:
        raise _wrong("a limit of concurrent nodes", "a whole number, 1 or more", value)
    return int(value)


def parse_retries(value: Any) -> Retry:
    """Return a retry policy from a number of retries, its mapping form, or itself."""
    expected = f"a whole number, 0 or more, or a mapping with {_names(Retry)}"
    if isinstance(value, Retry):
        return value
    if _is_whole(value):
        return _built(Retry, {"times": value})
    if isinstance(value, Mapping):
        _refuse_unknown("retries", value, Retry)
        if not _is_whole(value.get("times", 0)):
            raise _wrong("retries: times", "a whole number", value["times"])
        return _built(Retry, _numbers("retries", value))
    raise _wrong("retries", expected, value)


def parse_timeout(value: Any) -> Timeout:
    """Return a timeout from a number of seconds (hard), its mapping form, or itself."""
    if isinstance(value, Timeout):
        return value
    if _is_number(value):
        return _built(Timeout, {"hard": value})
    if isinstance(value, Mapping):
        _refuse_unknown("timeout", value, Timeout)
        return _built(Timeout, _numbers("timeout", value))
    raise _wrong("timeout", f"a number of seconds or a mapping with {_names(Timeout)}", value)


def parse_size(value: Any) -> int:
    """Return a number of bytes: ``2GB`` is 2·10⁹, ``2GiB`` is 2·2³⁰, a number is bytes.

    Raises
    ------
    Fault
        If it is no size, not above 0, or not a whole number of bytes.
    """
    expected = 'a size such as "2GB" or "512MiB", or a whole number of bytes, above 0'
    size: Fraction | None = None
    if _is_whole(value):
        size = Fraction(value)
    elif isinstance(value, str):
        match = _SIZE.fullmatch(value)
        factor = _UNITS.get(match["unit"].lower()) if match else None
        # A Fraction is exact where a float of "0.1TB" would not be.
        size = Fraction(match["number"]) * factor if match and factor else None
    if size is None or size <= 0 or size.denominator != 1:
        raise _wrong("memory", expected, value)
    return int(size)


def parse_priority(value: Any) -> int:
    """Return a priority; higher starts earlier."""
    if not _is_whole(value):
        raise _wrong("priority", "a whole number (higher starts earlier)", value)
    return int(value)


def parse_resources(value: Any) -> dict[str, float]:
    """Return amounts of Dask worker resources."""
    if not isinstance(value, Mapping):
        raise _wrong("resources", "a mapping of resource names to numbers above 0", value)
    for name, amount in value.items():
        if not isinstance(name, str) or not _is_number(amount) or not 0 < amount < math.inf:
            raise _wrong(f"resources: {name}", "a number above 0", amount)
    return {name: float(amount) for name, amount in value.items()}


def parse_flag(value: Any) -> bool:
    """Return `continue_on_failure`."""
    if not isinstance(value, bool):
        raise _wrong("continue_on_failure", "true or false", value)
    return value


def described(value: Any) -> str:
    """Return a value for a message: short things as they are written, others by their kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - characters shown


_POLICY_OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "retries": ("retries", parse_retries),
    "timeout": ("timeout", parse_timeout),
    "memory": ("memory_bytes", parse_size),
    "priority": ("priority", parse_priority),
    "resources": ("resources", parse_resources),
    "continue_on_failure": ("continue_on_failure", parse_flag),
}


def _known_option(option: str) -> tuple[str, Callable[[Any], Any]]:
    if option not in _POLICY_OPTIONS:
        raise Fault(
            f"{option!r} is not a policy",
            sentences(did_you_mean(option, _POLICY_OPTIONS), f"Known: {listed(_POLICY_OPTIONS)}"),
        )
    return _POLICY_OPTIONS[option]


def _wrong(what: str, expected: str, value: Any) -> Fault:
    return Fault(f"{what} must be {expected}, not {described(value)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and not math.isnan(value)


def _names(kind: type[msgspec.Struct]) -> str:
    return ", ".join(field.name for field in msgspec.structs.fields(kind))


def _refuse_unknown(option: str, value: Mapping[Any, Any], kind: type[msgspec.Struct]) -> None:
    known = [field.name for field in msgspec.structs.fields(kind)]
    for key in value:
        if key not in known:
            raise Fault(
                f"{option} has no {key!r}",
                sentences(did_you_mean(str(key), known), f"Known: {', '.join(known)}"),
            )


def _numbers(option: str, value: Mapping[str, Any]) -> dict[str, Any]:
    for key, number in value.items():
        if number is not None and not _is_number(number):
            raise _wrong(f"{option}: {key}", "a number", number)
    return {key: number for key, number in value.items() if number is not None}


def _built(kind: type[_T], arguments: Mapping[str, Any]) -> _T:
    try:
        return kind(**arguments)
    except ValueError as error:
        raise Fault(str(error)) from error
