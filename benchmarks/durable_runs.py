"""Runs that are driven in this process, on a cluster of the benchmark's own."""

import asyncio
import random
import time
from collections import Counter

from nbflow.core.machine import Run
from nbflow.definition.builder import FlowBuilder
from nbflow.driver import Driver, Surroundings
from nbflow.ports import ClusterInfo
from nbflow.session import launching
from nbflow.session.claiming import Claimed, claim
from nbflow.session.home import Home
from nbflow.testing import FakeCluster


def claimed(home: Home, flow: FlowBuilder, run: str) -> Claimed:
    """Create a run of `flow`, and take it."""
    kinds = Counter(node.kind for node in flow.nodes)
    target = launching.target_of(None, None, kinds)
    request = launching.Request(
        run=run, target=target, home=home.folder, output_dir=None, kinds=kinds
    )

    def prepare(kernels: frozenset[str] | None):
        return flow.prepare({}, kernels=kernels)

    def survey(home: Home) -> ClusterInfo:
        return asyncio.run(FakeCluster().survey(home.store.ref))

    with launching.created(prepare, request, survey) as (opened, _):
        opened.close()
    return claim(home, run, time.time)


async def driven(home: Home, held: Claimed, cluster: FakeCluster) -> Run:
    """Drive a run to its end on `cluster`."""
    info = await cluster.survey(home.store.ref)
    driver = Driver(
        run=held.run,
        epoch=held.epoch,
        name="benchmark",
        surroundings=Surroundings(
            journal=home.journal,
            store=home.store,
            cluster=cluster,
            shares_store=True,
            slots=info.threads,
        ),
        clock=time.time,
        rng=random.Random(0),
    )
    await cluster.start(driver.put)
    try:
        return await driver.drive()
    finally:
        held.take_sign_down()
