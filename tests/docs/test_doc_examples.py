"""The examples of the documentation run as they stand, each page from top to bottom."""

import ast
import asyncio
import inspect
import json
import re
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from markdown_page import PAGES, ROOT, Block, blocks
from msgspec.structs import replace
from nbformat.v4 import new_code_cell, new_notebook

import nbflow
from nbflow.cli.commands import COMMANDS, root

#: The notebooks that all pages speak of: name -> its parameters, and its other cell.
NOTEBOOKS = {
    "analysis": ("date = None", ""),
    "extract": ("date = None", "rows = [1, 2, len(date)]"),
    "clean": ("rows = None", "table = sorted(rows)"),
    "train": ("table = None", "model = {'mean': sum(table) / len(table)}\nauc = 0.9"),
    "compare": ("models = None", "scores = {kind: each['mean'] for kind, each in models.items()}"),
    "report": ("path = low = None", "print('done')"),
}
_TAGS = re.compile(r"# %%(?: tags=(?P<tags>\[.*\]))?\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the notebooks, which is the current one, and a Bash kernel for this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBFLOW_HOME", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    argv = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Bash", "language": "bash", "env": {"PS1": "$"}}
    kernel = tmp_path / "jupyter" / "kernels" / "bash" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for name, (parameters, source) in NOTEBOOKS.items():
        write_notebook(
            tmp_path / f"{name}.ipynb", f'# %% tags=["parameters"]\n{parameters}\n# %%\n{source}\n'
        )
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("nbflow_file_")]:
        del sys.modules[name]


def write_notebook(path: Path, text: str, kernel: str = "python3") -> None:
    language = "bash" if kernel == "bash" else "python"
    _, *parts = _TAGS.split(text)
    cells = [
        new_code_cell(source.strip(), metadata={"tags": ast.literal_eval(tags or "[]")})
        for tags, source in zip(parts[::2], parts[1::2], strict=True)
    ]
    spec = {"name": kernel, "display_name": kernel, "language": language}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), path)


def execute(block: Block, page: Path, names: dict) -> None:
    """Run a block as a cell of a notebook is run: with top-level await."""
    code = compile(
        # So that a traceback has the line of the page.
        "\n" * (block.line - 1) + block.text,
        f"{page.name} (example)",
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    result = eval(code, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)


def check_flow(flow: nbflow.Flow) -> None:
    assert [str(problem) for problem in flow.check()] == []


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page, folder):
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page)):
        match block:
            case Block(verb="not run"):
                source = TransformerManager().transform_cell(block.text)  # as a cell: with magics
                compile(source, f"{page.name}:{block.line}", "exec")
            case Block(verb="notebook"):
                name, *kernel = block.rest.split()
                write_notebook(folder / name, block.text, *kernel)
            case Block(language="yaml"):
                file = folder / (block.rest or f"example-{number}.yaml")
                file.write_text(block.text)
                check_flow(nbflow.load(file))
            case Block(verb="file"):
                (folder / block.rest).write_text(block.text)
            case Block(language="python"):
                execute(block, page, names)
            case Block(language="json"):
                json.loads(block.text)
            case _:
                assert block.language in ("console", "text"), f"{page.name}:{block.line}"
    for flow in {id(it): it for it in names.values() if isinstance(it, nbflow.Flow)}.values():
        check_flow(flow)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_commands(page):
    for block in blocks(page):
        for line in block.text.splitlines() if block.language == "console" else ():
            if not line.startswith("$ nbflow "):
                continue
            words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)[2:]
            assert words[0] in COMMANDS, f"{page.name}: {line}"
            command = root.get_command(None, words[0])
            # Raises if an option does not exist, or a word is missing.
            command.make_context(words[0], words[1:]).close()


def test_the_flow_file_and_the_python_of_the_readme_are_the_same_flow(folder):
    page = ROOT / "README.md"
    names = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "yaml":
            (folder / block.rest).write_text(block.text)
        elif block.language == "python":
            execute(block._replace(text=block.text.partition("\nrun =")[0]), page, names)
    written, loaded = names["flow"].spec(), nbflow.load("flow.yaml").spec()
    assert without_places(written) == without_places(loaded)


def without_places(spec):
    return replace(
        spec, place="", target="", nodes=tuple(replace(node, place="") for node in spec.nodes)
    )
