"""Traces: a run, its nodes, their attempts and their cells as spans for OpenTelemetry.

::

    run sales                     from the claim of this driver to the end
      node train                  from its first attempt's being scheduled until it has settled
        attempt train             from its start on a worker to its end; one span for each
          cell 3                  as the executed notebook says

A run is one trace, whoever drives it (see `trace_ids`). What had led to it, such as the job that
called ``nbflow run``, is linked to the run's span, not its parent: a run is resumed from elsewhere,
days later, and stays the same trace.

Spans are made in the thread of the observer, after the fact and with the times of the journal.
Names have no run ids in them, so that they can be grouped by; those are attributes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from nbflow._version import __version__
from nbflow.core import events as ev
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.run import Run, settled
from nbflow.core.states import NodeState
from nbflow.core.values import Artifact
from nbflow.core.view import RunView
from nbflow.observing import trace_ids
from nbflow.observing.cell_times import cell_times

_log = logging.getLogger(__name__)

Attributes: TypeAlias = dict[str, AttributeValue]

#: Executed notebooks beyond this size are not read for the times of their cells.
_NOTEBOOK_BYTES = 64 * 2**20


class Traces:
    """Makes the spans of one run while this process drives it. A `Sink`.

    Parameters
    ----------
    provider
        Makes and exports spans.
    run, epoch
        The run as it stood when this driver claimed it, and the driver's fence.
    read
        Reads an artifact; `ArtifactError` if it cannot be read.
    clock
        Seconds since the epoch.
    links
        What had led to the run.
    """

    def __init__(
        self,
        provider: TracerProvider,
        run: Run,
        epoch: int,
        *,
        read: Callable[[Artifact], bytes],
        clock: Callable[[], float] = time.time,
        links: Sequence[SpanContext] = (),
    ) -> None:
        tracer = provider.get_tracer("nbflow", __version__)
        assert isinstance(tracer, Tracer), "a provider that is switched off makes no traces"
        self._tracer = tracer
        # A provider makes one tracer of a name. This one's name is ours alone.
        if not isinstance(tracer.id_generator, trace_ids.GivenIds):
            tracer.id_generator = trace_ids.GivenIds()
        self._ids = tracer.id_generator
        self._id, self._flow, self._epoch = run.id, run.graph.spec.name, epoch
        self._trace = trace_ids.trace_id(run.id)
        self._read = read
        self._clock = clock
        self._links = [Link(context) for context in links]
        self._run_span: Span | None = None
        self._nodes: dict[str, Span] = {}
        self._attempts: dict[str, tuple[AttemptId, Span]] = {}
        sampling = tracer.sampler.should_sample(None, self._trace, self._run_name)
        self._sampled = sampling.decision is Decision.RECORD_AND_SAMPLE

    def traceparent(self, attempt: AttemptId) -> str:
        """Return the context that an attempt hands to its kernel, before its span is made."""
        return trace_ids.traceparent(attempt, sampled=self._sampled)

    def happened(self, record: ev.Record, before: Run, after: Run) -> None:
        """Begin or end spans as an event has it."""
        if self._run_span is None:
            self._begin_run(record.at)
        match record.event:
            case ev.RunEnded(status=status):
                self._end_run(record.at, str(status))
            case ev.AttemptScheduled(node=node):
                self._begin_node(node, record.at)
            case ev.AttemptStarted() as event:
                self._begin_attempt(event.node, event.attempt, event.started_at, event.worker)
            case ev.AttemptSucceeded() | ev.AttemptFailed() as event:
                self._end_attempt(record, event, before)
            case (
                ev.AttemptLost(node=node, reason=reason)
                | ev.AttemptInDoubt(node=node, reason=reason)
            ):
                self._close_attempt(node, record.at, Status(StatusCode.ERROR, reason.message))
            case ev.NodeCancelled(node=node):
                self._close_attempt(node, record.at, Status(StatusCode.ERROR, "cancelled"))
            case ev.NodeCached(node=node):
                self._begin_node(node, record.at)
        if record.node is not None and record.node in after.nodes:
            self._settle(record.node, after, record.at)

    def look(self, view: RunView) -> None:
        """Do nothing: spans are made of events."""

    def close(self) -> None:
        """End what is open: this driver has let go of the run, which can be resumed.

        The provider sends the spans in its own time, at the latest when the process ends: no run
        waits for a collector.
        """
        now = self._clock()
        for name in list(self._attempts):
            self._close_attempt(name, now, Status(StatusCode.ERROR, "interrupted"))
        for name in list(self._nodes):
            self._nodes.pop(name).end(_ns(now))
        self._end_run(now, "interrupted")

    # --- spans --------------------------------------------------------------------------------

    @property
    def _run_name(self) -> str:
        return f"run {self._flow}"

    def _span(
        self, name: str, own: int, parent: Span | None, at: float, attributes: Attributes
    ) -> Span:
        within = trace.set_span_in_context(parent or NonRecordingSpan(trace.INVALID_SPAN_CONTEXT))
        known: Attributes = {"nbflow.run": self._id, "nbflow.flow": self._flow}
        with self._ids.given(self._trace, own):
            return self._tracer.start_span(
                name,
                within,
                attributes={**known, **attributes},
                links=None if parent else self._links,
                start_time=_ns(at),
            )

    def _begin_run(self, at: float) -> None:
        own = trace_ids.run_span_id(self._id, self._epoch)
        self._run_span = self._span(self._run_name, own, None, at, {"nbflow.epoch": self._epoch})

    def _end_run(self, at: float, status: str) -> None:
        span, self._run_span = self._run_span, None
        if span is None:
            return
        span.set_attribute("nbflow.status", status)
        if status != "succeeded":
            span.set_status(Status(StatusCode.ERROR, status))
        span.end(_ns(at))

    def _begin_node(self, node: str, at: float) -> Span:
        if node not in self._nodes:
            own = trace_ids.node_span_id(self._id, node, self._epoch)
            attributes: Attributes = {"nbflow.node": node}
            self._nodes[node] = self._span(f"node {node}", own, self._run_span, at, attributes)
        return self._nodes[node]

    def _settle(self, node: str, run: Run, at: float) -> None:
        """End a node's span once nothing will start the node again in this run."""
        if node not in self._nodes or not settled(run, node, run[node]):
            return
        standing, span = run[node], self._nodes.pop(node)
        span.set_attribute("nbflow.state", str(standing.state))
        span.set_attribute("nbflow.cached", standing.is_cached)
        if standing.reason is not None:
            span.set_attribute("nbflow.reason", standing.reason.kind)
        if standing.state in (NodeState.FAILED, NodeState.CANCELLED):
            message = standing.reason.message if standing.reason else str(standing.state)
            span.set_status(Status(StatusCode.ERROR, message))
        span.end(_ns(at))

    def _begin_attempt(self, node: str, number: int, at: float, worker: str) -> None:
        attempt = AttemptId(self._id, node, number, self._epoch)
        attributes: Attributes = {
            "nbflow.node": node,
            "nbflow.attempt": number,
            "nbflow.worker": worker,
        }
        parent = self._begin_node(node, at)
        own = trace_ids.attempt_span_id(attempt)
        span = self._span(f"attempt {node}", own, parent, at, attributes)
        self._attempts[node] = (attempt, span)

    def _end_attempt(
        self, record: ev.Record, event: ev.AttemptSucceeded | ev.AttemptFailed, before: Run
    ) -> None:
        started_at = event.started_at or record.at
        if event.node not in self._attempts:
            # Its announcement was lost, or it never began.
            worker = before[event.node].worker
            self._begin_attempt(event.node, event.attempt, started_at, worker)
        attempt, span = self._attempts.pop(event.node)
        self._add_cells(attempt, span, event.notebook)
        if event.usage is not None:
            span.set_attribute("nbflow.cpu_s", event.usage.cpu_s)
            span.set_attribute("nbflow.memory_bytes_peak", event.usage.memory_bytes_peak)
        if isinstance(event, ev.AttemptFailed):
            span.set_attribute("nbflow.reason", event.reason.kind)
            _tell_error(span, event, event.ended_at or record.at)
        span.end(_ns(event.ended_at or record.at))

    def _close_attempt(self, node: str, at: float, status: Status) -> None:
        if node in self._attempts:
            _, span = self._attempts.pop(node)
            span.set_status(status)
            span.end(_ns(at))

    def _add_cells(self, attempt: AttemptId, parent: Span, notebook: Artifact | None) -> None:
        if notebook is None or notebook.size_bytes > _NOTEBOOK_BYTES or not parent.is_recording():
            return
        try:
            times = cell_times(self._read(notebook))
        except (ArtifactError, OSError, ValueError) as error:
            _log.warning("no spans for the cells of %s: %s", attempt, error)
            return
        for it in times:
            own = trace_ids.cell_span_id(attempt, it.cell)
            attributes: Attributes = {"nbflow.node": attempt.node, "nbflow.cell": it.cell}
            span = self._span(f"cell {it.cell}", own, parent, it.started_at, attributes)
            if it.failed:
                span.set_status(Status(StatusCode.ERROR))
            span.end(_ns(it.ended_at))


def _tell_error(span: Span, event: ev.AttemptFailed, at: float) -> None:
    """Say on a span what went wrong, as OpenTelemetry tells exceptions."""
    span.set_status(Status(StatusCode.ERROR, event.reason.message))
    if event.error is not None:
        told: Attributes = {
            "exception.type": event.error.type,
            "exception.message": event.error.message,
            "exception.stacktrace": event.error.traceback,
        }
        if event.error.cell is not None:
            told["nbflow.cell"] = event.error.cell
        span.add_event("exception", told, _ns(at))


def _ns(at: float) -> int:
    return int(at * 1e9)
