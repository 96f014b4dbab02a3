"""Options for those who watch many runs: metrics, traces, the program's log.

Each is a variable of the environment, set for as long as this command lasts and for what it starts:
detached drivers and workers read the same. Whoever calls a command from Python gets the environment
back as it was.
"""

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from nbflow import _logs
from nbflow.cli.options import Command

_METRICS, _TRACES = "NBFLOW_METRICS_PORT", "NBFLOW_TRACES"


def observing_options(command: Command) -> Command:
    """Add the options; they take effect while they are read."""
    port = click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        metavar="N",
        expose_value=False,
        callback=_setting(_METRICS, needs="prometheus_client", extra="metrics"),
        help=f"Serve metrics for Prometheus on this port of this machine. By default {_METRICS}.",
    )
    traces = click.option(
        "--traces",
        is_flag=True,
        default=None,
        flag_value="1",
        expose_value=False,
        callback=_setting(_TRACES, needs="opentelemetry", extra="otel"),
        help="Send traces to where OpenTelemetry's variables say (OTEL_EXPORTER_OTLP_ENDPOINT).",
    )
    log = click.option(
        "--log-format",
        type=click.Choice(_logs.FORMATS),
        expose_value=False,
        callback=_setting(_logs.VARIABLE),
        help="Log on standard error what happens, instead of progress. By default "
        f"{_logs.VARIABLE}; {_logs.LEVEL_VARIABLE} says how much.",
    )
    return port(traces(log(command)))


def logs_instead() -> bool:
    """Whether the program's log takes the place of progress."""
    return _logs.is_asked_for(os.environ)


def _setting(variable: str, *, needs: str = "", extra: str = "") -> Callable[..., None]:
    """Return what sets `variable` to what an option was given.

    Parameters
    ----------
    variable
        The variable.
    needs, extra
        A package that must be there, and the extra of nbflow that installs it.
    """

    def take(context: click.Context, param: click.Parameter, value: Any) -> None:
        if value is None:
            return
        if needs and importlib.util.find_spec(needs) is None:
            raise click.UsageError(
                f"{param.opts[0]} needs {needs}. Install it: pip install 'nbflow[{extra}]'",
                context,
            )
        context.call_on_close(partial(_put_back, variable, os.environ.get(variable)))
        os.environ[variable] = str(value)
        if not _logs.speaks() and _logs.speak(os.environ):
            context.call_on_close(_logs.hush)

    return take


def _put_back(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
