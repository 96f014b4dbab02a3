"""What the end of a Dask task says of attempts, on a cluster that runs tasks again by itself."""

import asyncio
import sys
import threading

import msgspec
import pytest
from distributed import Worker
from support.outside_desk import OutsideDesk, silence

from nbflow.cluster.remote import WorkerSide

#: Set as soon as a node has begun. The cluster is in this process, so that nodes see it.
BEGUN = threading.Event()


def big():
    return b"x" * 20_000


async def wait():
    BEGUN.set()
    await asyncio.Event().wait()


def blind(worker: Worker, looks: int = sys.maxsize) -> None:
    """Let a worker not see the store, however often it looks, or only so many times."""
    side = WorkerSide.of(worker)
    see, looks_left = side.store, iter(range(looks))
    side.store = lambda *ref, **how: see(*ref, **how) if next(looks_left, None) is None else None


def test_a_result_that_dies_with_its_worker_while_it_is_fetched(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            # So that the outcome is in the task's result alone.
            blind(it.workers[0])
            fetch = it.scheduler.handlers["gather"]

            async def too_late(keys, **options):
                for key in keys:
                    for holder in list(it.scheduler.tasks[key].who_has or ()):
                        await it.lose(holder.address)
                        await it.add_worker()
                return await fetch(keys=keys, **options)

            it.scheduler.handlers["gather"] = too_late
            task = it.task("n", big)
            carried = {task.code.digest: it.store.get(task.code.digest)}
            await it.cluster.submit([msgspec.structs.replace(task, carried=carried)])
            await it.until(lambda: bool(it.lost()))
            assert "was lost or retired while the node ran on it" in it.lost()[0]
            assert it.ended() == {}
            assert it.started() == ["n"]

    asyncio.run(main())


@pytest.mark.parametrize("looks", [1, sys.maxsize], ids=["soon fit", "never fit"])
@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "unannounced"])
def test_what_had_begun_is_lost_though_an_unfit_worker_refuses_it_then(
    tmp_path, is_announced, looks
) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            (first,) = it.workers
            if not is_announced:
                silence(first)
            BEGUN.clear()
            task = it.task("n", wait)
            await it.cluster.submit([task])
            assert await asyncio.to_thread(BEGUN.wait, 30)
            blind(await it.add_worker(), looks)
            await it.lose(first.address)
            await it.until(lambda: bool(it.lost()) or len(it.started()) > 1)
            assert it.lost() == ["its worker was lost while the node ran on it"]

    asyncio.run(main())


def test_what_waits_for_a_worker_that_can_run_it_can_be_stopped(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            blind(it.workers[0])
            task = it.task("n", wait)
            await it.cluster.submit([task])
            await it.until(lambda: any("Waiting for one that can" in note for note in it.notes()))
            await it.cluster.cancel([task.id])
            assert it.ended() == {"n": "stopped"}

    asyncio.run(main())


async def garbled(topic, message, version, fence, lane):
    return b"?"


def test_a_result_that_nobody_understands_loses_its_attempt(tmp_path, caplog) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            it.cluster._counter._entry = garbled
            await it.cluster.submit([it.task("n", wait)])
            await it.until(lambda: bool(it.lost()))
            assert "what became of it cannot be told" in it.lost()[0]

    asyncio.run(main())
    assert "the watch over a task of the cluster has ended" in caplog.text
