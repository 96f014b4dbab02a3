"""Where spans go: to the provider that the program has set up, or to one of our own.

A library makes spans for whoever wants them, so a provider that was set globally is used without a
word. ``NBFLOW_TRACES=1`` (``nbflow run --traces``) makes one where there is none: it sends what
OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and so on) say, by OTLP over HTTP.
``NBFLOW_TRACES=0`` wants no traces at all.
"""

import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext

VARIABLE = "NBFLOW_TRACES"

_NO = frozenset({"0", "false", "no", "off"})


def provider(environ: Mapping[str, str]) -> "TracerProvider | None":
    """Return what makes the spans of a run, if anybody wants them.

    Raises
    ------
    ImportError
        If they are asked for, and OpenTelemetry is not installed.
    """
    asked = environ.get(VARIABLE, "").lower()
    # Nobody has set a provider without importing this, which takes time that most runs need not.
    if asked in _NO or not (asked or "opentelemetry.sdk.trace" in sys.modules):
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    known = trace.get_tracer_provider()
    if not isinstance(known, TracerProvider):
        if not asked:
            return None
        known = _own()
    # OTEL_SDK_DISABLED switches all of it off.
    return None if isinstance(known.get_tracer("nbflow"), trace.NoOpTracer) else known


def leading_here(environ: Mapping[str, str]) -> "list[SpanContext]":
    """Return what has led to a run that begins now: the span around it, and ``TRACEPARENT``."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": environ.get("TRACEPARENT", "")}
    handed = trace.get_current_span(TraceContextTextMapPropagator().extract(carrier))
    contexts = (trace.get_current_span().get_span_context(), handed.get_span_context())
    return [context for context in contexts if context.is_valid]


@functools.cache
def _own() -> "TracerProvider":
    """Return the provider that this process makes for itself; it ends with the process."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        # Neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES has a better one.
        resource = resource.merge(Resource({SERVICE_NAME: "nbflow"}))
    made = TracerProvider(resource=resource)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
