"""Asking all workers of a cluster, some of which may not answer.

`Client.run` has all answers or none: the scheduler waits for every worker, so that one that has
been stopped, or that cannot be reached from there, holds up what the others say. So when answers do
not come in time, each worker is asked once more, by itself.
"""

import asyncio
from collections.abc import Callable
from typing import Any


async def ask_all(
    client: Any, function: Callable[..., Any], *args: Any, within_s: float
) -> dict[str, Any]:
    """Run a function on all workers; on some of them twice, if one is silent.

    Parameters
    ----------
    client
        Of the cluster.
    function, args
        What to run.
    within_s
        How long workers may take to answer; twice as long in all.

    Returns
    -------
    dict
        What each worker has returned, by its address, or the exception that it raised: an
        `OSError` if it cannot be reached, and of these a `TimeoutError` if it is silent.

    Raises
    ------
    OSError
        If it is the scheduler that cannot be reached, or is silent.
    """

    async def ask(workers: list[str] | None) -> dict[str, Any]:
        answers: dict[str, Any]
        async with asyncio.timeout(within_s):
            answers = await client.run(function, *args, workers=workers, on_error="return")
        return answers

    async def ask_one(worker: str) -> dict[str, Any]:
        try:
            return await ask([worker])
        except TimeoutError:
            return {worker: TimeoutError(f"it has not answered for {within_s:.0f} s")}

    try:
        return await ask(None)
    except TimeoutError:
        async with asyncio.timeout(within_s):
            identity = await client.scheduler.identity(n_workers=-1)
        answers = await asyncio.gather(*(ask_one(worker) for worker in identity["workers"]))
        return {worker: answer for each in answers for worker, answer in each.items()}
