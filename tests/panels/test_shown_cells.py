import json

import pytest

from nbflow.panels.cells import cells_of


def notebook(*outputs, source="x = 1", **noted):
    cells = [
        {"cell_type": "markdown", "source": "# A title", "metadata": {}},
        {
            "cell_type": "code",
            "source": source,
            "metadata": {"papermill": noted},
            "outputs": list(outputs),
        },
    ]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def display(**data):
    return {
        "output_type": "display_data",
        "data": {k.replace("__", "/"): v for k, v in data.items()},
    }


def test_a_cell_says_its_index_status_and_time():
    [cell] = cells_of(notebook(status="completed", duration=1.5))
    assert (cell.index, cell.status, cell.duration_s, cell.source) == (1, "completed", 1.5, "x = 1")


def test_an_exception_is_a_failure():
    [cell] = cells_of(notebook(status="completed", exception=True))
    assert cell.status == "failed"


def test_of_a_stream_the_end_is_shown():
    [cell] = cells_of(
        notebook({"output_type": "stream", "name": "stdout", "text": ["a" * 9_000, "end"]})
    )
    [output] = cell.outputs
    assert output.kind == "stdout"
    assert output.text.endswith("end")
    assert len(output.text) < 7_000


def test_terminal_escapes_go():
    error = {
        "output_type": "error",
        "ename": "E",
        "evalue": "v",
        "traceback": ["\x1b[31mbad\x1b[0m"],
    }
    [cell] = cells_of(notebook(error))
    assert (cell.outputs[0].kind, cell.outputs[0].text) == ("error", "bad")


def test_an_image_comes_with_its_text():
    [cell] = cells_of(notebook(display(image__png="AAAA", text__plain="<Figure>")))
    [output] = cell.outputs
    assert (output.image, output.mime, output.text) == ("AAAA", "image/png", "<Figure>")


def test_images_are_bounded_one_by_one_and_together():
    [cell] = cells_of(notebook(display(image__png="A" * 500_000)))
    assert cell.outputs[0].image == ""
    assert "500,000 bytes" in cell.outputs[0].text
    many = [display(image__png="A" * 390_000) for _ in range(8)]
    book = json.loads(notebook())
    book["cells"] = [json.loads(notebook(each))["cells"][1] for each in many]
    shown = cells_of(json.dumps(book).encode())
    kept = [bool(cell.outputs[0].image) for cell in shown]
    assert kept == [False] * 5 + [True] * 3, "the last ones matter most"


def test_many_outputs_and_cells_are_counted():
    texts = [{"output_type": "stream", "name": "stdout", "text": str(i)} for i in range(40)]
    [cell] = cells_of(notebook(*texts))
    assert cell.more == 28
    assert cell.outputs[-1].text == "39"


def test_html_is_handed_on_with_its_plain_text():
    [cell] = cells_of(notebook(display(text__html="<b>x</b>", text__plain="x")))
    assert (cell.outputs[0].html, cell.outputs[0].text) == ("<b>x</b>", "x")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"cells": 3}'])
def test_what_is_no_notebook_is_said(data):
    with pytest.raises(ValueError, match="cannot be read"):
        cells_of(data)
