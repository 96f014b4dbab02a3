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
objects, named column axes, custom subclasses) is pickled instead.
"""

import importlib.util
import io
import json
import math
import pickle
from typing import Any, BinaryIO

_INT64 = 1 << 63

#: Longest preview of a value, in characters.
_PREVIEW_LENGTH = 80


class Unstorable(TypeError):
    """A value has no form in which it could leave its process."""


def is_plain_json(value: object) -> bool:
    """Whether `value` survives JSON unchanged, type for type.

    Subclasses do not count (a `numpy.float64` is not a `float`), nor do tuples,
    non-finite floats, integers beyond 64 bits, or keys that are not `str`.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind is int:
        return -_INT64 <= value < _INT64  # type: ignore[operator]
    if kind is list:
        return all(is_plain_json(item) for item in value)  # type: ignore[attr-defined]
    if kind is dict:
        pairs = value.items()  # type: ignore[attr-defined]
        return all(type(key) is str and is_plain_json(item) for key, item in pairs)
    return False


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
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return " x ".join(str(side) for side in shape)
    try:
        text = " ".join(repr(value)[: 4 * _PREVIEW_LENGTH].split())
    except Exception as error:  # noqa: BLE001 - foreign code; a preview must not fail a node
        return f"<no repr: {type(error).__name__}>"
    return text if len(text) <= _PREVIEW_LENGTH else text[: _PREVIEW_LENGTH - 1] + "…"


def dump(value: Any, file: BinaryIO) -> str:
    """Write `value` to `file` and return the format that was chosen.

    Raises
    ------
    Unstorable
        If the value cannot be pickled; the message names its type and the cause.
    """
    if is_plain_json(value):
        file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        return "json"
    kind = type_name(value)
    if kind in _TABLES and _fits_parquet(value):
        # Into memory first: pyarrow closes a file object that it was given.
        buffer = io.BytesIO()
        value.to_parquet(buffer, engine="pyarrow")
        file.write(buffer.getbuffer())
        return "parquet"
    if kind == "numpy.ndarray" and not value.dtype.hasobject and value.dtype.names is None:
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


_TABLES = frozenset({"pandas.DataFrame", "pandas.core.frame.DataFrame"})


def _fits_parquet(table: Any) -> bool:
    """Whether Arrow gives `table` back exactly as it was."""
    if importlib.util.find_spec("pyarrow") is None:
        return False
    import pandas as pd

    columns = table.columns
    plain_columns = (
        type(columns) is pd.Index
        and columns.name is None
        and columns.is_unique
        and all(type(name) is str for name in columns)
    )
    index = table.index
    plain_index = type(index) in (pd.RangeIndex, pd.DatetimeIndex) or (
        type(index) is pd.Index and _fits_arrow(index)
    )
    if not plain_columns or not plain_index or table.attrs:
        return False
    # A frequency is not stored, and its loss would change later arithmetic on the index.
    if getattr(index, "freq", None) is not None:
        return False
    return all(_fits_arrow(table[name]) for name in columns)


def _fits_arrow(column: Any) -> bool:
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.api.types.infer_dtype(dtype.categories, skipna=False) in ("string", "integer")
    if dtype == object:
        # All str: anything mixed (also None beside NaN) would come back as something else.
        return False
    return dtype.kind in "iubfM" or isinstance(dtype, pd.StringDtype)


def _pickle(value: Any, file: BinaryIO) -> None:
    try:
        if importlib.util.find_spec("cloudpickle") is not None:
            import cloudpickle

            cloudpickle.dump(value, file, protocol=5)
        else:
            pickle.dump(value, file, protocol=5)
    except Exception as error:
        # Reducers are foreign code and raise what they like (TypeError, RecursionError, …).
        cause = f"{type(error).__name__}: {error}"
        raise Unstorable(
            f"a value of type {type_name(value)} cannot be stored ({cause})"
        ) from error
