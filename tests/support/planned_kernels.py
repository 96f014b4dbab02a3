"""Runs the stages of a notebook as planned, each in a namespace of its own, in one process.

What a stage gives is copied as kernels move it: what shares memory together, classes by their
identity, functions with the receiver's variables as their globals.
"""

import contextlib
import copy
import io
import itertools
import random
import sys
import types
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

_GENERATORS = {
    "Python's random generator": (random.getstate, random.setstate),
    "numpy's random generator": (np.random.get_state, np.random.set_state),
}
_ITERATORS = (
    *(type(iter(each)) for each in ([], (), {}, set(), "", b"", range(0), {}.keys(), {}.items())),
    type(reversed([])),
    zip,
    map,
    filter,
    enumerate,
    types.GeneratorType,
    io.TextIOWrapper,
)


class NotMovable(Exception):
    """An iterator or the like was to be moved."""


@dataclass
class Namespace:
    """The variables of one kernel, and which class of it is which elsewhere."""

    names: dict = field(default_factory=lambda: {"__name__": "__main__"})
    classes: dict = field(default_factory=dict)
    generators: dict = field(default_factory=dict)


_TOKENS = itertools.count()


class Copier:
    """Copies variables of one kernel into another; what is copied by one copier shares memory."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.memo = {}
        self._in_tables = 0

    def __call__(self, value):
        table = copy._deepcopy_dispatch
        special = {
            types.FunctionType: self._function,
            type: self._class,
            types.ModuleType: lambda value, _: value,
            np.ndarray: self._array,
            # Their own way to copy tidies up what they have inside.
            pd.DataFrame: self._table,
            pd.Series: self._table,
            **dict.fromkeys(_ITERATORS, _refuse),
        }
        before = {kind: table.get(kind) for kind in special}
        table.update(special)
        try:
            return copy.deepcopy(value, self.memo)
        finally:
            for kind, old in before.items():
                table.pop(kind) if old is None else table.update({kind: old})

    def _function(self, value, memo):
        if value.__globals__ is not self.source.names:
            return value
        cells = tuple(types.CellType() for _ in value.__closure__ or ()) or None
        for at, cell in enumerate(value.__closure__ or ()):
            cells = (*cells[:at], memo.setdefault(id(cell), cells[at]), *cells[at + 1 :])
        made = types.FunctionType(value.__code__, self.target.names, value.__name__, None, cells)
        memo[id(value)] = made
        made.__defaults__ = copy.deepcopy(value.__defaults__, memo)
        made.__kwdefaults__ = copy.deepcopy(value.__kwdefaults__, memo)
        made.__dict__.update(copy.deepcopy(value.__dict__, memo))
        made.__qualname__ = value.__qualname__
        for old, new in zip(value.__closure__ or (), cells or (), strict=True):
            with contextlib.suppress(ValueError):
                inner = old.cell_contents
                if ("filled", id(old)) not in memo:
                    memo["filled", id(old)] = old
                    new.cell_contents = copy.deepcopy(inner, memo)
        return made

    def _class(self, value, memo):
        if value.__module__ != "__main__":
            return value
        token = vars(value).get("__token__")
        if token is None:
            token = next(_TOKENS)
            value.__token__ = token
            self.source.classes[token] = value
        body = {
            name: each
            for name, each in vars(value).items()
            if name not in ("__dict__", "__weakref__", "__doc__")
        }
        made = self.target.classes.get(token)
        if made is None:
            bases = tuple(copy.deepcopy(base, memo) for base in value.__bases__)
            made = type(value)(value.__name__, bases, {"__module__": "__main__"})
            self.target.classes[token] = made
        memo[id(value)] = made
        for name, each in body.items():
            setattr(made, name, self._member(each, memo))
        return made

    def _member(self, each, memo):
        if isinstance(each, property):
            return property(copy.deepcopy(each.fget, memo))
        return copy.deepcopy(each, memo)

    def _table(self, value, memo):
        # What two tables share on the quiet is parted as soon as one of them changes.
        self._in_tables += 1
        try:
            return copy._reconstruct(value, memo, *value.__reduce_ex__(4))
        finally:
            self._in_tables -= 1

    def _array(self, value, memo):
        root = value
        while isinstance(root.base, np.ndarray) and not self._in_tables:
            root = root.base
        if value.dtype.hasobject or root.dtype.hasobject or type(value) is not np.ndarray:
            made = np.ndarray.__deepcopy__(value, memo)
            memo[id(value)] = made
            return made
        key = ("buffer", id(value) if self._in_tables else id(root))
        if key not in memo:
            memo.setdefault(id(memo), []).append(root)
            memo[key] = root.copy(order="K")
        offset = value.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        flat = memo[key].ravel(order="K")
        made = np.ndarray(value.shape, value.dtype, flat, offset, value.strides)
        made.flags.writeable = value.flags.writeable
        memo[id(value)] = made
        return made


def _refuse(value, _memo):
    raise NotMovable(type(value).__name__)


def run_stages(staging, sources, order):
    """Run stages in an order; return what each cell prints, by number, and the namespaces."""
    printed = {}
    kernels = {}
    for place in order:
        kernels[place] = _run_stage(staging.stages[place], kernels, sources, printed)
    return printed, kernels


def _run_stage(stage, kernels, sources, printed):
    kernel = Namespace()
    copiers = {}
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    for cell in stage.spec.cells:
        for name in cell.hides:
            kernel.names.pop(name, None)
        for name in cell.takes:
            _take(kernel, kernels[stage.sources[name]], name, copiers)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), _as_main(kernel):
                exec(compile(sources[cell.number], "<cell>", "exec"), kernel.names)
        except Exception as error:
            error.add_note(f"in cell {cell.number} of the stage {stage.spec.numbers}")
            raise
        if not cell.replayed:
            printed[cell.number] = out.getvalue()
    kernel.generators = {name: get() for name, (get, _) in _GENERATORS.items()}
    return kernel


def _take(kernel, giver, name, copiers):
    if name in _GENERATORS:
        _GENERATORS[name][1](giver.generators[name])
        return
    if name in giver.names:
        copier = copiers.setdefault(id(giver), Copier(giver, kernel))
        kernel.names[name] = copier(giver.names[name])


@contextlib.contextmanager
def _as_main(_kernel):
    # Classes find their module by name.
    yield sys.modules["__main__"]
