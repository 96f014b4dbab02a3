"""The program of an embedded worker: ``python -m nbflow.cluster.worker_process``.

A plain `distributed.Worker` that listens on loopback only and never outlives
its driver: the kernel of the operating system ends it when the driver's process does, however
that died. It is a program of its own, not a `multiprocessing` child, so that a user's script
needs no ``if __name__ == "__main__"`` guard.
"""

import asyncio
import ctypes
import os
import signal
import sys

import click
import msgspec

from nbflow import _logs
from nbflow.worker.facilities import Facilities


class WorkerOptions(msgspec.Struct, frozen=True):
    """What the driver tells a worker process, as JSON."""

    scheduler: str
    name: str
    threads: int
    local_directory: str
    driver_pid: int
    resources: dict[str, float] = {}
    #: Whether notebooks are to be expected.
    kernels: bool = True


_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask Linux to kill this process when the thread that started it ends.

    Elsewhere the worker notices that its scheduler is gone, which takes a moment longer.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # The parent died before the request was made.
        os._exit(1)


async def serve(options: WorkerOptions, facilities: Facilities) -> None:
    """Run a worker until its scheduler closes it or a signal asks it to end."""
    # Lazy: a second of imports, during which the fork server loads what it needs.
    from distributed import Worker

    from nbflow.cluster.remote import WorkerSide
    from nbflow.worker.performing import load_notebooks

    worker = Worker(
        options.scheduler,
        name=options.name,
        nthreads=options.threads,
        resources=options.resources,
        local_directory=options.local_directory,
        host="127.0.0.1",
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        # Kernels are processes of their own: Dask's limit would only see this one.
        memory_limit=0,
    )
    loop = asyncio.get_running_loop()
    # The terminal's Ctrl-C is the driver's business; it decides what becomes of the workers.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with worker:
        WorkerSide(worker, facilities).settle()
        if options.kernels:
            # While the driver makes up its mind: half a second that the first notebook would wait.
            await asyncio.to_thread(load_notebooks)
        waits = [asyncio.ensure_future(worker.finished()), asyncio.ensure_future(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


@click.command(context_settings={"help_option_names": []})
@click.argument("options")
def main(options: str) -> None:
    """Run one worker; `options` is `WorkerOptions` as JSON."""
    decoded = msgspec.json.decode(options, type=WorkerOptions)
    die_with_parent(decoded.driver_pid)
    _logs.speak(os.environ)
    facilities = Facilities()
    if decoded.kernels:
        facilities.expect_notebooks()
    asyncio.run(serve(decoded, facilities))


if __name__ == "__main__":
    main()
