"""Questions to all workers, some of which do not answer."""

import asyncio

from support.outside_desk import OutsideDesk

from nbflow.cluster.asking import ask_all


def address(dask_worker):
    return dask_worker.address


def refuse():
    raise ValueError("no")


async def never(*args, **options):
    await asyncio.Event().wait()


def test_each_answers_for_itself(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=2) as it:
            client = it.cluster._link.client
            addresses = [worker.address for worker in it.workers]
            assert await ask_all(client, address, within_s=10) == {a: a for a in addresses}
            answers = await ask_all(client, refuse, within_s=10)
            assert [str(answers[a]) for a in addresses] == ["no", "no"]

    asyncio.run(main())


def test_a_silent_worker_holds_up_no_others(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=3) as it:
            silent, *others = it.workers
            silent.handlers["run"] = never
            answers = await ask_all(it.cluster._link.client, address, within_s=0.5)
            assert isinstance(answers.pop(silent.address), TimeoutError)
            assert answers == {worker.address: worker.address for worker in others}

    asyncio.run(main())
