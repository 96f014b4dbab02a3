"""What cells print passes by the driver, to who listens, and leaves no trace in the journal."""

import asyncio
import random

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.attempts import Printed
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.values import Inline
from nbflow.driver import Driver, Surroundings
from nbflow.testing import FakeCluster, MemoryJournal, MemoryStore

NODE = NodeSpec(name="a", code=FunctionCode("tests:f", "sha256:" + "0" * 64))


def drive(folder, on_printed):
    """Drive a run of one node, which prints, once for itself and once for another attempt."""
    journal, store = MemoryJournal(), MemoryStore(folder)
    created = ev.RunCreated(FlowSpec(name="flow", nodes=(NODE,)), {}, str(folder))
    journal.create("run", created, flow="flow", at=1.0)

    async def main() -> FakeCluster:
        async def behave(task):
            for number in (task.id.number, task.id.number + 1):
                attempt = type(task.id)(task.id.run, task.id.node, number, task.id.epoch)
                driver.put(Printed(attempt, 0, "stdout", f"{number}\n"))
            return {"result": Inline(1)}

        cluster = FakeCluster(behave)
        driver = Driver(
            run=machine.replay(journal.read("run")),
            epoch=journal.claim("run", "here", now=1.0, ttl_s=30),
            name="here",
            surroundings=Surroundings(journal, store, cluster, True, 1),
            clock=lambda: 1.0,
            rng=random.Random(1),
            on_printed=on_printed,
        )
        await cluster.start(driver.put)
        await driver.drive()
        await cluster.close()
        return cluster

    cluster = asyncio.run(main())
    return cluster, [record.type for record in journal.read("run")]


def test_who_listens_hears_the_current_attempt(tmp_path):
    heard = []
    cluster, types = drive(tmp_path, heard.append)
    assert [piece.text for piece in heard] == ["1\n"]
    assert cluster.submitted[0].heard
    assert "Printed" not in types


def test_workers_are_told_when_nobody_listens(tmp_path):
    cluster, types = drive(tmp_path, None)
    assert not cluster.submitted[0].heard
    assert types[-1] == "RunEnded"
