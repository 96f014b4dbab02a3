"""What the adapter says of attempts that are stopped while other news is on its way."""

import asyncio

import dask
import pytest
from distributed.diagnostics.plugin import SchedulerPlugin
from support.outside_desk import OutsideDesk

from nbflow.cluster.remote import WorkerSide
from nbflow.core.errors import ClusterError


def quick():
    return 1


async def wait():
    await asyncio.Event().wait()


async def never(*args, **options):
    """Answer nothing."""
    await asyncio.Event().wait()


class Finish(SchedulerPlugin):
    """Notices that a task has finished, as far as the scheduler knows."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def transition(self, key, start, finish, *args, **kwargs) -> None:
        if finish == "memory":
            self.seen.set()


def test_a_success_that_the_driver_has_not_heard_of_is_not_stopped(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            stream = it.scheduler.client_comms[it.cluster._link.client.id]
            finish, held, send = Finish(), [], stream.send
            it.scheduler.add_plugin(finish)
            stream.send = lambda *messages: held.extend(messages)
            task = it.task("n", quick)
            await it.cluster.submit([task])
            await asyncio.wait_for(finish.seen.wait(), 30)
            await it.cluster.cancel([task.id])
            stream.send = send
            send(*held)
            await it.until(lambda: bool(it.ended()))
            assert it.ended() == {"n": "succeeded"}

    asyncio.run(main())


def test_what_no_worker_has_yet_is_withdrawn(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            tasks = [it.task(name, wait) for name in ("running", "queued")]
            await it.cluster.submit(tasks)
            await it.until(lambda: bool(it.started()))
            await it.cluster.cancel([task.id for task in tasks])
            await it.until(lambda: len(it.ended()) == 2)
            assert set(it.ended().values()) == {"stopped"}
            assert len(it.started()) == 1

    asyncio.run(main())


def test_what_ran_on_a_lost_worker_is_lost_when_it_is_stopped_and_no_other_has_it(
    tmp_path,
) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            task = it.task("n", wait)
            await it.cluster.submit([task])
            await it.until(lambda: bool(it.started()))
            await it.lose(it.workers[0].address)
            await it.cluster.cancel([task.id])
            await it.until(lambda: bool(it.lost()) or bool(it.ended()))
            assert it.lost() == ["its worker was lost while the node ran on it"]

    asyncio.run(main())


def test_a_silent_worker_holds_up_no_stopping_and_is_told_when_it_answers(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("nbflow.cluster.dask_cluster.TOLD_WITHIN_S", 0.3)

    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=2) as it:
            tasks = {name: it.task(name, wait) for name in ("a", "b", "queued")}
            await it.cluster.submit([tasks["a"], tasks["b"]])
            await it.until(lambda: len(it.started()) == 2)
            await it.cluster.submit([tasks["queued"]])
            silent = it.workers[0]
            answer, silent.handlers["run"] = silent.handlers["run"], never
            await it.cluster.cancel([task.id for task in tasks.values()])
            await it.until(lambda: len(it.ended()) == 2)
            assert set(it.ended().values()) == {"stopped"}
            assert "queued" in it.ended()
            silent.handlers["run"] = answer
            await it.until(lambda: len(it.ended()) == 3)
            assert set(it.ended().values()) == {"stopped"}

    asyncio.run(main())


def test_a_survey_goes_on_without_a_worker_that_is_silent(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.connecting.PROBE_WITHIN_S", 1.0)

    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=0) as it:
            silent, _ = await it.add_worker(), await it.add_worker()
            silent.handlers["run"] = never
            info = await it.cluster.survey(it.store.ref)
            assert info.workers == 1
            (note,) = it.notes()
            assert f"worker {silent.address} does not answer the scheduler" in note

    asyncio.run(main())


def test_a_survey_ends_if_no_worker_can_be_reached(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.connecting.FIRST_WORKER_TIMEOUT_S", 0.1)
    nowhere = "tcp://127.0.0.1:9"

    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=0) as it:
            await it.add_worker(contact_address=nowhere)
            with pytest.raises(
                ClusterError, match=rf"worker {nowhere} does not answer .*--contact-address"
            ):
                await it.cluster.survey(it.store.ref)

    with dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}):
        asyncio.run(main())


def test_nothing_of_a_driver_stays_when_it_ends(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path) as it:
            topics, topic = it.scheduler._broker._topics, it.cluster._topic
            await it.cluster.submit([it.task(f"n{number}", quick) for number in range(3)])
            await it.until(lambda: len(it.ended()) == 3)
            assert topics[topic].count > 0
            await it.cluster.close()
            assert topic not in topics
            side = WorkerSide.of(it.workers[0])
            assert (side._held, side._buffers) == ({}, {})

    asyncio.run(main())
