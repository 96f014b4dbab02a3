"""Cells' outputs, in a real kernel."""

import asyncio

import pytest
from cell_bench import CellBench, tagged

from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.masking import Mask


@pytest.fixture
def bench(tmp_path):
    return CellBench(tmp_path)


def test_pieces_of_one_stream_are_one_output_and_others_are_kept_apart(bench):
    ran = bench.run(
        "import sys\n"
        "for i in range(300): print(i, flush=True)\n"
        "print('no', file=sys.stderr, flush=True)\n"
        "print('yes', flush=True)\n"
        "display('shown')\n"
        "print('a\\rb\\n', end='', flush=True)\n"
        "print('c', flush=True)\n"
        "'value'",
        "print('other')",
    )
    outputs = ran.outputs(0)
    assert [output.get("name", output.output_type) for output in outputs] == [
        "stdout",
        "stderr",
        "stdout",
        "display_data",
        "stdout",
        "execute_result",
    ]
    assert outputs[0].text == "".join(f"{i}\n" for i in range(300))
    assert outputs[4].text == "a\rb\nc\n"
    assert outputs[5].execution_count == 1
    assert ran.texts(1) == ["other\n"]
    assert ran.failure is None


def test_outputs_are_heard_as_they_come_and_joined_in_the_notebook(bench):
    heard = []
    options = CellOptions(heard=lambda index, output: heard.append((index, output)))
    source = """\
import threading, sys
for word in ("one", "two"):
    print(word, flush=True)
display(3)
"""
    ran = bench.run("0", source, options=options)
    assert [index for index, _ in heard] == [0, 1, 1, 1]
    assert "".join(output.get("text", "") for _, output in heard) == "one\ntwo\n"
    assert ran.texts(1)[0] == "one\ntwo\n"
    assert heard[-1][1] == ran.outputs(1)[1]


def test_an_open_stream_shows_in_the_notebook_while_the_cell_runs(bench):
    source = """\
import pathlib, threading
for i in range(3):
    print(i, flush=True)
while not pathlib.Path("go").exists():
    threading.Event().wait(0.01)
"""

    async def scenario():
        running = asyncio.create_task(bench.perform(source))
        while bench.ran is None or bench.ran.texts(0) != ["0\n1\n2\n"]:
            await asyncio.sleep(0.01)
        status = bench.ran.statuses
        (bench.folder / "go").touch()
        return status, await running

    status, ran = asyncio.run(scenario())
    assert status == ["running"]
    assert ran.texts(0) == ["0\n1\n2\n"]
    assert ran.failure is None


def test_outputs_are_cleared_at_once_or_before_the_next(bench):
    ran = bench.run(
        "from IPython.display import clear_output\n"
        "print('a', flush=True)\nclear_output()\nprint('b', flush=True)",
        "print('a', flush=True)\nclear_output(wait=True)\nprint('b', flush=True)",
        "print('a', flush=True)\nclear_output(wait=True)",
    )
    assert [ran.texts(index) for index in range(3)] == [["b\n"], ["b\n"], ["a\n"]]


def test_a_display_is_updated_wherever_it_is_and_the_earliest_cell_is_told(bench):
    ran = bench.run(
        "print('before', flush=True)\nhandle = display('first', display_id='d')",
        "print('x', flush=True)\ndisplay('again', display_id='d')",
        "handle.update('third')",
    )
    for index in (0, 1):
        assert ran.outputs(index)[1].data == {"text/plain": "'third'"}
    assert ran.outputs(2) == []
    # When the third cell ran, it touched the first one.
    assert 0 in ran.changed[ran.changed.index(2) :]


def test_an_output_widget_catches_what_is_printed_in_it(bench):
    ran = bench.run(
        "import ipywidgets\n"
        "out = ipywidgets.Output()\n"
        "with out:\n    print('caught', flush=True)\n    print('too', flush=True)\n"
        "print('free')\nout"
    )
    assert ran.failure is None
    assert ran.texts(0)[0] == "free\n"
    states = ran.notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    caught = [state["state"]["outputs"] for state in states.values() if "outputs" in state["state"]]
    assert [[output["text"] for output in outputs] for outputs in caught] == [["caught\ntoo\n"]]


def test_what_a_kernel_sends_that_is_no_output_is_told_and_the_notebook_stays_valid(bench):
    send = "get_ipython().kernel.send_response(get_ipython().kernel.iopub_socket, {!r}, {!r});"
    ran = bench.run(
        send.format("display_data", {"data": {"text/plain": 5}, "metadata": {}}),
        send.format("strange_news", {"text": "x"}),
        send.format("display_data", {"data": {"application/x+json": [1]}, "metadata": {}}),
    )
    assert ran.failure is None
    assert "an output was dropped" in ran.texts(0)[0]
    assert ran.outputs(1) == []
    assert ran.outputs(2)[0].data == {"application/x+json": [1]}


def test_numbers_and_characters_beyond_the_usual_come_through(bench):
    ran = bench.run("print('é', '\\x00')", "display({'application/json': 2**70}, raw=True)")
    assert ran.failure is None
    assert ran.texts(0) == ["é \x00\n"]
    assert ran.outputs(1)[0].data == {"application/json": 2**70}


SECRET = "correct horse battery"


def test_secrets_are_masked_in_all_that_a_cell_gives_out(bench):
    heard = []
    options = CellOptions(
        mask=Mask([SECRET]), heard=lambda _, output: heard.append(output.get("text", ""))
    )
    ran = bench.run(
        f"secret = 'correct' + {SECRET[7:]!r}",
        "import sys\n"
        "for letter in f'<{secret}>': print(letter, end='', flush=True)\n"
        "display({'text/html': secret, 'application/json': {secret: [secret]}}, raw=True)\n"
        "secret[:9]",
        "import ipywidgets\nipywidgets.Text(secret)",
        "out = ipywidgets.Output()\nwith out: print(secret, flush=True)\nout",
        "raise ValueError(secret)",
        options=options,
    )
    assert ran.texts(1)[0] == "<***>"
    assert ran.outputs(1)[1].data == {
        "text/html": "***",
        "application/json": {"***": ["***"]},
    }
    assert SECRET not in str([cell.outputs for cell in ran.notebook.cells])
    assert SECRET not in str(ran.notebook.metadata)
    assert SECRET not in "".join(heard)
    assert "".join(heard).startswith("<***>")
    assert ran.failure.error.message == "***"
    assert SECRET not in str(ran.failure)
    assert ran.failure.reason.message.endswith("raised ValueError: ***")


def test_traits_of_nbclient_are_passed_on(bench):
    ran = bench.run(
        "1 / 0",
        tagged("never()", "later"),
        "import sys\n"
        "for i in range(3):\n"
        "    print(i, flush=True)\n"
        "    print(i, file=sys.stderr, flush=True)",
        options=CellOptions(
            traits={
                "allow_errors": True,
                "record_timing": False,
                "skip_cells_with_tag": "later",
                "coalesce_streams": True,
            }
        ),
    )
    assert ran.failure is None
    assert ran.statuses == ["completed", "pending", "completed"]
    assert ran.texts(2) == ["0\n1\n2\n", "0\n1\n2\n"]
    assert "execution" not in ran.notebook.cells[0].metadata


def test_timing_is_recorded_as_nbclient_does(bench):
    ran = bench.run("1")
    assert sorted(ran.notebook.cells[0].metadata.execution) == [
        "iopub.execute_input",
        "iopub.status.busy",
        "iopub.status.idle",
        "shell.execute_reply",
    ]
