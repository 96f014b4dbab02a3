"""Lanes: quick functions that follow one another stay on a worker, and nothing else changes."""

import asyncio
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace

import cloudpickle
import msgspec
import pytest
from support.cluster_desk import Desk

from nbflow.artifacts import FileStore
from nbflow.cluster import DaskCluster, Embedded
from nbflow.cluster.handing_over import Counter
from nbflow.cluster.lanes import Lane, Lanes
from nbflow.core.attempts import Ended, Lost, Started
from nbflow.core.values import Inline

# Workers cannot import this module, so its functions travel whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: Steps of a chain.
STEPS = 40


def step(x):
    """Do what `x` asks for; nothing, mostly."""
    import os
    import signal
    import time

    if x == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if x == "sleep":
        print("asleep")
        time.sleep(0.2)
        print("awake")
    if x == "fail":
        raise ValueError("no")
    return x


async def astep(x):
    """Do nothing, or wait for ever."""
    import asyncio

    if x == "wait":
        await asyncio.Event().wait()
    return x


class Seen(Desk):
    """A desk that counts which way attempts went."""

    def __init__(self, cluster: DaskCluster, store: FileStore, monkeypatch) -> None:
        super().__init__(cluster, store)
        self.sent: list[str] = []
        self.refused: list[str] = []
        self.lanes: list[Lane] = []
        send, refused = Lanes.send, Counter._refused

        def sending(lanes, lane, errand, back) -> None:
            self.sent += [task.id.node for task in errand]
            self.lanes.append(lane)
            send(lanes, lane, errand, back)

        def refusing(counter, lane, errand) -> None:
            self.refused += [task.id.node for task in errand]
            refused(counter, lane, errand)

        monkeypatch.setattr(Lanes, "send", sending)
        monkeypatch.setattr(Counter, "_refused", refusing)

    async def one(self, node: str, x: object = 0, function=step, **options) -> str:
        """Hand over one attempt, and return how it ended, or that it was lost."""
        task = msgspec.structs.replace(self.task(node, function, x=x), **options)
        await self.cluster.submit([task])
        await self.until(lambda: node in self.ended() or self.is_lost(node))
        return self.ended().get(node, "lost")

    async def until_in_lane(self, function=step) -> None:
        """Hand over steps until one has gone by a lane, which waits for the next one then."""
        count = 0
        while not self.sent:
            count += 1
            assert await self.one(f"ahead{count}", function=function) == "succeeded"

    def is_lost(self, node: str) -> bool:
        return any(isinstance(it, Lost) and it.id.node == node for it in self.reports)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    def opened(workers: int = 1, threads: int = 1) -> AbstractAsyncContextManager[Seen]:
        cluster = DaskCluster(Embedded(workers=workers, threads=threads, kernels=False), clock=time)
        return Seen(cluster, FileStore.open(tmp_path / "store"), monkeypatch).opened()

    return opened


def time() -> float:
    import time

    return time.time()


def test_a_chain_of_quick_functions_goes_by_lane(desk) -> None:
    async def main() -> None:
        async with desk(workers=2) as it:
            for number in range(STEPS):
                assert await it.one(f"n{number}", number) == "succeeded"

            names = [f"n{number}" for number in range(STEPS)]
            assert it.started() == names, "each starts once, in its turn"
            outcomes = [r.outcome for r in it.reports if isinstance(r, Ended)]
            assert [outcome.id.node for outcome in outcomes] == names, "and ends once"
            assert [outcome.outputs["result"] for outcome in outcomes] == [
                Inline(number) for number in range(STEPS)
            ]
            order = [type(report) for report in it.reports if isinstance(report, Started | Ended)]
            assert order == [Started, Ended] * STEPS
            # Most go by lane; how many, is a matter of how loaded the machine is.
            assert it.sent

    asyncio.run(main())


def test_what_nobody_has_seen_run_is_a_task_of_its_own(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            sent = len(it.sent)
            assert await it.one("other", function=astep) == "succeeded"
            assert len(it.sent) == sent

    asyncio.run(main())


def test_what_must_begin_once_never_goes_by_lane(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            sent = len(it.sent)
            assert await it.one("once", careful=True) == "succeeded"
            assert len(it.sent) == sent

    asyncio.run(main())


def test_a_lane_gives_its_thread_back_to_who_needs_it(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            others = [it.task(f"other{i}", astep, x=i) for i in range(3)]
            await it.cluster.submit(others)
            await it.until(lambda: all(other.id.node in it.ended() for other in others))
            assert set(it.ended().values()) == {"succeeded"}

    asyncio.run(main())


def test_a_failure_in_a_lane_is_an_outcome(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            assert await it.one("failing", "fail") == "failed"
            assert await it.one("next") == "succeeded"

    asyncio.run(main())


def test_what_takes_long_in_a_lane_is_announced_before_it_ends(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            task = it.task("slow", step, x="sleep")
            await it.cluster.submit([task])
            await it.until(lambda: "slow" in it.started())
            assert "slow" not in it.ended()
            await it.until(lambda: "slow" in it.ended())
            assert it.ended()["slow"] == "succeeded"
            assert it.started().count("slow") == 1

    asyncio.run(main())


def test_an_attempt_in_a_lane_can_be_stopped(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane(astep)
            waiting = it.task("waiting", astep, x="wait")
            await it.cluster.submit([waiting])
            await it.until(lambda: "waiting" in it.started())
            await it.cluster.cancel([waiting.id])
            await it.until(lambda: "waiting" in it.ended())
            assert it.ended()["waiting"] == "stopped"
            assert await it.one("next", function=astep) == "succeeded"

    asyncio.run(main())


def test_what_is_stopped_on_its_way_to_a_lane_does_not_begin(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane(astep)
            waiting = it.task("waiting", astep, x="wait")
            await it.cluster.submit([waiting])
            await it.cluster.cancel([waiting.id])
            await it.until(lambda: "waiting" in it.ended())
            assert it.ended()["waiting"] == "stopped"

    asyncio.run(main())


def test_the_death_of_a_lanes_worker_loses_what_ran_there_and_nothing_else(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            before = dict(it.ended())
            assert await it.one("deadly", "die") == "lost"
            assert await it.one("next") == "succeeded", "by another worker"
            assert it.ended() == {**before, "next": "succeeded"}

    asyncio.run(main())


def test_a_lane_that_has_ended_refuses_and_the_attempt_is_a_task_of_its_own(
    desk, monkeypatch
) -> None:
    async def main() -> None:
        async with desk() as it:
            # The driver never hears that a lane has ended, and never finds one too old.
            monkeypatch.setattr(Lanes, "gone", lambda lanes, future: None)
            monkeypatch.setattr("nbflow.cluster.lanes.LANE_S", 1e9)
            await it.until_in_lane()
            await it.lanes[-1].future._state.wait()
            sent = len(it.sent)
            assert await it.one("late") == "succeeded"
            assert it.sent[sent:] == ["late"]
            assert it.refused == ["late"]
            assert it.started().count("late") == 1

    asyncio.run(main())


class SlowLine:
    """The way of errands to a worker: they arrive when their lane has ended, and are answered late.

    Parameters
    ----------
    rpc
        The client's way to any worker.
    lane
        Returns the lane of the moment.
    """

    def __init__(self, rpc, lane) -> None:
        self._rpc = rpc
        self._lane = lane

    def __call__(self, address: str):
        worker = self._rpc(address)

        async def errand(**message):
            future = self._lane().future
            await future._state.wait()
            answer = await worker.nbflow_errand(**message)
            await future  # the driver has its result by now
            return answer

        return SimpleNamespace(nbflow_errand=errand, nbflow_close_lane=worker.nbflow_close_lane)

    def __getattr__(self, name: str):
        return getattr(self._rpc, name)


def test_a_refusal_that_the_end_of_the_lane_overtakes_is_still_a_refusal(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            client = it.cluster._link.client
            client.rpc = SlowLine(client.rpc, lambda: it.lanes[-1])
            while not it.refused:  # On a loaded machine, a lane may have ended before.
                assert await it.one(f"late{len(it.reports)}") == "succeeded"

    asyncio.run(main())


def test_a_call_that_breaks_is_settled_by_the_end_of_the_lane(desk, monkeypatch) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            receive = it.cluster._counter._lanes._receive
            lost: list[bytes] = []
            # The answer never arrives: the lane's task has the outcome as well.
            monkeypatch.setattr(it.cluster._counter._lanes, "_receive", lost.append)
            unheard = 0
            while not lost:  # On a loaded machine, a lane may have ended before.
                unheard += 1
                assert await it.one(f"unheard{unheard}", 7) == "succeeded"
            monkeypatch.setattr(it.cluster._counter._lanes, "_receive", receive)
            outcomes = [r.outcome for r in it.reports if isinstance(r, Ended)]
            assert outcomes[-1].outputs == {"result": Inline(7)}

    asyncio.run(main())


def test_a_killed_worker_before_it_was_told_anything(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.until_in_lane()
            (process,) = it.cluster._embedded._processes.values()
            os.kill(process.pid, signal.SIGKILL)
            # Whether the driver knows of it by now or not: it is lost, or another worker runs it.
            assert await it.one("next") in {"lost", "succeeded"}
            assert await it.one("after") == "succeeded"

    asyncio.run(main())
