"""Cells that print too much."""

import psutil
import pytest
from cell_bench import CellBench

from nbflow.core.policies import OutputLimit
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.masking import Mask

FLOOD = "for i in range({}): print('x' * 99_999, flush=True)"
CELL = "\n[nbflow: output truncated: this cell's limit of {} (output_limit) is reached]\n"
NOTEBOOK = "\n[nbflow: output truncated: the notebook's limit of {} (output_limit) is reached]\n"


@pytest.fixture
def bench(tmp_path):
    return CellBench(tmp_path)


def limited(cell=None, notebook=None, then="truncate", **options):
    return CellOptions(OutputLimit(cell=cell, notebook=notebook, then=then), **options)


def test_a_stream_is_cut_at_the_limit_and_the_notebook_goes_on(bench):
    heard = []
    options = limited(2500, heard=lambda index, output: heard.append(output))
    ran = bench.run(
        "for i in range(100): print(f'{i:099}', flush=True)", "print(2)", options=options
    )
    text, note = ran.outputs(0)
    assert 2450 <= len(text.text) <= 2500
    assert text.text.startswith("0" * 99 + "\n" + "0" * 98 + "1\n")
    assert (note.name, note.text) == ("stderr", CELL.format("0.0025 MB"))
    assert ran.texts(1) == ["2\n"]
    assert ran.failure is None
    assert ran.statuses == ["completed"] * 2
    assert "".join(output.text for output in heard[:-2]) == text.text
    assert heard[-2] == note


def test_one_message_that_is_larger_than_the_limit_is_cut(bench):
    ran = bench.run("print('é' * 10_000_000)", options=limited(1_000_000))
    text, note = ran.texts(0)
    assert text == "é" * 500_000
    assert note == CELL.format("1 MB")


def test_memory_stays_bounded_while_a_cell_prints_without_end(bench):
    before = psutil.Process().memory_info().rss
    peak = []

    def heard(index, output):
        peak.append(psutil.Process().memory_info().rss)

    more = "print('done', flush=True)\n1 / 0"
    ran = bench.run(FLOOD.format(800) + "\n" + more, "2", options=limited(2_000_000, heard=heard))
    assert len(ran.texts(0)[0]) <= 2_000_000
    assert ran.texts(0)[1] == CELL.format("2 MB")
    # Errors are always told, and nothing else is.
    assert [output.output_type for output in ran.outputs(0)[2:]] == ["error"]
    assert ran.failure.error.type == "ZeroDivisionError"
    assert max(peak) - before < 60_000_000


def test_the_cells_of_a_notebook_share_its_limit(bench):
    source = "print('x' * 999)"
    ran = bench.run(*[source] * 4, options=limited(notebook=2500))
    note = NOTEBOOK.format("0.0025 MB")
    texts = [ran.texts(index) for index in range(4)]
    assert texts[:2] == [["x" * 999 + "\n"]] * 2
    assert texts[2][0].startswith("xxx")
    assert texts[2][1] == note
    assert texts[3] == [note] or texts[3][1] == note
    assert sum(len(text) for cell in texts for text in cell if text != note) <= 2500


def test_a_node_that_is_to_fail_is_interrupted(bench):
    endless = "while True: print('x' * 99, flush=True)"
    ran = bench.run("1", endless, "2", options=limited(10_000, then="fail"))
    assert ran.failure.reason.kind == "error"
    message = ran.failure.reason.message
    assert "in the cell \"while True: print('x' * 99, flush=True)\"" in message
    assert "this cell's limit of 0.01 MB (output_limit) is reached" in message
    assert "raise `output_limit`" in message
    assert ran.failure.error.type == "KeyboardInterrupt"
    assert ran.texts(1)[1] == CELL.format("0.01 MB")
    assert ran.statuses == ["completed", "failed", "pending"]


def test_a_node_that_is_to_fail_fails_though_its_cell_ends_well(bench):
    source = """\
import threading
try:
    print("x" * 20_000, flush=True)
    threading.Event().wait()
except KeyboardInterrupt:
    pass
"""
    ran = bench.run(source, "2", options=limited(10_000, then="fail"))
    assert ran.failure.reason.kind == "error"
    assert ran.failure.error.type == ran.outputs(0)[-1].ename == "OutputLimitReached"
    assert ran.statuses == ["failed", "pending"]


def test_displays_count_and_are_kept_whole_or_not_at_all(bench):
    show = "display({'image/png': 'x' * 1000}, raw=True)"
    ran = bench.run("\n".join([show] * 5) + "\n'result'", options=limited(2500))
    kinds = [output.output_type for output in ran.outputs(0)]
    assert kinds == ["display_data", "display_data", "stream"]


def test_what_is_cleared_makes_room_again(bench):
    source = """\
from IPython.display import clear_output
for i in range(20):
    clear_output(wait={wait})
    display({{'text/plain': str(i) + 'x' * 1000}}, raw=True)
"""
    ran = bench.run(source.format(wait=True), source.format(wait=False), options=limited(2500))
    for index in (0, 1):
        (output,) = ran.outputs(index)
        assert output.data["text/plain"].startswith("19x")


def test_a_display_that_is_redrawn_counts_once_and_may_not_grow_beyond_the_limit(bench):
    draw = "handle.update({'text/plain': 'x' * size}, raw=True)"
    ran = bench.run(
        "handle = display({'text/plain': ''}, raw=True, display_id=True)\n"
        f"for size in [1000] * 20: {draw}",
        f"size = 2000\n{draw}\nsize = 4000\n{draw}",
        options=limited(2500),
    )
    assert ran.outputs(0)[0].data["text/plain"] == "x" * 2000
    assert ran.texts(1) == [CELL.format("0.0025 MB")]


def test_the_state_of_a_widget_counts(bench):
    source = """\
import ipywidgets
bar = ipywidgets.IntProgress(max=500)
for i in range(500): bar.value = i
text = ipywidgets.Text()
text.value = "x" * {}
"""
    ran = bench.run(source.format(10), source.format(50_000), options=limited(40_000))
    assert ran.texts(0) == []
    assert ran.texts(1) == [CELL.format("0.04 MB")]


def test_of_the_errors_beyond_the_limit_the_last_is_kept_and_shortened(bench):
    source = """\
print('x' * 2000, flush=True)
for i in range(50):
    try:
        raise ValueError(i)
    except ValueError:
        get_ipython().showtraceback()
raise TypeError("y" * 100_000)
"""
    ran = bench.run(source, options=limited(1000))
    assert [output.output_type for output in ran.outputs(0)] == ["stream", "stream", "error"]
    error = ran.outputs(0)[-1]
    assert error.ename == "TypeError"
    assert len(error.evalue) + len(error.traceback[0]) <= 40_000


def test_a_cut_leaves_no_half_of_a_secret(bench):
    options = limited(1000, mask=Mask(["abcdefghij"]))
    ran = bench.run(
        "for i in range(995): print(end='x', flush=True)\n"
        "print('abcde' + 'fghij' + 'x' * 1000, flush=True)",
        options=options,
    )
    assert ran.texts(0)[0] == "x" * 995
    assert ran.texts(0)[1] == CELL.format("0.001 MB")
