"""Who observes a run, as the environment asks for."""

import logging
import sys
import time

import pytest
from recorded_run import RecordedRun
from staged_run import node

from nbflow.cluster import Embedded
from nbflow.core.events import RunCreated
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Expected, Policy
from nbflow.observing import exporting, tracing
from nbflow.observing.metrics import Metrics
from nbflow.session.home import Home
from nbflow.session.observing import observation

ATTEMPT = AttemptId("sales-1", "load", 1, 1)


@pytest.fixture
def home(tmp_path):
    home = Home.open(tmp_path / "home")
    yield home
    home.journal.close()


@pytest.fixture
def exported(monkeypatch):
    exporter = exporting.Exporter(Metrics())
    monkeypatch.setattr(exporting, "of_this_process", lambda: exporter)
    yield exporter
    exporter.close()


@pytest.fixture
def observed(home):
    def observed(run=None, cluster="tcp://scheduler:8786", **environ):
        return observation(home, (run or RecordedRun()).begun, 1, cluster, environ)

    return observed


def test_nobody_observes_a_run_unless_asked(observed):
    asked = observed(cluster=Embedded())
    assert asked.observers == ()
    assert asked.traceparent(ATTEMPT) == ""


def test_a_port_asks_for_metrics(observed, exported):
    assert len(observed(NBFLOW_METRICS_PORT="0").observers) == 1


def test_an_embedded_dashboard_has_metrics_beside_it(observed, exported):
    assert len(observed(cluster=Embedded(dashboard=True)).observers) == 1


def test_whoever_hears_of_the_log_is_told_of_events(observed, caplog):
    with caplog.at_level(logging.INFO, "nbflow.run"):
        (observer,) = observed().observers
    assert observer is not None


@pytest.fixture
def own_provider():
    """The provider that this process makes for itself, which goes with the test."""
    yield tracing.provider({"NBFLOW_TRACES": "1"})
    tracing._own().shutdown()
    tracing._own.cache_clear()


def test_traces_give_attempts_a_context(observed, own_provider):
    assert own_provider.resource.attributes["service.name"] == "nbflow"
    asked = observed(NBFLOW_TRACES="1")
    assert len(asked.observers) == 1
    assert asked.traceparent(ATTEMPT).startswith("00-")


@pytest.mark.parametrize(
    ("module", "variable", "extra"),
    [
        ("nbflow.observing.exporting", "NBFLOW_METRICS_PORT", "metrics"),
        ("opentelemetry.sdk.trace", "NBFLOW_TRACES", "otel"),
    ],
)
def test_what_is_not_installed_is_told_and_stops_nothing(
    observed, monkeypatch, caplog, module, variable, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr("nbflow.observing.exporting", raising=False)
    assert observed(**{variable: "1"}).observers == ()
    assert f"Install it: pip install 'nbflow[{extra}]'" in caplog.text
    assert variable in caplog.text


def test_stuck_nodes_are_those_of_the_diagnosis(home, exported):
    spec = node("load")
    slow = type(spec)(name="load", code=spec.code, policy=Policy(expected=Expected(1.0)))
    run = RecordedRun(slow, at=time.time() - 1_000.0)
    run.start("load")
    # As the journal of this home has it, so that it can be read.
    created = RunCreated(run.run.graph.spec, {}, "/out")
    home.journal.create(run.run.id, created, flow="sales", at=run.now)
    epoch = home.journal.claim(run.run.id, "host:1", now=time.time(), ttl_s=30.0)
    home.journal.append(run.run.id, epoch, run.records)
    asked = observation(home, run.begun, 1, "tcp://a:1", {"NBFLOW_METRICS_PORT": "0"})
    (observer,) = asked.observers
    observer(run.view())
    read = exported.metrics.registry.get_sample_value
    assert read("nbflow_stuck_nodes", {"flow": "sales", "kind": "slower_than_expected"}) == 1
    assert 0 < read("nbflow_driver_lease_seconds", {"flow": "sales"}) <= 30
