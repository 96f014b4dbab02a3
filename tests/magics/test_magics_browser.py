"""The magics in a real JupyterLab."""

CELL = """%%nbflow_node --name far
from IPython.display import HTML, display
print("printed far away")
display(HTML("<b class='far'>shown</b>"))
value = 6 * 7
value
"""


def wait_for_outputs(book, index, kinds):
    book.page.wait_for_function(
        """([index, kinds]) => {
             const shown = jupyterapp.shell.currentWidget.content.widgets[index]
               .model.toJSON().outputs.map(each => each.output_type);
             return JSON.stringify(shown) === JSON.stringify(kinds);
           }""",
        arg=[index, kinds],
    )


def test_a_sent_cell_gets_its_outputs_while_the_user_goes_on(notebook):
    book = notebook(
        "%load_ext nbflow", CELL, "mine = 1", "%nbflow wait far", "value", "%nbflow graph",
        "%unload_ext nbflow",
    )  # fmt: skip
    book.run(0)
    book.run(1)
    book.run(2)
    wait_for_outputs(book, 1, ["stream", "display_data", "execute_result"])
    book.run(3)
    book.run(4)
    book.run(5)

    printed, _, result = book.outputs(1)
    assert printed["text"] == "printed far away\n"
    assert (result["data"]["text/plain"], result["execution_count"]) == ("42", 2)
    assert book.page.locator("b.far").count() == 1
    assert book.outputs(4)[0]["data"]["text/plain"] == "42"
    drawn, said = book.outputs(5)
    assert "image/svg+xml" in drawn["data"]
    assert f"{book.path.name}, as it was saved (Jupyter tells it" in said["text"]
    book.run(6)
