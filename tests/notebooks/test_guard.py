"""Limits on cells and nodes, and what they do to a cell that knows how to take them."""

import asyncio

import pytest
from cell_bench import CellBench, when

from nbflow.core.policies import Timeout
from nbflow.notebooks.guard import StopRequest

WAIT = "import threading\nthreading.Event().wait()"

GRACEFUL = """\
import threading
try:
    threading.Event().wait()
except KeyboardInterrupt:
    print("cleaned up")
"""

STUBBORN = """\
import threading
while True:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("no", flush=True)
"""


@pytest.fixture
def bench(tmp_path):
    return CellBench(tmp_path)


def test_each_cell_has_its_own_time(bench):
    cell = "import threading\nassert not threading.Event().wait(0.6)"
    ran = bench.run(*[cell] * 3, timeout=Timeout(cell_soft=1.5, cell_hard=2))
    assert ran.failure is None
    assert ran.seconds > 1.5


def test_a_cell_over_its_soft_limit_is_interrupted(bench):
    ran = bench.run("1", WAIT, "2", timeout=Timeout(cell_soft=0.5))
    assert ran.failure.reason.kind == "timed_out"
    message = ran.failure.reason.message
    assert (
        "interrupted after 0.5 s (soft timeout of a cell) in the cell 'import threading'" in message
    )
    assert (ran.failure.error.type, ran.failure.error.cell) == ("KeyboardInterrupt", 1)
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.seconds < 3


@pytest.mark.parametrize("timeout", [Timeout(soft=1), Timeout(cell_soft=1)], ids=["node", "cell"])
def test_a_cell_that_takes_the_interrupt_well_fails_all_the_same(bench, timeout):
    ran = bench.run("1", GRACEFUL, "2", timeout=timeout)
    assert ran.failure.reason.kind == "timed_out"
    assert "in the cell 'import threading'" in ran.failure.reason.message
    assert (ran.failure.error.type, ran.failure.error.cell) == ("TimedOut", 1)
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.exceptions == [False, True, None]
    assert ran.notebook.metadata.papermill.exception is True
    assert ran.texts(1)[0] == "cleaned up\n"
    assert ran.outputs(1)[1].evalue == ran.failure.reason.message


@pytest.mark.parametrize("timeout", [Timeout(soft=1), Timeout(cell_soft=1)], ids=["node", "cell"])
def test_a_cell_that_ignores_the_interrupt_is_killed_after_a_grace(bench, timeout):
    ran = bench.run("1", STUBBORN, "2", timeout=timeout, grace_s=0.5)
    assert ran.failure.reason.kind == "timed_out"
    assert "interrupted after 1 s" in ran.failure.reason.message
    assert "killed 0.5 s later" in ran.failure.reason.message
    assert ran.failure.error.type == "TimedOut"
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.texts(1)[0] == "no\n"


def test_a_hard_limit_of_the_cell_kills_and_leaves_no_grace_to_the_soft_one(bench):
    timeout = Timeout(cell_soft=0.5, cell_hard=1.5)
    ran = bench.run("1", STUBBORN, "2", timeout=timeout, grace_s=0.1)
    assert "killed after 1.5 s (hard timeout of a cell)" in ran.failure.reason.message
    assert ran.statuses == ["completed", "failed", "pending"]
    assert 1.5 <= ran.seconds < 1.5 + 2


def test_a_hard_limit_of_the_cell_alone_kills(bench):
    ran = bench.run(WAIT, "2", timeout=Timeout(cell_hard=0.5))
    assert ran.failure.reason.kind == "timed_out"
    assert ran.failure.error.type == ran.outputs(0)[0].ename == "TimedOut"
    assert ran.statuses == ["failed", "pending"]


def test_the_limit_of_a_cell_that_has_ended_does_no_harm_to_the_next(bench):
    quick = "import threading\nthreading.Event().wait(0.3)"
    ran = bench.run(*[quick] * 6, timeout=Timeout(cell_soft=0.9))
    assert ran.failure is None
    assert ran.statuses == ["completed"] * 6


def test_a_stop_is_stronger_than_a_cell_that_refuses(bench):
    stop = StopRequest()

    async def insist(kernel):
        await when(bench.folder / "begun")
        stop.ask()
        await when(bench.folder / "refused")
        stop.insist()

    source = STUBBORN.replace("    try:", "    try:\n        open('begun', 'w').close()").replace(
        "print(", "open('refused', 'w').close()\n        print("
    )
    ran = asyncio.run(bench.perform("1", source, "2", stop=stop, meanwhile=insist))
    assert ran.failure.reason.kind == "interrupted"
    assert ran.statuses == ["completed", "failed", "pending"]
