"""Who observes the runs that this process drives, as the environment of the process asks for.

Metrics, traces and the program's log concern a process, not one run, and a run may be driven by a
process that nobody calls (detached, or resumed by a service). So variables ask for them, which such
processes inherit; the options of the command line set these.

Whatever is missing or cannot be had is told in the log. No run fails for that.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbflow import _logs
from nbflow.cluster import Embedded
from nbflow.cluster.connecting import Target
from nbflow.core.findings import Finding
from nbflow.core.ids import AttemptId
from nbflow.core.run import Run
from nbflow.core.view import RunView
from nbflow.observing import run_log, tracing
from nbflow.observing.recording import Recording, Sink
from nbflow.session.home import Home
from nbflow.session.observers import Observer

if TYPE_CHECKING:
    from nbflow.observing.traces import Traces

_log = logging.getLogger(__name__)

#: The port that serves metrics, and the address that it listens on.
PORT_VARIABLE, HOST_VARIABLE = "NBFLOW_METRICS_PORT", "NBFLOW_METRICS_HOST"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Observation:
    """Who observes one run."""

    observers: tuple[Observer, ...] = ()
    #: The W3C trace context that an attempt hands to its kernel; empty without traces.
    traceparent: Callable[[AttemptId], str] = lambda _: ""


def observation(
    home: Home,
    run: Run,
    epoch: int,
    target: Target,
    environ: MutableMapping[str, str] = os.environ,
) -> Observation:
    """Return who is to observe a run that this process has claimed.

    Parameters
    ----------
    home, run, epoch
        The run as it stands, where it is recorded, and the driver's fence.
    target
        The cluster that it will run on.
    environ
        What asks for observers.
    """
    _logs.speak(environ)
    sinks: list[Sink] = []
    if run_log.is_heard():
        sinks.append(run_log.RunLog())
    metrics = _metrics(home, run, target, environ)
    if metrics is not None:
        sinks.append(metrics)
    traces = _traces(home, run, epoch, environ)
    if traces is not None:
        sinks.append(traces)
    observers = tuple(Recording(home.journal.read, run, epoch, sink) for sink in sinks)
    return Observation(observers) if traces is None else Observation(observers, traces.traceparent)


def _metrics(home: Home, run: Run, target: Target, environ: Mapping[str, str]) -> Sink | None:
    port = _port(environ)
    at_dask = isinstance(target, Embedded) and target.dashboard
    if port is None and not at_dask:
        return None
    try:
        from nbflow.observing import exporting  # lazy: an extra
    except ImportError:
        if port is not None:
            _log.warning(
                "%s asks for metrics, and prometheus_client is not installed. "
                "Install it: pip install 'nbflow[metrics]'",
                PORT_VARIABLE,
            )
        return None
    exporter = exporting.of_this_process()
    if at_dask:
        exporting.join_dask()
    if port is not None:
        address = exporter.serve(environ.get(HOST_VARIABLE) or _LOOPBACK, port)
        if address is None and not at_dask:
            return None
        _log.info("metrics are served at %s", address)
    return exporter.metrics.watch(
        run, lambda: home.journal.row(run.id).lease_until, _findings(home, run)
    )


def _findings(home: Home, run: Run) -> Callable[[RunView], tuple[Finding, ...]]:
    """Return what says what is wrong with a run as it stands in a view."""
    from nbflow.core.diagnosis import Facts, diagnose  # lazy: few runs have metrics
    from nbflow.session.diagnosing import Expectations

    expectations = Expectations(home.folder, home.journal, run.id)

    def found(view: RunView) -> tuple[Finding, ...]:
        now = time.time()
        expected = expectations.of(view.run, None, now)
        return diagnose(Facts(view=view, now=now, expected=expected)).findings

    return found


def _port(environ: Mapping[str, str]) -> int | None:
    text = environ.get(PORT_VARIABLE, "")
    try:
        return int(text) if text else None
    except ValueError:
        _log.warning("no metrics are served: %s=%s is no number", PORT_VARIABLE, text)
        return None


def _traces(home: Home, run: Run, epoch: int, environ: Mapping[str, str]) -> "Traces | None":
    try:
        provider = tracing.provider(environ)
    except ImportError as error:
        _log.warning(
            "%s asks for traces, and OpenTelemetry is not installed (%s). "
            "Install it: pip install 'nbflow[otel]'",
            *(tracing.VARIABLE, error),
        )
        return None
    if provider is None:
        return None
    from nbflow.observing.traces import Traces  # lazy: an extra

    return Traces(
        provider,
        run,
        epoch,
        read=lambda artifact: home.store.get(artifact.digest),
        links=tracing.leading_here(environ),
    )
