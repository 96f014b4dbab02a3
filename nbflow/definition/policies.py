"""Single policies as people write them: ``retries=2``, ``timeout=600``, ``memory="2GB"``.

One parser for the Python interface and for flow files, so that both accept and refuse the same.
Each function raises `Fault` in words.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from nbflow.core.policies import Cache, Expected, OutputLimit, Retry, Timeout
from nbflow.definition.durations import parse_duration
from nbflow.definition.faults import Fault, did_you_mean, sentences, wrong
from nbflow.definition.sizes import parse_size

_T = TypeVar("_T")

#: The niceness that yields to everybody. Below 0 is for administrators.
_NICEST = 19


def parse_limit(value: Any) -> int:
    """Return how many nodes may be in flight at once."""
    if not _is_whole(value) or value < 1:
        raise wrong("a limit of concurrent nodes", "a whole number, 1 or more", value)
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
            raise wrong("retries: times", "a whole number", value["times"])
        return _built(Retry, _numbers("retries", value))
    raise wrong("retries", expected, value)


def parse_timeout(value: Any) -> Timeout:
    """Return a timeout from a number of seconds (hard), its mapping form, or itself."""
    if isinstance(value, Timeout):
        return value
    if _is_number(value):
        return _built(Timeout, {"hard": value})
    if isinstance(value, Mapping):
        _refuse_unknown("timeout", value, Timeout)
        return _built(Timeout, _numbers("timeout", value))
    raise wrong("timeout", f"a number of seconds or a mapping with {_names(Timeout)}", value)


def parse_memory(value: Any) -> int:
    """Return the bytes that a node's processes may use."""
    return parse_size("memory", value)


def parse_output_limit(value: Any) -> OutputLimit:
    """Return a limit of output from a size (of each cell), False (none), a mapping, or itself.

    Whoever allows one cell more than a whole notebook may keep by default means the notebook, too.
    """
    if isinstance(value, OutputLimit):
        return value
    if value is False:
        return OutputLimit(cell=None, notebook=None)
    if not isinstance(value, Mapping):
        instead = f", or false for no limit, or a mapping with {_names(OutputLimit)}"
        return _output_limit(cell=parse_size("output_limit", value, instead=instead))
    _refuse_unknown("output_limit", value, OutputLimit)
    written = {key: part for key, part in value.items() if part is not None}
    then = written.pop("then", "truncate")
    if then not in ("truncate", "fail"):
        raise wrong("output_limit: then", "truncate or fail", then)
    sizes = {key: _size_or_false(f"output_limit: {key}", part) for key, part in written.items()}
    return msgspec.structs.replace(_output_limit(**sizes), then=then)


def parse_cpus(value: Any) -> int:
    """Return how many cores a node has for itself."""
    if not _is_whole(value) or value < 1:
        raise wrong("cpus", "a whole number of cores, 1 or more", value)
    return int(value)


def parse_nice(value: Any) -> int:
    """Return by how much a node's processes yield to others."""
    if not _is_whole(value) or not 0 <= value <= _NICEST:
        raise wrong("nice", f"a whole number from 0 to {_NICEST} (higher yields more)", value)
    return int(value)


def parse_start_timeout(value: Any) -> float:
    """Return the seconds until a kernel must have answered."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise wrong("start_timeout", "a number of seconds above 0", value)
    return float(value)


def parse_priority(value: Any) -> int:
    """Return a priority; higher starts earlier."""
    if not _is_whole(value):
        raise wrong("priority", "a whole number (higher starts earlier)", value)
    return int(value)


def parse_resources(value: Any) -> dict[str, float]:
    """Return amounts of Dask worker resources."""
    if not isinstance(value, Mapping):
        raise wrong("resources", "a mapping of resource names to numbers above 0", value)
    for name, amount in value.items():
        if not isinstance(name, str) or not _is_number(amount) or not 0 < amount < math.inf:
            raise wrong(f"resources: {name}", "a number above 0", amount)
    return {name: float(amount) for name, amount in value.items()}


def parse_flag(value: Any, option: str = "continue_on_failure") -> bool:
    """Return what is true or false."""
    if not isinstance(value, bool):
        raise wrong(option, "true or false", value)
    return value


def parse_effect(value: Any) -> Literal["idempotent", "at_most_once"]:
    """Return whether an attempt may be repeated of which nobody knows what became of it."""
    match value:
        case "idempotent":
            return "idempotent"
        case "at_most_once":
            return "at_most_once"
    raise wrong("effect", "idempotent or at_most_once", value)


def parse_cache(value: Any) -> Cache | None:
    """Return a cache policy from true or false, how long results are good, a mapping, or itself."""
    if isinstance(value, Cache):
        return value
    if isinstance(value, bool):
        return Cache() if value else None
    if not isinstance(value, Mapping):
        instead = f", or true or false, or a mapping with {_names(Cache)}"
        return Cache(ttl=parse_duration("cache", value, instead=instead))
    _refuse_unknown("cache", value, Cache)
    ttl = value.get("ttl")
    jitter = _numbers("cache", {"jitter": value.get("jitter")})
    seconds = None if ttl is None else parse_duration("cache: ttl", ttl)
    return _built(Cache, {"ttl": seconds, **jitter})


def parse_checkpoint(value: Any) -> float | None:
    """Return the seconds after which a notebook's variables are kept; false is none by time."""
    if value is False:
        return None
    return parse_duration("checkpoint", value, instead=", or false")


def parse_expected(value: Any) -> Expected | None:
    """Return an expectation from a duration, its mapping form, or itself; false is none."""
    if isinstance(value, Expected):
        return value
    if value is False:
        return None
    if not isinstance(value, Mapping):
        instead = f", or false, or a mapping with {_names(Expected)}"
        return Expected(parse_duration("expected", value, instead=instead))
    _refuse_unknown("expected", value, Expected)
    if value.get("seconds") is None:
        raise Fault("expected has no seconds", "Write how long the node is expected to run")
    seconds = parse_duration("expected: seconds", value["seconds"])
    factor = _numbers("expected", {"factor": value.get("factor")})
    return _built(Expected, {"seconds": seconds, **factor})


def _output_limit(**written: int | None) -> OutputLimit:
    limit = msgspec.structs.replace(OutputLimit(), **written)
    if "notebook" in written or limit.cell is None or limit.notebook is None:
        return limit
    return msgspec.structs.replace(limit, notebook=max(limit.cell, limit.notebook))


def _size_or_false(what: str, value: Any) -> int | None:
    return None if value is False else parse_size(what, value, instead=", or false for no limit")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and not math.isnan(value)


def _names(kind: type[msgspec.Struct]) -> str:
    return ", ".join(_fields(kind))


def _fields(kind: type[msgspec.Struct]) -> Iterable[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _refuse_unknown(option: str, value: Mapping[Any, Any], kind: type[msgspec.Struct]) -> None:
    for key in value:
        if key not in _fields(kind):
            raise Fault(
                f"{option} has no {key!r}",
                sentences(did_you_mean(str(key), _fields(kind)), f"Known: {_names(kind)}"),
            )


def _numbers(option: str, value: Mapping[str, Any]) -> dict[str, Any]:
    for key, number in value.items():
        if number is not None and not _is_number(number):
            raise wrong(f"{option}: {key}", "a number", number)
    return {key: number for key, number in value.items() if number is not None}


def _built(kind: type[_T], arguments: Mapping[str, Any]) -> _T:
    try:
        return kind(**arguments)
    except ValueError as error:
        raise Fault(str(error)) from error
