"""Attempts of function nodes."""

import asyncio
import errno
import itertools
import sys
import threading
from collections import UserDict
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from peaks import peak_bytes

from nbflow import guest
from nbflow.artifacts import FileStore
from nbflow.core.attempts import Outcome
from nbflow.core.errors import ArtifactError
from nbflow.core.policies import Timeout
from nbflow.core.values import Artifact, Fields, Inline, Items
from nbflow.testing import Fault, FaultyDisk
from nbflow.worker.loading import load_function
from nbflow.worker.streams import LOG_LIMIT
from nbflow.worker.threads import FunctionThreads


def test_a_small_value_goes_in_and_out_without_any_file(bench):
    outcome = bench.run(bench.function(lambda x: {"twice": 2 * x}, params={"x": 2}))
    assert outcome.status == "succeeded"
    assert outcome.outputs == {"result": Inline({"twice": 4})}
    assert outcome.started_at <= outcome.ended_at
    assert bench.store.get_receipt(outcome.id) is None
    assert not bench.scratch.exists()


def test_any_value_goes_in_and_out_and_leaves_a_receipt(bench):
    table = bench.store.put(guest.dumps(pd.DataFrame({"a": [1, 2]}))[1], "parquet")

    def function(table, parts):
        return table["a"].to_numpy() * len(parts["tables"])

    task = bench.function(function, params={"table": table})
    params = task.params | {"parts": Fields({"tables": Items((table, table))})}
    outcome = bench.run(msgspec.structs.replace(task, params=params))
    result = outcome.outputs["result"]
    assert (result.kind, result.type_name) == ("npy", "numpy.ndarray")
    assert list(guest.load("npy", bench.store.get(result.digest))) == [2, 4]
    receipt = bench.store.get_receipt(outcome.id)
    assert msgspec.json.decode(receipt, type=Outcome) == outcome


def test_a_small_result_of_long_work_leaves_a_receipt(bench):
    now_s = itertools.count(1000.0, 2.0)
    outcome = bench.run(bench.function(lambda: 1), clock=lambda: next(now_s))
    assert msgspec.json.decode(bench.store.get_receipt(outcome.id), type=Outcome) == outcome


def test_whatever_must_not_be_repeated_leaves_a_receipt(bench):
    outcome = bench.run(bench.function(lambda: 1, careful=True))
    assert msgspec.json.decode(bench.store.get_receipt(outcome.id), type=Outcome) == outcome


def test_a_file_parameter_is_a_path(bench):
    file = bench.store.put(b"hello", "file")
    outcome = bench.run(bench.function(lambda f: Path(f).read_text(), params={"f": file}))
    assert outcome.outputs == {"result": Inline("hello")}


def test_a_function_cannot_change_what_the_driver_holds(bench):
    task = bench.function(lambda xs: xs.append(1) or xs, params={"xs": []})
    assert bench.run(task).outputs == {"result": Inline([1])}
    assert task.params == {"xs": Inline([])}


def test_named_outputs_come_out_of_a_mapping(bench):
    task = bench.function(lambda: UserDict(a=1, b=2, c=3), outputs=("a", "b"))
    assert bench.run(task).outputs == {"a": Inline(1), "b": Inline(2)}


def test_a_missing_output_is_named_and_the_others_are_kept(bench):
    outcome = bench.run(bench.function(lambda: {"a": 1}, outputs=("a", "b")))
    assert (outcome.status, outcome.error.type) == ("failed", "OutputMissing")
    assert "'b'" in outcome.error.message
    assert "returned a mapping with 'a'" in outcome.error.message
    assert outcome.outputs == {"a": Inline(1)}
    outcome = bench.run(bench.function(lambda: 3, outputs=("a",)))
    assert "returned a value of type int" in outcome.error.message


def test_an_unstorable_result_only_matters_if_somebody_wants_it(bench):
    assert bench.run(bench.function(threading.Lock)).status == "succeeded"
    outcome = bench.run(bench.function(threading.Lock, outputs=("result",)))
    assert outcome.error.type == "OutputNotStorable"
    assert "_thread.lock" in outcome.error.message


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_function_raises_is_told_with_its_traceback(bench, error):
    def function():
        print("before")
        raise error

    outcome = bench.run(bench.function(function))
    assert (outcome.status, outcome.reason.kind) == ("failed", "error")
    assert outcome.error.type == type(error).__name__
    told = f"m.function raised {type(error).__name__}"
    assert outcome.reason.message == (f"{told}: {error}" if str(error) else told)
    assert "nbflow/worker" not in outcome.error.traceback
    assert bench.store.get(outcome.log.digest) == b"before\n"


def test_a_function_that_cannot_be_unpickled_says_what_to_do(bench):
    task = bench.function(lambda: 1)
    digest = bench.store.put(b"cno_such_module\nf\n.", "pickle").digest
    code = msgspec.structs.replace(task.code, digest=digest)
    outcome = bench.run(msgspec.structs.replace(task, code=code))
    assert outcome.error.type == "ModuleNotFoundError"
    assert "the worker's environment must hold" in outcome.reason.message


def test_a_parameter_that_is_missing_from_the_store_is_named(bench):
    gone = Artifact("pickle", "sha256:" + "0" * 64, 1)
    outcome = bench.run(bench.function(lambda x: x, params={"x": gone}))
    assert outcome.error.type == "ArtifactError"
    assert "while parameter 'x' was loaded" in outcome.reason.message


def test_async_functions_are_awaited_and_their_output_is_captured(bench):
    async def function(x):
        await asyncio.sleep(0)
        print("x is", x)
        return x

    outcome = bench.run(bench.function(function, params={"x": 1}))
    assert outcome.outputs == {"result": Inline(1)}
    assert bench.store.get(outcome.log.digest) == b"x is 1\n"

    async def failing():
        await asyncio.sleep(0)
        raise ValueError("boom")

    assert bench.run(bench.function(failing)).error.type == "ValueError"


def test_a_long_log_is_cut_with_a_note(bench):
    outcome = bench.run(bench.function(lambda: sys.stdout.write("x" * (LOG_LIMIT + 10))))
    log = bench.store.get(outcome.log.digest).decode()
    assert log.endswith("[10 more characters were not kept]\n")


def test_time_is_up_for_a_function_that_goes_on(bench):
    release = bench.folder / "release"

    def function(path):
        import time

        while not Path(path).exists():
            time.sleep(0.01)

    task = bench.function(function, params={"path": str(release)}, timeout=Timeout(hard=0.2))
    outcome = bench.run(task)
    release.touch()
    assert (outcome.status, outcome.reason.kind) == ("failed", "timed_out")
    assert "took longer than 0.2 s" in outcome.reason.message
    assert "may go on in the background" in outcome.reason.message


def test_a_cancelled_function_is_told_as_stopped(bench):
    begun, release = bench.folder / "begun", bench.folder / "release"

    def function(begun, release):
        import time

        Path(begun).touch()
        while not Path(release).exists():
            time.sleep(0.01)

    async def scenario():
        params = {"begun": str(begun), "release": str(release)}
        running = asyncio.create_task(bench.perform(bench.function(function, params=params)))
        await bench.when(begun)
        running.cancel()
        outcome = await running
        release.touch()
        return outcome

    outcome = asyncio.run(scenario())
    assert (outcome.status, outcome.reason.kind) == ("stopped", "interrupted")


def test_a_cancelled_coroutine_is_really_stopped(bench):
    async def function(path):
        begun, ended = Path(path, "begun"), Path(path, "ended")
        try:
            begun.touch()  # noqa: ASYNC240 - how the test hears of it
            await asyncio.Event().wait()
        finally:
            ended.touch()  # noqa: ASYNC240 - how the test hears of it

    async def scenario():
        task = bench.function(function, params={"path": str(bench.folder)})
        running = asyncio.create_task(bench.perform(task))
        await bench.when(bench.folder / "begun")
        running.cancel()
        return await running

    assert asyncio.run(scenario()).status == "stopped"
    assert (bench.folder / "ended").exists()


def test_without_the_store_all_bytes_travel(bench):
    task = bench.function(lambda a: a + 1, params={})
    array = bench.store.put(guest.dumps(np.zeros(2))[1], "npy")
    carried = {digest: bench.store.get(digest) for digest in (task.code.digest, array.digest)}
    task = msgspec.structs.replace(task, params={"a": array}, carried=carried)
    outcome = bench.run(task, store=None)
    result = outcome.outputs["result"]
    assert set(outcome.carried) == {result.digest}
    assert list(guest.load("npy", outcome.carried[result.digest])) == [1, 1]


def test_carried_bytes_are_checked(bench):
    task = bench.function(lambda: 1)
    # The function itself may be known already by its digest; a parameter never is.
    value = bench.store.put(b"x", "pickle")
    damaged = {task.code.digest: bench.store.get(task.code.digest), value.digest: b"evil"}
    task = msgspec.structs.replace(task, params={"x": value}, carried=damaged)
    outcome = bench.run(task, store=None)
    assert outcome.error.type == "ArtifactError"
    assert "damaged" in outcome.error.message


def test_a_store_that_cannot_be_written_fails_the_attempt_and_not_the_worker(bench, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    task = bench.function(lambda: {1})
    monkeypatch.setattr(bench.store, "put", full)
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason.kind) == ("failed", "error")
    assert "No space left on device" in outcome.reason.message
    assert "w1" in outcome.reason.message


def test_an_output_without_room_is_told_and_the_others_are_kept(bench, tmp_path):
    disk = FaultyDisk(Fault("rename", nth=2, error=errno.ENOSPC, lasting=True))
    store = FileStore.open(tmp_path / "real", disk=disk)
    task = bench.function(lambda: {"a": [1] * 9000, "b": {2}, "c": {3}}, outputs=("a", "b", "c"))
    store_task = msgspec.structs.replace(task, store=store.ref)
    load_function(task.code, bench.store)  # known by its digest from now on
    outcome = bench.run(store_task, store=store)
    assert (outcome.status, outcome.error.type) == ("failed", "OutputNotStored")
    assert set(outcome.outputs) == {"a"}
    assert f"output 'c' could not be stored: the artifact store {tmp_path}" in outcome.error.message
    assert "Free some space there, then resume" in outcome.error.message
    assert store.get(outcome.outputs["a"].digest)


def test_a_large_result_and_a_large_parameter_take_no_memory_beyond_themselves(bench, tmp_path):
    size = 64 << 20
    store = FileStore.open(tmp_path / "real")
    outcomes = []

    def perform(function, **params):
        task = bench.function(function, params=params)
        load_function(task.code, bench.store)
        outcomes.append(bench.run(msgspec.structs.replace(task, store=store.ref), store=store))

    assert peak_bytes(lambda: perform(lambda: np.zeros(size // 8))) < 1.4 * size
    array = outcomes[0].outputs["result"]
    assert array.size_bytes > size
    assert peak_bytes(lambda: perform(lambda x: float(x[-1]), x=array)) < 1.4 * size
    assert outcomes[1].outputs == {"result": Inline(0.0)}


def test_a_success_stays_one_though_there_is_no_room_for_its_receipt(bench, monkeypatch):
    def full(*_, **__):
        raise ArtifactError("the store is full")

    monkeypatch.setattr(bench.store, "put_receipt", full)
    outcome = bench.run(bench.function(lambda: {1}))
    assert outcome.status == "succeeded"
    assert bench.store.get_receipt(outcome.id) is None


def test_what_turns_out_unstorable_after_the_work_is_named_and_the_rest_is_kept(bench):
    def work():
        print("three hours later")
        return {"model": threading.Lock(), "table": {1, 2}}

    outcome = bench.run(bench.function(work, outputs=("model", "table")))
    assert (outcome.status, outcome.error.type) == ("failed", "OutputNotStorable")
    for words in ("'model'", "_thread.lock", "cannot pickle", "Return something else"):
        assert words in outcome.error.message
    assert set(outcome.outputs) == {"table"}
    assert bench.store.get(outcome.log.digest) == b"three hours later\n"


def test_a_hanging_call_keeps_no_other_waiting():
    threads = FunctionThreads()
    release = threading.Event()
    hanging = threads.submit(release.wait)
    assert threads.submit(lambda: 1).result() == 1
    assert threads.submit(lambda: 2).result() == 2
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result()
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(lambda: 3)
    release.set()
    assert hanging.result()


def test_an_input_that_is_gone_is_not_the_functions_fault(bench):
    gone = Artifact("pickle", "sha256:" + "0" * 64, 3)
    outcome = bench.run(bench.function(lambda x: x, params={"x": gone}))
    assert outcome.status == "failed"
    assert outcome.reason.kind == "invalid_input"
    assert "raised" not in outcome.reason.message
