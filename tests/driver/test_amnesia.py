"""Drivers without memory: what a run needs is in its journal, at every moment.

One forgets its run after each commit: it folds the journal anew, and is told again what is owed.
Others die after each of their turns, and the next one goes on. Neither may change what becomes of
a flow, and nothing that succeeded may be done twice.
"""

import asyncio
import random
from collections import Counter, OrderedDict
from pathlib import Path

import pytest

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.attempts import AttemptTask
from nbflow.core.policies import Limits, Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.core.values import FromOutput, Inline
from nbflow.driver import Driver, Surroundings
from nbflow.driver.ledger import Ledger
from nbflow.testing import FakeCluster, MemoryJournal, MemoryStore
from nbflow.testing.invariants import validate

CODE = FunctionCode("tests:f", "sha256:" + "0" * 64)
SEEDS = range(30)
NEVER = 1000
#: Turns after which a driver may die; a run of these flows has fewer.
MOST_TURNS = 60


def random_flow(rng: random.Random) -> FlowSpec:
    """A flow of every kind of edge, with retries, limits and priorities."""
    nodes: list[NodeSpec] = []
    for number in range(rng.randint(3, 9)):
        earlier = [node.name for node in nodes]
        sources = rng.sample(earlier, min(len(earlier), rng.randint(0, 2)))
        takes = {f"p{at}": FromOutput(name, "y") for at, name in enumerate(sources)}
        after = rng.sample(earlier, min(len(earlier), rng.randint(0, 1)))
        policy = Policy(
            retries=Retry(rng.choice([0, 0, 1, 3]), backoff=0.0, jitter=0.0),
            priority=rng.randint(0, 2),
            continue_on_failure=rng.random() < 0.2,
        )
        name = f"{rng.choice(['', 'group/'])}n{number}"
        nodes.append(
            NodeSpec(name=name, code=CODE, params=takes, after=tuple(after), policy=policy)
        )
    limits = Limits(flow=rng.choice([None, 2]), groups=rng.choice([{}, {"group": 1}]))
    return FlowSpec(name="flow", nodes=tuple(nodes), limits=limits)


class Died(BaseException):
    """The driver is no more."""


class Bench:
    """One run of a flow whose nodes fail as often as `failures` says."""

    @classmethod
    def random(cls, folder: Path, seed: int) -> "Bench":
        """A flow that a seed makes up."""
        rng = random.Random(seed)
        flow = random_flow(rng)
        # A resume tries again what has failed: so a node is either mended by its retries, or never.
        choices = {n.name: [0, 0, *range(n.policy.retries.times + 1), NEVER] for n in flow.nodes}
        return cls(folder, flow, {name: rng.choice(some) for name, some in choices.items()})

    def __init__(
        self, folder: Path, flow: FlowSpec, failures: dict[str, int] | None = None
    ) -> None:
        self.failures = failures or {}
        self.begun: Counter[str] = Counter()
        self.journal = MemoryJournal()
        self.store = MemoryStore(folder)
        created = ev.RunCreated(flow, {}, str(folder))
        self.journal.create("run", created, flow="flow", at=0.0)

    async def behave(self, task: AttemptTask):
        name = task.id.node
        self.begun[name] += 1
        await asyncio.sleep(0)
        # An attempt whose end nobody has recorded does not count.
        if self.recorded(ev.AttemptFailed)[name] < self.failures.get(name, 0):
            raise OSError("not yet")
        return {"y": Inline([name, *(value.value for value in task.params.values())])}

    def drive(self, most_turns: int = MOST_TURNS) -> bool:
        """Drive the run until it has ended; False if the driver has died after so many turns."""
        turns = 0

        def live_on() -> None:
            nonlocal turns
            turns += 1
            if turns == most_turns:
                raise Died

        async def main() -> None:
            cluster = FakeCluster(self.behave)
            epoch = self.journal.claim("run", "here:1:0", now=0.0, ttl_s=30)
            driver = Driver(
                run=self.replayed(),
                epoch=epoch,
                name="here:1:0",
                surroundings=Surroundings(self.journal, self.store, cluster, True, 1),
                clock=lambda: 0.0,
                rng=random.Random(1),
                on_change=live_on,
            )
            await cluster.start(driver.put)
            try:
                await driver.drive()
            finally:
                await cluster.close()

        try:
            asyncio.run(main())
        except Died:
            return False
        return True

    def replayed(self) -> machine.Run:
        run = machine.replay(self.journal.read("run"))
        validate(run)
        return run

    def come_to(self) -> dict[str, object]:
        """Return what the nodes have come to."""
        run = self.replayed()
        return {name: (run[name].state, run[name].outputs) for name in run.graph.nodes}

    def check_effects(self) -> None:
        """Nothing has succeeded twice, or begun without a record."""
        scheduled = self.recorded(ev.AttemptScheduled)
        assert set(self.recorded(ev.AttemptSucceeded).values()) <= {1}
        assert all(times <= scheduled[name] for name, times in self.begun.items())

    def recorded(self, kind: type[ev.Event]) -> Counter[str]:
        """Return how often the journal has a kind of event, by node."""
        records = self.journal.read("run")
        return Counter(record.node for record in records if isinstance(record.event, kind))


class ForgetfulLedger(Ledger):
    """Knows after each commit only what can be read in the journal."""

    def commit(self) -> None:
        super().commit()
        run = machine.replay(self._journal.read(self.run.id))
        assert run == self.run
        self.run = self.durable = run
        self._commands = OrderedDict.fromkeys(machine.obligations(run))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_driver_that_forgets_its_run_after_each_commit(tmp_path, monkeypatch, seed) -> None:
    remembering, forgetting = Bench.random(tmp_path, seed), Bench.random(tmp_path, seed)
    assert remembering.drive()
    monkeypatch.setattr("nbflow.driver.driver.Ledger", ForgetfulLedger)
    assert forgetting.drive()

    assert forgetting.come_to() == remembering.come_to()
    assert forgetting.begun == remembering.begun
    forgetting.check_effects()


@pytest.mark.parametrize("seed", SEEDS)
def test_drivers_that_die_after_each_of_their_turns(tmp_path, seed) -> None:
    undisturbed = Bench.random(tmp_path, seed)
    assert undisturbed.drive()

    for turn in range(1, MOST_TURNS):
        disturbed = Bench.random(tmp_path, seed)
        has_lived = disturbed.drive(turn)
        if disturbed.replayed().status not in RUN_ENDED:
            assert disturbed.drive()
        assert disturbed.come_to() == undisturbed.come_to()
        disturbed.check_effects()
        if has_lived:
            return
    raise AssertionError("a run should have had fewer turns")


def test_what_must_not_be_repeated_begins_once_whenever_its_driver_dies(tmp_path) -> None:
    careful = NodeSpec(name="once", code=CODE, policy=Policy(effect="at_most_once"))
    states = []
    for turn in range(1, MOST_TURNS):
        bench = Bench(tmp_path, FlowSpec(name="flow", nodes=(careful,)))
        has_lived = bench.drive(turn)
        if bench.replayed().status not in RUN_ENDED:
            bench.drive()
        states.append(bench.replayed()["once"].state)
        assert bench.begun["once"] <= 1
        if has_lived:
            break
    assert set(states) == {NodeState.IN_DOUBT, NodeState.SUCCEEDED}
    assert states[-1] is NodeState.SUCCEEDED
