"""What becomes of an attempt of a notebook when its worker ends under it."""

import asyncio
import os
import signal

from conftest import ID, when

from nbflow.kernels.ending import process_ended

#: Says which process runs it, and waits; cleans up when it is interrupted.
WAITS = (
    "import os, pathlib, time\n"
    "here = pathlib.Path('..')\n"
    "(here / 'pid.part').write_text(str(os.getpid()))\n"
    "(here / 'pid.part').rename(here / 'pid')\n"
    "try:\n"
    "    time.sleep(60)\n"
    "except KeyboardInterrupt:\n"
    "    (here / 'cleaned').touch()\n"
    "    raise\n"
)


def test_an_attempt_ends_with_its_loop_and_says_nothing(bench):
    # As on a worker whose program ends its loop when it gets a signal.
    task = bench.notebook(WAITS)

    async def begin():
        running = asyncio.create_task(bench.perform(task))
        await when(bench.folder / "pid")
        return running

    running = asyncio.run(begin())

    assert running.cancelled()
    assert bench.store.get_receipt(ID) is None
    assert (bench.folder / "cleaned").exists()


def test_a_kernel_that_is_asked_to_end_just_before_its_worker_is_has_not_failed(bench):
    task = bench.notebook(WAITS)

    async def end():
        running = asyncio.create_task(bench.perform(task))
        await when(bench.folder / "pid")
        pid = int((bench.folder / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        await process_ended(pid)
        # Time enough to take it for a failure.
        assert await asyncio.wait({running}, timeout=0.5) == (set(), {running})
        running.cancel()
        return await running

    outcome = asyncio.run(end())

    assert outcome.status == "stopped"
    assert bench.executed(outcome).metadata.papermill.exception


def test_a_kernel_that_somebody_asks_to_end_has_died(bench):
    outcome = bench.run(bench.notebook("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"))

    assert (outcome.status, outcome.reason.kind) == ("failed", "kernel_died")
    assert "someone asked it to end" in outcome.reason.message
