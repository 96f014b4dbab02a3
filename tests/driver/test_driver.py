"""The loop against fakes: a memory journal, a memory store, and a cluster in the same loop."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.attempts import AttemptTask, ClusterGone, Ended, Outcome, Started
from nbflow.core.errors import ClusterError, JournalError, LostLease
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Limits, Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.values import FromOutput, Inline
from nbflow.driver import Driver, Surroundings
from nbflow.driver.stimuli import CancelAsked, StopAsked
from nbflow.driver.undriven import cancel_without_driver
from nbflow.testing import FakeCluster, MemoryJournal, MemoryStore
from nbflow.testing.cluster import Behaviour, succeed
from nbflow.testing.invariants import validate

CODE = FunctionCode("tests:f", "sha256:" + "0" * 64)


def node(name: str, *after: str, **policy: object) -> NodeSpec:
    return NodeSpec(name=name, code=CODE, after=after, policy=Policy(**policy))


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One run of a flow, and everything around it."""

    def __init__(self, folder: Path, *nodes: NodeSpec, limits: Limits | None = None) -> None:
        self.journal = MemoryJournal()
        self.store = MemoryStore(folder)
        self.clock = Clock()
        spec = FlowSpec(name="flow", nodes=nodes, limits=limits or Limits())
        created = ev.RunCreated(spec, {}, str(folder))
        self.journal.create("run", created, flow="flow", at=self.clock())

    def driver(self, cluster: FakeCluster, name: str = "here:1:0") -> Driver:
        epoch = self.journal.claim("run", name, now=self.clock(), ttl_s=30)
        return Driver(
            run=self.replayed(),
            epoch=epoch,
            name=name,
            surroundings=Surroundings(self.journal, self.store, cluster, True, 1),
            clock=self.clock,
            rng=random.Random(1),
        )

    def replayed(self) -> machine.Run:
        run = machine.replay(self.journal.read("run"))
        validate(run)
        return run

    def drive(self, behaviour: Behaviour = succeed) -> machine.Run:
        """Drive the run to its end with a fresh cluster."""

        async def main() -> machine.Run:
            cluster = FakeCluster(behaviour, clock=self.clock)
            driver = self.driver(cluster)
            await cluster.start(driver.put)
            try:
                return await driver.drive()
            finally:
                await cluster.close()

        return asyncio.run(main())

    def types(self) -> list[str]:
        return [record.type for record in self.journal.read("run")]


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(*nodes: NodeSpec, **options: object) -> Bench:
        return Bench(tmp_path, *nodes, **options)

    return make


def states(run: machine.Run) -> dict[str, NodeState]:
    return {name: run[name].state for name in run.graph.nodes}


def test_runs_a_diamond_in_order_and_journals_everything(bench) -> None:
    it = bench(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
    order: list[str] = []

    async def behave(task: AttemptTask):
        order.append(task.id.node)
        return {}

    run = it.drive(behave)

    assert run.status is RunStatus.SUCCEEDED
    assert order[0] == "a"
    assert order[-1] == "d"
    assert it.replayed() == run
    assert it.types().count("AttemptSucceeded") == 4
    assert it.types()[-1] == "RunEnded"


def test_an_attempt_is_journaled_before_it_is_submitted(bench) -> None:
    it = bench(node("a"))
    seen: list[list[str]] = []

    async def behave(task: AttemptTask):
        seen.append(it.types())
        return {}

    it.drive(behave)

    assert "AttemptScheduled" in seen[0]


def test_outputs_reach_the_nodes_that_ask_for_them(bench) -> None:
    reader = NodeSpec(name="b", code=CODE, params={"x": FromOutput("a", "rows")})
    it = bench(node("a"), reader)
    received = {}

    async def behave(task: AttemptTask):
        received[task.id.node] = task.params
        return {"rows": Inline(41)} if task.outputs == ("rows",) else {}

    it.drive(behave)

    assert received["b"] == {"x": Inline(41)}


def test_an_output_that_does_not_exist_fails_only_its_reader(bench) -> None:
    reader = NodeSpec(name="b", code=CODE, params={"x": FromOutput("a", "rows")})
    it = bench(node("a"), reader, node("c", "a"))

    async def behave(task: AttemptTask):
        return {}

    run = it.drive(behave)

    assert states(run) == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert run["b"].reason.kind == "invalid_input"
    assert "${a.rows}" in run["b"].reason.message


def test_a_failure_skips_its_dependants_and_nothing_else(bench) -> None:
    it = bench(node("a"), node("b", "a"), node("c", "b"), node("z"))

    async def behave(task: AttemptTask):
        if task.id.node == "a":
            raise ValueError("no such column")
        return {}

    run = it.drive(behave)

    assert run.status is RunStatus.FAILED
    assert states(run) == {"a": "failed", "b": "skipped", "c": "skipped", "z": "succeeded"}
    assert run["c"].reason.kind == "upstream_failed"
    assert "a failed: ValueError: no such column" in run["c"].reason.message


def test_retries_wait_for_their_journaled_timer(bench) -> None:
    it = bench(node("a", retries=Retry(2, backoff=0.0)))
    tries: list[int] = []

    async def behave(task: AttemptTask):
        tries.append(task.id.number)
        if len(tries) < 3:
            raise OSError("the disk is shy")
        return {}

    run = it.drive(behave)

    assert run.status is RunStatus.SUCCEEDED
    assert tries == [1, 2, 3]
    assert it.types().count("RetryScheduled") == 2
    assert it.types().count("RetryDue") == 2


def test_retries_end(bench) -> None:
    it = bench(node("a", retries=Retry(1, backoff=0.0)))

    async def behave(task: AttemptTask):
        raise OSError(f"try {task.id.number}")

    run = it.drive(behave)

    assert run.status is RunStatus.FAILED
    assert run["a"].attempt == 2
    assert run["a"].reason.message == "OSError: try 2"


@pytest.mark.parametrize(
    ("limits", "most"), [(Limits(flow=2), 2), (Limits(groups={"g": 1}), 1), (Limits(), 6)]
)
def test_limits_hold(bench, limits: Limits, most: int) -> None:
    it = bench(*(node(f"g/n{i}") for i in range(6)), limits=limits)
    running = highest = 0

    async def behave(task: AttemptTask):
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        return {}

    run = it.drive(behave)

    assert run.status is RunStatus.SUCCEEDED
    assert highest == most


def test_higher_priority_starts_first(bench) -> None:
    it = bench(node("low"), node("high", priority=5), node("middle", priority=1), limits=Limits(1))
    order: list[str] = []

    async def behave(task: AttemptTask):
        order.append(task.id.node)
        return {}

    it.drive(behave)

    assert order == ["high", "middle", "low"]


async def started(bench_: Bench, behaviour: Behaviour):
    """Return a cluster, a driver and its task once every root node is running."""
    cluster = FakeCluster(behaviour, clock=bench_.clock)
    driver = bench_.driver(cluster)
    all_running = asyncio.Event()
    roots = [name for name, up in driver.run.graph.upstream.items() if not up]
    seen: set[str] = set()

    def put(report) -> None:
        driver.put(report)
        if isinstance(report, Started):
            seen.add(report.id.node)
            if seen.issuperset(roots):
                all_running.set()

    await cluster.start(put)
    task = asyncio.create_task(driver.drive())
    await all_running.wait()
    return cluster, driver, task


async def forever(task: AttemptTask):
    await asyncio.Event().wait()
    return {}


def test_cancel_stops_what_runs_and_cancels_the_rest(bench) -> None:
    it = bench(node("a"), node("b", "a"))

    async def main() -> machine.Run:
        cluster, driver, task = await started(it, forever)
        driver.put(CancelAsked("me"))
        run = await task
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert run.status is RunStatus.CANCELLED
    assert states(run) == {"a": "cancelled", "b": "cancelled"}


def test_stop_leaves_a_run_that_can_be_resumed(bench) -> None:
    it = bench(node("a"), node("b", "a"))

    async def main() -> machine.Run:
        cluster, driver, task = await started(it, forever)
        driver.put(StopAsked("Ctrl-C"))
        run = await task
        await cluster.close()
        return run

    run = asyncio.run(main())
    assert run.status is RunStatus.RUNNING
    assert run["a"].state is NodeState.READY
    assert run["a"].reason.message == "Ctrl-C"
    assert it.journal.row("run").holder == ""

    resumed = it.drive()
    assert resumed.status is RunStatus.SUCCEEDED
    assert resumed["a"].attempt == 2


def test_resume_repeats_nothing_that_succeeded(bench) -> None:
    it = bench(node("a"), node("b", "a"), node("c", "b"))
    ran: list[str] = []
    broken = True

    async def behave(task: AttemptTask):
        ran.append(task.id.node)
        if task.id.node == "b" and broken:
            raise ValueError("not yet")
        return {}

    assert it.drive(behave).status is RunStatus.FAILED
    broken = False
    run = it.drive(behave)

    assert run.status is RunStatus.SUCCEEDED
    assert ran == ["a", "b", "b", "c"]
    assert it.types().count("NodeReset") == 2
    assert "RunReopened" in it.types()


def test_a_lost_worker_costs_an_attempt_and_not_the_node(bench) -> None:
    it = bench(node("a"))
    first = True

    async def behave(task: AttemptTask):
        nonlocal first
        if first:
            first = False
            return await forever(task)
        return {}

    async def main() -> machine.Run:
        cluster, _, task = await started(it, behave)
        cluster.lose(cluster.submitted[0].id)
        run = await task
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert run.status is RunStatus.SUCCEEDED
    assert run["a"].attempt == 2
    assert "AttemptLost" in it.types()


def test_a_node_that_keeps_losing_its_worker_fails(bench) -> None:
    it = bench(node("a"), node("z"))

    async def main() -> machine.Run:
        cluster = FakeCluster(clock=it.clock)
        driver = it.driver(cluster)

        async def behave(task: AttemptTask):
            if task.id.node == "a":
                asyncio.get_running_loop().call_soon(cluster.lose, task.id)
                return await forever(task)
            return {}

        cluster._behaviour = behave
        await cluster.start(driver.put)
        run = await driver.drive()
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert states(run) == {"a": "failed", "z": "succeeded"}
    assert run["a"].reason.kind == "worker_lost"
    assert run["a"].attempt == machine.MAX_LOSSES


def test_a_scheduler_that_keeps_restarting_fails_nobody_and_makes_nobody_wait(bench) -> None:
    it = bench(node("a"), node("z"))
    restarts = machine.MAX_LOSSES + 1

    async def main() -> machine.Run:
        begun: asyncio.Queue[AttemptTask] = asyncio.Queue()
        cluster = FakeCluster(clock=it.clock)
        driver = it.driver(cluster)

        async def behave(task: AttemptTask):
            begun.put_nowait(task)
            return {} if task.id.number > restarts else await forever(task)

        cluster._behaviour = behave
        await cluster.start(driver.put)
        driving = asyncio.create_task(driver.drive())
        for _ in range(restarts):
            together = [await begun.get(), await begun.get()]
            assert {task.id.node for task in together} == {"a", "z"}
            for task in together:
                cluster.lose(task.id, "the scheduler was restarted", "scheduler_lost")
        run = await driving
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert states(run) == {"a": "succeeded", "z": "succeeded"}
    assert run["a"].attempt == run["z"].attempt == restarts + 1


def ended_as_the_cluster_went(it: Bench) -> ClusterError | None:
    """Let ``pay`` succeed in the moment in which the cluster goes; return what ended the drive."""

    async def main() -> ClusterError | None:
        cluster, driver, task = await started(it, forever)
        pay = next(each.id for each in cluster.submitted if each.id.node == "pay")
        outcome = Outcome(id=pay, status="succeeded", started_at=1000.0, ended_at=1001.0)
        driver.put(Ended(outcome))
        driver.put(ClusterGone("no worker process could start"))
        try:
            await task
        except ClusterError as error:
            return error
        finally:
            await cluster.close()
        return None

    return asyncio.run(main())


def test_an_outcome_that_comes_with_the_end_of_the_cluster_is_recorded(bench) -> None:
    it = bench(node("pay", effect="at_most_once"), node("other"), node("after", "pay"))
    error = ended_as_the_cluster_went(it)
    assert "no worker process could start" in str(error)
    run = it.replayed()
    assert states(run) == {"pay": "succeeded", "other": "running", "after": "ready"}
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.types().count("AttemptInDoubt") == 0


def test_a_run_that_has_all_its_outcomes_needs_its_cluster_no_more(bench) -> None:
    it = bench(node("pay"))
    assert ended_as_the_cluster_went(it) is None
    assert it.replayed().status is RunStatus.SUCCEEDED
    assert it.journal.row("run").holder == ""


def test_an_attempt_that_starts_again_elsewhere_is_replaced(bench) -> None:
    it = bench(node("a"))
    hold = True

    async def behave(task: AttemptTask):
        return await forever(task) if hold else {}

    async def main() -> machine.Run:
        nonlocal hold
        cluster, driver, task = await started(it, behave)
        hold = False
        driver.put(Started(cluster.submitted[0].id, "another worker", it.clock()))
        run = await task
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert run.status is RunStatus.SUCCEEDED
    assert run["a"].attempt == 2


def test_reports_of_an_older_epoch_are_the_past_speaking(bench) -> None:
    it = bench(node("a"))

    async def main() -> machine.Run:
        cluster, driver, task = await started(it, forever)
        old = msgspec.structs.replace(cluster.submitted[0].id, epoch=0)
        driver.put(Started(old, "ghost", it.clock()))
        driver.put(CancelAsked("me"))
        run = await task
        await cluster.close()
        return run

    asyncio.run(main())

    assert it.types().count("AttemptStarted") == 1


def test_a_driver_that_was_replaced_writes_nothing_more(bench) -> None:
    it = bench(node("a"), node("b", "a"))
    let_go = asyncio.Event()

    async def behave(task: AttemptTask):
        await let_go.wait()
        return {}

    async def main() -> None:
        cluster, _, task = await started(it, behave)
        it.clock.now += 3600
        it.journal.claim("run", "there:2:0", now=it.clock(), ttl_s=30)
        let_go.set()
        with pytest.raises(LostLease):
            await task
        await cluster.close()

    asyncio.run(main())

    assert "AttemptSucceeded" not in it.types()
    assert it.journal.row("run").holder == "there:2:0"


def test_a_journal_that_cannot_be_written_ends_the_driver_and_keeps_what_it_has(
    bench, monkeypatch
) -> None:
    it = bench(node("a"), node("b", "a"))
    append = it.journal.append

    def full(run, epoch, records):
        if any(isinstance(record.event, ev.AttemptSucceeded) for record in records):
            raise JournalError("the disk is full")
        append(run, epoch, records)

    monkeypatch.setattr(it.journal, "append", full)
    with pytest.raises(JournalError, match="the disk is full"):
        it.drive()
    monkeypatch.undo()

    assert it.replayed().status is RunStatus.RUNNING


def test_a_signal_in_the_journal_cancels(bench) -> None:
    it = bench(node("a"))

    async def main() -> machine.Run:
        cluster, _, task = await started(it, forever)
        it.journal.signal("run", "cancel", "someone", at=it.clock())
        run = await task
        await cluster.close()
        return run

    run = asyncio.run(main())

    assert run.status is RunStatus.CANCELLED
    assert it.journal.signals("run") == []


def test_cancelling_a_run_that_nobody_drives(bench) -> None:
    it = bench(node("a"), node("b", "a"))
    epoch = it.journal.claim("run", "gone:1:0", now=it.clock(), ttl_s=30)

    run = cancel_without_driver(it.replayed(), epoch, it.journal, it.store, by="me", clock=it.clock)

    assert run.status is RunStatus.CANCELLED
    assert states(it.replayed()) == {"a": "cancelled", "b": "cancelled"}


def test_a_node_in_flight_when_its_driver_died_runs_again(bench) -> None:
    it = bench(node("a"), node("b", "a"))
    epoch = it.journal.claim("run", "gone:1:0", now=it.clock(), ttl_s=30)
    for seq, event in enumerate(
        [ev.RunClaimed("gone"), ev.AttemptScheduled("a", 1), ev.AttemptStarted("a", 1, "w", 1.0)], 2
    ):
        it.journal.append("run", epoch, [ev.Record("run", seq, epoch, 1.0, event)])
    it.journal.release("run", epoch)

    run = it.drive()

    assert run.status is RunStatus.SUCCEEDED
    assert run["a"].attempt == 2
    lost = [record.event for record in it.journal.read("run") if record.type == "AttemptLost"]
    assert [event.reason.kind for event in lost] == ["driver_lost"]


def left_in_flight(it: Bench, at: float) -> None:
    """Write the journal of a driver that died while its worker had the attempt."""
    epoch = it.journal.claim("run", "gone:1:0", now=it.clock(), ttl_s=30)
    events = [ev.RunClaimed("gone"), ev.AttemptScheduled("a", 1)]
    for seq, event in enumerate(events, 2):
        it.journal.append("run", epoch, [ev.Record("run", seq, epoch, at, event)])
    it.journal.release("run", epoch)


def receipt(status: str, started_at: float) -> bytes:
    attempt = AttemptId("run", "a", 1, 1)
    outcome = Outcome(id=attempt, status=status, started_at=started_at, ended_at=started_at + 1)
    return msgspec.json.encode(outcome)


def test_an_outcome_that_its_worker_made_durable_is_found_and_recorded(bench) -> None:
    it = bench(node("a"), node("b", "a"))
    left_in_flight(it, at=1000.0)
    it.store.put_receipt(AttemptId("run", "a", 1, 1), receipt("succeeded", 1001.0))
    ran = []

    async def behave(task: AttemptTask):
        ran.append(task.id.node)
        return {}

    run = it.drive(behave)

    assert run.status is RunStatus.SUCCEEDED
    assert ran == ["b"]
    assert run["a"].attempt == 1


def test_cancelling_without_a_driver_believes_receipts_too(bench) -> None:
    it = bench(node("a"), node("b", "a"))
    left_in_flight(it, at=1000.0)
    it.store.put_receipt(AttemptId("run", "a", 1, 1), receipt("succeeded", 1001.0))
    epoch = it.journal.claim("run", "gone:1:0", now=it.clock(), ttl_s=30)

    run = cancel_without_driver(it.replayed(), epoch, it.journal, it.store, by="me", clock=it.clock)

    assert run.status is RunStatus.CANCELLED
    assert states(run) == {"a": "succeeded", "b": "cancelled"}


@pytest.mark.parametrize(("status", "started_at"), [("stopped", 1001.0), ("succeeded", 900.0)])
def test_a_receipt_that_does_not_tell_the_end_is_not_believed(bench, status, started_at) -> None:
    it = bench(node("a"))
    left_in_flight(it, at=1000.0)
    it.store.put_receipt(AttemptId("run", "a", 1, 1), receipt(status, started_at))

    run = it.drive()

    assert run["a"].attempt == 2


def test_an_empty_run_ends_at_once(bench) -> None:
    it = bench()

    assert it.drive().status is RunStatus.SUCCEEDED
