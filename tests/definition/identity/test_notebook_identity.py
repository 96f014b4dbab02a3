import json
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from nbflow.definition import FlowBuilder


def identity(path="a.ipynb", **options):
    flow = FlowBuilder("f")
    flow.notebook(path, **options)
    return flow.prepare().spec.nodes[0].identity


@pytest.fixture
def notebook(write_notebook):
    path = write_notebook("a.ipynb", "import helper", "x = helper.value", params="date = 1")
    (path.parent / "helper.py").write_text("value = 1\n")
    return path


def edited(path, edit):
    document = nbformat.read(path, as_version=4)
    edit(document)
    nbformat.write(document, path)


def cell_edit(**changes):
    return lambda document: document.cells[2].update(**changes)


def tagged(*tags):
    return lambda document: document.cells[2].metadata.update(tags=list(tags))


NOISE = {
    "an output": cell_edit(outputs=[new_output("stream", name="stdout", text="hello")]),
    "an execution count": cell_edit(execution_count=7),
    "a mark for people": tagged("todo"),
    "metadata of a cell": lambda it: it.cells[2].metadata.update(collapsed=True),
    "metadata of the notebook": lambda it: it.metadata.update(title="Sales"),
    "a text": lambda it: it.cells.insert(1, new_markdown_cell("# Sales")),
    "a raw cell": lambda it: it.cells.append(new_raw_cell("x")),
    "source in lines": lambda it: None,
}
CHANGES = {
    "a source": cell_edit(source="x = 2"),
    "a comment in a source": cell_edit(source="x = helper.value  # why"),
    "another cell": lambda it: it.cells.append(new_code_cell("y = 1")),
    "another order": lambda it: it.cells.reverse(),
    "a cell that is split": lambda it: it.cells.insert(2, new_code_cell("")),
    "a cell that is skipped": tagged("skip-execution"),
    "a cell that may raise": tagged("raises-exception"),
    "a cell that is all text now": lambda it: it.cells.__setitem__(2, new_raw_cell("x")),
}


@pytest.mark.parametrize("name", NOISE)
def test_noise_changes_nothing(notebook, name):
    before = identity()
    edited(notebook, NOISE[name])
    assert identity() == before


@pytest.mark.parametrize("name", CHANGES)
def test_what_runs_is_the_code(notebook, name):
    before = identity()
    edited(notebook, CHANGES[name])
    after = identity()
    assert after.code != before.code
    assert (after.environment, after.modules) == (before.environment, before.modules)


@pytest.fixture
def project(folder, write_notebook):
    """Two notebooks: one reaches ``deep`` by way of a package, the other does not."""
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "first.py").write_text("from . import second\nimport json\n")
    (package / "second.py").write_text("def f():\n    from deep import value\n")
    (package / "unused.py").write_text("import nothing_that_is_there\n")
    (folder / "deep.py").write_text("value = 1\n")
    (folder / "alone.py").write_text("value = 1\n")
    write_notebook("a.ipynb", "from package import first")
    write_notebook("b.ipynb", "import alone, os, msgspec")
    return folder


@pytest.mark.parametrize(
    ("file", "reached_by"),
    [
        ("deep.py", "a"),
        ("package/second.py", "a"),
        ("package/first.py", "a"),
        ("package/__init__.py", "a"),
        ("package/unused.py", ""),
        ("alone.py", "b"),
    ],
)
def test_an_edit_of_a_module_changes_exactly_the_notebooks_that_reach_it(project, file, reached_by):
    before = {name: identity(f"{name}.ipynb") for name in "ab"}
    (project / file).write_text("value = 2\n")
    after = {name: identity(f"{name}.ipynb") for name in "ab"}
    assert before["a"].unknown == before["b"].unknown == ()
    assert [name for name in "ab" if before[name] != after[name]] == list(reached_by)
    for name in reached_by:
        assert before[name].code == after[name].code
        assert before[name].modules != after[name].modules


@pytest.mark.parametrize(
    ("cells", "files"),
    [
        (["%run tool.py"], ["tool.py"]),
        (["%run tool"], ["tool.py"]),
        (["%run other.ipynb"], ["other.ipynb", "tool.py"]),
        (["sys.path.append('lib')", "import inner"], ["lib/inner.py"]),
        (["import inner", "sys.path.append('lib')"], ["lib/inner.py"]),
        (["%cd lib", "import inner"], ["lib/inner.py"]),
        (["import space.part"], ["space/part.py"]),
        (["!python tool.py"], ["tool.py"]),
        (["from pack.sub import *"], ["pack/__init__.py", "pack/sub/__init__.py"]),
        (["%%writefile tool.py\nx = 1", "import tool"], []),
    ],
)
def test_what_a_notebook_reaches(folder, write_notebook, cells, files):
    (folder / "tool.py").write_text("x = 1")
    for place in ("lib", "space", "pack/sub"):
        (folder / place).mkdir(parents=True)
    for file in ("lib/inner.py", "space/part.py", "pack/__init__.py", "pack/sub/__init__.py"):
        (folder / file).write_text("x = 1")
    write_notebook("other.ipynb", "import tool")
    write_notebook("a.ipynb", *cells)
    before = identity()
    assert before.unknown == ()
    reached = []
    for path in sorted(folder.rglob("*")):
        if path.name == "a.ipynb" or path.is_dir():
            continue
        kept = path.read_bytes()
        if path.suffix == ".ipynb":
            edited(path, lambda it: it.cells.append(new_code_cell("y = 1")))
        else:
            path.write_text("x = 2")
        if identity() != before:
            reached.append(str(path.relative_to(folder)))
        path.write_bytes(kept)
    assert reached == sorted(files)


def test_a_relative_import_of_a_notebook_that_is_run_is_none(folder, write_notebook):
    write_notebook("a.ipynb", "from . import b\nfrom ..c import d")
    assert identity().unknown == ()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "import importlib\nimportlib.import_module(name)",
            (
                "cell 0, line 2, imports a module whose name only shows when it runs. Import it by "
                "its name"
            ),
        ),
        (
            "import helper_that_is_nowhere",
            (
                "cell 0, line 1, imports helper_that_is_nowhere, which is found neither among the "
                "installed packages nor where the code would look for it. Put it beside the "
                "notebook, install it, or set PYTHONPATH in env"
            ),
        ),
        ("%run nowhere.py", "cell 0 runs nowhere.py, which is not there."),
        ("import dynamic", "dynamic.py, line 2, imports a module whose name only shows"),
        ("exec(open('x.py').read())", "cell 0, line 1, runs code by exec(open('x.py').read())."),
    ],
)
def test_what_cannot_be_told_is_said(folder, write_notebook, source, sentence):
    (folder / "dynamic.py").write_text("from importlib import import_module\nimport_module(x)\n")
    write_notebook("a.ipynb", source)
    (unknown,) = identity().unknown
    assert unknown.startswith(sentence)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import helper_that_is_nowhere\nexcept ImportError:\n    pass",
        "import nbflow\nnbflow.emit('x', 1)",
        "import os.path, json, msgspec, nbformat.v4",
        "%load_ext some_extension\n%some_magic",
    ],
)
def test_what_is_installed_or_optional_is_known(write_notebook, source):
    write_notebook("a.ipynb", source)
    assert identity().unknown == ()
    assert identity().modules == ""


def test_a_notebook_in_another_language_is_its_sources_and_says_so(write_notebook):
    write_notebook("a.ipynb", "source('x.R')", kernel="ir", language="R")
    before = identity()
    assert before.unknown[0].startswith("its language is r, and local sources that it may read")
    write_notebook("a.ipynb", "source('y.R')", kernel="ir", language="R")
    assert identity().code != before.code


def test_pythonpath_is_where_modules_are(folder, write_notebook, monkeypatch):
    (folder / "lib").mkdir()
    (folder / "lib" / "inner.py").write_text("x = 1")
    write_notebook("a.ipynb", "import inner")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert identity().unknown
    by_node = identity(env={"PYTHONPATH": str(folder / "lib")})
    assert by_node.unknown == ()
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"))
    assert identity().modules == by_node.modules != ""


def test_a_package_that_is_installed_to_be_edited_is_followed(
    folder, write_notebook, monkeypatch, tmp_path_factory
):
    source = tmp_path_factory.mktemp("source")
    (source / "edited.py").write_text("x = 1")
    site = tmp_path_factory.mktemp("site")
    (site / "edited.pth").write_text(f"# by an installer\nimport sys\n{source}\n")
    monkeypatch.setattr("site.getsitepackages", lambda: [str(site)])
    write_notebook("a.ipynb", "import edited")
    before = identity()
    assert before.unknown == ()
    (source / "edited.py").write_text("x = 2")
    assert identity().modules != before.modules


# --- environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"MODE": "fast"}},
        {"kernel": "another"},
        {"cwd": "sub"},
        {"packages": ["msgspec"]},
        {"python": sys.executable},
    ],
)
def test_what_runs_it_is_its_environment(notebook, options):
    (notebook.parent / "sub").mkdir()
    (notebook.parent / "sub" / "helper.py").touch()
    plain, other = identity(), identity(**options)
    assert other.environment != plain.environment
    assert other.code == plain.code
    assert other == identity(**options)


def test_variables_are_not_in_the_clear(notebook):
    one = identity(env={"TOKEN": "hunter2"})
    assert one.environment != identity(env={"TOKEN": "hunter3"}).environment
    assert "hunter2" not in str(one)


def test_a_version_of_a_package_belongs_to_the_environment(notebook, tmp_path, monkeypatch):
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def installed(version):
        for old in site.glob("*.dist-info"):
            old.rename(site / f"mine-{version}.dist-info")
        folder = site / f"mine-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Name: mine\nVersion: {version}\n")
        return identity(packages=["mine"]).environment

    first = installed("1.0")
    assert first == installed("1.0")
    assert installed("2.0") != first


def test_another_interpreter_is_told_by_its_file_and_its_packages_are_its_own(notebook, tmp_path):
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    packages = env / "lib" / "python3.12" / "site-packages" / "mine-1.0.dist-info"
    packages.mkdir(parents=True)
    (packages / "METADATA").write_text("Name: mine\nVersion: 1.0\n")
    program = env / "bin" / "python"
    program.write_text("one")
    program.chmod(0o755)
    before = identity(python=str(env), packages=["mine"])
    assert before.unknown == ()
    assert before == identity(python=str(env), packages=["mine"])
    program.write_text("another")
    assert identity(python=str(env), packages=["mine"]).environment != before.environment
    (absent,) = identity(python=str(env), packages=["msgspec"]).unknown
    assert "msgspec" in absent


def test_an_interpreter_that_is_not_here_cannot_be_told(notebook, tmp_path):
    (unknown,) = identity(python=str(tmp_path / "nowhere")).unknown
    assert "nowhere is not here" in unknown


def test_packages_of_another_kernel_cannot_be_told(notebook):
    (unknown,) = identity(kernel="another", packages=["msgspec"]).unknown
    assert "the kernel 'another'" in unknown
    assert "python=" in unknown


# --- speed ----------------------------------------------------------------------------------------


def test_a_file_is_read_once_for_a_thousand_nodes(notebook, monkeypatch):
    from nbflow.definition.identity import sources

    (notebook.parent / "helper.py").write_text("import json")
    read = []
    original = sources._read
    monkeypatch.setattr(sources, "_read", lambda path: read.append(path) or original(path))
    flow = FlowBuilder("f")
    for number in range(1000):
        flow.notebook("a.ipynb", name=f"n{number}")
    identities = {node.identity.modules for node in flow.prepare().spec.nodes}
    assert len(identities) == 1
    assert read == [str(notebook.parent / "helper.py")]


def test_a_large_folder_does_not_slow_down(notebook):
    for number in range(3000):
        (notebook.parent / f"file{number}.csv").touch()
    edited(notebook, lambda it: it.cells.append(new_code_cell("import helper, json, os, sys, re")))
    flow = FlowBuilder("f")
    for number in range(1000):
        flow.notebook("a.ipynb", name=f"n{number}")
    began = time.process_time()
    flow.prepare()
    assert time.process_time() - began < 2


def test_a_notebook_is_the_same_wherever_the_project_lies(notebook, tmp_path):
    before = identity()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("a.ipynb", "helper.py"):
        (notebook.parent / name).rename(moved / name)
    after = identity(str(moved / "a.ipynb"))
    assert (after.code, after.modules) == (before.code, before.modules)
    # It may read files beside it.
    assert after.environment != before.environment


def test_old_formats_are_told_as_they_run(folder):
    def write(source):
        cell = {"cell_type": "code", "input": source, "outputs": [], "language": "python"}
        sheet = {"cells": [{**cell, "metadata": {}, "collapsed": False}], "metadata": {}}
        document = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "a"}}
        (folder / "a.ipynb").write_text(json.dumps({**document, "worksheets": [sheet]}))
        return identity().code

    assert write("x = 1") != write("x = 2")
