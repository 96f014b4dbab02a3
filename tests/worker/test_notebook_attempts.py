"""Attempts of notebook nodes, in real kernels."""

import asyncio
import json
from pathlib import Path

import cloudpickle
import msgspec
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from nbflow import guest
from nbflow.core.attempts import Outcome, Progress
from nbflow.core.policies import Timeout
from nbflow.core.values import INLINE_LIMIT_BYTES, Fields, Inline, Items
from nbflow.worker import performing


def tagged(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def statuses(book):
    """The status of each cell but the error marks."""
    return [cell.metadata.papermill.status for cell in book.cells if "papermill" in cell.metadata]


def load(bench, value):
    return guest.load(value.kind, bench.store.get(value.digest))


def store(bench, value):
    kind, data = guest.dumps(value)
    name, preview = guest.type_name(value), guest.preview(value)
    return bench.store.put(data, kind, type_name=name, preview=preview)


PLOT = """\
import matplotlib.pyplot as plt
plt.plot([1, 2])
"""


def test_a_notebook_succeeds_with_its_plot_outputs_and_progress(bench):
    task = bench.notebook(
        new_markdown_cell("# Title"),
        "# first line\nrows = [1, 2]",
        "papermill_description='drawing'\n" + PLOT,
        tagged("never = 1", "skip-execution"),
        "",
        tagged("1 / 0", "raises-exception"),
        "import os\nenv = {k: v for k, v in os.environ.items() if k.startswith('NBFLOW_')}\n"
        "here = os.getcwd()\nlong = 'x' * 10_000",
        outputs=("rows", "env", "here", "long"),
    )
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason, outcome.error) == ("succeeded", None, None)
    assert outcome.outputs["rows"] == Inline([1, 2])
    assert outcome.outputs["here"] == Inline(str(bench.folder / "book"))
    long = outcome.outputs["long"]
    assert (long.kind, long.type_name) == ("json", "str")
    assert long.size_bytes > INLINE_LIMIT_BYTES
    env = outcome.outputs["env"].value
    assert {key: env[key] for key in env if key not in ("NBFLOW_OUTPUTS", "NBFLOW_KERNEL")} == {
        "NBFLOW_RUN": "run",
        "NBFLOW_NODE": "group/node",
        "NBFLOW_ATTEMPT": "run/group/node",
    }
    assert not Path(env["NBFLOW_OUTPUTS"]).exists()

    book = bench.executed(outcome)
    assert "image/png" in book.cells[2].outputs[-1].data
    completed, pending = "completed", "pending"
    assert statuses(book) == [completed] * 3 + [pending] + [completed] * 3
    # Capturing leaves no trace.
    assert [cell.get("execution_count") for cell in book.cells] == [None, 1, 2, None, None, 3, 4]
    assert book.cells[-1].outputs == []
    assert book.metadata.papermill.exception is None
    assert book.metadata.language_info.name == "python"
    assert bench.saved.read_bytes() == bench.store.get(outcome.notebook.digest)

    progress = [report for report in bench.reports if isinstance(report, Progress)]
    told = [(r.done, r.total, r.cell, r.description) for r in progress]
    assert told == [
        (0, 4, 1, "# first line"),
        (1, 4, 2, "'drawing'"),
        (2, 4, 5, "1 / 0"),
        (3, 4, 6, "import os"),
        (4, 4, None, ""),
    ]
    assert msgspec.json.decode(bench.store.get_receipt(outcome.id), type=Outcome) == outcome


class Thing:
    """An object of a class that no library has."""

    def __init__(self, x):
        self.x = x


def test_parameters_and_outputs_of_every_kind(bench):
    cloudpickle.register_pickle_by_value(__import__(__name__))
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    tables = Items((store(bench, table), store(bench, table.tail(1))))
    params = {
        "n": Inline(2),
        "table": store(bench, table),
        "array": store(bench, np.arange(4.0)),
        "thing": store(bench, Thing(5)),
        "nested": Fields({"tables": tables, "k": Inline("v")}),
    }
    task = bench.notebook(
        tagged("n = 1", "parameters"),
        "out_table = table.assign(c=n)\n"
        "out_array = array * n\n"
        "out_thing = thing\n"
        "lengths = [len(t) for t in nested['tables']]\n"
        "frames = nested['tables']",
        outputs=("out_table", "out_array", "out_thing", "lengths", "frames"),
    )
    outcome = bench.run(msgspec.structs.replace(task, params=params))
    assert outcome.status == "succeeded", outcome.error
    outputs = outcome.outputs
    pd.testing.assert_frame_equal(load(bench, outputs["out_table"]), table.assign(c=2))
    assert list(load(bench, outputs["out_array"])) == [0, 2, 4, 6]
    assert load(bench, outputs["out_thing"]).x == 5
    assert outputs["lengths"] == Inline([2, 1])
    assert len(load(bench, outputs["frames"])) == 2
    kinds = [outputs[f"out_{name}"].kind for name in ("table", "array", "thing")]
    assert kinds == ["parquet", "npy", "pickle"]
    shown = bench.executed(outcome).metadata.papermill.parameters
    assert shown["n"] == 2
    assert shown["array"].startswith("<numpy.ndarray 4, sha256:")


def test_an_error_ends_the_notebook_and_what_was_emitted_is_kept(bench):
    emitted = "import os\nfrom nbflow.guest import emit\nemit('early', {'a': 1})"
    task = bench.notebook(emitted, "print('hi')\nraise ValueError('boom')", "x = 1", outputs=("x",))
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason.kind) == ("failed", "error")
    assert outcome.reason.message == "the cell \"print('hi')\" raised ValueError: boom"
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "boom")
    assert "\x1b" not in outcome.error.traceback
    assert outcome.outputs == {"early": Inline({"a": 1})}
    book = bench.executed(outcome)
    assert statuses(book) == ["completed", "failed", "pending"]
    assert book.cells[outcome.error.cell].source.startswith("print('hi')")
    assert "An Exception was encountered" in book.cells[0].source
    assert "papermill-error-cell" in book.cells[outcome.error.cell - 1].source
    assert book.metadata.papermill.exception is True


def test_an_error_without_a_message_is_told_by_its_type(bench):
    outcome = bench.run(bench.notebook("assert 1 > 2"))
    assert outcome.reason.message == "the cell 'assert 1 > 2' raised AssertionError"


def test_a_killed_kernel_is_told_with_what_it_did_before(bench):
    task = bench.notebook(
        "print('last words', flush=True)", "import os; os.kill(os.getpid(), 9)", "1"
    )
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason.kind) == ("failed", "kernel_died")
    assert "signal 9 (SIGKILL" in outcome.reason.message
    assert outcome.ended_at - outcome.started_at < 30
    book = bench.executed(outcome)
    assert statuses(book) == ["completed", "failed", "pending"]
    failed = book.cells[outcome.error.cell]
    assert failed.outputs[-1].ename == "KernelDied"


def test_a_soft_timeout_interrupts_the_cell(bench):
    source = """\
import threading
try:
    threading.Event().wait()
finally:
    cleaned = open("cleaned", "w").close()
"""
    outcome = bench.run(bench.notebook(source, "1", timeout=Timeout(soft=5)))
    assert (outcome.status, outcome.reason.kind) == ("failed", "timed_out")
    assert "interrupted after 5 s (soft timeout)" in outcome.reason.message
    assert "import threading" in outcome.reason.message
    assert outcome.error.type == "KeyboardInterrupt"
    assert (bench.folder / "book" / "cleaned").exists()
    assert statuses(bench.executed(outcome)) == ["failed", "pending"]


def test_a_hard_timeout_kills_a_cell_that_ignores_interrupts(bench):
    source = """\
import subprocess, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
while True:
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        print("no", flush=True)
"""
    outcome = bench.run(bench.notebook(source, "1", timeout=Timeout(soft=5, hard=6)))
    assert outcome.reason.kind == "timed_out"
    assert "killed after 6 s (hard timeout)" in outcome.reason.message
    book = bench.executed(outcome)
    assert statuses(book) == ["failed", "pending"]
    assert book.cells[2].outputs[0].text == "no\n"


def test_a_memory_limit_kills_the_kernel_and_gives_figures(bench):
    source = "hog = bytearray(500_000_000)\nimport threading; threading.Event().wait()"
    outcome = bench.run(bench.notebook(source, memory_bytes=300_000_000))
    assert outcome.reason.kind == "out_of_memory"
    assert "the limit is 300 MB" in outcome.reason.message
    assert statuses(bench.executed(outcome)) == ["failed"]


WAITING = """\
import threading
open("begun", "w").close()
threading.Event().wait()
"""


def test_a_cancelled_notebook_stops_and_keeps_what_it_has(bench):
    async def scenario():
        task = bench.notebook("print('done')", WAITING, "1")
        running = asyncio.create_task(bench.perform(task))
        await bench.when(bench.folder / "book" / "begun")
        running.cancel()
        outcome = await running
        assert running.cancelling() == 0
        return outcome

    outcome = asyncio.run(scenario())
    assert (outcome.status, outcome.reason.kind) == ("stopped", "interrupted")
    book = bench.executed(outcome)
    assert statuses(book) == ["completed", "failed", "pending"]
    assert book.cells[0].outputs[0].text == "done\n"
    assert book.metadata.papermill.exception is True


def test_a_notebook_cancelled_while_its_worker_still_loads_what_runs_it_has_not_begun(bench):
    async def scenario():
        with performing._LOADING:  # as another attempt's thread does
            running = asyncio.create_task(bench.perform(bench.notebook("1")))
            await asyncio.sleep(0)
            running.cancel()
            outcome = await running
            assert running.cancelling() == 0
            return outcome

    outcome = asyncio.run(scenario())
    assert (outcome.status, outcome.reason.kind) == ("stopped", "not_begun")
    assert not bench.saved.exists()


def test_a_second_cancellation_kills(bench):
    stubborn = """\
import time
while True:
    try:
        open("begun", "w").close()
        time.sleep(1000)
    except KeyboardInterrupt:
        open("refused", "w").close()
"""

    async def scenario():
        running = asyncio.create_task(bench.perform(bench.notebook(stubborn)))
        await bench.when(bench.folder / "book" / "begun")
        running.cancel()
        await bench.when(bench.folder / "book" / "refused")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert statuses(nbformat.read(bench.saved, as_version=4)) == ["failed"]


def test_a_notebook_cancelled_before_its_kernel_is_up_runs_no_cell(bench):
    async def scenario():
        running = asyncio.create_task(bench.perform(bench.notebook("1")))
        await bench.when(bench.saved)
        running.cancel()
        return await running

    outcome = asyncio.run(scenario())
    assert outcome.status == "stopped"
    assert statuses(bench.executed(outcome)) == ["pending"]


def test_outputs_that_cannot_be_kept_are_each_told_and_the_others_kept(bench):
    task = bench.notebook(
        "import threading\nlock = threading.Lock()\nrows = [1]\nglobals_ = globals",
        outputs=("lock", "row", "rows"),
    )
    outcome = bench.run(task)
    assert (outcome.status, outcome.error.type) == ("failed", "OutputNotStorable")
    assert "'lock' is a value of type _thread.lock" in outcome.error.message
    assert "'row' was asked for" in outcome.error.message
    assert "did you mean 'rows'?" in outcome.error.message
    assert outcome.outputs == {"rows": Inline([1])}
    assert statuses(bench.executed(outcome)) == ["completed"]


def test_a_value_that_ends_the_process_when_it_is_pickled_or_shown_is_told_by_name(bench):
    source = """
class Pickled:
    def __reduce__(self): raise SystemExit("no")
class Shown:
    def __repr__(self): raise SystemExit("no")
pickled, shown, rows = Pickled(), Shown(), [1]
"""
    outcome = bench.run(bench.notebook(source, outputs=("pickled", "shown", "rows")))
    assert (outcome.status, outcome.error.type) == ("failed", "OutputNotStorable")
    assert "'pickled' is a value of type __main__.Pickled" in outcome.error.message
    assert outcome.outputs["shown"].preview == "<no repr: SystemExit>"
    assert outcome.outputs["rows"] == Inline([1])


EMITTING = """\
import json, os
from IPython.display import display
from nbflow.guest import emit
emit("a", "emitted")
with open(os.path.join(os.environ["NBFLOW_OUTPUTS"], "report.csv"), "w") as file:
    file.write("x")
display({"application/scrapbook.scrap.json+json":
         {"name": "s", "data": [1], "encoder": "json", "version": 1}}, raw=True)
a = s = "variables"
exec = globals = print = None  # Names of ours that the user has taken.
"""


def test_emitted_outputs_come_before_variables_and_are_kept_unasked(bench):
    names = "{'names': sorted(n for n in dir() if 'nbflow' in n or 'guest' in n)}"
    task = bench.notebook(
        EMITTING, tagged("b, _c = 2, 3\nunset: int", "outputs"), f"n = {names}", outputs=("a", "n")
    )
    outcome = bench.run(task)
    assert outcome.status == "succeeded", outcome.error
    report = outcome.outputs.pop("report")
    assert (report.kind, bench.store.get(report.digest)) == ("file", b"x")
    assert outcome.outputs == {
        "a": Inline("emitted"),
        "s": Inline([1]),
        "b": Inline(2),
        "n": Inline({"names": []}),
    }


def test_sys_exit_without_an_error_ends_a_notebook_well(bench):
    outcome = bench.run(bench.notebook("import sys; x = 1; sys.exit(0)", "x = 2", outputs=("x",)))
    assert outcome.status == "succeeded"
    assert outcome.outputs == {"x": Inline(1)}
    assert statuses(bench.executed(outcome))[1] == "pending"
    outcome = bench.run(bench.notebook("import sys; sys.exit(2)"))
    assert (outcome.status, outcome.error.type) == ("failed", "SystemExit")


def test_input_is_refused(bench):
    outcome = bench.run(bench.notebook("input('name?')"))
    assert outcome.error.type == "StdinNotImplementedError"


def test_a_bash_notebook_takes_json_and_emits_files(bench, bash):
    task = bench.notebook(
        'echo "{\\"hello\\": \\"$who\\"}" > "$NBFLOW_OUTPUTS/greeting.json"\necho "hi $who"',
        kernel="bash",
        language="bash",
        params={"who": "you & me"},
        outputs=("greeting",),
    )
    outcome = bench.run(task)
    assert outcome.outputs == {"greeting": Inline({"hello": "you & me"})}, outcome.error
    assert bench.executed(outcome).cells[1].outputs[0].text == "hi you & me\n"

    missing = bench.run(msgspec.structs.replace(task, outputs=("x",)))
    assert missing.error.type == "OutputMissing"
    assert "$NBFLOW_OUTPUTS" in missing.error.message


def test_a_bash_notebook_refuses_a_table_and_is_interrupted_like_any_other(bench, bash):
    task = bench.notebook("touch begun; sleep 1000", "echo", kernel="bash", language="bash")
    table = store(bench, pd.DataFrame({"a": [1]}))
    refused = bench.run(msgspec.structs.replace(task, params={"t": table}))
    assert (refused.status, refused.reason.kind) == ("failed", "invalid_input")
    assert "bash notebooks take JSON-able values" in refused.reason.message

    async def scenario():
        running = asyncio.create_task(bench.perform(task))
        await bench.when(bench.folder / "book" / "begun")
        running.cancel()
        return await running

    outcome = asyncio.run(scenario())
    assert outcome.status == "stopped"
    assert statuses(bench.executed(outcome)) == ["failed", "pending"]


def test_a_kernel_that_does_not_exist_is_told_with_the_worker(bench):
    outcome = bench.run(bench.notebook("1", kernel="ghost"))
    assert (outcome.status, outcome.reason.kind) == ("failed", "error")
    assert outcome.error.type == "NoSuchKernel"
    assert "'ghost'" in outcome.reason.message
    assert "w1" in outcome.reason.message
    assert statuses(bench.executed(outcome)) == ["pending"]


def test_a_kernel_override_that_does_not_exist_is_told_before_anything_starts(bench):
    task = bench.notebook("1")
    code = msgspec.structs.replace(task.code, kernel="ghost")
    outcome = bench.run(msgspec.structs.replace(task, code=code))
    assert (outcome.status, outcome.error.type) == ("failed", "NoSuchKernel")


def test_a_kernel_that_is_not_up_in_time_is_a_timeout(bench):
    outcome = bench.run(bench.notebook("1", timeout=Timeout(hard=0.05)))
    assert (outcome.status, outcome.reason.kind) == ("failed", "timed_out")
    assert statuses(bench.executed(outcome)) == ["pending"]


CAPTURED = """\
import os, threading
class Value:
    def __reduce__(self):
        {does}
value = Value()
"""


def test_a_kernel_that_dies_while_outputs_are_captured(bench):
    source = CAPTURED.format(does="os.kill(os.getpid(), 11)")
    outcome = bench.run(bench.notebook(source, outputs=("value",)))
    assert (outcome.status, outcome.reason.kind) == ("failed", "kernel_died")
    assert "outputs could not be captured" in outcome.reason.message
    assert "SIGSEGV" in outcome.reason.message
    assert statuses(bench.executed(outcome)) == ["completed"]


def test_a_timeout_while_outputs_are_captured(bench):
    source = CAPTURED.format(does="threading.Event().wait()")
    outcome = bench.run(bench.notebook(source, outputs=("value",), timeout=Timeout(soft=5)))
    assert (outcome.status, outcome.reason.kind) == ("failed", "timed_out")
    assert "after its last cell" in outcome.reason.message


def test_what_is_no_notebook_is_invalid_input(bench):
    task = bench.notebook("1")
    code = msgspec.structs.replace(task.code, digest=bench.store.put(b"{}", "notebook").digest)
    outcome = bench.run(msgspec.structs.replace(task, code=code))
    assert (outcome.status, outcome.reason.kind) == ("failed", "invalid_input")
    assert "is not a notebook" in outcome.reason.message


def test_a_worker_without_the_store_or_the_folder_runs_a_notebook_all_the_same(bench):
    array = store(bench, np.arange(3))
    task = bench.notebook("y = x + 1", outputs=("y",))
    code = msgspec.structs.replace(task.code, path="/nowhere/node.ipynb")
    carried = {digest: bench.store.get(digest) for digest in (code.digest, array.digest)}
    task = msgspec.structs.replace(
        task,
        code=code,
        params={"x": array},
        carried=carried,
        notebook_path="/proc/nowhere/node.ipynb",
    )
    outcome = bench.run(task, store=None)
    assert outcome.status == "succeeded", outcome.error
    y = outcome.outputs["y"]
    assert set(outcome.carried) == {y.digest, outcome.notebook.digest}
    assert list(guest.load("npy", outcome.carried[y.digest])) == [1, 2, 3]


FIXED = {"start_time", "end_time", "duration", "output_path"}
TIMED = {"start_time", "end_time", "duration"}


@pytest.mark.parametrize("last", ["y = x\ny", "1 / 0"], ids=["good", "bad"])
def test_the_executed_notebook_reads_as_papermills_own(bench, last):
    cells = [
        new_markdown_cell("# Title"),
        tagged("x = 1", "parameters"),
        "print(x)",
        tagged("'tag'", "mine"),
        last,
    ]
    task = bench.notebook(*cells, params={"x": 2})
    ours = bench.executed(bench.run(task))
    target = bench.folder / "papermill.ipynb"
    try:
        papermill.execute_notebook(
            task.code.path, target, {"x": 2}, cwd=bench.folder / "book", progress_bar=False
        )
    except papermill.PapermillExecutionError:
        assert last == "1 / 0"
    theirs = nbformat.read(target, as_version=4)

    def told(book):
        whole = {k: v for k, v in book.metadata.papermill.items() if k not in FIXED}
        return json.loads(json.dumps([whole, *map(cell_told, book.cells)]))

    def cell_told(cell):
        timing = cell.metadata.get("papermill", {})
        return {
            "type": cell.cell_type,
            "source": cell.source,
            "tags": cell.metadata.tags,
            "count": cell.get("execution_count"),
            "outputs": [
                {k: v for k, v in output.items() if k != "traceback"}
                for output in cell.get("outputs", [])
            ],
            "papermill": {k: v for k, v in timing.items() if k not in TIMED},
            "timed": {k: timing[k] is not None for k in TIMED & timing.keys()},
            "execution": sorted(cell.metadata.get("execution", {})),
        }

    assert told(ours) == told(theirs)
    assert ours.metadata.papermill.output_path == str(bench.saved)
    assert ours.metadata.papermill.keys() == theirs.metadata.papermill.keys()
    assert ours.metadata.language_info == theirs.metadata.language_info


def test_an_attempt_without_a_kernel_leaves_a_notebook_that_says_so_and_no_older_one(bench):
    assert bench.run(bench.notebook("1")).status == "succeeded"
    task = bench.notebook(new_markdown_cell("# Title"), "1", params={"n": 1})
    code = msgspec.structs.replace(task.code, kernel="ghost")
    outcome = bench.run(msgspec.structs.replace(task, code=code))
    assert outcome.error.type == "NoSuchKernel"
    book = bench.executed(outcome)
    assert statuses(book) == ["pending", "pending"]
    assert book.metadata.papermill.exception is True
    assert book.metadata.papermill.end_time is not None
    assert book.metadata.papermill.output_path == str(bench.saved)
    assert bench.saved.read_bytes() == bench.store.get(outcome.notebook.digest)
    assert msgspec.json.decode(bench.store.get_receipt(outcome.id), type=Outcome) == outcome
