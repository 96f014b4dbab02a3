"""Real runs, observed from outside: by their log, their metrics and their traces."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

import nbflow
from nbflow.cluster import Embedded
from nbflow.observing import exporting, tracing
from nbflow.observing.metrics import Metrics

FLOW = """
import logging, os, urllib.request
import nbflow

flow = nbflow.Flow("sales")

@flow.task
def load():
    logging.getLogger("nbflow.aside").warning("from the worker")
    return 1

@flow.task
def look(rows=load):
    port, served = os.environ["PORT_OF_METRICS"], ""
    while "\\nnbflow_worker_slots " not in served:  # they follow the journal within a moment
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            served = answer.read().decode()
    return served
"""


@pytest.fixture
def free_port():
    exporter = exporting.Exporter(Metrics())
    address = exporter.serve("127.0.0.1", 0)
    exporter.close()
    return int(address.rsplit(":", 1)[1].split("/")[0])


def nbflow_in(folder, *words, **variables):
    known = {name: it for name, it in os.environ.items() if not name.startswith("NBFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", *words],
        cwd=folder,
        env={**known, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_from_the_command_line(tmp_path, free_port):
    (tmp_path / "flow.py").write_text(FLOW)
    options = ["--metrics-port", str(free_port), "--log-format", "json", "--workers", "1", "--json"]
    port = {"PORT_OF_METRICS": str(free_port)}
    done = nbflow_in(tmp_path, "run", "flow.py:flow", "--run-id", "r1", *options, **port)

    # The log is all that standard error has.
    told = [json.loads(line) for line in done.stderr.splitlines()]
    events = [it["event"] for it in told if it["logger"] == "nbflow.run" and it["node"] == "load"]
    assert events == ["AttemptScheduled", "AttemptStarted", "AttemptSucceeded"]
    (aside,) = (it for it in told if it["logger"] == "nbflow.aside")
    (started,) = (it for it in told if it["event"] == "AttemptStarted" and it["node"] == "load")
    about = ("run", "node", "attempt", "worker")
    assert [aside[name] for name in about] == [started[name] for name in about]
    assert aside["process"] != started["process"]

    # And what the second node saw of the metrics, while it ran.
    served = nbflow.attach("r1", home=tmp_path / ".nbflow")["look"].outputs["result"]
    families = {it.name: it for it in text_string_to_metric_families(served)}
    ended = {it.labels["outcome"]: it.value for it in families["nbflow_attempts_ended"].samples}
    assert ended.keys() == {"succeeded", "failed", "lost", "cancelled"}
    assert families["nbflow_worker_slots"].samples


def test_a_port_that_is_no_port_stops_nothing(tmp_path):
    (tmp_path / "flow.py").write_text(FLOW.split("@flow.task\ndef look", maxsplit=1)[0])
    variables = {"NBFLOW_METRICS_PORT": "http", "NBFLOW_LOG": "text"}
    done = nbflow_in(tmp_path, "run", "flow.py:flow", "--workers", "1", **variables)
    assert "no metrics are served: NBFLOW_METRICS_PORT=http is no number" in done.stderr


@pytest.fixture
def exporter(monkeypatch):
    """What is exported of the runs of this process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "provider", lambda _: provider)
    yield exporter
    provider.shutdown()


def test_a_notebook_goes_on_in_the_trace_of_its_attempt(tmp_path, exporter):
    source = "import os\ncontext = os.environ['TRACEPARENT']"
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(source)], metadata={"kernelspec": spec})
    nbformat.write(notebook, tmp_path / "load.ipynb")
    flow = nbflow.Flow("sales", base_dir=tmp_path)
    flow.notebook("load.ipynb", outputs=["context"])
    run = flow.run(home=tmp_path / "home", workers=1, progress=False)
    handed = run["load"].outputs["context"]
    spans = exporter.get_finished_spans()
    names = [span.name for span in spans]
    assert sorted(names[:3]) == ["attempt load", "cell 0", "node load"]
    (attempt,) = (span.context for span in spans if span.name == "attempt load")
    assert handed == f"00-{attempt.trace_id:032x}-{attempt.span_id:016x}-01"
    (cell,) = (span for span in spans if span.parent == attempt)
    assert cell.end_time > cell.start_time


@pytest.fixture
def exported(monkeypatch):
    """What this process exports, which goes with the test."""
    exporter = exporting.Exporter(Metrics())
    monkeypatch.setattr(exporting, "of_this_process", lambda: exporter)
    yield exporter
    exporter.close()


def test_the_embedded_scheduler_serves_our_metrics_with_its_own(tmp_path, exported):
    flow = nbflow.Flow("sales", base_dir=tmp_path)
    flow.task(waiting, name="01-wait-2", params={"path": str(tmp_path / "seen")})
    cluster = Embedded(workers=1, dashboard=True)
    run = flow.start(home=tmp_path / "home", cluster=cluster)
    while run["01-wait-2"].status != "running" or not exported.metrics.standing():
        run.wait_changed(1.0)
    with urllib.request.urlopen(urljoin(run.view().dashboard, "/metrics")) as answer:
        read = text_string_to_metric_families(answer.read().decode())
        served = {family.name: family for family in read}
    (tmp_path / "seen").touch()
    run.wait()
    assert run.status == "succeeded"
    assert {"nbflow_runs", "nbflow_attempt_duration_seconds", "dask_scheduler_workers"} <= set(
        served
    )
    # And Dask's own read as the flow.
    spent = served["dask_scheduler_tasks_compute_seconds"].samples
    assert {it.labels["task_prefix_name"] for it in spent} >= {"sales/01_wait_2"}


def waiting(path):
    while not Path(path).exists():
        pass
