"""A notebook's bytes: exactly those of nbformat."""

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from nbflow.notebooks import encoding
from nbflow.notebooks.writing import encoded, notebook_pieces, to_bytes, write_file

# Half characters, all that ends a line somewhere, and all that JSON escapes.
characters = st.one_of(
    st.characters(),
    st.sampled_from('\ud83d\udc80\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"\\\t\b\0\x7fü😀'),
)
texts = st.text(characters, max_size=40)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([1e16, 1e-7, -0.0, 2**64, -(2**70)]),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.floats(), max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
    ),
    max_leaves=12,
)
mappings = st.dictionaries(texts, values, max_size=4)
metadata = st.one_of(
    mappings,
    st.fixed_dictionaries({"trusted": st.booleans(), "signature": texts, "orig_nbformat": values}),
)
mimes = st.sampled_from(
    ["text/plain", "text/html", "image/png", "image/svg+xml", "application/javascript"]
)
bundles = st.builds(
    lambda split, data: {**split, "application/vnd.vega+json": data},
    st.dictionaries(mimes, st.one_of(texts, st.lists(texts, max_size=3)), max_size=3),
    values,
)
outputs = st.one_of(
    st.builds(
        lambda data, meta: {"output_type": "display_data", "data": data, "metadata": meta},
        bundles,
        mappings,
    ),
    st.builds(
        lambda data, count: {
            "output_type": "execute_result",
            "data": data,
            "metadata": {},
            "execution_count": count,
        },
        bundles,
        st.one_of(st.none(), st.integers(0)),
    ),
    st.builds(
        lambda name, text: {"output_type": "stream", "name": name, "text": text},
        st.sampled_from(["stdout", "stderr"]),
        texts,
    ),
    st.builds(
        lambda ename, lines: {
            "output_type": "error",
            "ename": ename,
            "evalue": ename,
            "traceback": lines,
        },
        texts,
        st.lists(texts, max_size=3),
    ),
)
code_cells = st.builds(
    lambda source, meta, outs, count: (
        new_code_cell(source, metadata=meta, outputs=[nbformat.from_dict(out) for out in outs])
        | {"execution_count": count}
    ),
    texts,
    metadata,
    st.lists(outputs, max_size=3),
    st.one_of(st.none(), st.integers(0)),
)
text_cells = st.builds(
    lambda make, source, meta, attachments: make(
        source, metadata=meta, **({"attachments": attachments} if attachments else {})
    ),
    st.sampled_from([new_markdown_cell, new_raw_cell]),
    texts,
    metadata,
    st.dictionaries(texts, bundles, max_size=2),
)
notebooks = st.builds(
    lambda cells, meta: nbformat.from_dict(dict(new_notebook(cells=cells), metadata=meta)),
    st.lists(st.one_of(code_cells, text_cells), max_size=4),
    metadata,
)


def as_nbformat_writes(book) -> bytes:
    return f"{nbformat.v4.writes(book)}\n".encode(errors="backslashreplace")


@settings(deadline=None, max_examples=60)
@given(notebooks)
def test_the_bytes_are_those_of_nbformat(book):
    assert to_bytes(book) == as_nbformat_writes(book)


@settings(deadline=None, max_examples=60)
@given(notebooks)
def test_they_are_when_every_text_is_long(book):
    before = encoding.LONG_TEXT, encoding._CHUNK
    encoding.LONG_TEXT, encoding._CHUNK = 1, 3
    try:
        assert to_bytes(book) == as_nbformat_writes(book)
    finally:
        encoding.LONG_TEXT, encoding._CHUNK = before


@given(st.dictionaries(st.one_of(st.integers(), st.floats(allow_nan=False)), values, max_size=3))
def test_keys_that_are_numbers_become_texts(meta):
    book = new_notebook(metadata={"deep": meta})
    assert to_bytes(book) == as_nbformat_writes(book)


@pytest.mark.parametrize("key", [None, True, False])
def test_other_keys_become_texts(key):
    book = new_notebook(metadata={"deep": {key: [1]}})
    assert to_bytes(book) == as_nbformat_writes(book)


def test_an_empty_notebook_and_ascii_bytes():
    for book in (new_notebook(), new_notebook(metadata={"a": [b"QUJD", b"", "x"]})):
        assert to_bytes(book) == as_nbformat_writes(book)


@pytest.mark.parametrize("meta", [{"a": object()}, {"a": {(1, 2): 3}}, {"a": {1, 2}}])
def test_what_has_no_form_in_json_is_refused(meta):
    with pytest.raises(TypeError):
        to_bytes(new_notebook(metadata=meta))


def test_texts_of_other_classes_are_texts():
    class Name(str):
        __slots__ = ()

    book = new_notebook(metadata={Name("key"): Name('va"lue'), "long": Name("x" * 100_000)})
    assert to_bytes(book) == as_nbformat_writes(book)


def test_a_notebook_is_not_changed_by_being_written():
    cell = new_code_cell(
        "a\nb", metadata={"trusted": True}, outputs=[new_output("stream", text="c\nd")]
    )
    book = new_notebook(cells=[cell], metadata={"signature": "s"})
    to_bytes(book)
    assert book.cells[0].source == "a\nb"
    assert book.cells[0].outputs[0].text == "c\nd"
    assert book.cells[0].metadata.trusted
    assert book.metadata.signature == "s"


def test_a_long_output_comes_in_chunks():
    lines = "".join(f"line {number}\n" for number in range(400_000))
    book = new_notebook(
        cells=[
            new_code_cell("x", outputs=[new_output("stream", text=lines)]),
            new_code_cell("y", outputs=[new_output("display_data", {"image/png": lines})]),
        ]
    )
    chunks = list(encoded(notebook_pieces(book)))
    assert max(map(len, chunks)) < 8_000_000
    assert b"".join(chunks) == as_nbformat_writes(book)


def test_a_file_has_these_bytes(tmp_path):
    book = new_notebook(
        cells=[new_code_cell("x", outputs=[new_output("stream", text="y" * 99_999)])]
    )
    write_file(book, tmp_path / "a.ipynb")
    assert (tmp_path / "a.ipynb").read_bytes() == to_bytes(book)
