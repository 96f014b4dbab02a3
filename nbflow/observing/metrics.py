"""Metrics for Prometheus: what this process has driven, counted as it happens.

One `Metrics` serves all runs of a process, each watched by a `Watched` of its own. No label names
a run, a node or a worker, so the number of series does not grow with what is run: labels are the
flow's name (see `flows`), and words of nbflow's own (states, reasons, kinds).

Totals stay when a run has ended. How things stand now is computed when somebody asks (`gauges`),
and is of the runs that are driven now.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

from nbflow.core import events as ev
from nbflow.core.findings import Finding
from nbflow.core.run import Run
from nbflow.core.states import RUN_ENDED, FailureKind, LossKind
from nbflow.core.values import artifacts_in
from nbflow.core.view import RunView
from nbflow.observing.flows import FlowLabels
from nbflow.observing.gauges import Gauges, Standing

#: Upper bounds of durations in seconds: from what a warm kernel takes to what runs overnight.
_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
#: Upper bounds of memory in bytes.
_BYTES = tuple(2.0**power for power in range(26, 40, 2))

#: How attempts end -> for which reasons.
_ENDS = {
    "succeeded": ("",),
    "failed": get_args(FailureKind),
    "lost": get_args(LossKind),
    "cancelled": ("",),
}

#: Least time between two looks for stuck nodes, in seconds.
_FINDINGS_S = 5.0


class Metrics:
    """All metrics of a process.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        #: Has all of them, and nothing else.
        self.registry = CollectorRegistry(auto_describe=True)
        self.flows = FlowLabels()
        self._lock = threading.Lock()
        self._standing: dict[str, Standing] = {}
        self._make_totals()
        self.registry.register(Gauges(self.standing, clock))

    def watch(
        self,
        run: Run,
        lease_until: Callable[[], float],
        findings: Callable[[RunView], Iterable[Finding]] = lambda _: (),
    ) -> "Watched":
        """Return what is to be told of a run that is driven from now on.

        Parameters
        ----------
        run
            The run as it stands.
        lease_until
            Reads until when the driver's lease is good, in seconds since the epoch.
        findings
            Says what is wrong with the run. Asked every few seconds.
        """
        flow = self.flows.of(run.graph.spec.name)
        self._begin(flow)
        return Watched(self, flow, lease_until, findings)

    def standing(self) -> list[Standing]:
        """Return how the runs that are driven now stand."""
        with self._lock:
            return list(self._standing.values())

    def stands(self, run: str, standing: Standing | None) -> None:
        """Note how a run stands; None if it is not driven here any more."""
        with self._lock:
            if standing is None:
                self._standing.pop(run, None)
            else:
                self._standing[run] = standing

    def _begin(self, flow: str) -> None:
        """Begin all totals of a flow at zero: a series' first value would be no increase."""
        for total in (
            *(self.retries, self.cpu_seconds, self.cache_hits, self.cache_misses),
            *(self.cache_bytes, self.cache_saved_seconds),
        ):
            total.labels(flow)
        for status in RUN_ENDED:
            self.runs_ended.labels(flow, str(status))
        for outcome, reasons in _ENDS.items():
            for reason in reasons:
                self.attempts_ended.labels(flow, outcome, reason)

    def _make_totals(self) -> None:
        def total(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["flow", *labels], registry=self.registry)

        def spread(name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, ["flow"], buckets=bounds, registry=self.registry)

        self.runs_ended = total("nbflow_runs_ended", "Runs that have ended, by status.", "status")
        self.attempts_ended = total(
            "nbflow_attempts_ended",
            "Attempts that have ended: succeeded, failed, lost or cancelled, and why.",
            "outcome",
            "reason",
        )
        self.retries = total("nbflow_retries", "Attempts that failed and were to be repeated.")
        self.cpu_seconds = total("nbflow_attempt_cpu_seconds", "Processor time of attempts.")
        self.cache_hits = total("nbflow_cache_hits", "Nodes whose result came from another run.")
        self.cache_misses = total(
            "nbflow_cache_misses", "Nodes that ask for the cache, and had to run."
        )
        self.cache_bytes = total(
            "nbflow_cache_bytes", "Sizes of outputs that came from another run."
        )
        self.cache_saved_seconds = total(
            "nbflow_cache_saved_seconds", "Time that nodes had taken whose result was used again."
        )
        self.run_seconds = spread(
            "nbflow_run_duration_seconds",
            "From a run's creation, or its last resume, to its end.",
            _SECONDS,
        )
        self.attempt_seconds = spread(
            "nbflow_attempt_duration_seconds", "From an attempt's start to its end.", _SECONDS
        )
        self.queue_seconds = spread(
            "nbflow_attempt_queue_seconds",
            "From handing an attempt to the cluster to its start on a worker.",
            _SECONDS,
        )
        self.memory_bytes = spread(
            "nbflow_attempt_memory_peak_bytes", "The most memory that an attempt used.", _BYTES
        )


class Watched:
    """Counts what happens in one run. A `Sink`; made by `Metrics.watch`."""

    def __init__(
        self,
        metrics: Metrics,
        flow: str,
        lease_until: Callable[[], float],
        findings: Callable[[RunView], Iterable[Finding]],
    ) -> None:
        self._metrics = metrics
        self._flow = flow
        self._lease_until = lease_until
        self._findings = findings
        self._found: tuple[Finding, ...] = ()
        self._found_at = 0.0
        self._began_at: float | None = None
        self._run = ""

    def happened(self, record: ev.Record, before: Run, after: Run) -> None:
        """Count one event."""
        if self._began_at is None:
            self._began_at = after.created_at if before.epoch == 0 else record.at
        match record.event:
            case ev.RunReopened():
                self._began_at = record.at
            case ev.RunEnded(status=status):
                self._metrics.runs_ended.labels(self._flow, str(status)).inc()
                took_s = record.at - self._began_at
                self._metrics.run_seconds.labels(self._flow).observe(max(0.0, took_s))
            case ev.NodeCached() as event:
                self._cached(event)
            case _:
                self._attempt(record, before)

    def look(self, view: RunView) -> None:
        """Note how the run stands."""
        now = self._metrics.clock()
        if now - self._found_at >= _FINDINGS_S:
            self._found, self._found_at = tuple(self._findings(view)), now
        self._run = view.run.id
        standing = Standing(self._flow, view, self._lease_until(), self._found)
        self._metrics.stands(self._run, standing)

    def close(self) -> None:
        """Count the run no more among those that are driven."""
        self._metrics.stands(self._run, None)

    def _attempt(self, record: ev.Record, before: Run) -> None:
        metrics, flow = self._metrics, self._flow
        match record.event:
            case ev.AttemptScheduled(node=node):
                self._scheduled(before, node)
            case ev.AttemptStarted(node=node, started_at=started_at):
                scheduled_at = before[node].scheduled_at
                if scheduled_at is not None:
                    waited_s = max(0.0, started_at - scheduled_at)
                    metrics.queue_seconds.labels(flow).observe(waited_s)
            case ev.AttemptSucceeded() as event:
                self._ended(event, "succeeded", "")
            case ev.AttemptFailed(reason=reason) as event:
                self._ended(event, "failed", reason.kind)
            case ev.AttemptLost(reason=reason):
                metrics.attempts_ended.labels(flow, "lost", reason.kind).inc()
            case ev.NodeCancelled(attempt=attempt) if attempt:
                metrics.attempts_ended.labels(flow, "cancelled", "").inc()
            case ev.RetryScheduled():
                metrics.retries.labels(flow).inc()

    def _scheduled(self, before: Run, name: str) -> None:
        """Count a miss of the cache, which is asked before a node's first attempt."""
        node = before[name]
        first = not node.failures and not node.losses
        if first and before.graph.nodes[name].policy.cache is not None:
            self._metrics.cache_misses.labels(self._flow).inc()

    def _cached(self, event: ev.NodeCached) -> None:
        metrics, flow = self._metrics, self._flow
        metrics.cache_hits.labels(flow).inc()
        metrics.cache_saved_seconds.labels(flow).inc(max(0.0, event.saved_s))
        artifacts = {it for value in event.outputs.values() for it in artifacts_in(value)}
        metrics.cache_bytes.labels(flow).inc(sum(it.size_bytes for it in artifacts))

    def _ended(self, event: ev.AttemptSucceeded | ev.AttemptFailed, end: str, reason: str) -> None:
        metrics, flow = self._metrics, self._flow
        metrics.attempts_ended.labels(flow, end, reason).inc()
        if event.started_at is not None and event.ended_at is not None:
            took_s = max(0.0, event.ended_at - event.started_at)
            metrics.attempt_seconds.labels(flow).observe(took_s)
        if event.usage is not None:
            metrics.cpu_seconds.labels(flow).inc(max(0.0, event.usage.cpu_s))
            metrics.memory_bytes.labels(flow).observe(event.usage.memory_bytes_peak)
