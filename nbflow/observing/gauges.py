"""Metrics of the present, computed from the latest views when Prometheus asks.

So they cost nothing in between, and a run that has ended leaves no series behind.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nbflow.core.attempts import KernelPool, WorkerState
from nbflow.core.findings import Finding
from nbflow.core.spec import NotebookCode
from nbflow.core.states import IN_FLIGHT, NodeState
from nbflow.core.usage import Usage
from nbflow.core.view import RunView

#: States in which a node could run, and does not.
_WAITING_FOR_A_PLACE = frozenset({NodeState.READY, NodeState.QUEUED})

#: How kernels start, as `KernelPool` counts them.
_STARTS = ("ready", "forked", "ordinary")

#: Values of a family, by those of its labels.
Values: TypeAlias = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one run stands."""

    #: The flow's label.
    flow: str
    view: RunView
    #: Seconds since the epoch.
    lease_until: float
    findings: tuple[Finding, ...] = ()


class Gauges(Collector):
    """Computes the present of all runs that are driven here.

    Parameters
    ----------
    standing
        Gives how they stand.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, standing: Callable[[], Iterable[Standing]], clock: Callable[[], float]
    ) -> None:
        self._standing = standing
        self._clock = clock

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Give all families, without samples."""
        for name, text, labels, _ in _FAMILIES:
            yield GaugeMetricFamily(name, text, labels=labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give all families."""
        present = _Present(list(self._standing()), self._clock())
        for name, text, labels, values in _FAMILIES:
            family = GaugeMetricFamily(name, text, labels=labels)
            for of_labels, value in values(present).items():
                family.add_metric(of_labels, value)
            yield family


class _Present:
    """The values of all families at one moment."""

    def __init__(self, standing: list[Standing], now: float) -> None:
        self._standing = standing
        self._now = now

    def runs(self) -> Values:
        return Counter((str(it.view.run.status),) for it in self._standing)

    def node_runs(self) -> Values:
        return Counter(
            (it.flow, str(node.state), node.reason.kind if node.reason else "")
            for it in self._standing
            for node in it.view.run.nodes.values()
        )

    def queue_length(self) -> Values:
        waiting = self._zeros()
        for it in self._standing:
            nodes = it.view.run.nodes.values()
            waiting[it.flow,] += sum(node.state in _WAITING_FOR_A_PLACE for node in nodes)
        return waiting

    def queue_oldest_seconds(self) -> Values:
        oldest = self._zeros()
        for it in self._standing:
            for node in it.view.run.nodes.values():
                if node.state is NodeState.QUEUED and node.scheduled_at is not None:
                    oldest[it.flow,] = max(oldest[it.flow,], self._now - node.scheduled_at)
        return oldest

    def stuck_nodes(self) -> Values:
        return Counter(
            (it.flow, str(finding.kind))
            for it in self._standing
            for finding in it.findings
            if finding.severity == "stuck"
        )

    def kernels(self) -> Values:
        running = self._zeros()
        for it in self._standing:
            run = it.view.run
            running[it.flow,] += sum(
                node.state is NodeState.RUNNING
                and isinstance(run.graph.nodes[name].code, NotebookCode)
                for name, node in run.nodes.items()
            )
        return running

    def kernel_pool_idle(self) -> Values:
        pools = self._pools()
        return {(): float(sum(pool.idle for pool in pools))} if pools else {}

    def kernel_starts(self) -> Values:
        pools = self._pools()
        starts = {how: sum(getattr(pool, how) for pool in pools) for how in _STARTS}
        return {(how,): float(count) for how, count in starts.items()} if pools else {}

    def _pools(self) -> list[KernelPool]:
        return [it.kernels for it in self._workers() or () if it.kernels is not None]

    def used_cores(self) -> Values:
        return self._used(lambda sample: sample.cpu_percent / 100)

    def used_memory_bytes(self) -> Values:
        return self._used(lambda sample: float(sample.memory_bytes))

    def _used(self, figure: Callable[[Usage], float]) -> Values:
        used = self._zeros()
        for it in self._standing:
            run = it.view.run
            for name, samples in it.view.usage.items():
                node = run.nodes.get(name)
                if samples and node is not None and node.state in IN_FLIGHT:
                    used[it.flow,] += figure(samples[-1])
        return used

    def workers(self) -> Values:
        workers = self._workers()
        if workers is None:
            return {}
        paused = sum(worker.paused for worker in workers)
        return {("ready",): len(workers) - paused, ("paused",): paused}

    def worker_slots(self) -> Values:
        workers = self._workers()
        return {} if workers is None else {(): float(sum(it.threads for it in workers))}

    def _zeros(self) -> dict[tuple[str, ...], float]:
        return {(it.flow,): 0.0 for it in self._standing}

    def _workers(self) -> list[WorkerState] | None:
        """Return the workers of all runs; those of a cluster that several runs use, once.

        None before any cluster has told: that is no cluster without workers.
        """
        told = [it.view.workers for it in self._standing if it.view.workers is not None]
        if not told:
            return None
        return list({worker.address: worker for workers in told for worker in workers}.values())

    def driver_epoch(self) -> Values:
        epochs: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for it in self._standing:
            epochs[it.flow,] = max(epochs[it.flow,], it.view.run.epoch)
        return epochs

    def driver_lease_seconds(self) -> Values:
        left: dict[tuple[str, ...], float] = {}
        for it in self._standing:
            left_s = it.lease_until - self._now
            left[it.flow,] = min(left.get((it.flow,), left_s), left_s)
        return left


#: The name of each family, its text, its labels, and how its values are computed.
_FAMILIES: tuple[tuple[str, str, tuple[str, ...], Callable[[_Present], Values]], ...] = (
    ("nbflow_runs", "Runs that this process drives, by status.", ("status",), _Present.runs),
    (
        "nbflow_node_runs",
        "Nodes of these runs, by state; and why, where the state has a reason.",
        ("flow", "state", "reason"),
        _Present.node_runs,
    ),
    (
        "nbflow_queue_length",
        "Nodes that could run, and wait for a place.",
        ("flow",),
        _Present.queue_length,
    ),
    (
        "nbflow_queue_oldest_seconds",
        "For how long the oldest attempt has been with the cluster without being started.",
        ("flow",),
        _Present.queue_oldest_seconds,
    ),
    (
        "nbflow_stuck_nodes",
        "Nodes that will not get on by themselves, or take far longer than expected, and why.",
        ("flow", "kind"),
        _Present.stuck_nodes,
    ),
    (
        "nbflow_kernels",
        "Notebooks that run, each in a kernel of its own.",
        ("flow",),
        _Present.kernels,
    ),
    (
        "nbflow_kernel_pool_idle",
        "Warm kernels that wait to be used.",
        (),
        _Present.kernel_pool_idle,
    ),
    (
        "nbflow_kernel_starts",
        "Kernels that the present workers have started: ready, forked on demand, or ordinary ones.",
        ("how",),
        _Present.kernel_starts,
    ),
    ("nbflow_used_cores", "Processor cores that nodes use.", ("flow",), _Present.used_cores),
    ("nbflow_used_memory_bytes", "Memory that nodes use.", ("flow",), _Present.used_memory_bytes),
    (
        "nbflow_workers",
        "Workers of the clusters of these runs: ready or paused.",
        ("state",),
        _Present.workers,
    ),
    (
        "nbflow_worker_slots",
        "Attempts that these workers run at once.",
        (),
        _Present.worker_slots,
    ),
    (
        "nbflow_driver_epoch",
        "How often a run was claimed by a driver, this one included; the highest.",
        ("flow",),
        _Present.driver_epoch,
    ),
    (
        "nbflow_driver_lease_seconds",
        "For how long the lease of a run is still good; the shortest.",
        ("flow",),
        _Present.driver_lease_seconds,
    ),
)
