"""What is told of workers, from what a scheduler says."""

import asyncio

import pytest

from nbflow.cluster.watching_workers import WorkerWatch, state_of

ABOUT = {
    "name": 3,
    "host": "10.0.0.1",
    "nthreads": 4,
    "memory_limit": 8_000_000_000,
    "resources": {"GPU": 1.0},
    "services": {"dashboard": 8790},
    "status": "running",
    "last_seen": 5.0,
    "metrics": {
        "cpu": 93.5,
        "memory": 1_000_000,
        "spilled_bytes": {"memory": 0, "disk": 77},
        "task_counts": {"executing": 2, "ready": 1, "memory": 40},
    },
}


def test_a_worker():
    state = state_of("tcp://10.0.0.1:1", ABOUT, silent_s=1.5)
    assert (state.address, state.name, state.threads) == ("tcp://10.0.0.1:1", "3", 4)
    assert (state.tasks, state.cpu_percent, state.memory_bytes) == (3, 93.5, 1_000_000)
    assert (state.memory_limit_bytes, state.spilled_bytes) == (8_000_000_000, 77)
    assert (state.resources, state.silent_s, state.paused) == ({"GPU": 1.0}, 1.5, False)
    assert state.dashboard == "http://10.0.0.1:8790/status"


def test_a_worker_that_says_little():
    state = state_of("inproc://x", {"metrics": {}, "services": {}, "status": "init"}, silent_s=0)
    assert (state.threads, state.tasks, state.memory_limit_bytes, state.dashboard) == (0, 0, 0, "")
    assert not state.paused


@pytest.mark.parametrize("status", ["paused", "closing_gracefully", "closing"])
def test_a_worker_that_takes_nothing(status):
    assert state_of("tcp://x", {**ABOUT, "status": status}, silent_s=0).paused


class Scheduler:
    """Says what its workers are, and can be out of reach."""

    def __init__(self):
        self.workers = {"a": dict(ABOUT)}
        self.reachable = True
        self.asked = []
        self.scheduler = self  # as of a client

    async def identity(self, n_workers):
        self.asked.append(n_workers)
        if not self.reachable:
            raise OSError("the line is broken")
        shown = self.workers if n_workers == -1 else {}
        return {"n_workers": len(self.workers), "workers": shown}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("nbflow.cluster.watching_workers.COUNT_S", 0.01)
    monkeypatch.setattr("nbflow.cluster.watching_workers.INTERVAL_S", 0.2)


def watched(scenario):
    """Let a watch tell into a queue while `scenario(scheduler, next_told)` goes on."""

    async def main():
        scheduler, told = Scheduler(), asyncio.Queue()
        watch = WorkerWatch(told.put_nowait, lambda: 7.0)
        watch.watch(scheduler)
        try:
            async with asyncio.timeout(20):
                return await scenario(scheduler, told.get)
        finally:
            await watch.close()

    return asyncio.run(main())


def names(report):
    return [worker.address for worker in report.workers]


def test_workers_are_told_at_once_and_when_one_comes_or_goes(quick, monkeypatch):
    monkeypatch.setattr("nbflow.cluster.watching_workers.INTERVAL_S", 3600)

    async def scenario(scheduler, told):
        first = await told()
        assert (first.at, names(first)) == (7.0, ["a"])
        scheduler.workers["b"] = ABOUT
        assert names(await told()) == ["a", "b"]
        scheduler.workers.clear()
        assert names(await told()) == []
        # Between two tellings, only their number is asked for.
        assert scheduler.asked.count(-1) == 3

    watched(scenario)


def test_workers_are_told_again_and_again(quick):
    async def scenario(_scheduler, told):
        assert [names(await told()) for _ in range(3)] == [["a"]] * 3

    watched(scenario)


def test_silence_is_what_a_heartbeat_does_not_end(quick):
    async def scenario(scheduler, told):
        silent = [(await told()).workers[0].silent_s for _ in range(3)]
        assert silent[0] == 0.0 < silent[1] < silent[2]
        scheduler.workers["a"]["last_seen"] += 1
        while (await told()).workers[0].silent_s != 0.0:
            pass

    watched(scenario)


def test_a_scheduler_out_of_reach_is_asked_again(quick):
    async def scenario(scheduler, told):
        await told()
        scheduler.reachable = False
        scheduler.asked.clear()
        while len(scheduler.asked) < 3:
            await asyncio.sleep(0.01)
        scheduler.workers["b"] = ABOUT
        scheduler.reachable = True
        while names(await told()) != ["a", "b"]:
            pass

    watched(scenario)


class ClosedClient:
    """Has no scheduler any more, and knows when somebody has looked for it."""

    def __init__(self):
        self.asked = asyncio.Event()

    @property
    def scheduler(self):
        self.asked.set()


def test_a_client_that_is_closed_gives_way_to_the_next(quick):
    async def main():
        told, closed, scheduler = asyncio.Queue(), ClosedClient(), Scheduler()
        watch = WorkerWatch(told.put_nowait, lambda: 7.0)
        watch.watch(scheduler)
        try:
            async with asyncio.timeout(20):
                await told.get()
                watch.watch(closed)
                await closed.asked.wait()
                scheduler.workers["b"] = ABOUT
                watch.watch(scheduler)
                while names(await told.get()) != ["a", "b"]:
                    pass
        finally:
            await watch.close()

    asyncio.run(main())


class HeldScheduler:
    """Answers when it is let."""

    def __init__(self):
        self.scheduler = self  # as of a client
        self.answer = asyncio.get_running_loop().create_future()

    async def identity(self, n_workers):
        await asyncio.shield(self.answer)
        return {"n_workers": 0, "workers": {}}


@pytest.mark.parametrize("turns", range(6))
def test_an_end_that_comes_with_an_answer_is_an_end(turns):
    async def scenario():
        scheduler = HeldScheduler()
        watch = WorkerWatch(lambda _: None, clock=lambda: 0.0)
        watch.watch(scheduler)
        await asyncio.sleep(0)
        scheduler.answer.set_result(None)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await watch.close()

    asyncio.run(scenario())
