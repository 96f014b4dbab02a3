"""Of several claimants of a fence, one is first, and all the others learn who it was."""

import asyncio

from distributed import Client, Scheduler

from nbflow.cluster import fences


def with_scheduler(script):
    """Run `script(scheduler RPC)` against a real scheduler."""

    async def main():
        async with (
            Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler,
            Client(scheduler.address, asynchronous=True, set_as_default=False) as client,
        ):
            return await script(client.scheduler), dict(scheduler.task_metadata)

    return asyncio.run(main())


def test_one_of_many_is_first_and_stays_first() -> None:
    async def script(scheduler):
        names = [f"w{number}" for number in range(20)]
        claims = (fences.claim(scheduler, "topic", "1", name) for name in names)
        told = dict(zip(names, await asyncio.gather(*claims), strict=True))
        return told, await fences.claim(scheduler, "topic", "1", "late")

    (told, late), _ = with_scheduler(script)
    (first,) = [name for name, holder in told.items() if holder is None]
    assert {holder for holder in told.values() if holder is not None} == {first}
    assert late == first


def test_a_claimant_that_comes_again_is_not_first_again() -> None:
    async def script(scheduler):
        return [await fences.claim(scheduler, "topic", "1", "w") for _ in range(2)]

    told, _ = with_scheduler(script)
    assert told == [None, "w"]


def test_fences_do_not_touch_each_other_and_can_be_forgotten() -> None:
    async def script(scheduler):
        told = [
            await fences.claim(scheduler, topic, fence, "w")
            for topic, fence in (("a", "1"), ("a", "2"), ("b", "1"))
        ]
        await fences.forget(scheduler, "a")
        return told

    told, metadata = with_scheduler(script)
    assert told == [None] * 3
    assert metadata["a"] == {}
    assert set(metadata["b"]) == {"1"}
