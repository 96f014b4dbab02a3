"""Spans of a run, as an exporter gets them."""

import json

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from recorded_run import RecordedRun
from staged_run import node

from nbflow.core import events as ev
from nbflow.core.errors import ArtifactError
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact
from nbflow.observing import tracing
from nbflow.observing.traces import Traces

NOTEBOOK = Artifact("notebook", "sha256:nb", 100)


def executed(*times):
    """A notebook whose cells ran in these spans of seconds; None is a cell that did not."""
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Title"}]
    for span in times:
        told = {"status": "pending", "start_time": None, "end_time": None, "exception": None}
        if span is not None:
            begun, ended = (f"1970-01-01T00:00:{second:02d}.500000+00:00" for second in span[:2])
            told = {"start_time": begun, "end_time": ended, "exception": len(span) > 2}
        metadata = {"papermill": told, "tags": ["x"]}
        cells.append({"cell_type": "code", "metadata": metadata, "outputs": [{"data": {}}]})
    return json.dumps({"cells": cells, "metadata": {}}).encode()


class Traced:
    """A run that is traced."""

    def __init__(self, *nodes, provider=None, notebook=b"", epoch=1, **options):
        self.exporter = InMemorySpanExporter()
        self.provider = provider or TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.run = RecordedRun(*nodes, at=0.0)
        self.notebook = notebook
        self.traces = Traces(
            self.provider,
            self.run.begun,
            epoch,
            read=self.read,
            clock=self.run.clock,
            **options,
        )
        self.observer = self.run.observed_by(self.traces)

    def read(self, artifact):
        assert artifact == NOTEBOOK
        if not self.notebook:
            raise ArtifactError("the artifact is missing")
        return self.notebook

    def spans(self):
        self.observer(self.run.view())
        spans = self.exporter.get_finished_spans()
        self.provider.shutdown()
        return spans

    def named(self):
        return {span.name: span for span in self.spans()}


def seconds(span):
    return span.start_time / 1e9, span.end_time / 1e9


def test_run_node_attempt_cell():
    traced = Traced(node("load"), notebook=executed((3, 5), None, (6, 7, "failed")))
    traced.run.start("load")
    succeeded = ev.AttemptSucceeded("load", 1, 2.0, 9.0, notebook=NOTEBOOK)
    traced.run.do(succeeded)
    spans = traced.named()
    assert list(spans) == ["cell 1", "cell 3", "attempt load", "node load", "run sales"]
    parents = {
        name: next((it.name for it in spans.values() if it.context == span.parent), None)
        for name, span in spans.items()
    }
    assert parents == {
        "cell 1": "attempt load",
        "cell 3": "attempt load",
        "attempt load": "node load",
        "node load": "run sales",
        "run sales": None,
    }
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert seconds(spans["cell 1"]) == (3.5, 5.5)
    assert spans["cell 3"].status.status_code is StatusCode.ERROR
    assert seconds(spans["attempt load"]) == (2.0, 9.0)
    assert spans["attempt load"].attributes["nbflow.worker"] == "tcp://127.0.0.1:9999"
    assert spans["run sales"].attributes["nbflow.run"] == "sales-1"
    assert spans["run sales"].attributes["nbflow.status"] == "succeeded"


def test_every_attempt_has_a_span_and_its_own_end():
    traced = Traced(node("load", retries=1))
    traced.run.start("load").lose("load").fail("load").retry_due("load").succeed("load")
    attempts = [span for span in traced.spans() if span.name == "attempt load"]
    assert [span.attributes["nbflow.attempt"] for span in attempts] == [1, 2, 3]
    told = [span.status.status_code for span in attempts]
    assert told == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    (event,) = attempts[1].events
    assert event.attributes["exception.type"] == "ValueError"
    assert attempts[1].attributes["nbflow.reason"] == "error"


def test_a_node_ends_with_its_last_try():
    traced = Traced(node("load", retries=1))
    traced.run.fail("load").retry_due("load").fail("load")
    (span,) = (it for it in traced.spans() if it.name == "node load")
    assert span.attributes["nbflow.state"] == "failed"
    assert seconds(span)[1] == traced.run.run["load"].ended_at


def test_a_result_of_another_run_is_a_node_without_an_attempt():
    traced = Traced(node("load"))
    traced.run.do(ev.NodeCached("load", Fingerprint(), "sales-0", 5.0))
    spans = traced.named()
    assert list(spans) == ["node load", "run sales"]
    assert spans["node load"].attributes["nbflow.cached"] is True


def test_a_run_that_is_let_go_ends_all_its_spans():
    traced = Traced()
    traced.run.start("load")
    traced.observer(traced.run.view())
    traced.observer.close()
    spans = traced.named()
    assert list(spans) == ["attempt load", "node load", "run sales"]
    assert spans["run sales"].attributes["nbflow.status"] == "interrupted"


@pytest.mark.parametrize("notebook", [b"", b"{", b'{"cells": 3}'])
def test_a_notebook_that_cannot_be_read_costs_only_its_cells(notebook, caplog):
    traced = Traced(node("load"), notebook=notebook)
    traced.run.start("load").do(ev.AttemptSucceeded("load", 1, 3.0, 9.0, notebook=NOTEBOOK))
    assert list(traced.named()) == ["attempt load", "node load", "run sales"]
    assert "no spans for the cells of load#1" in caplog.text


def test_a_kernel_is_handed_the_context_of_its_attempt():
    traced = Traced(node("load"))
    handed = traced.traces.traceparent(AttemptId("sales-1", "load", 1, 1))
    traced.run.succeed("load")
    context = traced.named()["attempt load"].context
    assert handed == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def test_what_is_not_sampled_says_so():
    traced = Traced(node("load"), provider=TracerProvider(sampler=ALWAYS_OFF))
    handed = traced.traces.traceparent(AttemptId("sales-1", "load", 1, 1))
    assert handed.endswith("-00")
    traced.run.succeed("load")
    assert traced.spans() == ()


def test_another_driver_goes_on_in_the_same_trace():
    first, second = Traced(), Traced(epoch=2)
    one, other = (it.named for it in (first, second))
    first.run.succeed("load")
    second.run.succeed("load")
    first.observer(first.run.view())
    second.observer(second.run.view())
    first.observer.close()
    second.observer.close()
    one, other = one()["run sales"].context, other()["run sales"].context
    assert one.trace_id == other.trace_id
    assert one.span_id != other.span_id


def test_two_runs_of_one_process_do_not_mix():
    provider = TracerProvider()
    one = Traced(node("load"), provider=provider)
    other = Traced(node("load"), provider=provider)
    other.traces = Traces(provider, other.run.begun, 7, read=other.read)
    other.observer = other.run.observed_by(other.traces)
    for traced in (one, other):
        traced.run.succeed("load")
        traced.observer(traced.run.view())
    spans = one.exporter.get_finished_spans()
    provider.shutdown()
    assert len({span.context.span_id for span in spans}) == len(spans) == 6


def test_what_led_to_a_run_is_linked():
    provider = TracerProvider()
    variable = f"00-{'a' * 32}-{'b' * 16}-01"
    with provider.get_tracer("caller").start_as_current_span("job") as job:
        links = tracing.leading_here({"TRACEPARENT": variable})
    traced = Traced(node("load"), links=links)
    traced.run.succeed("load")
    linked = [link.context for link in traced.named()["run sales"].links]
    assert [context.span_id for context in linked] == [job.context.span_id, int("b" * 16, 16)]
    provider.shutdown()


@pytest.mark.parametrize("asked", ["", "0", "no"])
def test_nobody_who_has_not_asked_is_traced(asked):
    assert tracing.provider({"NBFLOW_TRACES": asked}) is None


def test_a_provider_that_the_program_has_set_is_used(monkeypatch):
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert tracing.provider({}) is provider
    assert tracing.provider({"NBFLOW_TRACES": "0"}) is None
    provider.shutdown()


def test_a_provider_that_is_switched_off_makes_nothing(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert tracing.provider({"NBFLOW_TRACES": "1"}) is None
    provider.shutdown()
