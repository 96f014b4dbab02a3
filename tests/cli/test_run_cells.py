"""``--cells`` of ``run`` and ``graph``: the notebook as stages, from the command line."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

BRANCHES = (
    "import time\n\ntable = [3, 1, 2]",
    "time.sleep(0.01); low = len(table) + 1",
    "time.sleep(0.01); high = len(table) * 2",
    "print(low, high)",
)
FLOW = """\
flow: shop
nodes:
  sales: {notebook: sales.ipynb}
  plain: {notebook: sales.ipynb, cells: false}
"""


@pytest.fixture
def sales(folder):
    """A notebook that says itself that its branches take long, and a flow with it."""

    def cell(source, seconds):
        return new_code_cell(
            source, metadata={"papermill": {"status": "completed", "duration": seconds}}
        )

    book = new_notebook(
        cells=[cell(source, 20.0 if "sleep" in source else 0.01) for source in BRANCHES],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(book, folder / "sales.ipynb")
    (folder / "flow.yaml").write_text(FLOW)
    return folder / "sales.ipynb"


def test_a_notebook_runs_as_stages_and_is_put_together(nbflow, sales):
    called = nbflow("run", "sales.ipynb", "--cells", "-o", "out", "--json", "-q", "--workers", "2")
    assert called.code == 0, called.err
    document = json.loads(called.out)
    assert document["status"] == "succeeded"
    stages = [name for name in document["nodes"] if name.startswith("sales/cells-")]
    assert len(stages) > 1
    executed = nbformat.read("out/sales.ipynb", 4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3, 4]
    assert executed.cells[-1].outputs[0].text == "4 6\n"


def test_cells_of_a_flow_are_drawn_as_they_would_run_now(nbflow, sales):
    called = nbflow("graph", "flow.yaml", "--cells", "--json")
    drawn = json.loads(called.out)
    nodes = {node["name"]: node for node in drawn["nodes"]}
    stages = {name: node for name, node in nodes.items() if node["kind"] == "stage"}
    assert stages
    assert sorted(index for node in stages.values() for index in node["cells"]) == [0, 1, 2, 3]
    assert {name.partition("/")[0] for name in stages} == {"sales"}
    assert nodes["sales"]["kind"] == nodes["plain"]["kind"] == "notebook"
    without = json.loads(nbflow("graph", "flow.yaml", "--json").out)
    assert [node["name"] for node in without["nodes"]] == ["sales", "plain"]


def test_what_a_home_knows_decides(nbflow, sales, folder):
    # Nothing ran there, but the file of the notebook tells.
    assert '"stage"' in nbflow("graph", "flow.yaml", "--cells", "--json", "--home", "none").out
    assert not (folder / "none").exists()


def test_a_flow_that_is_not_fit_is_not_drawn(nbflow, sales, folder):
    (folder / "flow.yaml").write_text(FLOW + "  broken: {notebook: none.ipynb}\n")
    called = nbflow("graph", "flow.yaml", "--cells")
    assert called.code == 2
    assert "none.ipynb" in called.err
