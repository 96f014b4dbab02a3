"""Attempts that store their variables, die, and go on, in real kernels."""

import asyncio
import json
import os
import re
import signal

import leftovers
import msgspec
import pytest
from checkpoint_cases import HELD, MOVABLE
from nbformat.v4 import new_code_cell, new_markdown_cell

from nbflow.core.attempts import Checkpointed, Progress, WorkerNote
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Inline, Secret
from nbflow.worker.facilities import Facilities


def tagged(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def facilities(temporary_folder):
    """Those of one worker for all attempts here, which therefore share its fork servers."""
    with leftovers.none_of(temporary_folder):
        facilities = Facilities()
        yield facilities
        facilities.close()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Kernels that wait are the worker's, and what is left is looked for when it ends."""


class Attempts:
    """Performs attempts of one notebook, and keeps what they told."""

    def __init__(self, bench, facilities):
        self.bench = bench
        self.facilities = facilities

    def run(self, task, **changes):
        self.bench.reports.clear()
        outcome = self.bench.run(task, facilities=self.facilities, **changes)
        return outcome, self.bench.executed(outcome)

    @property
    def stored(self):
        return [it.checkpoint for it in self.bench.reports if isinstance(it, Checkpointed)]

    @property
    def told(self):
        return [it.message for it in self.bench.reports if isinstance(it, WorkerNote)]

    def task(self, before, after, *, tag="checkpoint", **fields):
        """A notebook whose cells `before` are followed by a checkpoint, and then by `after`."""
        cells = [*before[:-1], tagged(before[-1], tag), *after]
        return self.bench.notebook(*cells, **fields)


@pytest.fixture
def attempts(bench, facilities):
    return Attempts(bench, facilities)


def shown(book):
    """All of an executed notebook that its reader sees."""
    return [
        (
            cell.source,
            # The folder of cells has the number of the process in its name.
            re.sub(r"ipykernel_\d+", "ipykernel", json.dumps(cell.get("outputs"))),
            cell.get("execution_count"),
            cell.metadata.papermill.status if "papermill" in cell.metadata else None,
        )
        for cell in book.cells
    ]


def note(book):
    return book.metadata.get("nbflow", {}).get("checkpoint", {})


@pytest.mark.parametrize("name", MOVABLE)
def test_a_notebook_that_goes_on_gives_what_an_undisturbed_one_gives(attempts, name):
    before, after = MOVABLE[name]
    plain = attempts.task(before, after, tag="none")
    undisturbed, _ = attempts.run(msgspec.structs.replace(plain, code=seeded(plain.code)))
    expected = shown(attempts.bench.executed(undisturbed))
    task = attempts.task(before, after)

    outcome, book = attempts.run(task)
    assert attempts.told == []
    (checkpoint,) = attempts.stored
    assert checkpoint.cell == len(before)
    assert (outcome.status, shown(book)) == (undisturbed.status, expected)
    assert note(book)["stored_after_cell"] == len(before) - 1

    outcome, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert note(book) == {"resumed_at_cell": len(before)}, attempts.told
    assert (outcome.status, shown(book)) == (undisturbed.status, expected)
    ran = [it.cell for it in attempts.bench.reports if isinstance(it, Progress)]
    assert ran == [*range(len(before), len(before) + len(after)), None]


def seeded(code: NotebookCode):
    """The order of sets is random otherwise, in any two kernels."""
    return msgspec.structs.replace(code, env={"PYTHONHASHSEED": "0"})


@pytest.mark.parametrize("name", HELD)
def test_what_cannot_be_moved_is_named_and_the_notebook_is_none_the_worse(attempts, name):
    source, words = HELD[name]
    task = attempts.task([source], ["print('on')"])
    outcome, book = attempts.run(task)
    assert (outcome.status, book.cells[-1].outputs[0].text) == ("succeeded", "on\n")
    assert attempts.stored == []
    why = note(book)["not_stored"]["0"]
    assert any(word in why for word in words.split("|")), why
    assert attempts.told == [f"group/node no checkpoint after cell 0: {why}"]


def test_a_killed_kernel_goes_on_after_its_checkpoint(attempts, bench):
    task = bench.notebook(
        new_markdown_cell("# Title"),
        "import os, time\nprint('first')",
        tagged("rows = [1]", "checkpoint"),
        "open('pid', 'w').write(str(os.getpid()))\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\nprint('through')",
        "rows.append(2)\nrows",
        outputs=("rows",),
    )
    folder = bench.folder / "book"

    async def killed():
        attempt = asyncio.create_task(bench.perform(task, facilities=attempts.facilities))
        await bench.when(folder / "pid")
        while not (text := (folder / "pid").read_text()):
            await asyncio.sleep(0.01)
        os.kill(int(text), signal.SIGKILL)
        return await attempt

    first = asyncio.run(killed())
    assert (first.status, first.reason.kind) == ("failed", "kernel_died")
    (checkpoint,) = attempts.stored
    (folder / "go").touch()
    outcome, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert outcome.outputs == {"rows": Inline([1, 2])}
    assert note(book) == {"resumed_at_cell": 3}
    assert [cell.get("execution_count") for cell in book.cells] == [None, 1, 2, 3, 4]
    assert [cell.metadata.papermill.status for cell in book.cells] == ["completed"] * 5
    assert book.cells[1].outputs[0].text == "first\n"


def test_a_cell_asks_by_itself_and_the_file_of_the_request_is_no_output(attempts):
    asks = "import nbflow\nx = [1]\nnbflow.checkpoint()\nx.append(2)"
    task = attempts.bench.notebook("nbflow = None", asks, "x", outputs=("x",))
    outcome, _ = attempts.run(task)
    (checkpoint,) = attempts.stored
    assert (checkpoint.cell, outcome.outputs) == (2, {"x": Inline([1, 2])})
    outcome, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert outcome.outputs == {"x": Inline([1, 2])}
    assert note(book) == {"resumed_at_cell": 2}


def test_they_come_by_themselves_but_not_after_the_last_cell(attempts):
    task = attempts.bench.notebook("a = 1", "b = 2", "c = 3", checkpoint_s=0.0001)
    _, book = attempts.run(task)
    assert len(attempts.stored) in (1, 2)
    assert attempts.stored[0].cell == 1
    assert note(book)["stored_after_cell"] in (0, 1)


def test_each_checkpoint_counts_until_the_next(attempts, bench):
    task = bench.notebook(
        tagged("a = 1", "checkpoint"),
        tagged("b = a + 1", "checkpoint"),
        tagged("import sqlite3\nconn = sqlite3.connect(':memory:')", "checkpoint"),
        tagged("conn.close()\ndel conn\nc = b + 1", "checkpoint"),
        "print(a, b, c)",
    )
    _, expected = attempts.run(task)
    assert [it.cell for it in attempts.stored] == [1, 2, 4]
    assert list(note(expected)["not_stored"]) == ["2"], "of an open connection alone"
    for checkpoint in attempts.stored:
        _, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
        assert note(book).get("resumed_at_cell") == checkpoint.cell, note(book)
        assert shown(book) == shown(expected)


def test_without_a_wish_nothing_is_different(attempts):
    task = attempts.bench.notebook("import os\nos.environ.get('PYTHONHASHSEED') == '0'", "a = 2")
    _, book = attempts.run(task)
    assert attempts.stored == []
    assert "checkpoint" not in book.metadata.nbflow


CHANGES = {
    "an earlier cell": lambda bench, task: bench.notebook(
        "a = 3", tagged("b = 2", "checkpoint"), "print(a, b)"
    ),
    "a parameter": lambda bench, task: msgspec.structs.replace(task, params={"a": Inline(9)}),
    "the node's variables": lambda bench, task: msgspec.structs.replace(
        task, code=msgspec.structs.replace(task.code, env={"X": "1"})
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_it_starts_over_and_says_so(attempts, bench, change):
    task = bench.notebook("a = 1", tagged("b = 2", "checkpoint"), "print(a, b)")
    attempts.run(task)
    (checkpoint,) = attempts.stored
    changed = CHANGES[change](bench, task)
    outcome, book = attempts.run(msgspec.structs.replace(changed, checkpoint=checkpoint))
    assert outcome.status == "succeeded"
    assert "have changed" in note(book)["started_over"]
    assert attempts.told[0].startswith("group/node starts over, though it has a checkpoint: ")
    assert [cell.execution_count for cell in book.cells if cell.source][-1] == len(book.cells)


def test_a_change_of_a_later_cell_does_not_matter(attempts, bench):
    task = bench.notebook("a = 1", tagged("b = 2", "checkpoint"), "1 / 0")
    outcome, _ = attempts.run(task)
    assert outcome.status == "failed"
    (checkpoint,) = attempts.stored
    mended = bench.notebook("a = 1", tagged("b = 2", "checkpoint"), "print(a, b)", "a")
    outcome, book = attempts.run(msgspec.structs.replace(mended, checkpoint=checkpoint))
    assert (outcome.status, note(book)) == ("succeeded", {"resumed_at_cell": 2})


@pytest.mark.parametrize(
    ("before", "spoil"),
    [
        ("open('data.txt', 'w').write('1')", lambda place: (place / "data.txt").write_text("12")),
        ("a = open('in.txt').read()", lambda place: (place / "in.txt").write_text("other")),
        ("import helper\nhelper.N", lambda place: (place / "helper.py").write_text("N = 3333\n")),
        ("import helper\nhelper.N = 5", lambda place: None),
        ("import helper\nhelper.SEEN.append(1)", lambda place: None),
        (
            "import json\njson.encoder.FLOAT_REPR = 5\nimport colorsys\ncolorsys.ONE_THIRD = 1",
            lambda place: None,
        ),
        ("import math\nmath.pi = 3", lambda place: None),
        ("import sys\nsys.tracebacklimit = 3", lambda place: None),
        ("import builtins\nbuiltins.added = 3", lambda place: None),
        ("import os\nos.added = 1", lambda place: None),
        ("import json\njson.added = 1", lambda place: None),
        ("import sys\nsys.modules['fake'] = sys", lambda place: None),
        ("import mimetypes\nmimetypes.add_type('a/b', '.qq')", lambda place: None),
        ("import sqlite3\nsqlite3.register_adapter(complex, str)", lambda place: None),
    ],
)
def test_what_is_outside_of_the_kernel_must_be_as_it_was(attempts, bench, before, spoil):
    place = bench.folder / "book"
    (place / "in.txt").write_text("1")
    (place / "helper.py").write_text("N = 1\nSEEN = []\n")
    task = bench.notebook(tagged(before, "checkpoint"), "print('end')")
    outcome, _ = attempts.run(task)
    assert outcome.status == "succeeded"
    (checkpoint,) = attempts.stored
    spoil(place)
    outcome, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert outcome.status == "succeeded"
    assert "started_over" in note(book), note(book)
    assert [cell.execution_count for cell in book.cells] == [1, 2]


def test_unspoilt_modules_and_files_let_it_go_on(attempts, bench):
    place = bench.folder / "book"
    (place / "helper.py").write_text("N = 1\nSEEN = []\nclass K:\n    n = 2\nk = K()\n")
    before = "import helper, json, colorsys\nopen('data.txt', 'w').write('1')\nk = helper.k"
    after = "print(helper.N, k is helper.k, open('data.txt').read())"
    task = bench.notebook(tagged(before, "checkpoint"), after)
    _, expected = attempts.run(task)
    (checkpoint,) = attempts.stored
    _, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert note(book) == {"resumed_at_cell": 1}
    assert shown(book) == shown(expected)


def test_what_was_emitted_before_is_handed_on(attempts):
    emits = "import nbflow\nnbflow.emit('early', {'a': 1})"
    task = attempts.bench.notebook(tagged(emits, "checkpoint"), "nbflow.emit('late', 2)")
    expected, _ = attempts.run(task)
    (checkpoint,) = attempts.stored
    outcome, _ = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert outcome.outputs == expected.outputs
    assert outcome.outputs.keys() == {"early", "late"}


SECRET = "correct horse battery"


def secret_task(attempts, *cells):
    task = attempts.bench.notebook(tagged("token = ''", "parameters"), *cells)
    params = {"token": Secret("env", "CHECKPOINT_SECRET")}
    return msgspec.structs.replace(task, params=params)


def test_secrets_are_set_again_and_never_stored(attempts, monkeypatch):
    monkeypatch.setenv("CHECKPOINT_SECRET", SECRET)
    task = secret_task(attempts, tagged("n = len(token)", "checkpoint"), "print(n, len(token))")
    _, expected = attempts.run(task)
    assert attempts.told == []
    (checkpoint,) = attempts.stored
    for artifact in (checkpoint.namespace, checkpoint.notebook):
        assert SECRET.encode() not in attempts.bench.store.get(artifact.digest)
    _, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert note(book) == {"resumed_at_cell": checkpoint.cell}
    assert shown(book) == shown(expected)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("header = 'Bearer ' + token", "would contain the secret ${env:CHECKPOINT_SECRET}"),
        ("import os\nos.environ['T'] = token", "would contain the secret ${env:CHECKPOINT_SECRET}"),
        ("token = 'other'", "a cell sets it anew"),
    ],
)
def test_a_secret_that_has_spread_prevents_it(attempts, monkeypatch, cell, words):
    monkeypatch.setenv("CHECKPOINT_SECRET", SECRET)
    task = secret_task(attempts, tagged(cell, "checkpoint"), "print(1)")
    outcome, book = attempts.run(task)
    assert (outcome.status, attempts.stored) == ("succeeded", [])
    assert words in json.dumps(note(book))


def test_other_languages_have_none(attempts, bash):
    task = attempts.bench.notebook(
        tagged("x=1", "checkpoint"), "echo $x", kernel="bash", language="bash"
    )
    outcome, book = attempts.run(task)
    assert (outcome.status, attempts.stored) == ("succeeded", [])
    assert note(book)["not_stored"] == {"0": "only notebooks in Python have checkpoints"}


def test_a_damaged_checkpoint_is_not_used(attempts, bench):
    task = bench.notebook(tagged("a = 1", "checkpoint"), "print(a)")
    attempts.run(task)
    (checkpoint,) = attempts.stored
    broken = bench.store.put(b"not what it was", "file")
    checkpoint = msgspec.structs.replace(checkpoint, namespace=broken)
    outcome, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert outcome.status == "succeeded"
    assert "cannot be read" in note(book)["started_over"]


def test_a_worker_without_the_store_sends_the_bytes_along(attempts, bench):
    task = bench.notebook(tagged("a = [1]", "checkpoint"), "a")
    carried = {task.code.digest: bench.store.get(task.code.digest)}
    bench.reports.clear()
    bench.run(msgspec.structs.replace(task, carried=carried), store=None)
    (report,) = [it for it in bench.reports if isinstance(it, Checkpointed)]
    checkpoint = report.checkpoint
    assert report.carried.keys() == {checkpoint.namespace.digest, checkpoint.notebook.digest}
    task = msgspec.structs.replace(
        task, carried={**carried, **report.carried}, checkpoint=checkpoint
    )
    outcome = bench.run(task, store=None)
    assert outcome.status == "succeeded"
    notes = [it.message for it in bench.reports if isinstance(it, WorkerNote)]
    assert notes == ["group/node goes on at cell 1, after its checkpoint"]


def test_a_checkpoint_that_does_not_come_along_is_not_used(attempts, bench):
    task = bench.notebook(tagged("a = 1", "checkpoint"), "print(a)")
    attempts.run(task)
    (checkpoint,) = attempts.stored
    carried = {task.code.digest: bench.store.get(task.code.digest)}
    bench.reports.clear()
    task = msgspec.structs.replace(task, carried=carried, checkpoint=checkpoint)
    assert bench.run(task, store=None).status == "succeeded"
    (told,) = [it.message for it in bench.reports if isinstance(it, WorkerNote)]
    assert told.startswith("group/node starts over")
    assert "did not come along with the task" in told


def test_outputs_of_before_count_against_the_limit(attempts):
    cells = [tagged("print('x' * 3000)", "checkpoint"), "print('y' * 3000)", "print('z' * 3000)"]
    task = attempts.bench.notebook(*cells)
    limit = msgspec.structs.replace(task.output_limit, notebook=7000)
    task = msgspec.structs.replace(task, output_limit=limit)
    _, expected = attempts.run(task)
    (checkpoint,) = attempts.stored
    _, book = attempts.run(msgspec.structs.replace(task, checkpoint=checkpoint))
    assert note(book) == {"resumed_at_cell": 1}
    assert shown(book) == shown(expected)
    assert "truncated" in book.cells[2].outputs[-1].text
