"""The part of nbflow that runs inside a notebook's kernel: how a value becomes bytes.

The kernel may belong to another environment, where nbflow is not installed. So
this module imports nothing but the standard library at its top (pandas, numpy and
cloudpickle only where a value needs them), and its *source* can be sent to a kernel and
executed there. The worker and the driver import it in the ordinary way, so there is one
codec on both sides.

Formats, by the type of the value:

========== =====================================================================
``json``    what survives JSON unchanged, type for type (`is_plain_json`)
``parquet`` a `pandas.DataFrame` whose columns Arrow gives back exactly
``npy``     a `numpy.ndarray` (not a subclass, no Python objects inside)
``pickle``  everything else, protocol 5, by cloudpickle where there is one
========== =====================================================================

Truth comes before format: a table that would come back with another type (mixed
objects, named column axes, custom subclasses, units or flags that Parquet does not know) is
pickled instead. What Arrow is trusted with is a list of types known to come back.
"""

import errno
import importlib.util
import io
import itertools
import json
import math
import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

#: The environment variable that names a node's folder for emitted outputs.
OUTPUTS_VARIABLE = "NBFLOW_OUTPUTS"

#: The formats of values, which are also the suffixes of emitted files.
KINDS = frozenset({"json", "parquet", "npy", "pickle"})

_INT64 = 1 << 63

#: Deeper lists and mappings are pickled: JSON codecs recurse, and a list may contain itself.
_DEPTH_LIMIT = 64

#: Errors of a full disk.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: Longest preview of a value, in characters.
_PREVIEW_LENGTH = 80


class Unstorable(TypeError):
    """A value has no form in which it could leave its process."""


def is_plain_json(value: object) -> bool:
    """Whether `value` survives JSON unchanged, type for type.

    Subclasses do not count (a `numpy.float64` is not a `float`), nor do tuples,
    non-finite floats, integers beyond 64 bits, keys that are not `str`, text that UTF-8
    cannot hold (lone surrogates), or what is nested very deeply.
    """
    return _is_plain_json(value, _DEPTH_LIMIT)


def type_name(value: object) -> str:
    """Return the dotted name of the value's type, as people write it."""
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def preview(value: object) -> str:
    """Return a short, one-line text about `value`; never fails, whatever its `__repr__` does."""
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape:
            return " x ".join(str(side) for side in shape)
        text = repr(_trimmed(value, [_PREVIEW_LENGTH]))
        text = " ".join(text[: 4 * _PREVIEW_LENGTH].split())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; a preview must not fail
        return f"<no repr: {type(error).__name__}>"
    # What UTF-8 cannot hold could not be journaled either.
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _PREVIEW_LENGTH else text[: _PREVIEW_LENGTH - 1] + "…"


def _trimmed(value: Any, items_left: "list[int]") -> Any:
    """Return as much of a value as a preview can show: all of it may be gigabytes of text."""
    kind = type(value)
    items_left[0] -= 1
    if items_left[0] < 0:
        return ...
    if kind in (str, bytes, bytearray):
        return value[: 4 * _PREVIEW_LENGTH]
    if kind is dict:
        first = itertools.islice(value.items(), _PREVIEW_LENGTH)
        return {_trimmed(key, items_left): _trimmed(item, items_left) for key, item in first}
    if kind in (list, tuple, set, frozenset):
        return kind(_trimmed(x, items_left) for x in itertools.islice(value, _PREVIEW_LENGTH))
    return value


def dump(value: Any, file: "BinaryIO | io.RawIOBase") -> str:
    """Write `value` to `file` and return the format that was chosen.

    Raises
    ------
    Unstorable
        If the value cannot be pickled; the message names its type and the cause.
    """
    if is_plain_json(value):
        file.writelines(part.encode() for part in _json_parts(value))
        return "json"
    kind = type_name(value)
    if kind in _TABLES and _fits_parquet(value):
        value.to_parquet(_KeptOpen(file), engine="pyarrow")
        return "parquet"
    if kind == "numpy.ndarray" and value.dtype.kind in _NPY_KINDS:
        import numpy as np

        np.save(file, value, allow_pickle=False)
        return "npy"
    _pickle(value, file)
    return "pickle"


def dumps(value: Any) -> tuple[str, bytes]:
    """Return the format and the bytes of `value`; as `dump` otherwise."""
    buffer = io.BytesIO()
    kind = dump(value, buffer)
    return kind, buffer.getvalue()


def load(kind: str, data: bytes) -> Any:
    """Return the value that `dump` wrote. The caller has checked where `data` comes from."""
    if kind == "json":
        return json.loads(data)
    if kind == "parquet":
        import pandas as pd

        return pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    if kind == "npy":
        import numpy as np

        return np.load(io.BytesIO(data), allow_pickle=False)
    if kind == "pickle":
        return pickle.loads(data)
    raise ValueError(f"no value can be loaded from an artifact of kind {kind!r}")


def load_file(kind: str, path: Path) -> Any:
    """Return the value that `dump` wrote to a file, without a second copy of it in memory."""
    if kind == "parquet":
        import pandas as pd

        return pd.read_parquet(path, engine="pyarrow")
    if kind == "npy":
        import numpy as np

        return np.load(path, allow_pickle=False)
    if kind == "pickle":
        with path.open("rb") as file:
            return pickle.load(file)
    return load(kind, path.read_bytes())


def emit(name: str, value: Any) -> Any:
    """Hand `value` on as the node's output `name`, and return it.

    Outside of a run it only returns the value, so that a notebook works by hand, too. The
    last value of a name wins.

    Raises
    ------
    ValueError
        If `name` is not a Python identifier.
    Unstorable
        If the value cannot be stored.
    """
    if not name.isidentifier():
        raise ValueError(f"an output's name must be a Python identifier, not {name!r}")
    place = os.environ.get(OUTPUTS_VARIABLE)
    if place is None:
        return value
    # Hidden until it is whole: the worker ignores names that begin with a dot.
    handle, partial = tempfile.mkstemp(prefix=".", dir=place)
    try:
        with os.fdopen(handle, "wb") as file:
            kind = dump(value, file)
        Path(partial).replace(Path(place, name + "." + kind))
    except BaseException:
        Path(partial).unlink()
        raise
    for other in KINDS - {kind}:
        stale = Path(place, name + "." + other)
        if stale.exists():
            stale.unlink()
    return value


def capture(namespace: Any, names: Any, folder: str) -> None:
    """Dump variables into `folder`, each to its own file, and tell in ``report.json`` how it went.

    A name's entry holds ``file``, ``kind``, ``type`` and ``preview``; or ``type`` and ``error`` if
    the value cannot be stored, or ``no_room`` if the disk cannot take it; or ``near`` (names spelt
    alike) if there is no such variable.
    """
    report = {}
    for position, name in enumerate(names):
        if name in namespace:
            report[name] = _captured(namespace[name], Path(folder), str(position))
        else:
            import difflib

            known = [each for each in namespace if not each.startswith("_")]
            report[name] = {"near": difflib.get_close_matches(name, known)}
    Path(folder, "report.json").write_text(json.dumps(report), encoding="utf-8")


def _captured(value: Any, folder: Path, file_name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": type_name(value)}
    try:
        with (folder / file_name).open("wb") as file:
            kind = dump(value, file)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign reducers raise what they like
        cause = error.__cause__ or error
        full = isinstance(cause, OSError) and cause.errno in _NO_ROOM
        entry["no_room" if full else "error"] = str(cause) or type(error).__name__
        # Half a value only takes room from the next one.
        (folder / file_name).unlink()
        return entry
    entry.update(file=file_name, kind=kind, preview=preview(value))
    return entry


def _is_plain_json(value: Any, depth: int) -> bool:
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is str:
        return _is_utf8(value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(-_INT64 <= value < _INT64)
    if kind is list:
        return depth > 0 and all(_is_plain_json(item, depth - 1) for item in value)
    if kind is dict:
        return depth > 0 and all(
            type(key) is str and _is_utf8(key) and _is_plain_json(item, depth - 1)
            for key, item in value.items()
        )
    return False


def _json_parts(value: Any) -> Iterator[str]:
    """Yield the JSON of a plain value, piece by piece: the whole may not fit beside it."""
    if type(value) is not list and type(value) is not dict:
        yield _json(value)
        return
    left, right = "[]" if type(value) is list else "{}"
    yield left
    separator = ""
    for batch in _batches(value):
        items = batch.values() if type(batch) is dict else batch
        if not any(type(item) is list or type(item) is dict for item in items):
            yield separator + _json(batch)[1:-1]
            separator = ","
            continue
        for key, item in zip(batch, items):  # noqa: B905 - sources run on any Python
            yield separator + (_json(key) + ":" if type(batch) is dict else "")
            yield from _json_parts(item)
            separator = ","
    yield right


def _batches(value: Any) -> Iterator[Any]:
    """Yield a list or a dict in parts of bounded length, of its own type."""
    if type(value) is list:
        for start in range(0, len(value), _BATCH):
            yield value[start : start + _BATCH]
    else:
        items = iter(value.items())
        while batch := dict(itertools.islice(items, _BATCH)):
            yield batch


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


#: Items of a list or a dict that are turned into JSON at once.
_BATCH = 10_000


class _KeptOpen:
    """A file that is to stay open: pyarrow closes what it was given to write to."""

    closed = False

    def __init__(self, file: "BinaryIO | io.RawIOBase") -> None:
        self._file = file
        self._size = 0

    def write(self, data: Any) -> int:
        self._file.write(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Its owner will."""

    def close(self) -> None:
        """Its owner will."""

    def __iter__(self) -> Any:
        """Not to be read; pandas asks whether it could be."""
        raise io.UnsupportedOperation("written only")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TABLES = frozenset({"pandas.DataFrame", "pandas.core.frame.DataFrame"})

#: Booleans, numbers, dates and fixed-width text: no objects, no records.
_NPY_KINDS = frozenset("biufcmMSU")

#: Parquet has no whole seconds.
_PARQUET_UNITS = frozenset({"ms", "us", "ns"})


def _fits_parquet(table: Any) -> bool:
    """Whether Arrow gives `table` back exactly as it was."""
    if importlib.util.find_spec("pyarrow") is None:
        return False
    return (
        not table.attrs
        and table.flags.allows_duplicate_labels
        and _has_plain_columns(table.columns)
        and _has_plain_index(table.index)
        and all(_fits_arrow(table[name].dtype) for name in table.columns)
    )


def _has_plain_columns(columns: Any) -> bool:
    import pandas as pd

    return (
        type(columns) is pd.Index
        and columns.name is None
        and columns.is_unique
        and columns.dtype == pd.Index(["a"]).dtype
        and all(type(name) is str and _is_utf8(name) for name in columns)
    )


def _has_plain_index(index: Any) -> bool:
    import pandas as pd

    if index.name is not None and type(index.name) is not str:
        return False
    if type(index) is pd.DatetimeIndex:
        # A frequency is not stored, and its loss would change later arithmetic on the index.
        return index.freq is None and _fits_arrow(index.dtype)
    if type(index) is pd.RangeIndex:
        return True
    # An index comes back as NumPy's type, or as the text type of this pandas.
    return type(index) is pd.Index and (
        _is_native_number(index.dtype)
        or (index.dtype == pd.Index(["a"]).dtype and _fits_arrow(index.dtype))
    )


def _fits_arrow(dtype: Any) -> bool:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        # Categories of numbers come back as plain numbers.
        categories = dtype.categories
        return len(categories) > 0 and categories.dtype == pd.Index(["a"]).dtype != object
    if isinstance(dtype, pd.StringDtype):
        return dtype.storage == "pyarrow"
    if dtype.kind == "M":
        unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else _unit_of(dtype)
        return unit in _PARQUET_UNITS
    return _is_native_number(dtype) or dtype.name in _NULLABLE


#: pandas' own types of numbers with missing values.
_NULLABLE = frozenset(
    {"boolean", "Float32", "Float64"}
    | {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)


def _is_native_number(dtype: Any) -> bool:
    import numpy as np

    return isinstance(dtype, np.dtype) and dtype.kind in "iubf" and dtype.isnative


def _unit_of(dtype: Any) -> str:
    import numpy as np

    return np.datetime_data(dtype)[0] if isinstance(dtype, np.dtype) else ""


def _pickle(value: Any, file: "BinaryIO | io.RawIOBase") -> None:
    if isinstance(value, io.IOBase):
        _refuse_open_file(value)
    try:
        if importlib.util.find_spec("cloudpickle") is not None:
            import cloudpickle

            cloudpickle.dump(value, file, protocol=5)
        else:
            pickle.dump(value, file, protocol=5)
    except (Exception, SystemExit) as error:
        # Reducers are foreign code and raise what they like (TypeError, RecursionError, …).
        cause = f"{type(error).__name__}: {error}"
        raise Unstorable(
            f"a value of type {type_name(value)} cannot be stored ({cause})"
        ) from error


def _refuse_open_file(value: Any) -> None:
    """Refuse a file that is really open: cloudpickle would hand on a copy in memory instead."""
    try:
        value.fileno()
    except (OSError, ValueError):
        return  # in memory only, or closed
    raise Unstorable(
        f"a value of type {type_name(value)} cannot be stored (it is open: hand on its path)"
    )
