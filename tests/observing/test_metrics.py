"""What is counted of runs, and what stands at the moment."""

import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString
from recorded_run import RecordedRun
from staged_run import node

from nbflow.core import events as ev
from nbflow.core.attempts import KernelPool, WorkerState
from nbflow.core.findings import Finding, FindingKind
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Cache, Policy
from nbflow.core.usage import Usage, UsageSum
from nbflow.core.values import Artifact
from nbflow.core.view import RunView
from nbflow.observing.exporting import Exporter
from nbflow.observing.flows import OTHERS
from nbflow.observing.metrics import Metrics


class Scene:
    """A run, watched by metrics; each question comes after a look."""

    def __init__(self, *nodes, findings=lambda _: (), metrics=None, **options):
        self.run = RecordedRun(*nodes, **options)
        self.metrics = metrics or Metrics(self.run.clock)
        watched = self.metrics.watch(self.run.begun, lambda: self.run.now + 20.0, findings)
        self.observer = self.run.observed_by(watched)
        self.telemetry = {}

    def __call__(self, name, **labels):
        view = self.run.view()
        self.observer(
            RunView(view.run, view.progress, driven=view.driven, **self.telemetry),
        )
        return self.metrics.registry.get_sample_value(name, labels)


def test_nodes_and_runs_by_state():
    scene = Scene()
    scene.run.succeed("load").start("left")
    assert scene("nbflow_runs", status="running") == 1
    assert scene("nbflow_node_runs", flow="sales", state="running", reason="") == 1
    assert scene("nbflow_node_runs", flow="sales", state="ready", reason="") == 1
    assert scene("nbflow_queue_length", flow="sales") == 1
    assert scene("nbflow_kernels", flow="sales") == 1
    scene.run.fail("left", kind="timed_out")
    assert scene("nbflow_node_runs", flow="sales", state="failed", reason="timed_out") == 1
    skipped = {"flow": "sales", "state": "skipped", "reason": "upstream_failed"}
    assert scene("nbflow_node_runs", **skipped) == 2


def test_a_run_that_is_let_go_leaves_its_totals_alone():
    scene = Scene(node("load"))
    scene.run.succeed("load")
    assert scene("nbflow_runs", status="succeeded") == 1
    scene.observer.close()
    gone = scene.metrics.registry.get_sample_value
    assert gone("nbflow_runs", {"status": "succeeded"}) is None
    assert gone("nbflow_node_runs", {"flow": "sales", "state": "succeeded", "reason": ""}) is None
    assert gone("nbflow_runs_ended_total", {"flow": "sales", "status": "succeeded"}) == 1


def test_attempts_by_how_they_ended():
    scene = Scene(node("load", retries=1))
    scene.run.start("load").lose("load").fail("load").retry_due("load").succeed("load")
    ended = {"flow": "sales"}
    name = "nbflow_attempts_ended_total"
    assert scene(name, **ended, outcome="lost", reason="worker_lost") == 1
    assert scene(name, **ended, outcome="failed", reason="error") == 1
    assert scene(name, **ended, outcome="succeeded", reason="") == 1
    assert scene("nbflow_retries_total", **ended) == 1
    # Each event takes a second, and an attempt ends a second after it was last heard of.
    assert scene("nbflow_attempt_duration_seconds_count", **ended) == 2
    assert scene("nbflow_attempt_duration_seconds_sum", **ended) == 4
    assert scene("nbflow_attempt_queue_seconds_count", **ended) == 3
    assert scene("nbflow_run_duration_seconds_count", **ended) == 1
    assert scene("nbflow_run_duration_seconds_sum", **ended) == scene.run.now - 1_000


def test_what_attempts_have_used():
    scene = Scene(node("load"))
    scene.run.start("load")
    standing = scene.run.run["load"]
    usage = UsageSum(samples=3, cpu_s=7.5, memory_bytes_peak=3 * 2**30)
    times = (standing.started_at, standing.started_at + 9)
    scene.run.do(ev.AttemptSucceeded("load", 1, *times, usage=usage))
    assert scene("nbflow_attempt_cpu_seconds_total", flow="sales") == 7.5
    peak = "nbflow_attempt_memory_peak_bytes_bucket"
    assert scene(peak, flow="sales", le=floatToGoString(2.0**30)) == 0
    assert scene(peak, flow="sales", le=floatToGoString(2.0**32)) == 1


def test_what_nodes_and_workers_are_like_now():
    scene = Scene(node("load"), node("done"))
    scene.run.start("load").succeed("done")
    sample = Usage(at=0.0, cpu_percent=150.0, memory_bytes=1000)
    scene.telemetry["usage"] = {"load": (Usage(at=0.0), sample), "done": (sample,)}
    scene.telemetry["workers"] = (
        WorkerState(address="tcp://a", threads=4, kernels=KernelPool(2, 5, 1, 0)),
        WorkerState(address="tcp://b", threads=2, paused=True),
    )
    assert scene("nbflow_used_cores", flow="sales") == 1.5
    assert scene("nbflow_used_memory_bytes", flow="sales") == 1000
    assert scene("nbflow_workers", state="ready") == 1
    assert scene("nbflow_workers", state="paused") == 1
    assert scene("nbflow_worker_slots") == 6
    assert scene("nbflow_kernel_pool_idle") == 2
    assert scene("nbflow_kernel_starts", how="ready") == 5
    assert scene("nbflow_kernel_starts", how="forked") == 1


def test_the_cache():
    cached = Policy(cache=Cache())
    nodes = [node("load"), node("clean")]
    scene = Scene(*(type(it)(name=it.name, code=it.code, policy=cached) for it in nodes))
    outputs = {"rows": Artifact("json", "sha256:1", 400), "more": Artifact("json", "sha256:2", 100)}
    scene.run.do(ev.NodeCached("load", Fingerprint(), "sales-0", 12.5, outputs))
    scene.run.start("clean").lose("clean").succeed("clean")
    assert scene("nbflow_cache_hits_total", flow="sales") == 1
    assert scene("nbflow_cache_saved_seconds_total", flow="sales") == 12.5
    assert scene("nbflow_cache_bytes_total", flow="sales") == 500
    # Its second attempt is no second miss.
    assert scene("nbflow_cache_misses_total", flow="sales") == 1


def test_the_oldest_of_the_queue_and_the_lease():
    scene = Scene()
    scene.run.queue("load")
    scene.run.now += 40
    assert scene("nbflow_queue_oldest_seconds", flow="sales") == 40
    assert scene("nbflow_driver_epoch", flow="sales") == 1
    assert scene("nbflow_driver_lease_seconds", flow="sales") == 20
    # Nobody has looked since: the driver may be stopped.
    scene.run.now += 30
    left = scene.metrics.registry.get_sample_value
    assert left("nbflow_driver_lease_seconds", {"flow": "sales"}) == -10


def test_only_what_is_stuck_counts_as_stuck():
    kinds = {FindingKind.SLEEPING: "stuck", FindingKind.QUEUED: "waiting"}
    found = [
        Finding(node=f"n{number}", kind=kind, severity=severity, summary="")
        for number, (kind, severity) in enumerate([*kinds.items(), *kinds.items()])
    ]
    scene = Scene(findings=lambda _: found)
    assert scene("nbflow_stuck_nodes", flow="sales", kind="sleeping") == 2
    assert scene("nbflow_stuck_nodes", flow="sales", kind="queued") is None


def test_no_label_names_a_run_a_node_or_a_worker():
    metrics = Metrics()
    for number in range(300):
        one = {"name": f"flow{number}", "run_id": f"run{number}"}
        scene = Scene(node(f"n{number}"), metrics=metrics, **one)
        scene.run.succeed(f"n{number}")
        assert scene("nbflow_runs", status="succeeded") == number + 1
    families = list(metrics.registry.collect())
    labels = {name for family in families for it in family.samples for name in it.labels}
    assert labels == {"flow", "state", "status", "reason", "outcome", "le"}
    flows = {it.labels.get("flow") for family in families for it in family.samples} - {None}
    assert len(flows) == 101
    assert OTHERS in flows


@pytest.fixture
def exporter():
    exporter = Exporter(Metrics())
    yield exporter
    exporter.close()


def families_at(address):
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        return {it.name for it in text_string_to_metric_families(answer.read().decode())}


def test_a_port_serves_our_metrics_and_nothing_else(exporter):
    address = exporter.serve("127.0.0.1", 0)
    assert exporter.serve("127.0.0.1", 0) == address
    names = families_at(address)
    assert {"nbflow_runs", "nbflow_attempts_ended"} <= names
    assert all(name.startswith("nbflow_") for name in names)


def test_a_port_that_is_taken_is_told_and_harms_nothing(exporter, caplog):
    address = exporter.serve("127.0.0.1", 0)
    port = int(address.rsplit(":", 1)[1].split("/")[0])
    assert exporter.serve("127.0.0.1", port) is None
    assert f"port {port} of 127.0.0.1 cannot be had" in caplog.text


def test_another_registry_serves_them_as_well(exporter):
    registry = CollectorRegistry(auto_describe=True)
    exporter.join(registry)
    exporter.join(registry)
    assert "nbflow_runs" in {family.name for family in registry.collect()}
    exporter.close()
    assert list(registry.collect()) == []
