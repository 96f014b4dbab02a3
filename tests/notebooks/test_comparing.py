import base64
import io
import struct
import uuid
import zlib

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from nbflow.notebooks.comparing import RULES, compare

UUIDS = [str(uuid.UUID(int=n, version=4)) for n in (7, 8)]


def printed(*texts, name="stdout"):
    return [new_output("stream", name=name, text=text) for text in texts]


def shown(mime, content, **fields):
    return new_output("display_data", data={mime: content}, **fields)


def executed(*outputs, source="f()", count=1, metadata=None):
    cell = new_code_cell(source, outputs=list(outputs), execution_count=count)
    return new_notebook(cells=[new_markdown_cell("# Title"), cell], metadata=metadata or {})


def differences(one, two):
    return [(each.what, each.line, each.expected, each.found) for each in compare(one, two)]


def test_equal_notebooks_have_no_difference():
    output = new_output("execute_result", data={"text/plain": "1"}, execution_count=1)
    assert compare(executed(output), executed(output)) == ()


def test_a_difference_names_cell_line_and_both_texts():
    one = executed(*printed("a\nb\nc\n"), source="\nprint(x)  # it\n")
    two = executed(*printed("a\nB\nc\n"), source="\nprint(x)  # it\n")
    (found,) = compare(one, two)
    assert (found.index, found.number, found.first_line) == (1, 1, "print(x)  # it")
    assert (found.what, found.line, found.expected, found.found) == ("stdout", 2, "b", "B")


def test_a_line_that_is_missing_is_told():
    assert differences(executed(*printed("a\nb\n")), executed(*printed("a\n"))) == [
        ("stdout", 2, "b", "(nothing)")
    ]


def test_the_end_of_a_line_counts():
    ((what, line, expected, found),) = differences(
        executed(*printed("a\n")), executed(*printed("a"))
    )
    assert (what, line, expected, found) == ("stdout", 1, "'a\\n'", "'a'")


def test_a_long_line_is_cut_around_the_place():
    one, two = "x" * 5000 + "1" + "y" * 5000, "x" * 5000 + "2" + "y" * 5000
    ((_, _, expected, found),) = differences(executed(*printed(one)), executed(*printed(two)))
    assert "x1y" in expected
    assert "x2y" in found
    assert len(expected) < 300


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        (executed(source="a"), executed(source="b"), "source"),
        (executed(count=3), executed(count=4), "execution count"),
        (
            executed(shown("text/plain", "1")),
            executed(shown("text/html", "1")),
            "output 1 (display_data), its MIME types",
        ),
        (executed(*printed("a")), executed(*printed("a", name="stderr")), "stdout"),
        (
            executed(metadata={"papermill": {"exception": None}}),
            executed(metadata={"papermill": {"exception": True}}),
            "metadata",
        ),
        (
            executed(new_output("error", ename="A", evalue="x", traceback=["1"])),
            executed(new_output("error", ename="A", evalue="y", traceback=["1"])),
            "output 1 (error)",
        ),
    ],
)
def test_what_is_compared(one, two, what):
    assert what in [each.what for each in compare(one, two)]


def test_the_order_of_displays_counts():
    a, b = shown("text/plain", "a"), shown("text/plain", "b")
    assert len(compare(executed(a, b), executed(b, a))) == 2


def test_the_pieces_of_a_stream_do_not_count():
    err = printed("e", name="stderr")
    assert not compare(executed(*printed("a", "b")), executed(*printed("ab")))
    one = executed(*printed("a"), *err, *printed("b"))
    assert not compare(one, executed(*err, *printed("ab")))
    display = shown("text/plain", "1")
    assert compare(
        executed(*printed("a"), display, *printed("b")), executed(*printed("ab"), display)
    )


def test_times_and_paths_of_a_run_are_left_out():
    def timed(start, path):
        papermill = {"start_time": start, "duration": 1.5, "output_path": path, "parameters": {}}
        return executed(metadata={"papermill": papermill})

    assert not compare(timed("2026-01-01", "/a"), timed("2026-01-02", "/b"))


#: By the name of a rule: MIME type, two texts that mean the same, one that does not.
CASES = {
    "memory addresses": (
        "text/plain",
        "<Thing object at 0x7f0a12345678>",
        "<Thing object at 0x5581abcdef12>",
        "<Think object at 0x7f0a12345678>",
    ),
    "files of cells": (
        "text/plain",
        "/tmp/ipykernel_123/456.py:1: UserWarning: hm",
        "/var/tmp/ipykernel_99/456.py:1: UserWarning: hm",
        "/tmp/ipykernel_123/457.py:1: UserWarning: hm",
    ),
    "temporary names": ("text/plain", "/tmp/tmpab12cd_e/x", "/tmp/tmpzz99zz_e/x", "/tmp/tmp/x"),
    "process ids": ("text/plain", "worker pid=123 up", "worker pid=4 up", "worker pin=123 up"),
    "CPU times and wall time": (
        "text/plain",
        "CPU times: user 1 ms, sys: 0 ns, total: 1 ms\nWall time: 1.2 ms\n",
        "CPU times: user 2 s, sys: 0 ns, total: 2 s\nWall time: 2.2 s\n",
        "CPU times: user 1 ms, sys: 0 ns, total: 1 ms\n",
    ),
    "loops of timeit": (
        "text/plain",
        "12.3 ns ± 0.1 ns per loop (mean ± std. dev. of 7 runs, 100 loops each)",
        "1.1 µs ± 2 ns per loop (mean ± std. dev. of 7 runs, 10,000 loops each)",
        "12.3 ns",
    ),
    "memory of memit": (
        "text/plain",
        "peak memory: 71.20 MiB, increment: 0.00 MiB",
        "peak memory: 99.21 MiB, increment: 1.50 MiB",
        "peak memory: none",
    ),
    "profiles": (
        "text/plain",
        "x\n   4 function calls in 0.5 seconds\n\n ncalls  tottime\n 1  2  f\n",
        "x\n   5 function calls in 0.1 seconds\n\n ncalls  tottime\n 3  2  g\n",
        "y\n   4 function calls in 0.5 seconds\n\n ncalls  tottime\n 1  2  f\n",
    ),
    "progress bars": (
        "text/plain",
        "\r  0%|      | 0/9 [00:00<?, ?it/s]\r100%|####| 9/9 [00:01<00:00,  9it/s]\n",
        "\r100%|####| 9/9 [00:02<00:00,  4it/s]\n",
        "\r 90%|####| 8/9 [00:01<00:00,  9it/s]\n",
    ),
    "random identifiers": (
        "text/html",
        f'<div id="{UUIDS[0]}"/><a href="#{UUIDS[0]}"/>',
        f'<div id="{UUIDS[1]}"/><a href="#{UUIDS[1]}"/>',
        f'<div id="{UUIDS[0]}"/><a href="#{UUIDS[1]}"/>',
    ),
    "random identifiers without dashes": (
        "application/vnd.jupyter.widget-view+json",
        {"model_id": "0" * 31 + "a"},
        {"model_id": "0" * 31 + "b"},
        {"model_id": "other"},
    ),
    "ids in an SVG": (
        "image/svg+xml",
        '<path id="p0123456789"/><g clip-path="url(#p0123456789)"/>',
        '<path id="pabcdef0123"/><g clip-path="url(#pabcdef0123)"/>',
        '<path id="p0123456789"/><g clip-path="url(#p0000000000)"/>',
    ),
    "dates in an SVG": (
        "image/svg+xml",
        "<dc:date>2026-01-01T00:00:00</dc:date>",
        "<dc:date>2026-01-02T00:00:00</dc:date>",
        "<dc:title>2026</dc:title>",
    ),
    "ids of styled tables": (
        "text/html",
        "<style>#T_0a1b2_row0_col1 {}</style><table id='T_0a1b2'>",
        "<style>#T_ffffe_row0_col1 {}</style><table id='T_ffffe'>",
        "<style>#T_0a1b2_row0_col2 {}</style><table id='T_0a1b2'>",
    ),
    "ids of estimators": (
        "text/html",
        '#sk-container-id-1 {} <div id="sk-container-id-1">1',
        '#sk-container-id-12 {} <div id="sk-container-id-12">1',
        '#sk-container-id-1 {} <div id="sk-container-id-1">2',
    ),
}


def test_every_rule_has_a_case():
    assert list(CASES) == [rule.name for rule in RULES]
    assert all(rule.why for rule in RULES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_hides_what_cannot_be_equal_and_nothing_else(name):
    mime, one, same, other = CASES[name]
    assert not compare(executed(shown(mime, one)), executed(shown(mime, same)))
    assert compare(executed(shown(mime, one)), executed(shown(mime, other)))


@pytest.mark.parametrize("text", ["0x7f", "id 12", "3.5 s", "0xdeadbeef", "tmpabcdefgh", "100%"])
def test_what_a_program_prints_otherwise_is_compared(text):
    assert compare(executed(*printed(text)), executed(*printed("something else")))


def png(pixel, comment):
    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", check)

    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + chunk(b"tEXt", b"Comment\0" + comment)
        + chunk(b"IDAT", zlib.compress(b"\0" + bytes([pixel, 0, 0])))
        + chunk(b"IEND", b"")
    ).decode()


@pytest.mark.parametrize("pillow", [True, False])
def test_pictures_are_compared_by_their_pixels(pillow, monkeypatch):
    if not pillow:
        monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    one = executed(shown("image/png", png(1, b"made today")))
    assert not compare(one, executed(shown("image/png", png(1, b"made yesterday") + "\n")))
    ((what, _, expected, found),) = differences(one, executed(shown("image/png", png(2, b""))))
    assert what == "output 1 (display_data), image/png"
    assert expected != found


def test_a_picture_compressed_otherwise_is_the_same_picture():
    image = Image.new("RGB", (20, 20), (1, 2, 3))
    files = [io.BytesIO(), io.BytesIO()]
    for level, file in enumerate(files):
        image.save(file, "png", compress_level=level * 9)
    texts = [base64.b64encode(file.getvalue()).decode() for file in files]
    assert texts[0] != texts[1]
    assert not compare(*(executed(shown("image/png", text)) for text in texts))


def test_a_damaged_picture_is_compared_as_it_is():
    assert compare(executed(shown("image/png", "???")), executed(shown("image/png", "iVBORw0K")))


def test_a_missing_output_ends_the_comparison_of_its_cell():
    a, b = shown("text/plain", "a"), shown("text/plain", "b")
    assert differences(executed(a, b), executed(a)) == [
        (
            "output 2 (display_data), its MIME types",
            1,
            "output 2 (display_data), its MIME types: text/plain",
            "(nothing)",
        )
    ]


def test_a_missing_cell_is_told():
    one, two = executed(), executed()
    two.cells.pop()
    assert differences(one, two) == [("number of cells", 2, "f()", "(nothing)")]


def test_widgets_are_compared_without_their_names():
    def widgets(model, value):
        state = {model * 32: {"model_name": "Slider", "state": {"value": value}}}
        kind = "application/vnd.jupyter.widget-state+json"
        return executed(metadata={"widgets": {kind: {"state": state}}})

    assert not compare(widgets("a", 1), widgets("b", 1))
    assert [each.what for each in compare(widgets("a", 1), widgets("a", 2))] == ["widgets"]


def test_a_cell_that_is_not_the_same_each_time_is_told_apart():
    one, two = (executed(*printed(text), source="now()") for text in "ab")
    (found,) = compare(one, two, {"now()": "it reads the clock"})
    assert found.unsure == "it reads the clock"
    (found,) = compare(one, two, {"f()": "it reads the clock"})
    assert found.unsure == ""
