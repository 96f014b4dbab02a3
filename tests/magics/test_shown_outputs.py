"""Several outputs in one display, and which notebook is open."""

import pytest

from nbflow.magics.errors import Refused
from nbflow.magics.open_notebook import JUPYTER, VS_CODE, open_notebook
from nbflow.magics.outputs import merged

PRINTED = {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]}
TABLE = {
    "output_type": "display_data",
    "data": {"text/html": "<table></table>", "text/plain": "a table"},
    "metadata": {"text/html": {"isolated": True}},
}
PICTURE = {"output_type": "display_data", "data": {"image/png": "AAAA\n", "text/plain": "<Figure>"}}
ERROR = {"output_type": "error", "ename": "E", "evalue": "<v>", "traceback": ["\x1b[31mE: <v>"]}


def test_a_single_output_is_itself():
    assert merged([TABLE]) == (TABLE["data"], TABLE["metadata"])


def test_texts_stay_texts_with_their_colours():
    assert merged([PRINTED, ERROR]) == ({"text/plain": "one\ntwo\n\x1b[31mE: <v>"}, {})


def test_several_are_shown_one_below_the_other():
    data, _ = merged([PRINTED, TABLE, PICTURE, ERROR])

    assert data["text/plain"] == "one\ntwo\na table\n<Figure>\n\x1b[31mE: <v>"
    assert data["text/html"] == (
        "<pre>one\ntwo\n</pre>\n<table></table>\n"
        '<img src="data:image/png;base64,AAAA">\n<pre>E: &lt;v&gt;</pre>'
    )


@pytest.mark.parametrize(
    ("named", "environ", "namespace", "expected"),
    [
        ("named.ipynb", {JUPYTER: "lab.ipynb"}, {}, "named.ipynb"),
        ("", {JUPYTER: "lab.ipynb"}, {}, "lab.ipynb"),
        ("", {JUPYTER: "lab.ipynb"}, {VS_CODE: "code.ipynb"}, "code.ipynb"),
        ("", {JUPYTER: "renamed.ipynb"}, {}, None),
        ("", {JUPYTER: "console"}, {VS_CODE: 3}, None),
        ("", {}, {}, None),
    ],
)
def test_the_open_notebook_is_who_is_named(tmp_path, named, environ, namespace, expected):
    for name in ("named", "lab", "code"):
        (tmp_path / f"{name}.ipynb").touch()
    found = open_notebook(named, environ, namespace, tmp_path)

    assert (found.path.name if found else None) == expected


def test_a_notebook_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"there is no notebook none\.ipynb"):
        open_notebook("none.ipynb", {}, {}, tmp_path)
