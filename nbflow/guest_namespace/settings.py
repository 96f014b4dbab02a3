"""What is set in a process besides its variables, where it can be set again exactly.

Each setting is a pair of functions: `read` gives what stands in the kernel now, `write` makes it so
in another one. What they pass is pickled with the variables, since it may refer to them (a
warning's category, a formatter of numbers). Libraries count only where they are loaded.
"""

import decimal
import hashlib
import linecache
import locale
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

#: Variables of nbflow's own, and of the kernel, which each kernel has for itself.
_OWN_VARIABLES = ("NBFLOW_", "JPY_", "IPYKERNEL_")


class Setting(NamedTuple):
    """One thing that can be set: `library` must be loaded for it to be."""

    library: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def read_settings(shell: Any) -> dict[str, Any]:
    """Return all settings, by name."""
    return {
        name: setting.read(shell)
        for name, setting in SETTINGS.items()
        if setting.library in sys.modules
    }


def write_settings(shell: Any, settings: Mapping[str, Any]) -> None:
    """Set everything as `read_settings` gave it."""
    for name, value in settings.items():
        SETTINGS[name].write(shell, value)


def environment_marks() -> dict[str, str]:
    """Return a mark of each environment variable; the variables themselves may be secret."""
    salt = os.urandom(8).hex()
    return {"": salt} | {name: _marked(text, salt) for name, text in os.environ.items()}


def environment_changes(marks: Mapping[str, str]) -> dict[str, str | None]:
    """Return what is set now and was not when the `marks` were taken; None is for what is gone."""
    now = {name: text for name, text in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    changes: dict[str, str | None] = {
        name: text for name, text in now.items() if marks.get(name) != _marked(text, marks[""])
    }
    gone = (name for name in marks if name and name not in os.environ)
    return changes | dict.fromkeys(gone)


def change_environment(changes: Mapping[str, str | None]) -> None:
    """Set what `environment_changes` gave."""
    for name, text in changes.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text
    if "TZ" in changes:
        time.tzset()


def _marked(text: str, salt: str) -> str:
    data = f"{salt}{text}".encode(errors="surrogateescape")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _cwd(_: Any) -> str:
    return os.getcwd()  # noqa: PTH109 - the text itself is the setting


def _path(_: Any) -> list[str]:
    return list(sys.path)


def _set_path(_: Any, wanted: list[str]) -> None:
    sys.path[:] = wanted


def _random_state(_: Any) -> Any:
    return random.getstate()


def _filters(_: Any) -> Any:
    return list(warnings.filters), {
        name: dict(vars(module)["__warningregistry__"])
        for name, module in sys.modules.copy().items()
        if "__warningregistry__" in getattr(module, "__dict__", ())
    }


def _set_filters(_: Any, wanted: Any) -> None:
    filters, registries = wanted
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - as `simplefilter` does
    version = _version_of_filters()
    for name, registry in registries.items():
        if name in sys.modules:
            # What has been warned of once is not to be warned of again.
            registry["version"] = version
            vars(sys.modules[name])["__warningregistry__"] = registry


def _version_of_filters() -> int:
    probe: dict[Any, Any] = {}
    ignoring = ("ignore", None, Warning, None, 0)
    warnings.filters.insert(0, ignoring)  # type: ignore[attr-defined]
    try:
        warnings.warn_explicit("probe", UserWarning, "probe", 1, registry=probe)
    finally:
        del warnings.filters[0]  # type: ignore[attr-defined]
    return int(probe.get("version", 0))


def _decimals(_: Any) -> Any:
    context = decimal.getcontext()
    signals = [
        {kind.__name__: bool(on) for kind, on in it.items()}
        for it in (context.flags, context.traps)
    ]
    return [getattr(context, name) for name in _DECIMAL_FIELDS], signals


def _set_decimals(_: Any, wanted: Any) -> None:
    context = decimal.getcontext()
    values, signals = wanted
    for name, value in zip(_DECIMAL_FIELDS, values, strict=True):
        setattr(context, name, value)
    for target, switches in zip((context.flags, context.traps), signals, strict=True):
        for name, on in switches.items():
            target[getattr(decimal, name)] = on


_DECIMAL_FIELDS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _locale(_: Any) -> str:
    return locale.setlocale(locale.LC_ALL)


def _numbers(_: Any) -> tuple[Any, ...]:
    digits = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
    return sys.getrecursionlimit(), sys.getswitchinterval(), digits


def _set_numbers(_: Any, wanted: tuple[Any, ...]) -> None:
    sys.setrecursionlimit(wanted[0])
    sys.setswitchinterval(wanted[1])
    if wanted[2] is not None:
        sys.set_int_max_str_digits(wanted[2])


def _history(shell: Any) -> Any:
    """Return the count, and the sources of cells, which tracebacks and `inspect` show."""
    names = dict(shell.compile._filename_map)  # noqa: SLF001 - where IPython keeps them
    texts = {name: linecache.cache[name] for name in names if name in linecache.cache}
    return shell.execution_count, names, texts


def _set_history(shell: Any, wanted: Any) -> None:
    shell.execution_count, names, texts = wanted
    shell.compile._filename_map.update(names)  # noqa: SLF001
    linecache.cache.update(texts)


def state_of_loggers() -> dict[str, Any]:
    """Return what is set of each logger, by its name."""
    loggers = {"": logging.root, **logging.Logger.manager.loggerDict}
    return {
        name: (
            logger.level,
            logger.propagate,
            logger.disabled,
            list(map(_handler, logger.handlers)),
        )
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger)
    }


def _handler(handler: logging.Handler) -> Any:
    """Return what a handler is made of, or its type if it cannot be made again."""
    stream = getattr(handler, "stream", None)
    shown = "stderr" if stream is sys.stderr else "stdout" if stream is sys.stdout else ""
    form = handler.formatter
    if type(handler) is not logging.StreamHandler or not shown or handler.filters:
        return type(handler).__qualname__
    if form is not None and type(form) is not logging.Formatter:
        return "StreamHandler with a formatter of its own"
    formats = None if form is None else (form._fmt, form.datefmt, type(form._style).__name__)  # noqa: SLF001
    return (shown, handler.level, formats)


def _set_loggers(_: Any, wanted: dict[str, Any]) -> None:
    now = state_of_loggers()
    for name, (level, propagate, disabled, handlers) in wanted.items():
        logger = logging.getLogger(name or None)
        logger.level, logger.propagate, logger.disabled = level, propagate, disabled
        known = now[name][3] if name in now else []
        if known != handlers[: len(known)]:
            raise ValueError(f"the handlers of logger {name!r} cannot be set again")
        for made in handlers[len(known) :]:
            logger.addHandler(_new_handler(name, made))
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - levels were set behind it


_STYLES: dict[str, Any] = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}


def _new_handler(name: str, made: Any) -> logging.Handler:
    if isinstance(made, str):
        raise ValueError(f"logger {name!r} has a handler that cannot be made again ({made})")  # noqa: TRY004
    shown, level, formats = made
    handler = logging.StreamHandler(getattr(sys, shown))
    handler.setLevel(level)
    if formats is not None:
        text, dates, style = formats
        handler.setFormatter(logging.Formatter(text, dates, _STYLES[style]))
    return handler


def _set_temporary_folder(_: Any, folder: str | None) -> None:
    tempfile.tempdir = folder


def _set_field_size(_: Any, limit: int) -> None:
    sys.modules["csv"].field_size_limit(limit)


def _numpy(_: Any) -> Any:
    numpy = sys.modules["numpy"]
    state = numpy.random.get_state(legacy=False) if "numpy.random" in sys.modules else None
    return state, numpy.geterr(), numpy.get_printoptions()


def _set_numpy(_: Any, wanted: Any) -> None:
    numpy = sys.modules["numpy"]
    state, errors, shown = wanted
    if state is not None:
        numpy.random.set_state(state)
    numpy.seterr(**errors)
    shown = {key: value for key, value in shown.items() if key != "override_repr"}
    numpy.set_printoptions(**shown)


def pandas_options() -> dict[str, Any]:
    """Return all options of pandas, by their full names."""
    options: dict[str, Any] = {}

    def look(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                look(f"{prefix}{name}.", value)
            else:
                options[prefix + name] = value

    look("", sys.modules["pandas._config.config"]._global_config)  # noqa: SLF001 - warns of nothing
    return options


def _set_pandas(_: Any, wanted: dict[str, Any]) -> None:
    now = pandas_options()
    for name, value in wanted.items():
        if name not in now or not (now[name] is value or now[name] == value):
            sys.modules["pandas"].set_option(name, value)


def _sklearn(_: Any) -> Any:
    return sys.modules["sklearn"].get_config()


def _set_sklearn(_: Any, wanted: dict[str, Any]) -> None:
    sys.modules["sklearn"].set_config(**wanted)


def _matplotlib(_: Any) -> Any:
    matplotlib = sys.modules["matplotlib"]
    values = {key: dict.__getitem__(matplotlib.rcParams, key) for key in matplotlib.rcParams}
    backend = matplotlib.get_backend(auto_select=False)
    values.pop("backend")
    values.pop("backend_fallback", None)
    return backend, "matplotlib.pyplot" in sys.modules, values


def _set_matplotlib(shell: Any, wanted: Any) -> None:
    matplotlib = sys.modules["matplotlib"]
    backend, with_pyplot, values = wanted
    if with_pyplot and backend:
        sys.modules["matplotlib.pyplot"].switch_backend(backend)
    for key, value in values.items():
        dict.__setitem__(matplotlib.rcParams, key, value)
    del shell


def _getter(function: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda _: function()


def _setter(function: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    return lambda _, value: function(value)


#: In the order in which they are set: where modules lie before what modules have.
SETTINGS: dict[str, Setting] = {
    "working directory": Setting("os", _cwd, _setter(os.chdir)),
    "path": Setting("sys", _path, _set_path),
    "locale": Setting("locale", _locale, _setter(lambda it: locale.setlocale(locale.LC_ALL, it))),
    "limits": Setting("sys", _numbers, _set_numbers),
    "decimals": Setting("decimal", _decimals, _set_decimals),
    "logging": Setting("logging", _getter(state_of_loggers), _set_loggers),
    "logging switched off": Setting(
        "logging", lambda _: logging.root.manager.disable, _setter(logging.disable)
    ),
    "temporary folder": Setting("tempfile", lambda _: tempfile.tempdir, _set_temporary_folder),
    "size of fields": Setting(
        "csv", lambda _: sys.modules["csv"].field_size_limit(), _set_field_size
    ),
    "numpy": Setting("numpy", _numpy, _set_numpy),
    "pandas": Setting("pandas._config.config", _getter(pandas_options), _set_pandas),
    "sklearn": Setting("sklearn", _sklearn, _set_sklearn),
    "matplotlib": Setting("matplotlib", _matplotlib, _set_matplotlib),
    "history": Setting("IPython", _history, _set_history),
    "warnings": Setting("warnings", _filters, _set_filters),
    # The last: whatever comes before may have drawn a number.
    "random": Setting("random", _random_state, _setter(random.setstate)),
}
