import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbflow.notebooks.reading import read_notebook
from nbflow.notebooks.writing import to_bytes


def test_a_byte_order_mark_is_no_part_of_a_notebook():
    data = nbformat.writes(new_notebook(cells=[new_code_cell("x = 1")])).encode("utf-8-sig")
    assert read_notebook(data, "a.ipynb").cells[0].source == "x = 1"


def test_half_a_character_in_an_output_survives():
    output = new_output("stream", text="\ud83d and ü")
    book = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    data = to_bytes(book)
    assert "ü".encode() in data
    assert read_notebook(data, "a.ipynb").cells[0].outputs[0].text == "\ud83d and ü"
