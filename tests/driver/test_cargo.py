"""Inputs that travel with their attempts: a few at a time, however many consumers are ready."""

import asyncio

import pytest
from driven_run import DrivenRun, node
from msgspec.structs import replace

from nbflow.artifacts import digest_of
from nbflow.core.attempts import Started
from nbflow.core.frontier import ROOM_BYTES
from nbflow.core.spec import FunctionCode
from nbflow.driver.stimuli import CancelAsked
from nbflow.driver.tasks import LIGHT_BYTES
from nbflow.testing import FakeCluster

USERS = [f"use{number}" for number in range(12)]


class SlowCluster(FakeCluster):
    """A cluster whose workers do not share the store, and are busy: nothing begins by itself."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.may_begin = asyncio.Event()

    async def _perform(self, task):
        try:
            if task.id.node.startswith("use"):
                await self.may_begin.wait()
        except asyncio.CancelledError:
            if task.id in self._running:  # stopped, not lost
                self._end(self._outcome(task, 1.0, "stopped"))
            return
        await super()._perform(task)

    def begin(self, number):
        """Let the attempt say that it has begun, and no more."""
        self._report(Started(self.submitted[number].id, "fake", 1.0))


class Fan(DrivenRun):
    """A run of one node that makes something, and twelve that use it.

    Parameters
    ----------
    folder
        Of the store.
    size_bytes
        What is said of the size of what is made; its bytes are few.
    policy
        Of those that use it.
    """

    def __init__(self, folder, size_bytes, **policy):
        code = FunctionCode("tests:f", digest_of(b"code"))
        nodes = node("make"), *(node(name, "make", **policy) for name in USERS)
        super().__init__(folder, *(replace(each, code=code) for each in nodes))
        self.store.put(b"code", "pickle")
        self.cluster_type, self.shares_store = SlowCluster, False
        self.made = replace(self.store.put(b"0123456789", "file"), size_bytes=size_bytes)

    async def perform(self, task):
        self.ran.append(task.id.node)
        return dict.fromkeys(task.outputs, self.made)


async def users(cluster, count):
    """Wait until so many consumers are with the cluster, and a little for more; return how many."""
    async with asyncio.timeout(10):
        while len(cluster.submitted) - 1 < count:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    return len(cluster.submitted) - 1


def test_the_next_consumer_is_handed_over_when_one_has_begun(tmp_path) -> None:
    fan = Fan(tmp_path, ROOM_BYTES // 2)

    async def meanwhile(cluster, driver):
        assert await users(cluster, 2) == 2
        assert [task.carried[fan.made.digest] for task in cluster.submitted[1:]] == [
            b"0123456789"
        ] * 2
        cluster.begin(1)
        assert await users(cluster, 3) == 3
        cluster.may_begin.set()

    assert fan.drive(meanwhile=meanwhile).status == "succeeded"
    assert sorted(fan.ran) == sorted(["make", *USERS])


def test_one_fits_whatever_its_size(tmp_path) -> None:
    fan = Fan(tmp_path, 10 * ROOM_BYTES)

    async def meanwhile(cluster, driver):
        assert await users(cluster, 1) == 1
        cluster.may_begin.set()

    assert fan.drive(meanwhile=meanwhile).status == "succeeded"


@pytest.mark.parametrize("shares_store", [True, False])
def test_light_inputs_and_shared_ones_hold_nobody_up(tmp_path, shares_store) -> None:
    fan = Fan(tmp_path, ROOM_BYTES if shares_store else LIGHT_BYTES)
    fan.shares_store = shares_store

    async def meanwhile(cluster, driver):
        assert await users(cluster, len(USERS)) == len(USERS)
        cluster.may_begin.set()

    assert fan.drive(meanwhile=meanwhile).status == "succeeded"


def test_a_consumer_that_is_lost_before_it_began_gives_its_room_back(tmp_path) -> None:
    fan = Fan(tmp_path, ROOM_BYTES)

    async def meanwhile(cluster, driver):
        assert await users(cluster, 1) == 1
        cluster.lose(cluster.submitted[1].id)
        assert await users(cluster, 2) == 2
        cluster.may_begin.set()

    assert fan.drive(meanwhile=meanwhile).status == "succeeded"
    assert sorted(fan.ran) == sorted(["make", *USERS])


def test_a_run_is_cancelled_while_consumers_wait_for_room(tmp_path) -> None:
    fan = Fan(tmp_path, ROOM_BYTES)

    async def meanwhile(cluster, driver):
        assert await users(cluster, 1) == 1
        driver.put(CancelAsked("me"))

    run = fan.drive(meanwhile=meanwhile)

    assert run.status == "cancelled"
    assert {fan.states[name] for name in USERS} == {"cancelled"}
    assert [run[name].attempt for name in USERS] == [1, *[0] * (len(USERS) - 1)]
