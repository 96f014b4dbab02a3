"""What every cluster owes its driver, on the fake and on Dask with real worker processes."""

import asyncio
import sys
import time

import cloudpickle
import dask
import msgspec
import pytest
from support.cluster_desk import Desk

from nbflow.artifacts import FileStore
from nbflow.cluster import DaskCluster, Embedded
from nbflow.core.attempts import AttemptTask, Ended, Lost, Started, WorkerNote
from nbflow.core.values import Inline
from nbflow.testing import FakeCluster

# Workers cannot import this module, so its functions travel whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def fake() -> FakeCluster:
    """Return a fake whose attempts do what their function would, on the same thread."""

    async def behave(task: AttemptTask):
        if task.code.label.startswith("wait"):
            await asyncio.Event().wait()
        if task.code.label.startswith("fail"):
            raise ValueError("no")
        return {"result": Inline(task.params["x"].value + 1)}

    return FakeCluster(behave, clock=time.time)


def embedded() -> DaskCluster:
    return DaskCluster(Embedded(workers=2, threads=2), clock=time.time)


def plus_one(x):
    return x + 1


def fail(x):
    raise ValueError("no")


async def wait(x):
    import asyncio

    await asyncio.Event().wait()


@pytest.fixture(params=[fake, embedded])
def desk(request, tmp_path):
    return lambda: Desk(request.param(), FileStore.open(tmp_path / "store")).opened()


def test_attempts_start_once_and_end_once(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.cluster.submit([it.task(f"n{i}", plus_one, x=i) for i in range(50)])
            await it.until(lambda: len(it.ended()) == 50)
            assert sorted(it.started()) == sorted(f"n{i}" for i in range(50))
            outcomes = [r.outcome for r in it.reports if isinstance(r, Ended)]
            assert len(outcomes) == 50
            for outcome in outcomes:
                assert outcome.status == "succeeded"
                assert outcome.outputs == {"result": Inline(int(outcome.id.node[1:]) + 1)}
                assert outcome.started_at <= outcome.ended_at

    asyncio.run(main())


def test_each_attempt_is_announced_before_it_ends(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.cluster.submit([it.task(f"n{i}", plus_one, x=i) for i in range(20)])
            await it.until(lambda: len(it.ended()) == 20)
            order = [
                (type(r).__name__, r.id.node if isinstance(r, Started) else r.outcome.id.node)
                for r in it.reports
                if isinstance(r, (Started, Ended))
            ]
            for i in range(20):
                assert order.index(("Started", f"n{i}")) < order.index(("Ended", f"n{i}"))

    asyncio.run(main())


def test_a_failure_is_an_outcome(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            await it.cluster.submit([it.task("fail", fail, x=1), it.task("n", plus_one, x=1)])
            await it.until(lambda: len(it.ended()) == 2)
            assert it.ended() == {"fail": "failed", "n": "succeeded"}
            (failed,) = (r.outcome for r in it.reports if isinstance(r, Ended) and r.outcome.reason)
            assert failed.reason.kind == "error"
            assert "ValueError" in failed.reason.message

    asyncio.run(main())


def test_a_running_attempt_that_is_cancelled_says_that_it_was_stopped(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            task = it.task("wait", wait, x=1)
            await it.begin(task)
            await it.cluster.cancel([task.id])
            await it.until(lambda: bool(it.ended()))
            assert it.ended() == {"wait": "stopped"}

    asyncio.run(main())


def test_cancelling_twice_is_cancelling_once(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            task = it.task("wait", wait, x=1)
            await it.begin(task)
            await it.cluster.cancel([task.id])
            await it.cluster.cancel([task.id])
            await it.until(lambda: len(it.ended()) == 1)
            ended = [report for report in it.reports if isinstance(report, Ended)]
            assert [each.outcome.status for each in ended] == ["stopped"]

    asyncio.run(main())


def test_cancelling_many_at_once_ends_them_all(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            tasks = [it.task(f"wait{i}", wait, x=1) for i in range(12)]
            await it.cluster.submit(tasks)
            await it.until(lambda: bool(it.started()))
            await it.cluster.cancel([task.id for task in tasks])
            await it.until(lambda: len(it.ended()) == 12)
            assert set(it.ended().values()) == {"stopped"}
            assert not [r for r in it.reports if isinstance(r, (Lost, WorkerNote))]

    asyncio.run(main())


def test_annotations_of_the_caller_are_not_meant_for_attempts(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            # Nobody offers this, so that an attempt that asked for it would never run.
            with dask.annotate(resources={"NONE": 1}, retries=3):
                await it.cluster.submit([it.task("n", plus_one, x=1)])
            await it.until(lambda: bool(it.ended()))
            assert it.ended() == {"n": "succeeded"}

    asyncio.run(main())


def test_what_must_be_careful_begins_like_the_rest(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            tasks = [it.task(f"n{i}", plus_one, x=i) for i in range(4)]
            await it.cluster.submit([msgspec.structs.replace(t, careful=True) for t in tasks])
            await it.until(lambda: len(it.ended()) == 4)
            assert set(it.ended().values()) == {"succeeded"}
            assert sorted(it.started()) == ["n0", "n1", "n2", "n3"]

    asyncio.run(main())


def test_cancelling_what_has_ended_does_nothing(desk) -> None:
    async def main() -> None:
        async with desk() as it:
            task = it.task("n", plus_one, x=1)
            await it.cluster.submit([task])
            await it.until(lambda: bool(it.ended()))
            count = len(it.reports)
            await it.cluster.cancel([task.id])
            await it.cluster.submit([it.task("m", plus_one, x=1)])
            await it.until(lambda: "m" in it.ended())
            assert [r for r in it.reports[count:] if getattr(r, "id", None) == task.id] == []
            assert it.ended()["n"] == "succeeded"

    asyncio.run(main())
