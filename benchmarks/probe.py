"""What probing costs a worker: the prober's rounds over many idle kernels, and the stack of one.

The share of a core is that of the prober's own thread, as the system counts it. While a stack is
taken, a kernel is held up for less than that takes.
"""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import click

from nbflow.core.ids import AttemptId
from nbflow.kernels import Kernel, WarmPool, Wishes, start_kernel
from nbflow.worker.probing.prober import Prober, Watched
from nbflow.worker.probing.silence import Silence
from nbflow.worker.probing.stacks import CellFiles, KernelStacks
from nbflow.worker.probing.subjects import KernelSubject
from nbflow.worker.probing.tallying import Tally

_BUSY = "import time\nwhile True:\n    time.perf_counter()"


@click.command()
@click.option("--kernels", "count", default=50, show_default=True)
@click.option("--rounds", default=20, show_default=True)
def probe(count: int, rounds: int) -> None:
    """Measure the prober with many kernels, and stacks."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(count, rounds, Path(folder)))


async def _measure(count: int, rounds: int, folder: Path) -> None:
    pool = WarmPool()
    kernels: list[Kernel] = []
    try:
        for _ in range(count):
            wishes = Wishes(pool=pool)
            kernels.append(await start_kernel("python3", cwd=folder, env={}, wishes=wishes))
        print("| what | measured |")
        print("|---|---|")
        await _print_rounds(kernels, rounds)
        await _print_stacks(kernels[0], rounds)
    finally:
        await asyncio.gather(*(kernel.shutdown(grace_s=0) for kernel in kernels))
        pool.close()


async def _print_rounds(kernels: list[Kernel], rounds: int) -> None:
    loop = asyncio.get_running_loop()
    prober, samples = Prober(), []
    for number, kernel in enumerate(kernels):
        attempt = AttemptId("run", f"node-{number}", 1, 1)
        assert kernel.pid is not None
        subject = KernelSubject(kernel.pid, Tally(), Silence(time.monotonic, None))
        prober.watch(Watched(attempt, subject, samples.append, loop))
    # The first round looks for children and sockets.
    await asyncio.sleep(1.5)
    thread = prober._thread  # noqa: SLF001 - what is measured
    assert thread is not None
    before_s, began_s = _used_s(thread.native_id), time.perf_counter()
    await asyncio.sleep(rounds)
    used_s, passed_s = _used_s(thread.native_id) - before_s, time.perf_counter() - began_s
    prober.close()
    percent = used_s / passed_s * 100
    print(f"| prober, {len(kernels)} idle kernels | {percent:.2f}% of a core |")
    print(f"| samples in {passed_s:.0f} s | {len(samples)} |", flush=True)


async def _print_stacks(kernel: Kernel, rounds: int) -> None:
    assert kernel.pid is not None
    stacks = KernelStacks(
        AttemptId("run", "node", 1, 1),
        kernel.pid,
        kernel.answers,
        CellFiles({0: _BUSY}),
        clock=time.time,
        mask=str,
    )
    busy = asyncio.create_task(kernel.run_silently(_BUSY))
    await asyncio.sleep(0.5)
    taken, cpu = [], []
    for _ in range(rounds):
        began_s, used_s = time.perf_counter(), time.process_time()
        stack = stacks.take(0)
        taken.append(time.perf_counter() - began_s)
        cpu.append(time.process_time() - used_s)
        assert stack.cell_frame is not None, stack.problem
        await asyncio.sleep(0.05)
    print(f"| stack of a busy kernel, elapsed | {statistics.median(taken) * 1e3:.1f} ms |")
    print(f"| stack of a busy kernel, CPU of the worker | {statistics.median(cpu) * 1e3:.1f} ms |")
    await kernel.kill()
    await asyncio.wait({busy})
    busy.exception()


def _used_s(thread: int | None) -> float:
    text = Path(f"/proc/{os.getpid()}/task/{thread}/schedstat").read_text()
    return int(text.split()[0]) / 1e9
