"""Cells that are sent give what they give at home: values, outputs, errors."""

import pytest
from live_session import Session, executed, plain

LOAD = "%load_ext nbflow"

SETUP = """
import numpy as np
SCALE = 2
class Point:
    def __init__(self, x):
        self.x = x
    def scaled(self):
        return self.x * SCALE
def twice(values):
    return [SCALE * each for each in values]
numbers = [1, 2, 3]
same = numbers
point = Point(4)
held = [point]
np.random.seed(7)
"""

CELL = """
result = twice(numbers)
numbers.append(9)
point.x = 10
drawn = np.random.rand(2)
print("printed", len(result))
for i in range(2):
    pass
sum(result)
"""

LOOK = """
(result, numbers, same is numbers, point.x, held[0] is point, type(point) is Point,
 point.scaled(), drawn.tolist(), np.random.rand(1).tolist(), i)
"""


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path)
    yield session
    session.close()


def test_a_sent_cell_gives_what_it_gives_at_home(tmp_path):
    *_, home, looked_home = executed(tmp_path, LOAD, SETUP, CELL, LOOK)
    *_, sent, looked = executed(tmp_path, LOAD, SETUP, "%%nbflow_node --wait" + CELL, LOOK)

    assert sent == home
    assert looked == looked_home


def test_an_error_is_the_cells_own_and_nothing_is_taken_over(tmp_path):
    cell = "changed = 1\nvalues.append(1)\n1 / 0"
    *_, home, _ = executed(tmp_path, LOAD, "values = []", cell, "values")
    *_, sent, values, gone = executed(
        tmp_path, LOAD, "values = []", "%%nbflow_node --wait\n" + cell, "values", "changed"
    )

    assert [(each["ename"], each["evalue"]) for each in sent] == [
        (each["ename"], each["evalue"]) for each in home
    ]
    assert "In[3]" in "\n".join(sent[0]["traceback"])
    assert plain(values) == "[]"
    assert "'changed' is not defined" in plain(gone)


def test_what_cannot_be_moved_is_refused_before_anything_runs(tmp_path):
    _, _, iterator, shell, setting, syntax, reply = executed(
        tmp_path,
        LOAD,
        "numbers = iter([1])",
        "%%nbflow_node\nnext(numbers)",
        "%%nbflow_node\n!echo hello",
        "%%nbflow_node\nimport os\nos.chdir('/')",
        "%%nbflow_node\n1 +",
        "%nbflow status",
    )

    assert "UsageError: `numbers` cannot be sent: " in plain(iterator)
    assert "UsageError: line 1: it runs a shell command; run this cell here" in plain(shell)
    assert "working directory" in plain(setting)
    assert "it is not valid Python" in plain(syntax)
    assert "no cell was sent" in plain(reply)


def test_cells_are_shown_once_more_and_stopped(tmp_path):
    _, none, _, shown, unheard, _, stopped = executed(
        tmp_path,
        LOAD,
        "%nbflow show",
        "%%nbflow_node --wait\nprint('once')\nx = 1",
        "%nbflow show",
        "%nbflow show y",
        "%%nbflow_node --name endless\nwhile True:\n    pass",
        "%nbflow cancel",
    )

    assert "UsageError: no cell was sent (there are: none)" in plain(none)
    assert "once" in plain(shown)
    assert "UsageError: no cell named 'y' was sent (there are: cell-3)" in plain(unheard)
    assert plain(stopped) == ""


def test_what_cannot_come_back_stays_behind_and_the_rest_comes(tmp_path):
    *_, sent, kept, missing = executed(
        tmp_path, LOAD, "%%nbflow_node --wait\nlines = iter([1])\nkept = 3", "kept", "lines"
    )

    assert "`lines` stays behind" in plain(sent)
    assert plain(kept) == "3"
    assert "'lines' is not defined" in plain(missing)


def test_a_plot_is_shown_though_its_figure_stays_behind(tmp_path):
    *_, sent, kept = executed(
        tmp_path,
        LOAD,
        "import matplotlib.pyplot as plt\nvalues = [1, 3, 2]",
        "%%nbflow_node --wait\nfig, ax = plt.subplots()\nax.plot(values)\ntop = max(values)",
        "top",
    )

    shown = [each for each in sent if each["output_type"] == "display_data"]
    assert "image/png" in shown[0]["data"]
    assert "`fig` stays behind" in plain(each for each in sent if each not in shown)
    assert plain(kept) == "3"


def test_a_variable_that_is_not_there_yet_is_not_to_be_read(tmp_path):
    (tmp_path / "go").touch()
    wait = "import pathlib, time\nwhile not pathlib.Path('gone').exists():\n    time.sleep(0.05)\n"
    _, _, placed, early, again, _, late, mine = executed(
        tmp_path,
        LOAD,
        "value = 1\nmine = 1",
        f"%%nbflow_node --name slow\n{wait}value = 2\nmine = 2\nprint('done')",
        "value",
        "%%nbflow_node\nvalue + 1",
        "mine = 'of the user'\nopen('gone', 'w').close()\n%nbflow wait value",
        "value",
        "mine",
    )

    assert "`value` is not there yet: slow is at work on it" in plain(early)
    assert "NameError: name 'value' is not defined" in plain(early)
    assert "UsageError: `value` is not there yet" in plain(again)
    assert plain(late) == "2"
    assert plain(mine) == "'of the user'"
    assert plain(placed).startswith("done\n")
    assert "`mine` was bound or changed here meanwhile" in plain(placed)


def test_outputs_appear_below_the_cell_that_has_ended(session):
    session.run(LOAD)
    cell = session.run("%%nbflow_node\nprint('far')\nvalue = 41 + 1\nvalue")
    shown = session.wait_for(cell, lambda outputs: any("far" in str(each) for each in outputs[:1]))
    session.run("%nbflow wait")
    looked = session.run("value")

    assert [each["output_type"] for each in session.outputs(cell)] == ["stream", "execute_result"]
    assert plain(shown).startswith("far\n")
    assert session.outputs(cell)[1]["execution_count"] == 2
    assert plain(session.outputs(looked)) == "42"


def test_nothing_is_left_of_an_extension_that_was_unloaded(session):
    session.run(LOAD)
    session.run("value = 'before'")
    session.run(
        "%%nbflow_node --name endless\nimport time\nvalue = 1\nwhile True:\n    time.sleep(1)"
    )
    session.run("%unload_ext nbflow")
    left = session.run(
        "import threading, psutil\n"
        "print([t.name for t in threading.enumerate() if t.name.startswith('nbflow')],\n"
        "      psutil.Process().children(recursive=True), value)"
    )
    gone = session.run("%nbflow status")

    assert plain(session.outputs(left)) == "[] [] before\n"
    assert "not found" in plain(session.outputs(gone))
