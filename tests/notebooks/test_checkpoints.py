"""What is told of checkpoints from a notebook's text alone, and their files."""

import ast
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbflow import guest_namespace
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Fields, Inline, Secret
from nbflow.notebooks.checkpoints import Notes, plan_checkpoints, prefix_digest
from nbflow.notebooks.checkpoints.guest_text import guest_text
from nbflow.notebooks.checkpoints.package import Unpackable, pack, unpack
from nbflow.notebooks.masking import NO_SECRETS, Mask


def tagged(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def book(*cells):
    return new_notebook(
        cells=[new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    )


def plan(*cells, every_s=1.0, python=True, hidden=None):
    return plan_checkpoints(book(*cells), every_s=every_s, python=python, hidden=hidden or {})


def test_a_notebook_that_does_not_ask_has_no_plan():
    assert plan("a = 1", "checks = 'points'", every_s=None) is None
    assert plan("checkpoint = torch.load('x')", every_s=None) is None


@pytest.mark.parametrize(
    "cell", [tagged("a = 1", "checkpoint"), "import nbflow as nb\nnb.checkpoint()"]
)
def test_a_tag_or_a_call_asks(cell):
    assert plan("a = 1", cell, every_s=None).unfit == ""


def test_other_languages_are_unfit():
    assert "only notebooks in Python" in plan("a <- 1", python=False).unfit


UNFIT = [
    "print(_)",
    "x = Out[2]",
    "def f():\n    return _3",
    "In[-1]",
    "globals()['x'] = 1",
    "dir()",
    "ip = get_ipython()",
    "%history",
    "%who",
    "%%time\nprint(_)",
    "%timeit f(_1)",
    "!echo {_}",
    "update_display(1, display_id='a')",
    "display(1, display_id='a')",
    "import sys\nsys.last_value",
    "%debug",
    "a = = 1",
    "class C:\n    def number(self):\n        return hash(self)",
    "key = lambda thing: id(thing)",
    "import os\n\ndef mine():\n    return os.getpid()",
]


@pytest.mark.parametrize("cell", UNFIT)
def test_what_another_kernel_has_not_makes_a_notebook_unfit(cell):
    assert plan("a = 1", cell).unfit


FIT = [
    "for _ in range(3):\n    pass",
    "_, ax = 1, 2",
    "dir(int), vars(object())",
    "%matplotlib inline",
    "%%time\nx = 1",
    "%cd ..",
    "!ls",
    "%load_ext autoreload\n%autoreload 2",
    "",
    "id = 5\nprint(id)",
    "class C:\n    def __hash__(self):\n        return hash(self.a)",
    "row.id, row.hash",
    "print({id(x): hash(x) for x in [1, 2]})",
]


@pytest.mark.parametrize("cell", FIT)
def test_common_cells_are_fit(cell):
    assert plan("a = 1", cell, new_markdown_cell("_")).unfit == ""


ASKED_TWICE = [
    ("seen = {id(x): x for x in []}", "seen.get(id(1))"),
    ("numbers = list(map(id, []))", "id(numbers)"),
    ("known = {hash(object()): 1}", "hash(1) in known"),
    ("import os\npid = os.getpid()", "pid == os.getpid()"),
    ("from threading import get_ident\nme = get_ident()", "me == get_ident()"),
]


@pytest.mark.parametrize("cells", ASKED_TWICE)
def test_numbers_of_a_process_may_be_asked_for_by_one_cell_only(cells):
    assert [plan(cell).unfit for cell in cells] == ["", ""]
    assert "another one in each process" in plan(*cells).unfit


def test_what_is_defined_once_and_purely_is_made_again():
    replays = plan(
        "data = [1]\nd = {}\ndef gen(xs):\n    yield from xs",
        "# first\ng = (x for x in data)\nh = gen(data); k = d.keys()",
        "view = memoryview(raw)\nraw = b''",
    ).replays
    assert replays.keys() == {"g", "h", "k", "view"}
    # Where it stands, for tracebacks.
    assert replays["g"] == "\ng = (x for x in data)"
    for text in replays.values():
        ast.parse(text)


@pytest.mark.parametrize(
    "cells",
    [
        ("data = [1]", "g = (x for x in data)", "data = []"),
        ("data = [1]", "g = (x for x in data)", "def f():\n    global data\n    data = 2"),
        ("data = [1]", "g = (x for x in sorted(data))"),
        ("data = [1]", "if data:\n    g = (x for x in data)"),
        ("def gen():\n    print()\n    return [1]", "g = gen()"),
        ("@deco\ndef gen():\n    yield 1", "g = gen()"),
        ("def gen(x):\n    yield x", "g = gen(open('x'))"),
        ("from x import *", "data = [1]\ng = (x for x in data)"),
        ("data = [1]\ng = (x for x in data)", "exec('data = 2')"),
        ("data = [1]\ng = (x for x in data)", "%run other.py"),
        ("g = 1", "data = [1]\ng = (x for x in data)"),
        ("f = open('x')", "d = f.read()"),
    ],
)
def test_what_is_not_surely_pure_is_not_made_again(cells):
    assert plan(*cells).replays == {}


@pytest.mark.parametrize(
    ("cells", "value", "words"),
    [
        (("len(token)",), Secret("env", "T"), ""),
        ((tagged("token = ''", "parameters"),), Secret("env", "T"), ""),
        (("token = token.strip()",), Secret("env", "T"), "sets it anew"),
        (("1",), Fields({"a": Secret("env", "T")}), "has a secret inside"),
    ],
)
def test_a_secret_must_be_the_same_when_it_is_set_again(cells, value, words):
    unfit = plan(*cells, hidden={"token": value}).unfit
    assert words in unfit
    assert bool(words) == bool(unfit)


def digest(notebook, count=1, **changes):
    fields = {"code": NotebookCode("/n.ipynb"), "params": {"a": Inline(1)}, "kernel": "python3"}
    return prefix_digest(notebook, count, **{**fields, **changes})


def test_a_prefix_is_its_cells_parameters_and_surroundings():
    base = digest(book("a", "b"))
    assert base == digest(book("a", "c"))
    assert base == digest(book("a", "b", "c"))
    others = [
        digest(book("x", "b")),
        digest(book("a", "b"), 2),
        digest(book(tagged("a", "skip-execution"), "b")),
        digest(book(new_markdown_cell("a"), "b")),
        digest(book("a", "b"), params={"a": Inline(2)}),
        digest(book("a", "b"), kernel="other"),
        digest(book("a", "b"), code=NotebookCode("/n.ipynb", env={"A": "1"})),
        digest(book("a", "b"), code=NotebookCode("/n.ipynb", cwd="/elsewhere")),
    ]
    assert base not in others
    assert len(set(others)) == len(others)


def test_injected_parameters_count_by_value_and_not_by_the_paths_that_they_name():
    one, other = (
        book(tagged(f"rows = load('/{place}/x')", "injected-parameters"), "b")
        for place in ("here", "there")
    )
    assert digest(one) == digest(other)
    assert digest(one, params={"a": Inline(2)}) != digest(one)


@pytest.fixture
def written(tmp_path):
    """A folder into which a kernel has written, and the outputs folder."""
    folder, outputs = tmp_path / "checkpoint", tmp_path / "outputs"
    folder.mkdir()
    outputs.mkdir()
    (folder / "variables.pickle").write_bytes(b"pickled")
    (folder / "manifest.json").write_text("{}")
    return folder, outputs


def test_a_package_holds_all_that_an_attempt_had_emitted(written, tmp_path):
    folder, outputs = written
    (outputs / "a.json").write_text("1")
    (outputs / ".hidden").write_text("2")
    package = pack(folder, outputs, 12, NO_SECRETS, private=tmp_path / "private")
    time_ns = (outputs / "a.json").stat().st_mtime_ns
    there = tmp_path / "there"
    (there / "outputs").mkdir(parents=True)
    besides = unpack(package, there)
    assert (besides.taken_bytes, besides.times_ns) == (12, {"a.json": time_ns})
    assert (there / "variables.pickle").read_bytes() == b"pickled"
    assert [path.name for path in (there / "outputs").iterdir()] == ["a.json"]
    assert (there / "outputs" / "a.json").stat().st_mtime_ns == time_ns


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("checkpoint/variables.pickle", "x topsecret y", "the secret MINE"),
        ("outputs/a.txt", "topsecret", "the secret MINE"),
        ("checkpoint/variables.pickle", "at {private}/work", "goes with the attempt"),
    ],
)
def test_a_package_holds_no_secret_and_no_passing_folder(written, tmp_path, name, text, words):
    folder, outputs = written
    private = tmp_path / "private"
    (tmp_path / name).write_text(text.format(private=private))
    with pytest.raises(Unpackable, match=words):
        pack(folder, outputs, 0, Mask({"topsecret": "MINE"}), private=private)


def test_what_is_no_file_is_not_packed(written, tmp_path):
    folder, outputs = written
    (outputs / "folder").mkdir()
    with pytest.raises(Unpackable, match="'folder'"):
        pack(folder, outputs, 0, NO_SECRETS, private=tmp_path / "private")


def test_a_package_that_is_none_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(Unpackable, match="cannot be read"):
        unpack(path, tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", "1")
    with pytest.raises(Unpackable, match="cannot be read"):
        unpack(path, tmp_path)


def test_notes_forget_an_earlier_execution_and_say_each_reason_once():
    notebook = book("a")
    notebook.metadata["nbflow"] = nbformat.from_dict({"checkpoint": {"resumed_at_cell": 3}, "x": 1})
    told = []
    notes = Notes(notebook, told.append, lambda text: text.replace("secret", "***"))
    assert notebook.metadata.nbflow == {"x": 1}
    notes.not_stored(1, "a secret")
    notes.not_stored(2, "a secret")
    notes.stored(3, 10, 0.12345)
    assert notebook.metadata.nbflow.checkpoint == {
        "not_stored": {"1": "a ***", "2": "a ***"},
        "stored_after_cell": 3,
        "stored_bytes": 10,
        "stored_in_s": 0.123,
    }
    assert told == ["no checkpoint after cell 1: a ***"]


def test_the_text_for_kernels_is_one_module_with_one_meaning_for_each_name():
    tree = ast.parse(guest_text())
    names = [
        name
        for node in tree.body
        for name in (
            [node.name]
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
            else [each.id for each in getattr(node, "targets", []) if isinstance(each, ast.Name)]
        )
    ]
    assert len(names) == len(set(names)), sorted(
        name for name in set(names) if names.count(name) > 1
    )
    assert "nbflow.guest_namespace" not in "".join(
        ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))
    )
    assert set(guest_namespace.MODULES) >= {"graph", "keeping"}
