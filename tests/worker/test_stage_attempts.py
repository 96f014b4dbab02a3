"""Attempts of stages: what other stages give them, and what becomes of their kernels."""

import asyncio
import threading

import msgspec

from nbflow.core.stages import StageCell, StageSpec
from nbflow.core.values import Artifact
from nbflow.worker.facilities import Facilities

GIVEN = Artifact("namespace", "sha256:" + "7" * 64, 3)


def stage(bench):
    """A stage that runs the second of two cells, with a variable that the first one gives."""
    task = bench.notebook("rows = [1]", "len(rows)", params={"rows": GIVEN})
    spec = StageSpec(cells=(StageCell(index=1, number=2, takes=("rows",)),))
    return msgspec.structs.replace(task, code=msgspec.structs.replace(task.code, stage=spec))


def test_a_stage_whose_variables_are_lost_fails_and_leaves_no_kernel(bench):
    facilities = Facilities()
    try:
        outcome = bench.run(stage(bench), facilities=facilities)
        kernels = facilities.kernels
    finally:
        facilities.close()
    assert outcome.status == "failed"
    assert f"artifact {GIVEN.digest} is missing" in outcome.reason.message
    assert kernels.ready + kernels.forked + kernels.ordinary == 0


def test_while_variables_are_fetched_the_worker_attends_to_its_other_kernels(bench, monkeypatch):
    asked, attended = threading.Event(), threading.Event()

    def fetch(digest):
        asked.set()
        assert attended.wait(20), "the worker's loop stood still"
        return path(digest)

    async def scenario():
        fetching = asyncio.create_task(bench.perform(stage(bench)))
        await asyncio.to_thread(asked.wait, 20)
        attended.set()
        return await fetching

    path = bench.store.path
    monkeypatch.setattr(bench.store, "path", fetch)
    outcome = asyncio.run(scenario())
    assert f"artifact {GIVEN.digest} is missing" in outcome.reason.message
