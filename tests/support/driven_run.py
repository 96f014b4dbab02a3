"""One run and everything around its drivers: a memory journal and store, and a fake cluster."""

import asyncio
import random

from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.policies import Limits, Policy
from nbflow.core.resuming import Wish
from nbflow.core.spec import FlowSpec, FunctionCode, Identity, NodeSpec
from nbflow.core.states import RUN_ENDED
from nbflow.core.values import FromOutput, FromParam, Inline
from nbflow.driver import Driver, Resumption, Surroundings
from nbflow.driver.ledger import Ledger
from nbflow.session.resuming import seeds_of
from nbflow.testing import FakeCluster, MemoryJournal, MemoryStore
from nbflow.testing.cluster import succeed
from nbflow.testing.invariants import validate

CODE = FunctionCode("tests:f", "sha256:" + "0" * 64)


def node(name, *wants, after=(), reads=(), params=(), identity=None, **policy):
    """A node that receives ``result`` of those in `wants`, and reads the files `reads`."""
    received = {f"p{index}": FromOutput(source, "result") for index, source in enumerate(wants)}
    received |= {param: FromParam(param) for param in params}
    made_of = identity or Identity(code=f"code of {name}")
    return NodeSpec(
        name=name,
        code=CODE,
        params=received,
        after=after,
        identity=replace(made_of, inputs=tuple(reads)),
        policy=Policy(**policy),
    )


def changed(spec, **parts):
    """The node with other digests, as in ``changed(node, code="2")``."""
    return replace(spec, identity=replace(spec.identity, **parts))


class Clock:
    """A clock that only tests move."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class DrivenRun:
    """One run.

    Parameters
    ----------
    folder
        Of the store, and of the executed notebooks.
    nodes
        Of its flow.
    beside
        Another run, whose journal and store this one shares.
    """

    def __init__(
        self, folder, *nodes, params=None, limits=None, run="run", beside=None, forked_from=""
    ):
        self.id = run
        self.journal = beside.journal if beside else MemoryJournal()
        self.store = beside.store if beside else MemoryStore(folder)
        self.clock = Clock()
        #: Whether workers reach the store themselves.
        self.shares_store = True
        #: Content of the files that nodes read, by path.
        self.files = {}
        #: Names of the nodes in the order in which they have really begun.
        self.ran = []
        #: What nodes give as ``result``, if not 1.
        self.results = {}
        #: Where its attempts run, and whether the store can be seen from there.
        self.cluster_type, self.shares_store = FakeCluster, True
        self.spec = FlowSpec(name="flow", nodes=nodes, limits=limits or Limits())
        self.params = {name: Inline(value) for name, value in (params or {}).items()}
        created = ev.RunCreated(self.spec, self.params, str(folder), forked_from=forked_from)
        self.journal.create(run, created, flow="flow", at=self.clock())

    # --- what it is -------------------------------------------------------------------------------

    @property
    def run(self):
        replayed = machine.replay(self.journal.read(self.id))
        validate(replayed)
        return replayed

    @property
    def states(self):
        run = self.run
        return {name: str(run[name].state) for name in run.graph.nodes}

    def events(self, *kinds):
        return [it.event for it in self.journal.read(self.id) if isinstance(it.event, kinds)]

    @property
    def resets(self):
        """Kind of the reset of each node, in the latest resume."""
        kinds = {}
        for event in self.events(ev.RunClaimed, ev.RunReopened, ev.NodeReset):
            if isinstance(event, ev.NodeReset):
                kinds[event.node] = event.kind
            else:
                kinds = {}
        return kinds

    # --- what happens -----------------------------------------------------------------------------

    def change(self, *nodes, params=None):
        """A `FlowChanged` with these nodes in place of those of the same names."""
        new = {each.name: each for each in nodes}
        kept = [new.pop(each.name, each) for each in self.run.graph.spec.nodes]
        spec = replace(self.spec, nodes=(*kept, *new.values()))
        given = {name: Inline(value) for name, value in (params or {}).items()}
        return ev.FlowChanged(spec, {**self.run.params, **given}, ("something has changed",))

    def left_by_a_dead_driver(self, *events):
        """Write what a driver has recorded that then died."""
        epoch = self.journal.claim(self.id, "gone:1:0", now=self.clock(), ttl_s=30)
        ledger = Ledger(self.run, epoch, self.journal, self.clock)
        ended = self.run.status in RUN_ENDED
        begun = ev.RunReopened("gone:1:0") if ended else ev.RunClaimed("gone:1:0")
        for event in (begun, *events):
            ledger.record(event)
        ledger.commit()
        self.journal.release(self.id, epoch)

    async def perform(self, task):
        """What attempts do by default."""
        self.ran.append(task.id.node)
        await succeed(task)
        return {name: Inline(self.results.get(task.id.node, 1)) for name in task.outputs}

    def digest_of_files(self, paths):
        return " ".join(self.files.get(path, "") for path in paths)

    def driver(self, cluster, change=None, wish=None, cache=None):
        left = [signal.id for signal in self.journal.signals(self.id)]
        epoch = self.journal.claim(self.id, "here:1:0", now=self.clock(), ttl_s=30)
        run = self.run
        surroundings = Surroundings(
            self.journal,
            self.store,
            cluster,
            self.shares_store,
            1,
            cache=cache,
            digest_of_files=self.digest_of_files,
            seeds=seeds_of(self.journal, run.forked_from),
        )
        return Driver(
            run=run,
            epoch=epoch,
            name="here:1:0",
            surroundings=surroundings,
            clock=self.clock,
            rng=random.Random(1),
            resumption=Resumption(change, wish or Wish()),
            left=left,
        )

    def drive(self, behaviour=None, meanwhile=None, **how):
        """Drive the run with a fresh cluster, until its driver lets go.

        `meanwhile` is a coroutine function that gets the cluster and the driver, as soon as the
        latter has been started.
        """
        self.ran = []

        async def main():
            cluster = self.cluster_type(behaviour or self.perform, clock=self.clock)
            driver = self.driver(cluster, **how)
            await cluster.start(driver.put)
            try:
                driving = asyncio.create_task(driver.drive())
                if meanwhile is not None:
                    await meanwhile(cluster, driver)
                return await asyncio.wait_for(driving, 20)
            finally:
                await cluster.close()

        driven = asyncio.run(main())
        assert driven.seq == self.run.seq, "all of it is in the journal"
        assert self.journal.row(self.id).holder == ""
        return driven
