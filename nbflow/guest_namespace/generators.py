"""The global random generators: their states travel from stage to stage like variables.

They are known by the words that `nbflow.core.cells` has for them.
"""

import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Generator(NamedTuple):
    """A generator, which is there once its library is loaded."""

    library: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    #: Something that can be compared, of a state.
    mark: Callable[[Any], Any]


def generator_marks() -> dict[str, Any]:
    """Return a mark of the state of each generator that is there, by its name."""
    return {
        name: it.mark(it.read()) for name, it in GENERATORS.items() if it.library in sys.modules
    }


def _numpy_mark(state: Any) -> Any:
    inner = {key: _plain(value) for key, value in state["state"].items()}
    return inner, {key: value for key, value in state.items() if key != "state"}


def _plain(value: Any) -> Any:
    return value.tobytes() if hasattr(value, "tobytes") else value


def _numpy_state() -> Any:
    return sys.modules["numpy.random"].get_state(legacy=False)


#: By the names that the analysis gives them.
GENERATORS: dict[str, Generator] = {
    "Python's random generator": Generator(
        "random", random.getstate, random.setstate, lambda state: state
    ),
    "numpy's random generator": Generator(
        "numpy.random",
        _numpy_state,
        lambda state: sys.modules["numpy.random"].set_state(state),  # noqa: PLW0108 - of later
        _numpy_mark,
    ),
    "torch's random generator": Generator(
        "torch",
        lambda: sys.modules["torch"].get_rng_state(),  # noqa: PLW0108 - of later
        lambda state: sys.modules["torch"].set_rng_state(state),  # noqa: PLW0108 - of later
        lambda state: state.numpy().tobytes(),
    ),
}
